"""Reads text files row by row, so that every broken row can be reported.

CSV, TSV, JSON lines, JSON, CoNLL, and plain text with a row in each line.

``pyarrow.csv`` accepts broken quotes and NUL characters, gives no line numbers, and rejects a whole
file for one byte that is not UTF-8.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from archspec.data.charsets import checked_encoding, fitting_encoding, utf8_example
from archspec.data.squad import article_rows
from archspec.errors import DataError, Place, Problem, UsageError
from archspec.file_kinds import START, marked_encoding, packed_kind, placeholder_kind

MAX_FIELD = 5_000_000  # characters of one cell
MAX_LINE = 20_000_000  # characters
MAX_JSON_BYTES = 500_000_000  # of a file that is one JSON value; JSON lines may be longer
MAX_COLUMNS = 10_000
NAMES = (  # column names that show that a line is a header
    "text", "sentence", "label", "labels", "class", "category", "target", "image", "file_name",
    "id", "idx", "split",
)  # fmt: skip
WORD_SUFFIXES = {".conll", ".iob", ".bio"}  # a word a line, with its tags
_NOT_TABS = re.compile(r"\w+([,;|]\w+)+")  # names of columns
_ZIP = b"PK\3\4"
LINE_SUFFIX = ".txt"  # a text a line
SUFFIXES = {".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".json", LINE_SUFFIX} | WORD_SUFFIXES


@dataclass(frozen=True, slots=True)
class TextFormat:
    """How text files are read.

    Attributes:
        header: whether the first line of a CSV or TSV file has the column names; None: it has, and
            a line that looks like a row is an error. Without names the columns are ``column 1``,
            ``column 2`` and so on.
        encoding: Python's name of the encoding; None for UTF-8.

    Raises:
        UsageError: E801, there is no such encoding.
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
        """The reason for rows with bytes that are invalid in this encoding."""
        return "not UTF-8" if self.codec == "utf-8-sig" else f"not {self.encoding}"

    def refuse_for(self, name: str, *, text: bool) -> None:
        """Refuse options that do nothing for this data.

        Args:
            name: of the data.
            text: whether it is JSON, which has an encoding but no header.

        Raises:
            UsageError: E801, an option is set that does nothing.
        """
        if self.header is not None:
            message = f"header has no effect: {name} is no CSV or TSV file"
            raise UsageError(Problem("E801", message, hint="leave header out"))
        if self.encoding is not None and not text:
            message = f"encoding has no effect: {name} is no file of text"
            raise UsageError(Problem("E801", message, hint="leave encoding out"))


PLAIN = TextFormat()
WITHOUT_ENCODING = "leave encoding= (--encoding) out"


@dataclass(frozen=True, slots=True)
class Broken:
    """A row that cannot be parsed."""

    row: int
    line: int
    reason: str
    detail: str = ""


