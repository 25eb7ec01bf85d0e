"""A file's rows in windows, so that it may be larger than memory; broken rows keep their place."""

from __future__ import annotations

import contextlib
import json
import math
import struct
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from archspec.data.checking import Fault
from archspec.data.extras import train_extra
from archspec.data.tables import (
    BINARY_SUFFIXES,
    SUFFIXES,
    Table,
    as_table,
    from_arrow,
    misread_notes,
    plain_table,
    plain_values,
)
from archspec.data.text_files import (
    PLAIN,
    Broken,
    TextFormat,
    TextRows,
    is_separated,
    refuse_misread,
    text_windows,
)
from archspec.data.text_files import SUFFIXES as TEXT_SUFFIXES
from archspec.data.unpacking import refuse_arrow_bomb, refuse_dictionary_bomb, refuse_parquet_bomb
from archspec.errors import DataError, Problem, listing
from archspec.report.text import first_line

with train_extra():
    import pyarrow as pa
    import pyarrow.parquet as pq

Schema = Mapping[str, Any]  # name → type of Arrow
_SCAN = 10_000  # rows


@dataclass(frozen=True, slots=True)
class Window:
    """Some rows of a file.

    Attributes:
        numbers: of each row in the file, from 1.
        lines: of each row, from 1; 0 where there are none.
        table: the rows as Arrow has them.
        cells: name → the rows' values as they are in a file of text; None of other files.
        faults: place → why a row could not be taken apart.
    """

    numbers: list[int]
    lines: list[int]
    table: pa.Table
    cells: Mapping[str, list[Any]] | None = None
    faults: dict[int, Fault] = field(default_factory=dict[int, Fault])

    def __len__(self) -> int:
        return len(self.numbers)

    def values(self, name: str) -> list[Any]:
        """A column as Python has it; a time that Python cannot hold is a text.

        Raises:
            ArrowException, ArithmeticError, LookupError, ValueError: as Arrow does, of a column
                that is no text, and cannot become one.
        """
        if self.cells is not None:
            return self.cells[name]
        column = self.table.column(name)
        try:
            return plain_values(column)
        except (ArithmeticError, LookupError, ValueError):
            return column.cast(pa.string()).to_pylist()

    def as_data(self, file: Path) -> Table:
        """The rows as ``archspec.data`` knows them."""
        return replace(as_table(from_arrow(self.table), file.name), base=file.parent)


@dataclass(frozen=True, slots=True)
class RowFile:
    """A file that has been looked through once.

    Attributes:
        path: where it is.
        total: how many rows it has, broken ones included.
        schema: its columns.
        form: of a file of text.
        notes: what was found, a line each.
    """

    path: Path
    total: int
    schema: Schema
    form: TextFormat = PLAIN
    notes: tuple[str, ...] = ()

    def sample(self, size: int) -> Table:
        """The first rows, as ``archspec.data`` knows them."""
        assumed = self.form.header is None and is_separated(self.path.name)
        return replace(self.first(size).as_data(self.path), assumed=assumed)

    def windows(self, size: int) -> Generator[Window]:
        """The rows, no more than ``size`` at a time."""
        if self.path.suffix.lower() in TEXT_SUFFIXES:
            for rows in text_windows(self.path, size, self.form):
                yield _window(rows, self.schema)
            return
        start = 1
        with _told(self.path):
            for table in _tables(self.path, size):
                refuse_dictionary_bomb(self.path.name, table)
                plain = plain_table(table)
                yield Window([*range(start, start + len(plain))], [0] * len(plain), plain)
                start += len(plain)

    def first(self, size: int) -> Window:
        """The first window; it may be empty."""
        with contextlib.closing(self.windows(size)) as found:
            first = next(found, None)
        return first or Window([], [], pa.schema([*self.schema.items()]).empty_table())


def row_file(path: Path, form: TextFormat = PLAIN) -> RowFile:
    """Look a file through: how many rows there are, and which columns.

    Raises:
        DataError: E901, there is no such file, it is of no known kind, or cannot be read.
        UsageError: E801, the form says something that says nothing of such a file.
    """
    check_source(path)
    if path.suffix.lower() in BINARY_SUFFIXES:
        form.refuse_for(path.name, text=False)
        found = _binary(path)
    else:
        found = _text(path, form)
    if not found.schema and not found.total:
        raise DataError(Problem("E901", f"{path}: no columns and no rows"))
    return found


def check_source(path: Path) -> None:
    """Whether there is a file of a known kind; raises as ``row_file``."""
    with _told(path):
        is_file = path.is_file()
    if not is_file:
        raise DataError(Problem("E901", f"{path}: no such file"))
    if path.suffix.lower() not in SUFFIXES:
        hint = f"known are {listing(sorted(SUFFIXES), 20)}"
        raise DataError(Problem("E901", f"{path}: of no known kind", hint=hint))


def _binary(path: Path) -> RowFile:
    with _told(path):
        total, schema = _scanned(path)
        plain = plain_table(schema.empty_table()).schema
        return RowFile(path, total, dict(zip(plain.names, plain.types, strict=True)))


