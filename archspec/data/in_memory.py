"""Data that is in memory already: data sets, frames of pandas or Polars, lists of dicts."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from archspec.data.extras import train_extra
from archspec.data.tables import Splits, Table, as_table, from_arrow, rows_table
from archspec.data.text_files import TextRows
from archspec.errors import DataError, Problem
from archspec.report.text import first_line

with train_extra():
    import datasets
    import pyarrow as pa

NAME = "data"


def is_in_memory(source: object) -> bool:
    """Whether a source is data itself, or a mapping of splits to such, not where it is."""
    if isinstance(source, Mapping):
        parts = list(cast("Mapping[Any, object]", source).values())
        return bool(parts) and all(map(_is_data, parts))
    return _is_data(source)


def in_memory(source: object, base: Path | None) -> Splits:
    """The splits of data in memory, by its own names; nothing is converted yet."""
    if isinstance(source, Mapping):
        parts = cast("Mapping[Any, object]", source).items()
        return {str(name): partial(_table, part, str(name), base) for name, part in parts}
    return {NAME: partial(_table, source, NAME, base)}


def _is_data(source: object) -> bool:
    if isinstance(source, datasets.Dataset) or _frame(source) is not None:
        return True
    if not isinstance(source, Sequence) or isinstance(source, str | bytes) or not source:
        return False
    return all(isinstance(row, Mapping) for row in cast("Sequence[object]", source))


def _frame(source: object) -> str | None:
    """The library of a frame; it is not imported where nobody has."""
    for library in ("pandas", "polars"):
        kind = getattr(sys.modules.get(library), "DataFrame", None)
        if kind is not None and isinstance(source, kind):
            return library
    return None


def _table(source: Any, name: str, base: Path | None) -> Table:
    """The rows as a table.

    Raises:
        DataError: E901, a column holds what no table can hold.
    """
    try:
        return replace(_converted(source, name), base=base)
    except (ArithmeticError, LookupError, TypeError, ValueError, NotImplementedError) as error:
        raise DataError(Problem("E901", f"{name}: {first_line(error)}")) from None


def _converted(source: Any, name: str) -> Table:
    if isinstance(source, datasets.Dataset):
        return as_table(source.with_format(None).flatten_indices(), name)
    library = _frame(source)
    if library == "polars":
        return as_table(from_arrow(source.to_arrow()), name)
    if library == "pandas":
        try:
            return as_table(from_arrow(pa.Table.from_pandas(source, preserve_index=False)), name)
        except pa.ArrowException:  # cells of several kinds
            source = source.to_dict("records")
    rows = TextRows()
    for number, row in enumerate(source, 1):
        rows.add(number, 0, {str(key): _plain(cell) for key, cell in row.items()})
    return rows_table(name, rows)


def _plain(cell: Any) -> Any:
    """A cell as JSON has it: numbers of NumPy as Python's, and no number where it is not one."""
    if type(cell).__module__ == "numpy" and getattr(cell, "ndim", 1) == 0:
        cell = cell.item()
    return None if isinstance(cell, float) and cell != cell else cell
