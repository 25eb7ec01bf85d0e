"""Data that is in memory already: data sets, frames of pandas or Polars, rows or columns."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, cast

from archspec.data.extras import train_extra
from archspec.data.splitting import split_word
from archspec.data.tables import SUFFIXES, Splits, Table, as_table, from_arrow, rows_table
from archspec.data.text_files import TextRows
from archspec.errors import DataError, Problem, listing
from archspec.report.text import first_line

with train_extra():
    import datasets
    import pyarrow as pa

NAME = "data"


def is_in_memory(source: object) -> bool:
    """Whether a source is data itself or a mapping of splits to data, not the name of data."""
    if _is_data(source):
        return True
    parts = list(source.values()) if isinstance(source, Mapping) else []
    return any(map(_is_data, parts)) and all(_is_data(part) or part == [] for part in parts)


def in_memory(source: object, base: Path | None) -> Splits:
    """The splits of data in memory, by its own names; nothing is converted yet."""
    if isinstance(source, Mapping) and not _is_data(source):
        parts = cast("Mapping[Any, object]", source).items()
        return {str(name): partial(_table, part, str(name), base) for name, part in parts}
    return {NAME: partial(_table, source, NAME, base)}


def _is_data(source: object) -> bool:
    if isinstance(source, datasets.Dataset) or _frame(source) is not None or _has_columns(source):
        return True
    if not _is_list(source) or not source:
        return False
    return all(isinstance(row, Mapping) for row in cast("Sequence[object]", source))


def _has_columns(source: object) -> bool:
    """Whether a mapping holds columns, ``{"text": […], "label": […]}``, not files by split."""
    if not isinstance(source, Mapping) or not source or any(split_word(str(key)) for key in source):
        return False
    columns: list[Any] = list(cast("Mapping[Any, object]", source).values())
    if not all(_is_list(column) or getattr(column, "ndim", 0) == 1 for column in columns):
        return False
    if any(isinstance(cell, Mapping) for column in columns for cell in column):
        return False
    return not all(map(_is_data_file, chain.from_iterable(columns)))


def _is_data_file(cell: object) -> bool:
    return isinstance(cell, str | os.PathLike) and Path(cell).suffix.lower() in SUFFIXES


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _frame(source: object) -> str | None:
    """The library of a data frame; it is not imported for this."""
    for library in ("pandas", "polars"):
        kind = getattr(sys.modules.get(library), "DataFrame", None)
        if kind is not None and isinstance(source, kind):
            return library
    return None


def _table(source: Any, name: str, base: Path | None) -> Table:
    """The rows as a table.

    Raises:
        DataError: E901, a column holds what no table can hold; E904, there are no rows.
    """
    if isinstance(source, list) and not source:
        raise DataError(Problem("E904", f"the split '{name}' has no rows", hint="leave it out"))
    try:
        return replace(_converted(source, name), base=base)
    except (ArithmeticError, LookupError, TypeError, ValueError, NotImplementedError) as error:
        raise DataError(Problem("E901", f"{name}: {first_line(error)}")) from None


def _converted(source: Any, name: str) -> Table:
    if isinstance(source, datasets.Dataset):
        if source.format["type"] == "custom":
            message = f"{name}: the data set has a transform, which is not applied here"
            hint = "apply it with map(), and leave with_transform and set_transform out"
            raise DataError(Problem("E901", message, hint=hint))
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
    if _has_columns(source):
        lengths = {str(name): len(column) for name, column in source.items()}
        if len(set(lengths.values())) > 1:
            shown = listing([f"{name} {length:,}" for name, length in lengths.items()])
            raise DataError(Problem("E901", f"{name}: columns of different lengths: {shown}"))
        columns = [
            column.tolist() if hasattr(column, "tolist") else column for column in source.values()
        ]
        source = [dict(zip(source, row, strict=True)) for row in zip(*columns, strict=True)]
    for number, row in enumerate(source, 1):
        rows.add(number, 0, {str(key): _plain(cell) for key, cell in row.items()})
    return rows_table(name, rows)


def _plain(cell: Any) -> Any:
    """A cell as JSON has it: NumPy's and decimal numbers as Python's, NaN as None."""
    if type(cell).__module__ == "numpy" and getattr(cell, "ndim", 1) == 0:
        cell = cell.item()
    if isinstance(cell, Decimal) and cell.is_finite():
        return int(cell) if cell == cell.to_integral_value() else float(cell)
    return None if isinstance(cell, float) and cell != cell else cell
