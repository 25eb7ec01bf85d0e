"""CSV, TSV, JSON lines and JSON, read row by row, so that every broken row can be named.

A library's reader would stop at the first broken row, or mend it in silence.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from archspec.data.encodings import checked_encoding, fitting_encoding, marked_encoding
from archspec.errors import DataError, Place, Problem, UsageError

MAX_FIELD = 10_000_000  # characters of one cell
MAX_LINE = 20_000_000  # characters
MAX_JSON_BYTES = 500_000_000  # of a file that is one value; JSON lines may be longer
MAX_COLUMNS = 10_000
NAMES = (  # of columns, which tell that a line has the names
    "text", "sentence", "label", "labels", "class", "category", "target", "image", "file_name",
    "id", "idx", "split",
)  # fmt: skip
SUFFIXES = {".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".json"}


@dataclass(frozen=True, slots=True)
class TextFormat:
    """What somebody says of files of text.

    Attributes:
        header: whether the first line of a CSV or TSV has the names of the columns; None: it has,
            unless it looks like a row, which is an error. Without names columns are called
            ``column 1``, ``column 2`` and so on.
        encoding: as Python calls it; None for UTF-8.

    Raises:
        UsageError: E801, the encoding is none.
    """

    header: bool | None = None
    encoding: str | None = None

    def __post_init__(self) -> None:
        if self.encoding is not None:
            checked_encoding(self.encoding)
        if not isinstance(self.header, bool | None):
            raise UsageError(Problem("E801", f"header is True or False, not {self.header!r:.40}"))

    @property
    def codec(self) -> str:
        return "utf-8-sig" if self.encoding is None else checked_encoding(self.encoding)

    @property
    def misread(self) -> str:
        """Why a row with bytes that are no text of this encoding is bad."""
        return "not UTF-8" if self.codec == "utf-8-sig" else f"not {self.encoding}"

    def refuse_for(self, name: str, *, text: bool) -> None:
        """Nobody may believe that an option does something.

        Args:
            name: of the data.
            text: whether it is JSON, which has an encoding, but no line of names.

        Raises:
            UsageError: E801, something is said that says nothing of this data.
        """
        if self.header is not None:
            message = f"header has no effect: {name} is no CSV or TSV file"
            raise UsageError(Problem("E801", message, hint="leave header out"))
        if self.encoding is not None and not text:
            message = f"encoding has no effect: {name} is no file of text"
            raise UsageError(Problem("E801", message, hint="leave encoding out"))


PLAIN = TextFormat()


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


def is_separated(name: str) -> bool:
    """Whether a file of this name has a first line of column names."""
    return name.lower().endswith((".csv", ".tsv", ".tab"))


def read_text_file(path: Path, form: TextFormat = PLAIN) -> TextRows:
    """The rows of a CSV, TSV, JSON lines or JSON file.

    Raises:
        DataError: E901 if its rows cannot be told apart, or none of them is of the encoding.
        UsageError: E801, the form says something that says nothing of such a file.
    """
    (found,) = text_windows(path, sys.maxsize, form)
    misread = sum(one.reason == form.misread for one in found.broken)
    refuse_misread(path, misread, len(found), form)
    return found


def refuse_misread(path: Path, misread: int, total: int, form: TextFormat) -> None:
    """Stop where no row is of the encoding.

    Raises:
        DataError: E901.
    """
    if misread and misread == total:
        message = f"all {total:,} rows hold bytes that are {form.misread}"
        raise _unreadable(path, message, hint=other(path))


def other(path: Path) -> str:
    """Which encoding would fit a file, and how to say so."""
    try:
        if mark := marked_encoding(path):
            return f"encoding='{mark}' (--encoding {mark}) reads it, or save it as UTF-8"
        fitting = fitting_encoding(path)
    except OSError:
        fitting = None
    if fitting is None:
        return "no usual encoding fits: say which with encoding= (--encoding), or save it as UTF-8"
    name, example = fitting
    return f"{name} fits ('{example}'): encoding='{name}' (--encoding {name}), or save it as UTF-8"


def text_windows(path: Path, size: int, form: TextFormat = PLAIN) -> Iterator[TextRows]:
    """As ``read_text_file``, ``size`` rows at a time; the last window may be empty.

    A window of JSON lines has the columns that its own rows have.
    """
    suffix = path.suffix.lower()
    if not is_separated(path.name):
        form.refuse_for(path.name, text=True)
    try:
        _refuse_other_kind(path)
        mark = marked_encoding(path)
        if mark is not None and not form.codec.startswith(mark[:6]):
            raise _unreadable(path, f"the text is {mark.upper()}", hint=other(path))
        # Where somebody says utf-16-le, and the file says so itself, its mark is no text.
        marked = mark is not None and form.codec.startswith(mark)
        codec = mark if marked and mark is not None else form.codec
        with path.open(encoding=codec, errors="surrogateescape", newline="") as file:
            if suffix == ".json":
                yield from _json(path, file, size, form)
            elif suffix in (".jsonl", ".ndjson"):
                yield from _json_lines(path, file, size, form)
            else:
                yield from _separated(path, file, size, form)
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from None
    except UnicodeError as error:
        raise _unreadable(path, f"{form.misread}: {error}", hint=other(path)) from None


_KINDS = (
    (b"version https://git-lfs.", "a Git LFS pointer, not the file that it stands for",
     "get it: git lfs pull"),
    (b"<!doctype html", "a page of HTML, not the data", "download the file itself"),
    (b"<html", "a page of HTML, not the data", "download the file itself"),
    (b"\x1f\x8b", "a compressed file", "unpack it: gunzip"),
    (b"PK\x03\x04", "a ZIP archive, or a spreadsheet", "unpack it, or export it as CSV"),
)  # fmt: skip


def _refuse_other_kind(path: Path) -> None:
    """Stop where a file begins as one that is no text of this kind.

    Raises:
        DataError: E901.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(100).lstrip().lower()
    for mark, kind, hint in _KINDS:
        if start.startswith(mark.lower()):
            raise _unreadable(path, f"it is {kind}", hint=hint)


