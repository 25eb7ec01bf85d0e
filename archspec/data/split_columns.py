"""Splits a single table by its column ``split``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from archspec.data.extras import train_extra
from archspec.data.splitting import split_word
from archspec.data.tables import Splits, Table, arrow_column, from_arrow, is_text
from archspec.errors import DataError, Problem

with train_extra():
    import pyarrow as pa

_NAME = "split"
_MAX_VALUES = 20  # different values


def by_split_column(splits: Splits, names: Mapping[str, Any]) -> tuple[Splits, str | None]:
    """The splits that a single table's column names, and the column; else the given splits.

    Args:
        names: split → the user's name for it; if one is the table's name, nothing is split.

    Raises:
        DataError: E904, a row has no split.
    """
    if len(splits) != 1 or not splits.keys().isdisjoint(map(str, names.values())):
        return splits, None
    ((name, read),) = splits.items()
    table = read()
    column = next((c for c in table.dataset.column_names if c.casefold() == _NAME), None)
    groups = None if column is None else _groups(table, column)
    if column is None or groups is None:
        return {name: lambda: table}, None
    # Rows that could not be parsed have no split: they count as training rows.
    train_value = sorted(groups, key=lambda value: _train_rank(value, names.get("train")))[0]
    return {
        value: partial(_select, table, rows, with_broken=value == train_value)
        for value, rows in groups.items()
    }, column


def _train_rank(value: str, train_name: Any) -> int:
    """How well a value names the training rows; 0 is best."""
    matches = [value == train_name, value.lower() == "train", split_word(value) == "train", True]
    return matches.index(True)


def _groups(table: Table, column: str) -> dict[str, np.ndarray] | None:
    """Value → its rows; None if the values do not name splits."""
    cells = arrow_column(table.dataset, column)
    if not is_text(cells.type) or len(cells.unique()) > _MAX_VALUES:
        return None
    values = np.array([(cell or "").strip() for cell in cells.to_pylist()], dtype=object)
    names = sorted(set(values.tolist()) - {""})
    splits = [split_word(word) for word in names]
    if "train" not in splits and (not splits or None in splits):
        return None
    if empty := np.flatnonzero(values == "").tolist():
        i = empty[0]
        message = f"{table.file(i)}, row {int(table.numbers[i])}: column '{column}' is empty"
        hint = f"it says the split of the other rows; {len(empty):,} say none"
        raise DataError(Problem("E904", message, hint=hint))
    return {word: np.flatnonzero(values == word) for word in names}


def _select(table: Table, rows: np.ndarray, *, with_broken: bool) -> Table:
    """Some rows, with or without those that could not be parsed."""
    mask = np.zeros(len(table), dtype=bool)
    mask[rows] = True
    new_position = {int(row): i for i, row in enumerate(rows)}
    misfits = {
        name: {new_position[i]: kind for i, kind in kinds.items() if i in new_position}
        for name, kinds in table.misfits.items()
    }
    return replace(
        table,
        dataset=from_arrow(table.dataset.data.table.filter(pa.array(mask))),
        file_of=table.file_of[rows],
        numbers=table.numbers[rows],
        lines=table.lines[rows],
        broken=table.broken if with_broken else (),
        misfits=misfits,
    )
