"""Reads a file, which may be larger than memory, in windows of rows, with the broken ones."""

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
_SCAN_ROWS = 10_000  # rows


@dataclass(frozen=True, slots=True)
class Window:
    """Some rows of a file.

    Attributes:
        numbers: number of each row in the file, from 1.
        lines: line of each row, from 1; 0 in binary files.
        table: the rows in Arrow.
        cells: name → values of the rows in a text file; None for other files.
        faults: position → why a row could not be parsed.
    """

    numbers: list[int]
    lines: list[int]
    table: pa.Table
    cells: Mapping[str, list[Any]] | None = None
    faults: dict[int, Fault] = field(default_factory=dict[int, Fault])

    def __len__(self) -> int:
        return len(self.numbers)

    def values(self, name: str) -> list[Any]:
        """A column as Python values; a time that Python cannot represent becomes text.

        Raises:
            ArrowException, ArithmeticError, LookupError, ValueError: a column cannot be converted
                to text.
        """
        if self.cells is not None:
            return self.cells[name]
        column = self.table.column(name)
        try:
            return plain_values(column)
        except (ArithmeticError, LookupError, ValueError):
            return column.cast(pa.string()).to_pylist()

    def as_data(self, file: Path) -> Table:
        """The rows as a ``Table``."""
        return replace(as_table(from_arrow(self.table), file.name), base=file.parent)


@dataclass(frozen=True, slots=True)
class RowFile:
    """A file that was scanned once.

    Attributes:
        path: of the file.
        total: number of rows, with broken ones.
        schema: its columns.
        form: format of a text file.
        notes: remarks, a line each.
    """

    path: Path
    total: int
    schema: Schema
    form: TextFormat = PLAIN
    notes: tuple[str, ...] = ()

    def sample(self, size: int) -> Table:
        """The first rows as a ``Table``."""
        assumed = self.form.header is None and is_separated(self.path.name)
        return replace(self.first(size).as_data(self.path), assumed=assumed)

    def windows(self, size: int) -> Generator[Window]:
        """The rows, at most ``size`` at a time."""
        if self.path.suffix.lower() in TEXT_SUFFIXES:
            for rows in text_windows(self.path, size, self.form):
                yield _window(rows, self.schema)
            return
        start = 1
        with _as_data_error(self.path):
            for table in _read_tables(self.path, size):
                refuse_dictionary_bomb(self.path.name, table)
                plain = plain_table(table)
                yield Window([*range(start, start + len(plain))], [0] * len(plain), plain)
                start += len(plain)

    def first(self, size: int) -> Window:
        """The first window; it may be empty."""
        with contextlib.closing(self.windows(size)) as windows:
            first = next(windows, None)
        return first or Window([], [], pa.schema([*self.schema.items()]).empty_table())


def row_file(path: Path, form: TextFormat = PLAIN) -> RowFile:
    """Scan a file for its number of rows and its columns.

    Raises:
        DataError: E901, there is no such file, its kind is unknown, or it cannot be read.
        UsageError: E801, the text format does not apply to such a file.
    """
    check_source(path)
    if path.suffix.lower() in BINARY_SUFFIXES:
        form.refuse_for(path.name, text=False)
        file = _binary(path)
    else:
        file = _text(path, form)
    if not file.schema and not file.total:
        raise DataError(Problem("E901", f"{path}: no columns and no rows"))
    return file


def check_source(path: Path) -> None:
    """Check that there is a file of a known kind; raises as ``row_file``."""
    with _as_data_error(path):
        is_file = path.is_file()
    if not is_file:
        raise DataError(Problem("E901", f"{path}: no such file"))
    if path.suffix.lower() not in SUFFIXES:
        hint = f"known are {listing(sorted(SUFFIXES), 20)}"
        raise DataError(Problem("E901", f"{path}: of no known kind", hint=hint))


def _binary(path: Path) -> RowFile:
    with _as_data_error(path):
        total, schema = _scan(path)
        plain = plain_table(schema.empty_table()).schema
        return RowFile(path, total, dict(zip(plain.names, plain.types, strict=True)))


def _text(path: Path, form: TextFormat) -> RowFile:
    total, misread, kinds = 0, 0, dict[str, Any]()
    for rows in text_windows(path, _SCAN_ROWS, form):
        total += len(rows)
        misread += sum(one.reason == form.misread for one in rows.broken)
        for name, cells in rows.columns.items():
            kinds[name] = _common_type(kinds.get(name), _type_of(cells))
    refuse_misread(path, misread, total, form)
    schema = {name: kind or pa.large_string() for name, kind in kinds.items()}
    return RowFile(path, total, schema, form, misread_notes(path, misread, form))