@dataclass(slots=True)
class TextRows:
    """The rows of a text file.

    Attributes:
        columns: name → cells; None where a row has no such cell.
        numbers, lines: of each row that could be parsed, from 1.
        broken: the rows that could not.
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
    """Whether a file with this name is CSV or TSV."""
    return name.lower().endswith((".csv", ".tsv", ".tab"))


def read_text_file(path: Path, form: TextFormat = PLAIN) -> TextRows:
    """The rows of a CSV, TSV, JSON lines, JSON, CoNLL or plain text file.

    Raises:
        DataError: E901 if its rows cannot be separated, or no row is in the encoding.
        UsageError: E801, the text format does not apply to such a file.
    """
    (rows,) = text_windows(path, sys.maxsize, form)
    misread = sum(one.reason == form.misread for one in rows.broken)
    refuse_misread(path, misread, len(rows), form)
    return rows


def refuse_misread(path: Path, misread: int, total: int, form: TextFormat) -> None:
    """Stop if no row is in the encoding.

    Raises:
        DataError: E901.
    """
    if misread and misread == total:
        message = f"all {total:,} rows hold bytes that are {form.misread}"
        raise _unreadable(path, message, hint=suggest_encoding(path, form))


def suggest_encoding(path: Path, form: TextFormat) -> str:
    """A hint: which encoding fits a file, and how to set it."""
    try:
        if mark := marked_encoding(_start(path)):
            return f"encoding='{mark}' (--encoding {mark}) reads it, or save it as UTF-8"
        if utf8_example(path):
            is_asked = form.codec.startswith("utf")
            return f"most lines are UTF-8: {'mend the others' if is_asked else WITHOUT_ENCODING}"
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
        mark = marked_encoding(_start(path))
        if mark is not None and not form.codec.startswith(mark[:6]):
            raise _unreadable(
                path, f"the text is {mark.upper()}", hint=suggest_encoding(path, form)
            )
        # With utf-16-le, the byte-order mark would be read as text.
        marked = mark is not None and form.codec.startswith(mark)
        codec = mark if marked and mark is not None else form.codec
        with path.open(encoding=codec, errors="surrogateescape", newline="") as file:
            if suffix == ".json":
                yield from _read_json(path, file, size, form)
            elif suffix in (".jsonl", ".ndjson"):
                yield from _read_json_lines(path, file, size, form)
            elif suffix in WORD_SUFFIXES:
                yield from _read_words(path, file, size, form)
            elif suffix == LINE_SUFFIX:
                yield from _read_texts(path, file, size, form)
            else:
                yield from _read_separated(path, file, size, form)
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from None
    except UnicodeError as error:
        raise _unreadable(
            path, f"{form.misread}: {error}", hint=suggest_encoding(path, form)
        ) from None


def _refuse_other_kind(path: Path) -> None:
    """Stop if a file begins like one of another kind.

    Raises:
        DataError: E901.
        OSError: it cannot be read.
    """
    start = _start(path)
    if start.startswith(_ZIP):
        hint = "unpack it, or export it as CSV"
        raise _unreadable(path, "it is a ZIP archive, or a spreadsheet", hint=hint)
    if kind := placeholder_kind(start) or packed_kind(start):
        raise _unreadable(path, f"it is {kind.name}", hint=kind.hint)


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(START)


def _unreadable(path: Path, message: str, line: int | None = None, hint: str = "") -> DataError:
    place = None if line is None else Place(str(path), line, 1, 1, "")
    prefix = f"{path}: " if place is None else ""
    return DataError(Problem("E901", f"{prefix}{message}", place, hint))


# ------------------------------------------------------------------------------------- CSV and TSV


class _Lines:
    """Iterates over the lines of a file and counts them; a line that is too long is an error."""

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


def _next_row(reader: Iterator[list[str]]) -> list[str] | None:
    """The next row; the size limit of a cell, which is global in ``csv``, is changed meanwhile."""
    limit = csv.field_size_limit(MAX_FIELD)
    try:
        return next(reader, None)
    finally:
        csv.field_size_limit(limit)


def _read_separated(path: Path, file: TextIO, size: int, form: TextFormat) -> Iterator[TextRows]:
    lines = _Lines(path, file)
    first_line = file.readline(MAX_LINE)
    if re.fullmatch("sep=.", first_line.strip()):  # how spreadsheets declare the separator
        raise _unreadable(
            path, f"'{first_line.strip()}' is not understood", 1, "take that line out"
        )
    _refuse_preamble(path, file, first_line)
    delimiter = max(",;|\t", key=first_line.count) if path.suffix.lower() == ".csv" else "\t"
    if delimiter == "\t" and form.header is not False and _NOT_TABS.fullmatch(first_line.strip()):
        hint = "give it a name that ends in .csv"
        raise _unreadable(path, "its columns are not separated by tabs", 1, hint)
    quoting = csv.QUOTE_MINIMAL
    if delimiter == "\t":
        quoting = csv.QUOTE_MINIMAL if _uses_quotes(path, file) else csv.QUOTE_NONE
        file.seek(0)
    reader = csv.reader(iter(lines), delimiter=delimiter, quoting=quoting, strict=True)
    header = _read_header(path, reader, form)
    if form.header is False:
        file.seek(0)
        lines = _Lines(path, file)
        reader = csv.reader(iter(lines), delimiter=delimiter, quoting=quoting, strict=True)
    yield from _read_rows(path, lines, reader, header, size, form)


def _refuse_preamble(path: Path, file: TextIO, first: str) -> None:
    """Stop if comments or blank lines come before the column names."""
    second = file.readline(MAX_LINE) if first else ""
    file.seek(0)
    has_fewer = max(map(first.count, ",;|\t")) < max(map(second.count, ",;|\t"))
    is_comment = first.startswith("#") and (second.startswith("#") or has_fewer)
    if is_comment or (first and not first.strip(" \r\n")):
        message = f"the first line is {'a comment' if is_comment else 'blank'}"
        raise _unreadable(path, message, 1, "remove the lines before the names of the columns")


def _uses_quotes(path: Path, file: TextIO) -> bool:
    """Whether the quotes in a file with tabs delimit cells, and are not part of the texts.

    They do if all rows then have the same number of cells. A cell with both a tab and a line break
    is rather several rows with stray quotes.
    """
    reader = csv.reader(iter(_Lines(path, file)), delimiter="\t", strict=True)
    width = 0
    try:
        while (cells := _next_row(reader)) is not None:
            width = width or len(cells)
            if len(cells) not in (0, width) or any(map(_spans_rows, cells)):
                return False
    except csv.Error:
        return False
    return True


def _spans_rows(cell: str) -> bool:
    return "\t" in cell and ("\n" in cell or "\r" in cell)


def _read_header(path: Path, reader: Iterator[list[str]], form: TextFormat) -> list[str]:
    try:
        names = _next_row(reader) or []
    except csv.Error as error:
        name = "first row" if form.header is False else "line of column names"
        raise _unreadable(path, f"the {name}: {error}", 1) from None
    names = [name.strip() if form.header is not False else "" for name in names]
    if not any(names) and (form.header is not False or not names):
        raise _unreadable(path, "there is no line of column names")
    if len(names) > MAX_COLUMNS:
        raise _unreadable(path, f"{len(names):,} columns, more than {MAX_COLUMNS:,}", 1)
    names = [name or f"column {i}" for i, name in enumerate(names, 1)]
    if duplicates := sorted({name for name in names if names.count(name) > 1}):
        hint = "if the first line is a row: header=False (--no-header)"
        raise _unreadable(path, f"two columns have the name {duplicates[0]!r}", 1, hint)
    if not all(map(_is_valid_text, names)):
        raise _unreadable(
            path, f"the column names are {form.misread}", 1, suggest_encoding(path, form)
        )
    return names


def _read_rows(
    path: Path,
    lines: _Lines,
    reader: Iterator[list[str]],
    header: list[str],
    size: int,
    form: TextFormat,
) -> Iterator[TextRows]:
    rows = TextRows(columns={name: [] for name in header})
    # In concatenated files the header is repeated.
    names = [] if form.header is False or not {*map(str.casefold, header)} & {*NAMES} else header
    row = 0
    while True:
        if len(rows) >= size:
            yield rows
            rows = TextRows(columns={name: [] for name in header})
        start = lines.number + 1
        try:
            cells = _next_row(reader)
        except csv.Error as error:
            _refuse_open_quote(path, start, error)
            # Each line that the reader joined into the broken row may have been a row.
            for line in range(start, lines.number + 1):
                row += 1
                rows.broken.append(Broken(row, line, "broken quotes", str(error)))
            continue
        if cells is None:
            yield rows
            return
        if cells:
            row += 1
            if cells == names:
                rows.broken.append(Broken(row, start, "the names of the columns again"))
            else:
                _add_row(rows, row, start, cells, header, form)


def _refuse_open_quote(path: Path, line: int, error: csv.Error) -> None:
    if "unexpected end" in str(error):
        raise _unreadable(path, "a quote is opened here and never closed", line) from None
    if "field larger" in str(error):
        message = f"a cell of more than {MAX_FIELD:,} characters"
        raise _unreadable(path, message, line, "a quote may be open") from None


def _add_row(
    rows: TextRows, row: int, line: int, cells: list[str], header: list[str], form: TextFormat
) -> None:
    if len(cells) != len(header):
        detail = f"{len(cells)} where the first line has {len(header)}"
        rows.broken.append(Broken(row, line, "wrong number of columns", detail))
    elif reason := _row_fault(cells, form):
        rows.broken.append(Broken(row, line, reason))
    else:
        rows.add(row, line, dict(zip(header, cells, strict=True)))


def _row_fault(texts: Sequence[str], form: TextFormat) -> str:
    if not all(map(_is_valid_text, texts)):
        return form.misread
    return "a NUL character" if any("\0" in text for text in texts) else ""


def _is_valid_text(text: str) -> bool:
    """Whether it has no lone surrogates, which stand for undecodable bytes."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# -------------------------------------------------------------------------------------------- JSON


