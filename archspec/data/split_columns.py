"""A lone table whose column ``split`` says which row is for what."""

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
_MOST = 20  # different values


def by_split_column(found: Splits, wanted: Mapping[str, Any]) -> tuple[Splits, str | None]:
    """The splits that a lone table's column names, and the column; else what was found.

    Args:
        wanted: split → the name that the user says; one of the table itself settles it.

    Raises:
        DataError: E904, a row does not say its split.
    """
    if len(found) != 1 or not found.keys().isdisjoint(map(str, wanted.values())):
        return found, None
    ((name, read),) = found.items()
    table = read()
    column = next((c for c in table.dataset.column_names if c.casefold() == _NAME), None)
    groups = None if column is None else _groups(table, column)
    if column is None or groups is None:
        return {name: lambda: table}, None
    # Rows that could not be taken apart do not say their split: they count as training rows.
    trained = sorted(groups, key=lambda word: _likeness(word, wanted.get("train")))[0]
    return {
        word: partial(_part, table, rows, with_broken=word == trained)
        for word, rows in groups.items()
    }, column


def _likeness(word: str, asked: Any) -> int:
    """How sure it is that a value stands for the rows to train on; the surest is least."""
    signs = [word == asked, word.lower() == "train", split_word(word) == "train", True]
    return signs.index(True)


def _groups(table: Table, column: str) -> dict[str, np.ndarray] | None:
    """Value → its rows; None if the values do not speak of splits."""
    cells = arrow_column(table.dataset, column)
    if not is_text(cells.type) or len(cells.unique()) > _MOST:
        return None
    values = np.array([(cell or "").strip() for cell in cells.to_pylist()], dtype=object)
    words = sorted(set(values.tolist()) - {""})
    told = [split_word(word) for word in words]
    if "train" not in told and (not told or None in told):
        return None
    if empty := np.flatnonzero(values == "").tolist():
        i = empty[0]
        message = f"{table.file(i)}, row {int(table.numbers[i])}: column '{column}' is empty"
        hint = f"it says the split of the other rows; {len(empty):,} say none"
        raise DataError(Problem("E904", message, hint=hint))
    return {word: np.flatnonzero(values == word) for word in words}


def _part(table: Table, rows: np.ndarray, *, with_broken: bool) -> Table:
    """Some rows, and perhaps those that could not be taken apart."""
    mask = np.zeros(len(table), dtype=bool)
    mask[rows] = True
    place = {int(row): i for i, row in enumerate(rows)}
    misfits = {
        name: {place[i]: kind for i, kind in odd.items() if i in place}
        for name, odd in table.misfits.items()
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
