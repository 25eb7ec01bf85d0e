"""CSV, TSV, JSON lines and JSON, read row by row, so that every broken row can be named.

A library's reader would stop at the first broken row, or mend it in silence.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from archspec.errors import DataError, Place, Problem

MAX_FIELD = 10_000_000  # characters of one cell
MAX_LINE = 20_000_000  # characters
MAX_JSON_BYTES = 500_000_000  # of a file that is one value; JSON lines may be longer
MAX_COLUMNS = 10_000
SUFFIXES = {".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".json"}


@dataclass(frozen=True, slots=True)
class Broken:
    """A row that cannot be taken apart."""

    row: int
    line: int
    reason: str
    detail: str = ""


@dataclass(slots=True)
class TextRows:
    """The rows of a text file.

    Attributes:
        columns: name → cells; a cell that a row lacks is None.
        numbers, lines: of each row that could be read, from 1.
        broken: those that could not.
    """

    columns: dict[str, list[Any]] = field(default_factory=dict[str, list[Any]])
    numbers: list[int] = field(default_factory=list[int])
    lines: list[int] = field(default_factory=list[int])
    broken: list[Broken] = field(default_factory=list[Broken])

    def __len__(self) -> int:
        return len(self.numbers) + len(self.broken)

    def add(self, row: int, line: int, cells: dict[str, Any]) -> None:
        for name in cells:
            if name not in self.columns:
                self.columns[name] = [None] * len(self.numbers)
        for name, column in self.columns.items():
            column.append(cells.get(name))
        self.numbers.append(row)
        self.lines.append(line)


def read_text_file(path: Path) -> TextRows:
    """The rows of a CSV, TSV, JSON lines or JSON file.

    Raises:
        DataError: E901 if its rows cannot be told apart.
    """
    (found,) = text_windows(path, sys.maxsize)
    return found


def text_windows(path: Path, size: int) -> Iterator[TextRows]:
    """As ``read_text_file``, ``size`` rows at a time; the last window may be empty.

    A window of JSON lines has the columns that its own rows have.
    """
    suffix = path.suffix.lower()
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            _refuse_other_encodings(path)
            if suffix == ".json":
                yield from _json(path, file, size)
            elif suffix in (".jsonl", ".ndjson"):
                yield from _json_lines(path, file, size)
            else:
                yield from _separated(path, file, size, tabs=suffix != ".csv")
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from None


def _unreadable(path: Path, message: str, line: int | None = None, hint: str = "") -> DataError:
    place = None if line is None else Place(str(path), line, 1, 1, "")
    at = f"{path}: " if place is None else ""
    return DataError(Problem("E901", f"{at}{message}", place, hint))


def _refuse_other_encodings(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(4)
    if start.startswith((b"\xff\xfe", b"\xfe\xff")) or start == b"\0\0\xfe\xff":
        raise _unreadable(path, "the text is UTF-16 or UTF-32", hint="save it as UTF-8")


# ------------------------------------------------------------------------------------- CSV and TSV


class _Lines:
    """The lines of a file, none of them longer than memory bears; it counts them."""

    def __init__(self, path: Path, file: TextIO) -> None:
        self._path, self._file = path, file
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        while line := self._file.readline(MAX_LINE + 1):
            self.number += 1
            if len(line) > MAX_LINE:
                message = f"a line of more than {MAX_LINE:,} characters"
                raise _unreadable(self._path, message, self.number)
            yield line


def _next(reader: Iterator[list[str]]) -> list[str] | None:
    """The next row; the limit of a cell, which all of Python shares, is ours for that long."""
    before = csv.field_size_limit(MAX_FIELD)
    try:
        return next(reader, None)
    finally:
        csv.field_size_limit(before)


def _separated(path: Path, file: TextIO, size: int, *, tabs: bool) -> Iterator[TextRows]:
    lines = _Lines(path, file)
    first = file.readline(MAX_LINE)
    file.seek(0)
    delimiter = "\t" if tabs else max(",;\t", key=first.count)
    quoting = csv.QUOTE_MINIMAL
    if delimiter == "\t":
        quoting = csv.QUOTE_MINIMAL if _has_quotes(path, file) else csv.QUOTE_NONE
        file.seek(0)
    reader = csv.reader(iter(lines), delimiter=delimiter, quoting=quoting, strict=True)
    header = _header(path, reader)
    yield from _rows(path, lines, reader, header, size)


def _has_quotes(path: Path, file: TextIO) -> bool:
    """Whether the quotes in a file with tabs are marks, not part of the texts.

    They are if every row is whole with them. A cell with both a tab and the end of a line in it
    is rather several rows with stray quotes.
    """
    reader = csv.reader(iter(_Lines(path, file)), delimiter="\t", strict=True)
    width = 0
    try:
        while (cells := _next(reader)) is not None:
            width = width or len(cells)
            if len(cells) not in (0, width) or any(map(_is_several, cells)):
                return False
    except csv.Error:
        return False
    return True


def _is_several(cell: str) -> bool:
    return "\t" in cell and ("\n" in cell or "\r" in cell)


def _header(path: Path, reader: Iterator[list[str]]) -> list[str]:
    try:
        names = _next(reader) or []
    except csv.Error as error:
        raise _unreadable(path, f"the line of column names: {error}", 1) from None
    names = [name.strip() for name in names]
    if not any(names):
        raise _unreadable(path, "there is no line of column names")
    if len(names) > MAX_COLUMNS:
        raise _unreadable(path, f"{len(names):,} columns, more than {MAX_COLUMNS:,}", 1)
    names = [name or f"column {i}" for i, name in enumerate(names, 1)]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise _unreadable(path, f"two columns have the name {twice[0]!r}", 1)
    if not all(map(_is_clean, names)):
        raise _unreadable(path, "the column names are not UTF-8", 1, "save it as UTF-8")
    return names


def _rows(
    path: Path, lines: _Lines, reader: Iterator[list[str]], header: list[str], size: int
) -> Iterator[TextRows]:
    found = TextRows(columns={name: [] for name in header})
    row = 0
    while True:
        if len(found) >= size:
            yield found
            found = TextRows(columns={name: [] for name in header})
        start = lines.number + 1
        try:
            cells = _next(reader)
        except csv.Error as error:
            _refuse_open_quote(path, start, error)
            # Each line that the reader took into the broken row may have been a row.
            for line in range(start, lines.number + 1):
                row += 1
                found.broken.append(Broken(row, line, "broken quotes", str(error)))
            continue
        if cells is None:
            yield found
            return
        if cells:
            row += 1
            _take(found, row, start, cells, header)


def _refuse_open_quote(path: Path, line: int, error: csv.Error) -> None:
    if "unexpected end" in str(error):
        raise _unreadable(path, "a quote is opened here and never closed", line) from None
    if "field larger" in str(error):
        message = f"a cell of more than {MAX_FIELD:,} characters"
        raise _unreadable(path, message, line, "a quote may be open") from None


def _take(found: TextRows, row: int, line: int, cells: list[str], header: list[str]) -> None:
    if len(cells) != len(header):
        detail = f"{len(cells)} where the first line has {len(header)}"
        found.broken.append(Broken(row, line, "wrong number of columns", detail))
    elif reason := _unclean(cells):
        found.broken.append(Broken(row, line, reason))
    else:
        found.add(row, line, dict(zip(header, cells, strict=True)))


def _unclean(texts: Sequence[str]) -> str:
    if not all(map(_is_clean, texts)):
        return "not UTF-8"
    return "a NUL character" if any("\0" in text for text in texts) else ""


def _is_clean(text: str) -> bool:
    """Whether it has no half of a surrogate pair, as undecodable bytes leave behind."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# -------------------------------------------------------------------------------------------- JSON