def _refuse_one_value(path: Path, line: str, number: int) -> None:
    """Stop at the first line of what seems to be one list or object over many lines."""
    if line.lstrip().startswith("[") or line.strip() == "{":
        hint = "if all of it is one list of objects, give it a name that ends in .json"
        raise _unreadable(path, "the first line is no JSON object", number, hint)


def _read_json_lines(path: Path, file: TextIO, size: int, form: TextFormat) -> Iterator[TextRows]:
    rows = TextRows()
    lines = _Lines(path, file)
    row = 0
    for line in lines:
        if line.strip():
            row += 1
            if row == 1 and path.suffix.lower() != ".json":
                _refuse_one_value(path, line, lines.number)
            try:
                value = json.loads(line)
                if isinstance(value, dict) and line.count(":") > len(value):  # seldom: it is slow
                    value = json.loads(line, object_pairs_hook=_object)
            except (ValueError, RecursionError) as error:
                detail = str(error) if isinstance(error, ValueError) else "nested too deep"
                rows.broken.append(Broken(row, lines.number, "not JSON", detail))
            else:
                _add_object(rows, row, lines.number, value, form, line)
        if len(rows) >= size:
            yield rows
            rows = TextRows()
    yield rows


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; one of two values under a key would be lost in silence: raises ValueError."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise ValueError(f"the key {twice[:40]!r} occurs twice")
    return found


