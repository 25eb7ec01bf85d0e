"""Labels of any type as numbers of classes, in an order that stays."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from archspec.data.extras import train_extra
from archspec.data.splitting import say_which
from archspec.data.tables import Table, arrow_column
from archspec.errors import DataError, Problem, listing, shown

with train_extra():
    import datasets
    import pyarrow as pa

MOST_NUMBERS = 0.9  # of the labels: then the others are mistakes
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
_WHOLE = re.compile(r"(-?(?:0|[1-9][0-9]*))(?:\.0+)?")


@dataclass(frozen=True, slots=True)
class Label:
    """The label of one row: a name, or "" and why there is none."""

    name: str
    reason: str = ""
    detail: str = ""


def class_names(table: Table, column: str) -> tuple[str, ...] | None:
    """The classes that the data itself declares, in its order."""
    feature = table.dataset.features[column]
    return tuple(feature.names) if isinstance(feature, datasets.ClassLabel) else None


def read_labels(
    table: Table, column: str, known: Sequence[str] | None, *, ordered: bool
) -> list[Label]:
    """Each row's label as a name.

    Args:
        table: the rows.
        column: the name of the label's column.
        known: the classes, if they are settled; decides whether ``1.0`` is a name or a number.
        ordered: whether somebody has put them in order, so that a number can be a place in it.
    """
    cells = arrow_column(table.dataset, column).to_pylist()
    declared = class_names(table, column)
    odd = table.misfits.get(column, {})
    if declared is not None and not any(isinstance(cell, str) for cell in cells):
        return [_declared(cell, declared, odd.get(i)) for i, cell in enumerate(cells)]
    texts = [_text(cell) for cell in cells]
    settled = frozenset(known or ())
    numeric = _are_numbers(table, column, [text for text in texts if text], settled)
    found = [_label(text, odd.get(i), numeric, settled) for i, text in enumerate(texts)]
    numbers = {str(i): name for i, name in enumerate(known or ())}
    named = {one.name for one in found} - {""}
    if ordered and named & numbers.keys() and not named & settled:
        found = [Label(numbers[one.name]) if one.name in numbers else one for one in found]
    return found


def _are_numbers(table: Table, column: str, filled: list[str], settled: frozenset[str]) -> bool:
    """Whether labels are numbers, but for a few that are then bad."""
    if not filled or settled.issuperset(filled):
        return False
    if pa.types.is_floating(arrow_column(table.dataset, column).type):
        return True
    if settled and all(map(_WHOLE.fullmatch, settled)):
        return True
    numbers = sum(_NUMBER.fullmatch(text) is not None for text in filled)
    return numbers >= MOST_NUMBERS * len(filled)


def is_unlabelled(table: Table, column: str) -> bool:
    """Whether no row has a label: all cells are empty, or -1 as ``datasets`` writes it."""
    values = arrow_column(table.dataset, column).unique().to_pylist()
    return bool(values) and {_text(cell) for cell in values} <= {"", "-1"}


def _text(cell: Any) -> str:
    """A cell as text; ``2.0`` in a column of numbers is still to be made ``2``."""
    if isinstance(cell, float | Decimal):
        return "" if cell != cell else format(Decimal(str(cell)), "f")
    return "" if cell is None else str(cell).strip()


def _declared(cell: Any, names: tuple[str, ...], odd: str | None) -> Label:
    if odd or cell is None or cell == -1:  # -1 is what `datasets` writes for a hidden label
        return Label("", "wrong type of label" if odd else "no label", odd or "")
    if not 0 <= cell < len(names):
        return Label("", "unknown label", f"{cell}, of {len(names)} classes")
    return Label(names[cell])


def _label(text: str, odd: str | None, numeric: bool, settled: frozenset[str]) -> Label:
    if odd:
        return Label("", "wrong type of label", odd)
    if not text:
        return Label("", "no label")
    if not numeric or text in settled:
        return Label(text)
    whole = _WHOLE.fullmatch(text)
    if not whole:
        return Label("", "label is no whole number", text[:40])
    return Label("0" if whole[1] == "-0" else whole[1])


_NOTHING = {"nan", "n/a", "null", "<na>", "#n/a"}  # "none" may well be a class
_TRUE, _FALSE = {"true", "t", "yes", "y", "1"}, {"false", "f", "no", "n", "0"}


def alike_notes(names: Sequence[str]) -> tuple[str, ...]:
    """Classes that may be one, or none: they differ in case or marks, or spell a truth value.

    Args:
        names: of the labels of all rows.

    >>> alike_notes(["yes", "Yes", "no", "yes"])
    ("labels that differ only in case are classes of their own: 'yes' 2 rows, 'Yes' 1",)
    >>> alike_notes(["True", "1", "0", "0"])
    ("labels that may mean the same are classes of their own: '1' 1 row, 'True' 1",)
    """
    counts = Counter(names)
    in_case = {name: unicodedata.normalize("NFKC", name).casefold() for name in counts if name}
    folded = {name: _without_marks(fold) for name, fold in in_case.items()}
    others = {*folded.values()} - _TRUE - _FALSE
    # Where there are other labels "t" may be a letter, and "1" a number, among others.
    are_truths = len(others) <= 2 and not any(len(one) == 1 or one.isdecimal() for one in others)
    groups: dict[object, list[str]] = {}
    for name, fold in sorted(folded.items()):
        is_truth = are_truths and fold not in others
        groups.setdefault(fold in _TRUE if is_truth else fold, []).append(name)
    notes: list[str] = []
    for group in (group for group in groups.values() if len(group) > 1):
        what = "may mean the same"
        if len({folded[name] for name in group}) == 1:
            same = len({name.casefold() for name in group}) == 1
            what = "differ only in case" if same else "differ only in case, spaces or marks"
        notes.append(f"labels that {what} are classes of their own: {_counted(group, counts)}")
    if empty := [name for name, fold in in_case.items() if fold in _NOTHING]:
        which = _counted(empty, counts)
        notes.append(f"labels that may mean that there is none are classes of their own: {which}")
    return tuple(notes)


def _without_marks(fold: str) -> str:
    """``sci-fi`` as ``sci fi``, and nothing invisible; a sign before a number stays."""
    seen = "".join(letter for letter in fold if unicodedata.category(letter) != "Cf")
    return re.sub(r"(?<=\w)[\s_-]+(?=\w)", " ", seen.strip("'\"`. ")) or fold


def _counted(group: Sequence[str], counts: Counter[str]) -> str:
    ordered = sorted(group, key=lambda name: -counts[name])
    first, *rest = (f"{shown(name)} {counts[name]:,}" for name in ordered)
    first += " row" if counts[ordered[0]] == 1 else " rows"
    return listing([first, *rest])


def classes(labels: Sequence[Label], used: np.ndarray, source: str) -> tuple[str, ...]:
    """The names that occur, integers ascending, anything else sorted; none if all rows are bad.

    Args:
        labels: of each row.
        used: [n] which rows count.
        source: the name of the file, for errors.

    Raises:
        DataError: E906, there is but one class, or nearly every row has one of its own.
    """
    found = {labels[i].name for i in used} - {""}
    if len(found) > len(used) / 2 and len(used) >= 20:
        message = f"{source}: {len(found):,} different labels in {len(used):,} rows"
        hint = say_which("label_column")
        if all(_NUMBER.fullmatch(name) for name in found):
            hint = "regression is not supported yet: a label is one of a few classes"
        raise DataError(Problem("E906", message, hint=hint))
    if len(found) == 1:
        message = f"{source}: every label is {found.pop()}"
        raise DataError(Problem("E906", message, hint="a model learns to tell classes apart"))
    if all(_WHOLE.fullmatch(name) for name in found):
        return tuple(sorted(found, key=lambda name: int(float(name))))
    return tuple(sorted(found))
