"""Writes rows with predictions as CSV, TSV, JSON lines or Parquet, completely or not at all."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from archspec import storage
from archspec.data.extras import train_extra
from archspec.errors import DataError, Problem, listing
from archspec.predicting.row_reader import Schema, Window, as_text, json_text
from archspec.report.text import first_line

with train_extra():
    import pyarrow as pa
    import pyarrow.parquet as pq

Added = Mapping[str, Any]  # name → Arrow array


class Writer:
    """Writes windows to an open file.

    Args:
        out: path of the output, for errors.
        file: opened in binary mode.
        schema: columns of the rows.
        added: columns of the predictions.

    Attributes:
        delimiter: between cells of a text format; "" for others.
    """

    delimiter = ""

    def __init__(self, out: Path, file: IO[bytes], schema: Schema, added: Schema) -> None:
        self.out, self.file = out, file
        self.columns = [name for name, kind in schema.items() if self.holds(kind)]
        self.schema = {name: schema[name] for name in self.columns} | dict(added)
        with _as_data_error(out):
            self._start()

    @staticmethod
    def holds(kind: Any) -> bool:
        """Whether the format can hold a column of this type."""
        return not _has_bytes(kind)

    def add(self, window: Window, added: Added) -> None:
        """Write rows.

        Raises:
            DataError: E931, they cannot be written.
        """
        with _as_data_error(self.out):
            self._add(window, added)

    def close(self) -> None:
        """Write what comes after the last row; raises as ``add``."""
        with _as_data_error(self.out):
            self._close()

    def _start(self) -> None:
        """Write what comes before the first row."""

    def _add(self, window: Window, added: Added) -> None:
        """Write rows in the format."""
        raise NotImplementedError  # each format has its own

    def _close(self) -> None:
        """Write what comes after the last row."""

    def _lists(self, window: Window, added: Added) -> list[list[Any]]:
        columns = [self._values(window, name) for name in self.columns]
        return columns + [array.to_pylist() for array in added.values()]

    def _values(self, window: Window, name: str) -> list[Any]:
        try:
            return window.values(name)
        except (pa.ArrowException, ArithmeticError, LookupError, ValueError) as error:
            kind = self.schema[name]
            reason = f"column '{name}' of {kind} cannot be written as text: {first_line(error)}"
            raise unwritable(self.out, reason, "Parquet holds it") from None


class _Lines(list[str]):
    """Lines of ``csv`` without a carriage return, which is only quoted if line ends have one."""

    def write(self, row: str) -> None:
        self.append(f"{row[:-2]}\n")


class _Separated(Writer):
    delimiter = ","

    def _start(self) -> None:
        self._write([[*self.schema]])

    def _add(self, window: Window, added: Added) -> None:
        columns = [[as_text(cell) for cell in cells] for cells in self._lists(window, added)]
        self._write(zip(*columns, strict=True))

    def _write(self, rows: Any) -> None:
        lines = _Lines()
        csv.writer(lines, delimiter=self.delimiter, lineterminator="\r\n").writerows(rows)
        self.file.write("".join(lines).encode())


class _Tabbed(_Separated):
    delimiter = "\t"


class _JsonLines(Writer):
    def _add(self, window: Window, added: Added) -> None:
        names = [*self.schema]
        rows = zip(*self._lists(window, added), strict=True)
        lines = [json_text(dict(zip(names, row, strict=True))) for row in rows]
        self.file.write("".join(f"{line}\n" for line in lines).encode())


class _Parquet(Writer):
    @staticmethod
    def holds(kind: Any) -> bool:
        return True

    def _start(self) -> None:
        self._arrow = pa.schema([*self.schema.items()])
        self._parquet = pq.ParquetWriter(self.file, self._arrow)

    def _add(self, window: Window, added: Added) -> None:
        arrays = [window.table.column(name) for name in self.columns] + [*added.values()]
        self._parquet.write_table(pa.Table.from_arrays(arrays, schema=self._arrow))

    def _close(self) -> None:
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


def writer_for(out: Path, sources: Sequence[Path], *, overwrite: bool) -> type[Writer]:
    """The writer for a file with this suffix.

    Raises:
        DataError: E931, there is none, the file exists, or it is one of the sources.
    """
    writer = _WRITERS.get(out.suffix.lower())
    if writer is None:
        hint = f"known are {listing(sorted(_WRITERS), 20)}"
        raise unwritable(out, "of no known kind", hint)
    with _as_data_error(out):
        exists = out.exists()
        is_source = exists and any(one.exists() and out.samefile(one) for one in sources)
    if is_source:
        raise unwritable(out, "this is the file that is read", "give another one")
    if exists and not out.is_file():
        raise unwritable(out, "this is no file")
    if exists and not overwrite:
        hint = "overwrite=True or --overwrite replaces it"
        raise unwritable(out, "it is there already", hint)
    return writer


@contextlib.contextmanager
def replacing_output(out: Path) -> Iterator[IO[bytes]]:
    """A file that replaces ``out`` at the end, if nothing fails before.

    Raises:
        DataError: E931, it cannot be written.
    """
    with contextlib.ExitStack() as stack:
        with _as_data_error(out):
            file = stack.enter_context(storage.replacing(out))
        yield file  # errors in the body are not the output's
        with _as_data_error(out):
            stack.close()


@contextlib.contextmanager
def _as_data_error(out: Path) -> Iterator[None]:
    """Turn errors of the system and of Arrow into E931."""
    try:
        yield
    except DataError:
        raise
    except (pa.ArrowException, OSError, OverflowError, RuntimeError, ValueError) as error:
        # A loop of links is a RuntimeError, a NUL in a name a ValueError.
        raise unwritable(out, getattr(error, "strerror", None) or first_line(error)) from None


def unwritable(out: Path, reason: str, hint: str = "") -> DataError:
    return DataError(Problem("E931", f"{out}: {reason}", hint=hint))