def _read_json(path: Path, file: TextIO, size: int, form: TextFormat) -> Iterator[TextRows]:
    text = file.read(MAX_JSON_BYTES + 1)
    if len(text) > MAX_JSON_BYTES:
        hint = "write one object a line, as .jsonl"
        raise _unreadable(path, f"more than {MAX_JSON_BYTES:,} characters", hint=hint)
    if not _is_valid_text(text):
        raise _unreadable(path, form.misread, hint=suggest_encoding(path, form))
    try:
        value = json.loads(text, object_pairs_hook=_object)
    except RecursionError:
        raise _unreadable(path, "nested too deep") from None
    except ValueError as error:
        if _looks_like_lines(text):
            file.seek(0)
            yield from _read_json_lines(path, file, size, form)
            return
        raise _unreadable(path, f"not JSON: {error}") from None
    if isinstance(value, dict) and isinstance(value.get("data"), list):
        value = value["data"]
    if not isinstance(value, list):
        raise _unreadable(path, "not a list of objects", hint="[{…}, {…}], or {data: [{…}]}")
    rows = TextRows()
    for row, item in enumerate(article_rows(value), 1):
        _add_object(rows, row, 0, item, form)
        if len(rows) >= size:
            yield rows
            rows = TextRows()
    yield rows


