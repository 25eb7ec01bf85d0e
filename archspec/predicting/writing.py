"""Rows with what was predicted, written as CSV, TSV, JSON lines or Parquet, whole or not at all."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

from archspec.data.extras import train_extra
from archspec.errors import DataError, Problem, listing
from archspec.predicting.reading import Schema, Window, as_text, json_text

with train_extra():
    import pyarrow as pa
    import pyarrow.parquet as pq

Added = Mapping[str, Any]  # name → Arrow array


class Writer:
    """Writes windows to an open file.

    Args:
        file: open for bytes.
        schema: the columns of the rows.
        added: the columns that predictions have.

    Attributes:
        delimiter: between cells, of a format that has nothing but texts; "" of others.
    """

    delimiter = ""

    def __init__(self, file: IO[bytes], schema: Schema, added: Schema) -> None:
        self.file = file
        self.columns = [name for name, kind in schema.items() if self.holds(kind)]
        self.schema = {name: schema[name] for name in self.columns} | dict(added)
        self.start()

    @staticmethod
    def holds(kind: Any) -> bool:
        """Whether the format has a way to write a column of this type."""
        return not _has_bytes(kind)

    def start(self) -> None:
        """Write what comes before the first row."""

    def add(self, window: Window, added: Added) -> None:
        """Write rows."""
        raise NotImplementedError

    def close(self) -> None:
        """Write what comes behind the last row."""

    def _lists(self, window: Window, added: Added) -> list[list[Any]]:
        ours = [window.values(name) for name in self.columns]
        return ours + [array.to_pylist() for array in added.values()]


class _Separated(Writer):
    delimiter = ","

    def start(self) -> None:
        self._write([[*self.schema]])

    def add(self, window: Window, added: Added) -> None:
        columns = [[as_text(cell) for cell in cells] for cells in self._lists(window, added)]
        self._write(zip(*columns, strict=True))

    def _write(self, rows: Any) -> None:
        text = io.StringIO(newline="")
        csv.writer(text, delimiter=self.delimiter, lineterminator="\n").writerows(rows)
        self.file.write(text.getvalue().encode())


class _Tabbed(_Separated):
    delimiter = "\t"


class _JsonLines(Writer):
    def add(self, window: Window, added: Added) -> None:
        names = [*self.schema]
        rows = zip(*self._lists(window, added), strict=True)
        lines = [json_text(dict(zip(names, row, strict=True))) for row in rows]
        self.file.write("".join(f"{line}\n" for line in lines).encode())


class _Parquet(Writer):
    @staticmethod
    def holds(kind: Any) -> bool:
        return True

    def start(self) -> None:
        self._arrow = pa.schema([*self.schema.items()])
        self._parquet = pq.ParquetWriter(self.file, self._arrow)

    def add(self, window: Window, added: Added) -> None:
        arrays = [window.table.column(name) for name in self.columns] + [*added.values()]
        self._parquet.write_table(pa.Table.from_arrays(arrays, schema=self._arrow))

    def close(self) -> None:
        self._parquet.close()


_WRITERS: dict[str, type[Writer]] = {
    ".csv": _Separated, ".tsv": _Tabbed, ".tab": _Tabbed, ".jsonl": _JsonLines,
    ".ndjson": _JsonLines, ".parquet": _Parquet, ".pq": _Parquet,
}  # fmt: skip


def _has_bytes(kind: Any) -> bool:
    if pa.types.is_nested(kind):
        return any(_has_bytes(kind.field(i).type) for i in range(kind.num_fields))
    return (
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def writer_for(out: Path, source: Path, *, overwrite: bool) -> type[Writer]:
    """What writes a file of this suffix.

    Raises:
        DataError: E931, nothing does, the file is there, or it is the one that is read.
    """
    found = _WRITERS.get(out.suffix.lower())
    if found is None:
        hint = f"known are {listing(sorted(_WRITERS), 20)}"
        raise unwritable(out, "of no known kind", hint)
    with _told(out):
        there = out.exists()
        is_source = there and out.samefile(source)
    if is_source:
        raise unwritable(out, "this is the file that is read", "give another one")
    if there and not out.is_file():
        raise unwritable(out, "this is no file")
    if there and not overwrite:
        hint = "overwrite=True or --overwrite replaces it"
        raise unwritable(out, "it is there already", hint)
    return found


@contextlib.contextmanager
def replacing(out: Path) -> Iterator[IO[bytes]]:
    """A file that takes the place of ``out`` at the end, if nothing fails before.

    Raises:
        DataError: E931, it cannot be written.
    """
    with _told(out):
        place = out.resolve()  # a link stays a link
        temporary = place.with_name(f".{place.name[:100]}.{uuid4().hex[:8]}")
        try:
            with open(temporary, "xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            if place.exists():
                shutil.copymode(place, temporary)
            os.replace(temporary, place)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _told(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise unwritable(out, error.strerror or str(error)) from None


def unwritable(out: Path, reason: str, hint: str = "") -> DataError:
    return DataError(Problem("E931", f"{out}: {reason}", hint=hint))
