"""Which column is the text or the image, and which the label: guessed, or as the user says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from archspec.data.extras import train_extra
from archspec.data.header_check import NO_HEADER, has_doubtful_names, looks_like_data
from archspec.data.report import Columns, Kind
from archspec.data.splitting import say_which
from archspec.data.tables import Table, arrow_column, is_text, plain_values
from archspec.data.unsupported_tasks import (
    holds_prose,
    refuse_other_labels,
    refuse_pair,
    refuse_targets,
    refuse_tokens,
)
from archspec.errors import DataError, Problem, UsageError, did_you_mean, listing

with train_extra():
    import pyarrow as pa

TEXT_NAMES = ("text", "sentence")
LABEL_NAMES = ("label", "labels", "class", "category", "target", "y")
IMAGE_SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm",
)  # fmt: skip
SAMPLE = 1_000  # rows that a guess looks at
MOST_CLASSES = 100  # of a column that is no label by its name

Label = str | Literal[False] | None


def columns_of(
    table: Table, kind: Kind, *, text: str | None, image: str | None, label: Label
) -> Columns:
    """The columns that a task uses.

    Args:
        table: the split that decides: ``train``, where there is one.
        text, image, label: as the user says; None to guess; no label is read where it is False.

    Raises:
        DataError: E902, there is no such column, or several could be meant; E907, the data is for
            something that cannot be done.
        UsageError: E801, a column for images was given where the task takes text, or a text
            column where it takes images.
    """
    wants_image = kind == "image-classification"
    unfit = text if wants_image else image
    if unfit is not None:
        meant = "images, not text" if wants_image else "text, not images"
        raise UsageError(Problem("E801", f"the task is {kind}: it takes {meant}"))
    if label is None and kind == "text-embedding":
        label = False
    if isinstance(label, str) and label in (text, image):
        raise UsageError(Problem("E801", f"column '{label}' cannot be the input and the label"))
    label_name = label if isinstance(label, str) else None
    if label is None:
        label_name = _named_label(table, {text, image})
    if wants_image:
        found = _given(table, image) or _image(table)
        columns = Columns(image=found, label=label_name)
    else:
        if table.image is not None:
            raise _images_not_text(table, table.image)
        refuse_tokens(table, text)
        found = _given(table, text) or _text(table, label_name)
        columns = Columns(text=found, label=label_name)
    if label is not False:
        label_name = _label(table, found) if label_name is None else label_name
        columns = Columns(columns.text, columns.image, label_name)
        if label_name in names(table):
            refuse_other_labels(table, label_name)
    check(table, columns)
    return columns


def check(table: Table, columns: Columns) -> None:
    """Whether a split has the columns, and of the right kinds.

    Raises:
        DataError: E902.
    """
    problems: list[Problem] = []
    for role in ("text", "image", "label"):
        name = getattr(columns, role)
        if name is None:
            continue
        if name not in names(table):
            problems.append(_unknown(table, name))
        elif not (_HOLDS[role](table, name) or not len(table)):
            kind = arrow_column(table.dataset, name).type
            message = f"{table.files[0]}: column '{name}' holds {kind}, which is no {role}"
            problems.append(Problem("E902", message, hint=_columns_are(table)))
    if problems:
        raise DataError(problems)


def names(table: Table) -> list[str]:
    return list(table.dataset.column_names)


def _given(table: Table, name: str | None) -> str | None:
    if name is not None and name not in names(table):
        raise DataError(_unknown(table, name))
    return name


def _unknown(table: Table, name: str) -> Problem:
    hint = did_you_mean(name, names(table)) or _columns_are(table)
    return Problem("E902", f"{table.files[0]} has no column '{name}'", hint=hint)


def _columns_are(table: Table) -> str:
    said = f"the columns are {listing([name[:60] for name in names(table)], 20)}"
    if has_doubtful_names(table) and any(map(looks_like_data, names(table))):
        said += f" (if this first line is a row: {NO_HEADER})"
    return said


def _ambiguous(table: Table, role: str, found: Sequence[str]) -> DataError:
    if found:
        message = f"{table.files[0]}: {listing(found)} could each be the {role}"
    else:
        message = f"{table.files[0]}: no column looks like the {role}"
    return DataError(
        Problem("E902", message, hint=_with_columns(table, say_which(f"{role}_column")))
    )


def _with_columns(table: Table, hint: str) -> str:
    return f"{_columns_are(table)}: {hint}"


# ------------------------------------------------------------------------------------------ guesses


def _text(table: Table, label: str | None) -> str:
    candidates = [name for name in names(table) if name != label and _holds_text(table, name)]
    is_named = len(candidates) == 1 and candidates[0] in TEXT_NAMES
    images = [] if is_named else [name for name in candidates if _holds_images(table, name)]
    candidates = [name for name in candidates if name not in images]
    if images and not candidates:
        raise _images_not_text(table, images[0])
    chosen = next((name for name in TEXT_NAMES if name in candidates), None)
    if chosen is not None:
        refuse_pair(table, chosen, candidates)
        return chosen
    for name in candidates:
        if holds_prose(table, name):
            refuse_pair(table, name, candidates)
    return _longest(table, candidates)


def _images_not_text(table: Table, name: str) -> DataError:
    message = f"{table.files[0]}: column '{name}' holds images, and the task takes text"
    return DataError(Problem("E902", message))


def _longest(table: Table, candidates: Sequence[str]) -> str:
    lengths = {name: _mean_length(table, name) for name in candidates}
    longest = sorted(lengths, key=lambda name: -lengths[name])
    near = [name for name in longest if lengths[name] > lengths[longest[0]] / 2]
    prose = [name for name in near if holds_prose(table, name)]
    if len(prose) > 1:
        message = f"{table.files[0]}: {listing(prose)} hold texts: pairs are not supported yet"
        hint = "if the label is that of one of them alone, text_column= (--text-column) says which"
        raise DataError(Problem("E907", message, hint=_with_columns(table, hint)))
    if len(near) != 1:
        raise _ambiguous(table, "text", near or longest)
    return near[0]


def _mean_length(table: Table, name: str) -> float:
    sample = plain_values(arrow_column(table.dataset, name).slice(0, SAMPLE))
    return sum(len(text or "") for text in sample) / max(len(sample), 1)


def _image(table: Table) -> str:
    if table.image is not None:
        return table.image
    found = [name for name in names(table) if _holds_images(table, name)]
    if len(found) != 1:
        raise _ambiguous(table, "image", found)
    return found[0]


def _named_label(table: Table, others: set[str | None]) -> str | None:
    folded = {name.casefold(): name for name in reversed(names(table)) if name not in others}
    found = [folded[name] for name in LABEL_NAMES if name in folded]
    if len(found) > 1 and found[0].casefold() not in LABEL_NAMES[:2]:
        raise _ambiguous(table, "label", found)
    return found[0] if found else None


def _label(table: Table, used: str) -> str:
    found = [name for name in names(table) if name != used and _has_few_values(table, name)]
    if not found:
        refuse_targets(table, used)
    if len(found) > 2 and all(_is_yes_or_no(table, name) for name in found):
        message = f"{table.files[0]}: {listing(found)} each say yes or no of a row: if they are"
        hint = f"if one of them alone is the label, {say_which('label_column')}"
        raise DataError(
            Problem("E907", f"{message} its labels, multi-label is not supported yet", hint=hint)
        )
    if len(found) != 1:
        raise _ambiguous(table, "label", found)
    return found[0]


def _is_yes_or_no(table: Table, name: str) -> bool:
    values = plain_values(arrow_column(table.dataset, name).drop_null().unique())
    return {str(value).strip().casefold() for value in values} <= {"0", "1", "true", "false"}


def _has_few_values(table: Table, name: str) -> bool:
    column = arrow_column(table.dataset, name)
    if not _holds_labels(table, name) or pa.types.is_floating(column.type):
        return False
    n = len(column.drop_null().unique())
    return 2 <= n <= max(2, min(MOST_CLASSES, len(column) // 4))


# ---------------------------------------------------------------------------------- kinds of column


def _holds_text(table: Table, name: str) -> bool:
    return is_text(arrow_column(table.dataset, name).type)


def _holds_labels(table: Table, name: str) -> bool:
    kind = arrow_column(table.dataset, name).type
    numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    return is_text(kind) or pa.types.is_boolean(kind) or numeric


def _holds_images(table: Table, name: str) -> bool:
    if name == table.image:
        return True
    column = arrow_column(table.dataset, name)
    kind = column.type
    if pa.types.is_struct(kind):
        fields = {kind.field(i).name for i in range(kind.num_fields)}
        return "bytes" in fields or fields == {"path"}
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return True
    return is_text(kind) and table.base is not None and _are_paths(column.slice(0, SAMPLE))


def _are_paths(sample: pa.ChunkedArray) -> bool:
    texts = [text for text in plain_values(sample) if text]
    paths = [text for text in texts if text.lower().endswith(IMAGE_SUFFIXES)]
    return bool(texts) and len(paths) > len(texts) / 2


_HOLDS = {"text": _holds_text, "image": _holds_images, "label": _holds_labels}