def _unreadable(path: Path, message: str, line: int | None = None, hint: str = "") -> DataError:
    place = None if line is None else Place(str(path), line, 1, 1, "")
    at = f"{path}: " if place is None else ""
    return DataError(Problem("E901", f"{at}{message}", place, hint))


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


def _separated(path: Path, file: TextIO, size: int, form: TextFormat) -> Iterator[TextRows]:
    lines = _Lines(path, file)
    first = file.readline(MAX_LINE)
    file.seek(0)
    if re.fullmatch("sep=.", first.strip()):  # a spreadsheet's way to say it
        raise _unreadable(path, f"'{first.strip()}' is not understood", 1, "take that line out")
    delimiter = max(",;|\t", key=first.count) if path.suffix.lower() == ".csv" else "\t"
    quoting = csv.QUOTE_MINIMAL
    if delimiter == "\t":
        quoting = csv.QUOTE_MINIMAL if _has_quotes(path, file) else csv.QUOTE_NONE
        file.seek(0)
    reader = csv.reader(iter(lines), delimiter=delimiter, quoting=quoting, strict=True)
    header = _header(path, reader, form)
    if form.header is False:
        file.seek(0)
        lines = _Lines(path, file)
        reader = csv.reader(iter(lines), delimiter=delimiter, quoting=quoting, strict=True)
    yield from _rows(path, lines, reader, header, size, form)


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


def _header(path: Path, reader: Iterator[list[str]], form: TextFormat) -> list[str]:
    try:
        names = _next(reader) or []
    except csv.Error as error:
        what = "first row" if form.header is False else "line of column names"
        raise _unreadable(path, f"the {what}: {error}", 1) from None
    names = [name.strip() if form.header is not False else "" for name in names]
    if not names and form.header is False:
        raise _unreadable(path, "the first line is empty", 1)
    if not any(names) and form.header is not False:
        raise _unreadable(path, "there is no line of column names")
    if len(names) > MAX_COLUMNS:
        raise _unreadable(path, f"{len(names):,} columns, more than {MAX_COLUMNS:,}", 1)
    names = [name or f"column {i}" for i, name in enumerate(names, 1)]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        hint = "if the first line is a row: header=False (--no-header)"
        raise _unreadable(path, f"two columns have the name {twice[0]!r}", 1, hint)
    if not all(map(_is_clean, names)):
        raise _unreadable(path, f"the column names are {form.misread}", 1, other(path))
    return names


