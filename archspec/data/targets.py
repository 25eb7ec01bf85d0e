"""Reads what is learned, if it is not one label for each row: numbers, or several labels."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archspec.data.checking import Fault
from archspec.data.extras import train_extra
from archspec.data.labels import class_order
from archspec.data.tables import Table, arrow_column, is_text, plain_values
from archspec.errors import DataError, Problem

with train_extra():
    import datasets
    import pyarrow as pa

_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_MAX_CLASSES = 10_000
MAX_NUMBER = 1e30
MAX_SIMILARITY = 1.0


def read_numbers(
    table: Table, column: str, limit: float = MAX_NUMBER
) -> tuple[NDArray[np.float64], dict[int, Fault]]:
    """Each row's number, of ``-limit`` to ``limit``; NaN where there is none, and what is wrong."""
    misfits = table.misfits.get(column, {})
    values = np.full(len(table), np.nan)
    faults: dict[int, Fault] = {}
    for i, cell in enumerate(plain_values(arrow_column(table.dataset, column))):
        if i in misfits:
            faults[i] = ("wrong type of label", misfits[i])
            continue
        number = _number(cell)
        if isinstance(number, tuple):
            faults[i] = number
        elif abs(number) > limit:
            faults[i] = ("label is no similarity", f"{number:g} is not in -1 to 1")
        else:
            values[i] = number
    return values, faults


def is_number(text: str) -> bool:
    """Whether a text is a number, as ``read_numbers`` reads it."""
    return _NUMBER.fullmatch(text.strip()) is not None


def _number(cell: Any) -> float | Fault:
    if isinstance(cell, str):
        cell = cell.strip()
    if cell is None or cell == "" or cell != cell:
        return ("no label", "")
    if isinstance(cell, str) and not is_number(cell):
        return ("label is no number", cell[:40])
    if isinstance(cell, bool) or not isinstance(cell, str | int | float | Decimal):
        return ("label is no number", str(cell)[:40])
    number = float(cell)
    return number if abs(number) < MAX_NUMBER else ("label is no number", str(cell)[:40])


def equal_texts(texts: Sequence[str | None]) -> NDArray[np.int64]:
    """A number for each text, which equal ones share.

    >>> equal_texts(["b", "a", "b"]).tolist()
    [0, 1, 0]
    """
    numbers: dict[str | None, int] = {}
    return np.array([numbers.setdefault(text, len(numbers)) for text in texts], dtype=np.int64)


def holds_label_lists(table: Table, column: str) -> bool:
    """Whether the cells are lists of texts or of whole numbers."""
    kind = arrow_column(table.dataset, column).type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        return False
    return is_text(kind.value_type) or pa.types.is_integer(kind.value_type)


def read_label_sets(
    table: Table, column: str, names: Sequence[str] | None
) -> tuple[list[frozenset[str]], dict[int, Fault]]:
    """The labels of each row, and what is wrong with a row.

    Args:
        names: the labels, if they are known.
    """
    misfits = table.misfits.get(column, {})
    declared = declared_label_set(table, column)
    known = frozenset(names or ())
    sets: list[frozenset[str]] = []
    faults: dict[int, Fault] = {}
    for i, cell in enumerate(arrow_column(table.dataset, column).to_pylist()):
        found, fault = _label_set(cell, declared, known)
        sets.append(found)
        if i in misfits:
            fault = ("wrong type of label", misfits[i])
        if fault is not None:
            faults[i] = fault
    return sets, faults


def declared_label_set(table: Table, column: str) -> tuple[str, ...] | None:
    """The labels that the data itself declares, in order."""
    feature: Any = table.dataset.features[column]
    inner = getattr(feature, "feature", None)
    return tuple(inner.names) if isinstance(inner, datasets.ClassLabel) else None


def _label_set(
    cell: Any, declared: tuple[str, ...] | None, known: frozenset[str]
) -> tuple[frozenset[str], Fault | None]:
    if cell is None:
        return frozenset(), ("no label", "")
    found = set[str]()
    for one in cell:
        name = "" if one is None else str(one).strip()
        if declared is not None and isinstance(one, int):
            name = declared[one] if 0 <= one < len(declared) else ""
        if not name or (known and name not in known):
            return frozenset(), ("unknown label", repr(one)[:60])
        found.add(name)
    return frozenset(found), None


def label_set_names(
    sets: Sequence[frozenset[str]], faults: Mapping[int, Any], source: str
) -> tuple[str, ...]:
    """The labels of all good rows: whole numbers ascending, anything else sorted.

    Raises:
        DataError: E906, there are fewer than two, or too many to be labels.
    """
    good = [one for i, one in enumerate(sets) if i not in faults]
    names = {name for one in good for name in one}
    if len(names) < 2:
        message = f"{source}: the rows have {len(names)} different labels"
        raise DataError(Problem("E906", message, hint="a model learns to tell labels apart"))
    if len(names) > _MAX_CLASSES or (len(good) >= 20 and len(names) > len(good) / 2):
        message = f"{source}: {len(names):,} different labels in {len(good):,} rows"
        raise DataError(Problem("E906", message))
    return class_order(names)


def as_matrix(sets: Sequence[frozenset[str]], names: Sequence[str]) -> NDArray[np.uint8]:
    """1 where a row has a label: [rows, labels].

    >>> as_matrix([frozenset({"b"}), frozenset()], ["a", "b"]).tolist()
    [[0, 1], [0, 0]]
    """
    number_of = {name: i for i, name in enumerate(names)}
    matrix = np.zeros((len(sets), len(names)), dtype=np.uint8)
    for row, labels in enumerate(sets):
        matrix[row, [number_of[name] for name in labels if name in number_of]] = 1
    return matrix