def _text(path: Path, form: TextFormat) -> RowFile:
    total, misread, kinds = 0, 0, dict[str, Any]()
    for rows in text_windows(path, _SCAN, form):
        total += len(rows)
        misread += sum(one.reason == form.misread for one in rows.broken)
        for name, cells in rows.columns.items():
            kinds[name] = _together(kinds.get(name), _kind_of(cells))
    refuse_misread(path, misread, total, form)
    schema = {name: kind or pa.large_string() for name, kind in kinds.items()}
    return RowFile(path, total, schema, form, misread_notes(path, misread, form))


# -------------------------------------------------------------------------------- Parquet and Arrow


def _scanned(path: Path) -> tuple[int, Any]:
    if path.suffix.lower() in (".arrow", ".feather"):
        refuse_arrow_bomb(path)
        with pa.memory_map(str(path)) as source:
            batches, schema = _batches(source)
            return sum(map(len, batches)), schema
    refuse_parquet_bomb(path)
    with pq.ParquetFile(path) as file:
        return file.metadata.num_rows, file.schema_arrow


def _tables(path: Path, size: int) -> Iterator[Any]:
    if path.suffix.lower() in (".arrow", ".feather"):
        with pa.memory_map(str(path)) as source:
            for batch in _batches(source)[0]:
                for start in range(0, len(batch), size):
                    yield pa.Table.from_batches([batch.slice(start, size)])
        return
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(size):
            yield pa.Table.from_batches([batch])


def _batches(source: Any) -> tuple[Iterator[Any], Any]:
    """A stream, as ``datasets`` writes it, or a file, as Feather is."""
    is_file = source.read(6) == b"ARROW1"
    source.seek(0)
    if not is_file:
        stream = pa.ipc.open_stream(source)
        return iter(stream), stream.schema
    reader = pa.ipc.open_file(source)
    return (reader.get_batch(i) for i in range(reader.num_record_batches)), reader.schema


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Whatever Arrow's readers make of a broken or hostile file."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, NotImplementedError, struct.error) as error:
        reason = first_line(getattr(error, "strerror", None) or error)
        raise DataError(Problem("E901", f"{path}: {reason}")) from None


# --------------------------------------------------------------------------------------------- text


def _window(rows: TextRows, schema: Schema) -> Window:
    """The rows that could be taken apart, and those that could not, in their order."""
    places: list[tuple[int, int, Broken | int]] = [
        (row, line, i) for i, (row, line) in enumerate(zip(rows.numbers, rows.lines, strict=True))
    ]
    places += [(one.row, one.line, one) for one in rows.broken]
    if rows.broken:
        places.sort(key=lambda one: one[0])
    at = [one if isinstance(one, int) else None for _, _, one in places]
    faults = {
        i: (one.reason, one.detail)
        for i, (_, _, one) in enumerate(places)
        if isinstance(one, Broken)
    }
    none: list[Any] = [None] * len(rows.numbers)
    cells: dict[str, list[Any]] = {}
    for name in schema:
        column = rows.columns.get(name, none)
        cells[name] = [None if i is None else column[i] for i in at] if faults else column
    table = pa.table({name: _array(cells[name], kind) for name, kind in schema.items()})
    return Window(
        [row for row, *_ in places], [line for _, line, _ in places], table, cells, faults
    )


def _kind_of(cells: list[Any]) -> Any:
    """The type that holds all cells; None if there are none, text if nothing else holds them."""
    kinds = {type(cell) for cell in cells} - {type(None)}
    if not kinds:
        return None
    if kinds == {bool}:
        return pa.bool_()
    if kinds == {int} and all(-(2**63) <= cell < 2**63 for cell in cells if cell is not None):
        return pa.int64()
    # A float holds a whole number exactly up to here.
    small = (abs(cell) <= 2**53 for cell in cells if isinstance(cell, int))
    if kinds <= {int, float} and all(small):
        return pa.float64()
    return pa.large_string()


def _together(one: Any, other: Any) -> Any:
    if one is None or other is None or one == other:
        return one or other
    return pa.float64() if {one, other} == {pa.int64(), pa.float64()} else pa.large_string()


def _array(cells: list[Any], kind: Any) -> Any:
    if kind == pa.large_string():
        return pa.array(map(as_text, cells), kind, size=len(cells))
    try:
        return pa.array(cells, kind)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        # The file has changed since it was looked through.
        raise DataError(Problem("E901", f"a cell that is no {kind}, unlike before")) from None


def as_text(cell: Any) -> str | None:
    """A cell as text: texts as they are, what is nested as JSON, what is no Unicode replaced.

    >>> as_text("a"), as_text(1.5), as_text(True), as_text([1, None])
    ('a', '1.5', 'true', '[1, null]')
    """
    if cell is None:
        return None
    if isinstance(cell, bool | dict | list):
        return json_text(cell)
    text = str(cell)
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def json_text(value: Any) -> str:
    """A value as JSON, on one line; what JSON has no word for as text, a lacking number as null."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=str)
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, allow_nan=False, default=str)
    except ValueError:
        return json.dumps(_finite(value), default=str)
    return text


def _finite(value: Any) -> Any:
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list) else value
