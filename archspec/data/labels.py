"""Reads labels of any type as names of classes, in a stable order."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from archspec.data.extras import train_extra
from archspec.data.splitting import choose_hint
from archspec.data.tables import Table, arrow_column
from archspec.errors import DataError, Problem, listing, shown

with train_extra():
    import datasets
    import pyarrow as pa

MIN_NUMERIC = 0.9  # fraction of numeric labels from which the others are mistakes
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
_WHOLE = re.compile(r"(-?(?:0|[1-9][0-9]*))(?:\.0+)?")


@dataclass(frozen=True, slots=True)
class Label:
    """The label of one row: a name, or "" and the reason why there is none."""

    name: str
    reason: str = ""
    detail: str = ""


def declared_classes(table: Table, column: str) -> tuple[str, ...] | None:
    """The classes that the data itself declares, in order."""
    feature = table.dataset.features[column]
    return tuple(feature.names) if isinstance(feature, datasets.ClassLabel) else None


def read_labels(
    table: Table, column: str, known: Sequence[str] | None, *, ordered: bool
) -> list[Label]:
    """Each row's label as a name.

    Args:
        table: the rows.
        column: the name of the label's column.
        known: the classes, if they are known; decides whether ``1.0`` is a name or a number.
        ordered: whether their order is given, so that a number can be an index.
    """
    cells = arrow_column(table.dataset, column).to_pylist()
    declared = declared_classes(table, column)
    misfits = table.misfits.get(column, {})
    if declared is not None and not any(isinstance(cell, str) for cell in cells):
        return [_declared(cell, declared, misfits.get(i)) for i, cell in enumerate(cells)]
    texts = [_text(cell) for cell in cells]
    known_names = frozenset(known or ())
    are_numbers = _are_numbers(table, column, [text for text in texts if text], known_names)
    labels = [
        _label(text, misfits.get(i), are_numbers, known_names) for i, text in enumerate(texts)
    ]
    numbers = {str(i): name for i, name in enumerate(known or ())}
    names = {one.name for one in labels} - {""}
    if ordered and names & numbers.keys() and not names & known_names:
        labels = [Label(numbers[one.name]) if one.name in numbers else one for one in labels]
    return labels


def _are_numbers(table: Table, column: str, texts: list[str], known_names: frozenset[str]) -> bool:
    """Whether labels are numbers; a few others are then bad."""
    if not texts or known_names.issuperset(texts):
        return False
    if pa.types.is_floating(arrow_column(table.dataset, column).type):
        return True
    if known_names and all(map(_WHOLE.fullmatch, known_names)):
        return True
    numbers = sum(_NUMBER.fullmatch(text) is not None for text in texts)
    return numbers >= MIN_NUMERIC * len(texts)


def is_unlabelled(table: Table, column: str) -> bool:
    """Whether no row has a label: all cells are empty, or -1 as ``datasets`` writes it."""
    cells = arrow_column(table.dataset, column)
    if pa.types.is_nested(cells.type):
        return cells.null_count == len(cells) > 0
    values = cells.unique().to_pylist()
    return bool(values) and {_text(cell) for cell in values} <= {"", "-1"}


def _text(cell: Any) -> str:
    """A cell as text; ``2.0`` in a column of numbers becomes ``2`` later."""
    if isinstance(cell, float | Decimal):
        return "" if cell != cell else format(Decimal(str(cell)), "f")
    return "" if cell is None else str(cell).strip()


def _declared(cell: Any, names: tuple[str, ...], misfit: str | None) -> Label:
    if misfit or cell is None or cell == -1:  # -1 is what `datasets` writes for a hidden label
        return Label("", "wrong type of label" if misfit else "no label", misfit or "")
    if not 0 <= cell < len(names):
        return Label("", "unknown label", f"{cell}, of {len(names)} classes")
    return Label(names[cell])


def _label(text: str, misfit: str | None, are_numbers: bool, known_names: frozenset[str]) -> Label:
    if misfit:
        return Label("", "wrong type of label", misfit)
    if not text:
        return Label("", "no label")
    if not are_numbers or text in known_names:
        return Label(text)
    whole = _WHOLE.fullmatch(text)
    if not whole:
        return Label("", "label is no whole number", text[:40])
    return Label("0" if whole[1] == "-0" else whole[1])


_MISSING = {"nan", "n/a", "null", "<na>", "#n/a"}  # "none" may well be a class
_TRUE, _FALSE = {"true", "t", "yes", "y", "1"}, {"false", "f", "no", "n", "0"}


def similar_label_notes(names: Sequence[str]) -> tuple[str, ...]:
    """Notes on classes that may be the same or mean no label: by case, marks or truth values.

    Args:
        names: of the labels of all rows.

    >>> similar_label_notes(["yes", "Yes", "no", "yes"])
    ("labels that differ only in case are classes of their own: 'yes' 2 rows, 'Yes' 1",)
    >>> similar_label_notes(["True", "1", "0", "0"])
    ("labels that may mean the same are classes of their own: '1' 1 row, 'True' 1",)
    """
    counts = Counter(names)
    in_case = {name: unicodedata.normalize("NFKC", name).casefold() for name in counts if name}
    folded = {name: _without_marks(fold) for name, fold in in_case.items()}
    other_names = {*folded.values()} - _TRUE - _FALSE
    # Among other labels "t" may be a letter and "1" a number.
    are_truth_values = len(other_names) <= 2 and not any(
        len(one) == 1 or one.isdecimal() for one in other_names
    )
    groups: dict[object, list[str]] = {}
    for name, fold in sorted(folded.items()):
        is_truth = are_truth_values and fold not in other_names
        groups.setdefault(fold in _TRUE if is_truth else fold, []).append(name)
    notes: list[str] = []
    for group in (group for group in groups.values() if len(group) > 1):
        difference = "may mean the same"
        if len({folded[name] for name in group}) == 1:
            same_case = len({name.casefold() for name in group}) == 1
            difference = (
                "differ only in case" if same_case else "differ only in case, spaces or marks"
            )
        notes.append(
            f"labels that {difference} are classes of their own: {_counted(group, counts)}"
        )
    if missing := [name for name, fold in in_case.items() if fold in _MISSING]:
        which = _counted(missing, counts)
        notes.append(f"labels that may mean that there is none are classes of their own: {which}")
    return tuple(notes)


def _without_marks(folded: str) -> str:
    """``sci-fi`` as ``sci fi``, without invisible characters; the sign of a number stays."""
    visible = "".join(letter for letter in folded if unicodedata.category(letter) != "Cf")
    return re.sub(r"(?<=\w)[\s_-]+(?=\w)", " ", visible.strip("'\"`. ")) or folded


def _counted(group: Sequence[str], counts: Counter[str]) -> str:
    ordered = sorted(group, key=lambda name: -counts[name])
    first, *rest = (f"{shown(name)} {counts[name]:,}" for name in ordered)
    first += " row" if counts[ordered[0]] == 1 else " rows"
    return listing([first, *rest])


def classes(labels: Sequence[Label], good_rows: np.ndarray, source: str) -> tuple[str, ...]:
    """The names that occur: integers in ascending order, others sorted; none if all rows are bad.

    Args:
        labels: of each row.
        good_rows: [n] positions of the rows that count.
        source: the name of the file, for errors.

    Raises:
        DataError: E906, there is only one class, or nearly every row has its own.
    """
    names = {labels[i].name for i in good_rows} - {""}
    if len(names) > len(good_rows) / 2 and len(good_rows) >= 20:
        message = f"{source}: {len(names):,} different labels in {len(good_rows):,} rows"
        hint = choose_hint("label_column")
        if all(_NUMBER.fullmatch(name) for name in names):
            hint = "a label is one of a few classes; to predict numbers: --task text-regression"
        raise DataError(Problem("E906", message, hint=hint))
    if len(names) == 1:
        message = f"{source}: every label is {names.pop()}"
        raise DataError(Problem("E906", message, hint="a model learns to tell classes apart"))
    return class_order(names)


def class_order(names: Collection[str]) -> tuple[str, ...]:
    """Names of classes in a stable order: whole numbers ascending, anything else sorted.

    >>> class_order({"10", "2"}), class_order({"b", "10", "a"})
    (('2', '10'), ('10', 'a', 'b'))
    """
    if all(_WHOLE.fullmatch(name) for name in names):
        return tuple(sorted(names, key=lambda name: int(float(name))))
    return tuple(sorted(names))