def _rows(
    path: Path,
    lines: _Lines,
    reader: Iterator[list[str]],
    header: list[str],
    size: int,
    form: TextFormat,
) -> Iterator[TextRows]:
    found = TextRows(columns={name: [] for name in header})
    # In files that were put together the line of names comes again.
    names = [] if form.header is False or not {*map(str.casefold, header)} & {*NAMES} else header
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
            if cells == names:
                found.broken.append(Broken(row, start, "the names of the columns again"))
            else:
                _take(found, row, start, cells, header, form)


def _refuse_open_quote(path: Path, line: int, error: csv.Error) -> None:
    if "unexpected end" in str(error):
        raise _unreadable(path, "a quote is opened here and never closed", line) from None
    if "field larger" in str(error):
        message = f"a cell of more than {MAX_FIELD:,} characters"
        raise _unreadable(path, message, line, "a quote may be open") from None


def _take(
    found: TextRows, row: int, line: int, cells: list[str], header: list[str], form: TextFormat
) -> None:
    if len(cells) != len(header):
        detail = f"{len(cells)} where the first line has {len(header)}"
        found.broken.append(Broken(row, line, "wrong number of columns", detail))
    elif reason := _unclean(cells, form):
        found.broken.append(Broken(row, line, reason))
    else:
        found.add(row, line, dict(zip(header, cells, strict=True)))


def _unclean(texts: Sequence[str], form: TextFormat) -> str:
    if not all(map(_is_clean, texts)):
        return form.misread
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


def _json_lines(path: Path, file: TextIO, size: int, form: TextFormat) -> Iterator[TextRows]:
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
                _take_object(found, row, lines.number, value, form, line)
        if len(found) >= size:
            yield found
            found = TextRows()
    yield found


def _json(path: Path, file: TextIO, size: int, form: TextFormat) -> Iterator[TextRows]:
    text = file.read(MAX_JSON_BYTES + 1)
    if len(text) > MAX_JSON_BYTES:
        hint = "write one object a line, as .jsonl"
        raise _unreadable(path, f"more than {MAX_JSON_BYTES:,} characters", hint=hint)
    if not _is_clean(text):
        raise _unreadable(path, form.misread, hint=other(path))
    try:
        value = json.loads(text)
    except RecursionError:
        raise _unreadable(path, "nested too deep") from None
    except ValueError as error:
        if _looks_like_lines(text):
            file.seek(0)
            yield from _json_lines(path, file, size, form)
            return
        raise _unreadable(path, f"not JSON: {error}") from None
    if isinstance(value, dict) and isinstance(value.get("data"), list):
        value = value["data"]
    if not isinstance(value, list):
        raise _unreadable(path, "not a list of objects", hint="[{…}, {…}], or {data: [{…}]}")
    found = TextRows()
    for row, item in enumerate(value, 1):
        _take_object(found, row, 0, item, form)
        if len(found) >= size:
            yield found
            found = TextRows()
    yield found


def _looks_like_lines(text: str) -> bool:
    first, _, rest = text.lstrip().partition("\n")
    return first.startswith("{") and first.rstrip().endswith("}") and bool(rest.strip())


def _take_object(
    found: TextRows, row: int, line: int, value: Any, form: TextFormat, text: str = ""
) -> None:
    if not _is_clean(text):
        found.broken.append(Broken(row, line, form.misread))
    elif not isinstance(value, dict):
        found.broken.append(Broken(row, line, "not a JSON object"))
    elif len(value.keys() | found.columns.keys()) > MAX_COLUMNS:
        found.broken.append(Broken(row, line, "too many different keys"))
    elif not all(map(_is_clean, value)):  # keys may be written as escapes
        found.broken.append(Broken(row, line, form.misread))
    else:
        found.add(row, line, value)
