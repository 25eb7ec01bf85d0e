"""Finds the columns of texts or images and of labels: guessed, or as the user says."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, replace
from typing import Literal

from archspec.data.answer_columns import find_answer_columns, holds_answers, holds_starts
from archspec.data.column_errors import (
    ambiguous,
    existing_column,
    list_columns,
    names,
    unknown_column,
    with_columns,
)
from archspec.data.extras import train_extra
from archspec.data.mask_columns import find_mask_columns
from archspec.data.report import Columns
from archspec.data.splitting import choose_hint
from archspec.data.tables import Table, arrow_column, is_text, plain_values
from archspec.data.targets import holds_label_lists
from archspec.data.unsupported_tasks import (
    TOKEN_NAMES,
    example_of_fraction,
    holds_prose,
    in_order,
    not_supported,
    partner_of,
    refuse_answers,
    refuse_other_labels,
    refuse_other_targets,
    refuse_tokens,
    refuse_written_texts,
    sample_texts,
)
from archspec.data.word_columns import find_word_columns, holds_tags, holds_words
from archspec.errors import DataError, Problem, UsageError, listing
from archspec.lang.schema import TaskKind
from archspec.tasks import (
    finds_answers,
    labels_pixels,
    predicts_numbers,
    tags_words,
    takes_images,
    takes_pairs,
)

with train_extra():
    import pyarrow as pa

TEXT_NAMES = ("text", "sentence")
NUMBER_NAMES = ("score", "label", "labels", "similarity", "rating", "value", "target", "y")
LABEL_NAMES = ("label", "labels", "class", "category", "target", "y")
IMAGE_SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm",
)  # fmt: skip
SAMPLE = 1_000  # rows that guesses look at
MAX_CLASSES = 100  # of a column whose name is not that of a label

Label = str | Literal[False] | None


def find_columns(
    table: Table,
    kind: TaskKind,
    *,
    text: str | None,
    image: str | None,
    label: Label,
    text_pair: str | None = None,
    pair: bool | None = None,
    multi_label: bool | None = None,
) -> Columns:
    """The columns that a task uses.

    Args:
        table: the split whose columns count: ``train`` if there is one.
        text, text_pair, image, label: as the user says; None: guess. A label of False: none is
            read. A text alone is not guessed to be half of a pair.
        pair: whether texts are pairs; None: as the columns are.
        multi_label: whether a row may have several labels; None: if they are lists.

    Raises:
        DataError: E902, there is no such column, or several are possible; E907, the data is for a
            task that is not supported.
        UsageError: E801, a column of images was given for a task on texts, or the reverse.
    """
    is_image_task = takes_images(kind)
    unexpected = (text, text_pair) if is_image_task else (image,)
    if any(name is not None for name in unexpected):
        expected = "images, not text" if is_image_task else "text, not images"
        raise UsageError(Problem("E801", f"the task is {kind}: it takes {expected}"))
    if text_pair is not None and not finds_answers(kind):
        _check_pair(kind, text, text_pair, pair)
    if isinstance(label, str) and label in (text, text_pair, image):
        raise UsageError(Problem("E801", f"column '{label}' cannot be the input and the label"))
    label_name = label if isinstance(label, str) else None
    if tags_words(kind):
        columns = find_word_columns(table, text, label_name, tagged=label is not False)
        check(table, columns, kind)
        return columns
    if labels_pixels(kind):
        holders = [name for name in names(table) if _holds_images(table, name)]
        columns = find_mask_columns(table, holders, image, label_name, labelled=label is not False)
        check(table, columns, kind)
        return columns
    if finds_answers(kind):
        columns = find_answer_columns(
            table, text, text_pair, label_name, answered=label is not False
        )
        check(table, columns, kind)
        return columns
    if label is None:
        label_name = _named_label(table, {text, text_pair, image}, kind)
    if is_image_task:
        input_name = existing_column(table, image) or _find_image(table)
        columns = Columns(image=input_name, label=label_name)
    else:
        if table.image is not None:
            raise _images_not_text(table, table.image)
        refuse_tokens(table, text)
        if text is None and label is None:
            refuse_written_texts(table, _label_candidates(table, label_name))
        if text is None:
            first, second = _find_texts(table, [label_name], pair if takes_pairs(kind) else None)
            if second is not None and not takes_pairs(kind):
                raise not_supported(table, "pairs are", f"{first}, {second} are a pair of texts")
        else:
            first, second = existing_column(table, text), existing_column(table, text_pair)
            if pair and second is None:
                first, second = _find_pair_of(table, text, [label_name])
        columns = Columns(text=first, label=label_name, text_pair=second)
    if label is not False:
        if label_name is None:
            find = _find_number if predicts_numbers(kind) else _find_label
            label_name = find(table, columns)
        columns = replace(columns, label=label_name)
        is_known = label_name in names(table)
        is_multi = multi_label is not False and is_known and holds_label_lists(table, label_name)
        if multi_label and is_known and not is_multi:
            message = f"{table.files[0]}: the task has several labels for each row, and column"
            hint = 'as in JSON lines or Parquet: ["a", "b"]'
            raise DataError(Problem("E902", f"{message} '{label_name}' holds no lists", hint=hint))
        if is_known and not is_multi and not predicts_numbers(kind):
            refuse_other_labels(table, label_name)
    check(table, columns, kind)
    return columns


def check(table: Table, columns: Columns, kind: TaskKind) -> None:
    """Check that a split has the columns, with the right types for a task.

    Raises:
        DataError: E902.
    """
    problems: list[Problem] = []
    checks = {**_ROLE_CHECKS, **(_WORD_CHECKS if tags_words(kind) else {})}
    checks |= _ANSWER_CHECKS if finds_answers(kind) else {}
    checks |= {"label": _holds_images} if labels_pixels(kind) else {}
    for role, name in asdict(columns).items():
        if name is None:
            continue
        if name not in names(table):
            problems.append(unknown_column(table, name))
        elif unread := table.unreadable.get(name):
            message = f"{table.files[0]}: column '{name}' holds {unread}"
            problems.append(Problem("E902", message, hint="rows hold texts, numbers and bytes"))
        elif not (checks[role](table, name) or not len(table)):
            held = arrow_column(table.dataset, name).type
            message = f"{table.files[0]}: column '{name}' holds {held}, which is no"
            message += f" {'text' if role in ('text_pair', 'negative') else role}"
            problems.append(Problem("E902", message, hint=list_columns(table)))
    if problems:
        raise DataError(problems)


# ------------------------------------------------------------------------------------------ guesses


def _check_pair(kind: TaskKind, text: str | None, text_pair: str, pair: bool | None) -> None:
    """Check that a second text can be read.

    Raises:
        UsageError: E801.
    """
    message = ""
    if not takes_pairs(kind) or pair is False:
        message = f"the task is {kind} of one text: there is no text_pair"
    elif text is None:
        message = "text_pair_column is the second text: say the first with text_column"
    elif text == text_pair:
        message = f"column '{text}' cannot be both texts of a pair"
    if message:
        raise UsageError(Problem("E801", message))


def find_pair(
    table: Table, text: str | None, others: Collection[str | None]
) -> tuple[str, str | None]:
    """The columns of two texts that belong together, in order.

    Args:
        text: the first, if the user gives it.
        others: columns that are something else.

    Raises:
        DataError: E902, it cannot be told; E907, as ``find_columns``.
    """
    if text is None:
        return _find_texts(table, others, True)
    existing_column(table, text)
    return _find_pair_of(table, text, others)


def _find_texts(
    table: Table, others: Collection[str | None], pair: bool | None = None
) -> tuple[str, str | None]:
    """The column of texts, and that of second texts if they are pairs."""
    candidates = text_candidates(table, others)
    names_first = [name for name in TEXT_NAMES if name in candidates]
    for name in [*names_first, *(one for one in candidates if holds_prose(table, one))]:
        refuse_answers(table)
        partner = partner_of(table, name, candidates)
        if partner is not None and pair is not False:
            return in_order(name, partner)
        if name in names_first:
            break
    if pair:
        if len(candidates) == 2:
            return candidates[0], candidates[1]
        raise _no_pair(table, candidates)
    return (names_first or [_longest_text(table, candidates)])[0], None


def _find_pair_of(
    table: Table, text: str, others: Collection[str | None]
) -> tuple[str, str | None]:
    candidates = [name for name in text_candidates(table, others) if name != text]
    partner = partner_of(table, text, candidates)
    if partner is None and len(candidates) == 1:
        partner = candidates[0]
    if partner is None:
        raise _no_pair(table, candidates)
    return in_order(text, partner) if partner_of(table, text, [partner]) else (text, partner)


def _no_pair(table: Table, candidates: Sequence[str]) -> DataError:
    held = f"{listing(candidates)} hold texts" if candidates else "no column holds texts"
    message = f"{table.files[0]}: the task takes pairs of texts, and {held}"
    return DataError(Problem("E902", message, hint=with_columns(table, _PAIR_HINT)))


_PAIR_HINT = "say which with text_column= and text_pair_column= (--text-column, --text-pair-column)"


def text_candidates(table: Table, others: Collection[str | None] = ()) -> list[str]:
    """The columns that hold texts, without ``others``, and are no images."""
    candidates = [name for name in names(table) if name not in others and _holds_text(table, name)]
    is_named = len(candidates) == 1 and candidates[0] in TEXT_NAMES
    images = [] if is_named else [name for name in candidates if _holds_images(table, name)]
    candidates = [name for name in candidates if name not in images]
    if images and not candidates:
        raise _images_not_text(table, images[0])
    return candidates


def _images_not_text(table: Table, name: str) -> DataError:
    message = f"{table.files[0]}: column '{name}' holds images, and the task takes text"
    return DataError(Problem("E902", message))


def _longest_text(table: Table, candidates: Sequence[str]) -> str:
    lengths = {name: _mean_length(table, name) for name in candidates}
    longest = sorted(lengths, key=lambda name: -lengths[name])
    near = [name for name in longest if lengths[name] > lengths[longest[0]] / 2]
    prose = [name for name in near if holds_prose(table, name)]
    if len(prose) > 1:
        message = f"{table.files[0]}: {listing(prose)} could each be the text, or be a pair"
        hint = "one of them: text_column= (--text-column); a pair: text_pair_column= as well"
        raise DataError(Problem("E902", message, hint=with_columns(table, hint)))
    if len(near) != 1:
        raise ambiguous(table, "text", near or longest)
    return near[0]


def _mean_length(table: Table, name: str) -> float:
    sample = plain_values(arrow_column(table.dataset, name).slice(0, SAMPLE))
    return sum(len(text or "") for text in sample) / max(len(sample), 1)


def _find_image(table: Table) -> str:
    if table.image is not None:
        return table.image
    candidates = [name for name in names(table) if _holds_images(table, name)]
    if len(candidates) != 1:
        raise ambiguous(table, "image", candidates)
    return candidates[0]


def _named_label(table: Table, others: set[str | None], kind: TaskKind) -> str | None:
    usual = NUMBER_NAMES if predicts_numbers(kind) else LABEL_NAMES
    by_folded_name = {
        name.casefold(): name for name in reversed(names(table)) if name not in others
    }
    matches = [by_folded_name[name] for name in usual if name in by_folded_name]
    if len(matches) > 1 and matches[0].casefold() not in usual[:2]:
        raise ambiguous(table, "label", matches)
    return matches[0] if matches else None


def _label_candidates(table: Table, named: str | None) -> list[str]:
    """The columns that labels or numbers may be in, by their names or content."""
    return [
        name
        for name in names(table)
        if name == named or _has_few_values(table, name) or _holds_fractions(table, name)
    ]


def _find_label(table: Table, columns: Columns) -> str:
    candidates = [
        name for name in names(table) if name not in columns.inputs and _has_few_values(table, name)
    ]
    if not candidates:
        refuse_other_targets(table, columns)
    if len(candidates) > 2 and all(_is_yes_or_no(table, name) for name in candidates):
        message = (
            f"{table.files[0]}: {listing(candidates)} each say yes or no of a row: if they are"
        )
        hint = f"one of them alone: {choose_hint('label_column')}; several: a column of lists"
        hint += ' of names, as ["a", "b"] in JSON lines'
        message += " its labels, they are not read as several"
        raise DataError(Problem("E907", message, hint=hint))
    if len(candidates) != 1:
        raise ambiguous(table, "label", candidates)
    return candidates[0]


def _find_number(table: Table, columns: Columns) -> str:
    candidates = [
        name
        for name in names(table)
        if name not in columns.inputs and _holds_fractions(table, name)
    ]
    if len(candidates) != 1:
        raise ambiguous(table, "label", candidates)
    return candidates[0]


def _holds_fractions(table: Table, name: str) -> bool:
    kind = arrow_column(table.dataset, name).type
    is_fraction = pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    return is_fraction or example_of_fraction(sample_texts(table, name)) is not None


def _is_yes_or_no(table: Table, name: str) -> bool:
    values = plain_values(arrow_column(table.dataset, name).drop_null().unique())
    return {str(value).strip().casefold() for value in values} <= {"0", "1", "true", "false"}


def _has_few_values(table: Table, name: str) -> bool:
    column = arrow_column(table.dataset, name)
    if holds_label_lists(table, name):
        return name.casefold() not in TOKEN_NAMES
    if not _holds_labels(table, name) or pa.types.is_floating(column.type):
        return False
    n = len(column.drop_null().unique())
    return 2 <= n <= max(2, min(MAX_CLASSES, len(column) // 4))


# ---------------------------------------------------------------------------------- kinds of column


def _holds_text(table: Table, name: str) -> bool:
    return is_text(arrow_column(table.dataset, name).type)


def _holds_labels(table: Table, name: str) -> bool:
    kind = arrow_column(table.dataset, name).type
    numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    if holds_label_lists(table, name):
        return True
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


_ROLE_CHECKS = {
    "text": _holds_text,
    "text_pair": _holds_text,
    "negative": _holds_text,
    "image": _holds_images,
    "label": _holds_labels,
}
_WORD_CHECKS = {"text": holds_words, "label": holds_tags}
_ANSWER_CHECKS = {"label": holds_answers, "answer_start": holds_starts}