def _looks_like_lines(text: str) -> bool:
    first, _, rest = text.lstrip().partition("\n")
    return first.startswith("{") and first.rstrip().endswith("}") and bool(rest.strip())


def _add_object(
    rows: TextRows, row: int, line: int, value: Any, form: TextFormat, text: str = ""
) -> None:
    if not _is_valid_text(text):
        rows.broken.append(Broken(row, line, form.misread))
    elif not isinstance(value, dict):
        rows.broken.append(Broken(row, line, "not a JSON object"))
    elif len(value.keys() | rows.columns.keys()) > MAX_COLUMNS:
        rows.broken.append(Broken(row, line, "too many different keys"))
    elif not all(map(_is_valid_text, value)):  # keys may have escapes
        rows.broken.append(Broken(row, line, form.misread))
    else:
        rows.add(row, line, value)


# -------------------------------------------------------------------------------------- plain text


def _read_texts(path: Path, file: TextIO, size: int, form: TextFormat) -> Iterator[TextRows]:
    """A row for each line that is not blank, in the column ``text``."""
    rows, lines, row = TextRows(columns={"text": []}), _Lines(path, file), 0
    for line in lines:
        if not line.strip():
            continue
        row += 1
        text = line.rstrip("\r\n")
        if fault := _row_fault([text], form):
            rows.broken.append(Broken(row, lines.number, fault))
        else:
            rows.add(row, lines.number, {"text": text})
        if len(rows) >= size:
            yield rows
            rows = TextRows(columns={"text": []})
    yield rows


# ------------------------------------------------------------------------------------------- CoNLL


def _read_words(path: Path, file: TextIO, size: int, form: TextFormat) -> Iterator[TextRows]:
    """Rows of words: a line for each word, its tags behind it, and blank lines between rows.

    The first column is ``words``, and the last one ``tags``; others are ``column 2`` and so on.
    """
    rows, names = TextRows(), list[str]()
    for row, words in enumerate(_groups(_Lines(path, file)), 1):
        (line, first), *_ = words
        if len(first) > MAX_COLUMNS:
            raise _unreadable(path, f"{len(first):,} columns, more than {MAX_COLUMNS:,}", line)
        if not names:
            between = [f"column {i}" for i in range(2, len(first))]
            names = ["words", *between, "tags"][: len(first)]
        uneven = next((one for one in words if len(one[1]) != len(names)), None)
        fault = next((why for _, parts in words if (why := _row_fault(parts, form))), None)
        if uneven is not None:
            detail = f"{len(uneven[1])} in line {uneven[0]:,}, {len(names)} in the first row"
            rows.broken.append(Broken(row, line, "wrong number of columns", detail))
        elif fault is not None:
            rows.broken.append(Broken(row, line, fault))
        else:
            columns = map(list, zip(*(parts for _, parts in words), strict=True))
            rows.add(row, line, dict(zip(names, columns, strict=True)))
        if len(rows) >= size:
            yield rows
            rows = TextRows()
    yield rows


def _groups(lines: _Lines) -> Iterator[list[tuple[int, list[str]]]]:
    """The lines between blank ones, each with its number and its parts.

    ``-DOCSTART-`` is no word, and neither is a line with ``#`` in front of a row's first word,
    unless it has as many parts as the other lines.
    """
    group: list[tuple[int, list[str]]] = []
    width = 0
    for line in lines:
        parts = [part.strip() for part in (line.split("\t") if "\t" in line else line.split())]
        if not any(parts) or parts[0] == "-DOCSTART-":
            if group:
                yield group
            group = []
        elif group or not line.startswith("#") or len(parts) == width:
            width = width or len(parts)
            group.append((lines.number, parts))
    if group:
        yield group