def _json_lines(path: Path, file: TextIO, size: int) -> Iterator[TextRows]:
    found = TextRows()
    lines = _Lines(path, file)
    row = 0
    for line in lines:
        if line.strip():
            row += 1
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                detail = str(error) if isinstance(error, ValueError) else "nested too deep"
                found.broken.append(Broken(row, lines.number, "not JSON", detail))
            else:
                _take_object(found, row, lines.number, value)
        if len(found) >= size:
            yield found
            found = TextRows()
    yield found


def _json(path: Path, file: TextIO, size: int) -> Iterator[TextRows]:
    text = file.read(MAX_JSON_BYTES + 1)
    if len(text) > MAX_JSON_BYTES:
        hint = "write one object a line, as .jsonl"
        raise _unreadable(path, f"more than {MAX_JSON_BYTES:,} characters", hint=hint)
    try:
        value = json.loads(text)
    except RecursionError:
        raise _unreadable(path, "nested too deep") from None
    except ValueError as error:
        if _looks_like_lines(text):
            file.seek(0)
            yield from _json_lines(path, file, size)
            return
        raise _unreadable(path, f"not JSON: {error}") from None
    if isinstance(value, dict) and isinstance(value.get("data"), list):
        value = value["data"]
    if not isinstance(value, list):
        raise _unreadable(path, "not a list of objects", hint="[{…}, {…}], or {data: [{…}]}")
    found = TextRows()
    for row, item in enumerate(value, 1):
        _take_object(found, row, 0, item)
        if len(found) >= size:
            yield found
            found = TextRows()
    yield found


def _looks_like_lines(text: str) -> bool:
    first, _, rest = text.lstrip().partition("\n")
    return first.startswith("{") and first.rstrip().endswith("}") and bool(rest.strip())


def _take_object(found: TextRows, row: int, line: int, value: Any) -> None:
    if not isinstance(value, dict):
        found.broken.append(Broken(row, line, "not a JSON object"))
    elif len(value.keys() | found.columns.keys()) > MAX_COLUMNS:
        found.broken.append(Broken(row, line, "too many different keys"))
    elif not all(map(_is_clean, value)):
        found.broken.append(Broken(row, line, "not UTF-8"))
    else:
        found.add(row, line, value)