# -------------------------------------------------------------------------------- Parquet and Arrow


def _scan(path: Path) -> tuple[int, Any]:
    if path.suffix.lower() in (".arrow", ".feather"):
        refuse_arrow_bomb(path)
        with pa.memory_map(str(path)) as source:
            batches, schema = _open_batches(source)
            return sum(map(len, batches)), schema
    refuse_parquet_bomb(path)
    with pq.ParquetFile(path) as file:
        return file.metadata.num_rows, file.schema_arrow


def _read_tables(path: Path, size: int) -> Iterator[Any]:
    if path.suffix.lower() in (".arrow", ".feather"):
        with pa.memory_map(str(path)) as source:
            for batch in _open_batches(source)[0]:
                for start in range(0, len(batch), size):
                    yield pa.Table.from_batches([batch.slice(start, size)])
        return
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(size):
            yield pa.Table.from_batches([batch])


def _open_batches(source: Any) -> tuple[Iterator[Any], Any]:
    """Batches and schema of a stream, as ``datasets`` writes it, or of a file, as Feather."""
    is_file = source.read(6) == b"ARROW1"
    source.seek(0)
    if not is_file:
        stream = pa.ipc.open_stream(source)
        return iter(stream), stream.schema
    reader = pa.ipc.open_file(source)
    return (reader.get_batch(i) for i in range(reader.num_record_batches)), reader.schema


@contextlib.contextmanager
def _as_data_error(path: Path) -> Iterator[None]:
    """Turn Arrow's errors for a broken or hostile file into E901."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, NotImplementedError, struct.error) as error:
        reason = first_line(getattr(error, "strerror", None) or error)
        raise DataError(Problem("E901", f"{path}: {reason}")) from None


# --------------------------------------------------------------------------------------------- text


def _window(rows: TextRows, schema: Schema) -> Window:
    """The parsed and the broken rows, in their order."""
    positions: list[tuple[int, int, Broken | int]] = [
        (row, line, i) for i, (row, line) in enumerate(zip(rows.numbers, rows.lines, strict=True))
    ]
    positions += [(one.row, one.line, one) for one in rows.broken]
    if rows.broken:
        positions.sort(key=lambda one: one[0])
    indices = [one if isinstance(one, int) else None for _, _, one in positions]
    faults = {
        i: (one.reason, one.detail)
        for i, (_, _, one) in enumerate(positions)
        if isinstance(one, Broken)
    }
    empty: list[Any] = [None] * len(rows.numbers)
    cells: dict[str, list[Any]] = {}
    for name in schema:
        column = rows.columns.get(name, empty)
        cells[name] = [None if i is None else column[i] for i in indices] if faults else column
    table = pa.table({name: _array(cells[name], kind) for name, kind in schema.items()})
    return Window(
        [row for row, *_ in positions], [line for _, line, _ in positions], table, cells, faults
    )


def _type_of(cells: list[Any]) -> Any:
    """The type that holds all cells: None without cells, text if no other type does."""
    kinds = {type(cell) for cell in cells} - {type(None)}
    if not kinds:
        return None
    if kinds == {bool}:
        return pa.bool_()
    if kinds == {int} and all(-(2**63) <= cell < 2**63 for cell in cells if cell is not None):
        return pa.int64()
    # Floats represent integers exactly up to here.
    small = (abs(cell) <= 2**53 for cell in cells if isinstance(cell, int))
    if kinds <= {int, float} and all(small):
        return pa.float64()
    return pa.large_string()


def _common_type(first: Any, second: Any) -> Any:
    if first is None or second is None or first == second:
        return first or second
    return pa.float64() if {first, second} == {pa.int64(), pa.float64()} else pa.large_string()


def _array(cells: list[Any], kind: Any) -> Any:
    if kind == pa.large_string():
        return pa.array(map(as_text, cells), kind, size=len(cells))
    try:
        return pa.array(cells, kind)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        # The file has changed since it was scanned.
        raise DataError(Problem("E901", f"a cell that is no {kind}, unlike before")) from None


def as_text(cell: Any) -> str | None:
    """A cell as text: nested values as JSON, invalid Unicode replaced.

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
    """A value as JSON on one line; other types as text, NaN and infinity as null."""
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
