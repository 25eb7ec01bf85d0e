"""Reads files as tables: a ``datasets.Dataset`` with the number of each row in its file.

Nothing in a file is run: no pickle, no script of a hub; extension types become their storage.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from archspec.data.charsets import utf8_example
from archspec.data.extras import train_extra
from archspec.data.squad import with_flat_answers
from archspec.data.text_files import (
    PLAIN,
    WITHOUT_ENCODING,
    Broken,
    TextFormat,
    TextRows,
    is_separated,
    read_text_file,
    suggest_encoding,
)
from archspec.data.text_files import SUFFIXES as TEXT_SUFFIXES
from archspec.data.unpacking import refuse_arrow_bomb, refuse_dictionary_bomb, refuse_parquet_bomb
from archspec.errors import DataError, Problem
from archspec.report.text import first_line

with train_extra():
    import datasets
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
    from datasets.table import InMemoryTable

BINARY_SUFFIXES = {".parquet", ".pq", ".arrow", ".feather"}
SUFFIXES = TEXT_SUFFIXES | BINARY_SUFFIXES
IN_MEMORY_BYTES = 1_000_000_000  # larger Parquet files go through the cache of datasets on disk
MAX_ROWS = 200_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """The rows of a split as they are in its files.

    Attributes:
        dataset: the rows that could be parsed.
        files: the files' names.
        file_of, numbers, lines: of each row, its file, its number there from 1, and its line or 0.
        broken: the rows that could not be parsed, with their files' names.
        misfits: column → row → kind of a value that differs from that of most rows.
        unreadable: column → type of a cell that tables cannot hold; its cells are empty.
        base: the folder that paths of images are relative to.
        image: the column of images, if that is certain.
        notes: remarks of the reader, a line each.
        misread: for each file with rows in another encoding, which one fits.
        assumed: whether the column names are a first line without ``header`` being set.
        classes: their names, if they stand beside the rows.
    """

    dataset: datasets.Dataset
    files: Sequence[str]
    file_of: np.ndarray
    numbers: np.ndarray
    lines: np.ndarray
    broken: tuple[tuple[str, Broken], ...] = ()
    misfits: Mapping[str, Mapping[int, str]] = field(default_factory=dict[str, dict[int, str]])
    base: Path | None = None
    image: str | None = None
    notes: tuple[str, ...] = ()
    misread: tuple[str, ...] = ()
    assumed: bool = False
    unreadable: Mapping[str, str] = field(default_factory=dict[str, str])
    classes: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.numbers)

    def file(self, position: int) -> str:
        return self.files[int(self.file_of[position])]

    def line(self, position: int) -> int | None:
        return int(self.lines[position]) or None


# What libraries raise for bad data; other errors are not the data's fault and pass unchanged.
_DATA_ERRORS = (
    pa.ArrowException,
    ArithmeticError,
    LookupError,
    NotImplementedError,
    OSError,
    ValueError,
    struct.error,
)

Splits = dict[str, Callable[[], Table]]  # the data's own names → functions that read them


@dataclass(slots=True, eq=False)
class Cells:
    """One column of texts, bytes of images, or paths of images."""

    dataset: datasets.Dataset
    column: str
    base: Path | None = None
    _parts: tuple[Any, Any] | None = field(default=None, repr=False)
    _root: Path | None = field(default=None, repr=False)

    def __getstate__(self) -> tuple[datasets.Dataset, str, Path | None]:
        return self.dataset, self.column, self.base  # a memory-mapped table is pickled as its path

    def __setstate__(self, state: tuple[datasets.Dataset, str, Path | None]) -> None:
        self.dataset, self.column, self.base = state
        self._parts = self._root = None

    def _values_and_paths(self) -> tuple[Any, Any]:
        if self._parts is None:
            column = arrow_column(self.dataset, self.column)
            if pa.types.is_struct(column.type):
                names = {column.type.field(i).name for i in range(column.type.num_fields)}
                values, paths = (
                    _struct_field(column, n) if n in names else None for n in _IMAGE_FIELDS
                )
                self._parts = (values, paths)
            elif is_text(column.type) and self.base is not None:
                self._parts = (None, column)
            else:
                self._parts = (column, None)
        return self._parts

    def read(self, position: int) -> str | bytes:
        """The cell: a text, or the bytes of an image.

        Raises:
            ValueError: an image's path leads out of the data's folder.
            OSError: an image's file cannot be read.
        """
        path = self.path(position)
        if path is not None:
            return path.read_bytes()
        values, _ = self._values_and_paths()
        value = None if values is None else values[position].as_py()
        if isinstance(value, list):
            return joined(value)
        return b"" if value is None else value

    def path(self, position: int) -> Path | None:
        """The file of an image that is not in the table; raises as ``read``."""
        values, paths = self._values_and_paths()
        if self.base is None or paths is None:
            return None
        if values is not None and values[position].is_valid:
            return None
        if not (name := paths[position].as_py()):
            return None
        if self._root is None:  # found once: of a small image, it would take longer than reading
            self._root = self.base.resolve()
        path = Path(os.path.realpath(self._root / name))
        if not path.is_relative_to(self._root):
            raise ValueError("outside the data's folder")
        return path

    def texts(self, positions: np.ndarray) -> list[str]:
        """Texts as they are, and lists of words joined."""
        return [joined(one) if isinstance(one, list) else one for one in self._cells(positions)]

    def words(self, positions: np.ndarray) -> list[list[str]]:
        """Lists of words as they are, and of texts the words between spaces."""
        return [
            one.split() if isinstance(one, str) else one or [] for one in self._cells(positions)
        ]

    def _cells(self, positions: np.ndarray) -> list[Any]:
        column, _ = self._values_and_paths()
        return plain_values(column.take(pa.array(positions)))


_IMAGE_FIELDS = ("bytes", "path")


def _struct_field(column: Any, name: str) -> Any:
    """A field of structs; null where the struct is."""
    table = pa.Table.from_arrays([column], ["it"]).flatten()
    return table.column(f"it.{name}")


def arrow_column(dataset: datasets.Dataset, name: str) -> Any:
    """A column as Arrow holds it, without decoding."""
    return dataset.data.column(name)


def plain_values(column: Any) -> list[Any]:
    """Arrow's cells as Python values; bytes of a text that are not UTF-8 become surrogates."""
    try:
        return column.to_pylist()
    except UnicodeDecodeError:
        if not is_text(column.type):
            raise
        cells = column.cast(pa.large_binary()).to_pylist()
        return [None if cell is None else cell.decode(errors="surrogateescape") for cell in cells]


def joined(words: Sequence[str]) -> str:
    """Words as one text."""
    return " ".join(words)


def is_text(kind: Any) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def is_text_list(kind: Any) -> bool:
    return (pa.types.is_list(kind) or pa.types.is_large_list(kind)) and is_text(kind.value_type)


# ------------------------------------------------------------------------------------------ reading


def read_table(files: Sequence[Path], base: Path | None = None, form: TextFormat = PLAIN) -> Table:
    """The rows of a split's files, concatenated.

    Args:
        files: CSV, TSV, JSON lines, JSON, Parquet or Arrow.
        base: the folder that paths of images are relative to. Default: that of the first file.
        form: format of text files.

    Raises:
        DataError: E901 if a file cannot be read, or their columns differ.
        UsageError: E801, the text format does not apply to such files.
    """
    parts = [_read_part(path, form) for path in files]
    base = base or files[0].parent
    try:
        dataset = datasets.concatenate_datasets([part.dataset for part in parts])
    except _DATA_ERRORS as error:
        names = ", ".join(path.name for path in files[:3])
        message = f"{names}: the files do not go together: {first_line(error)}"
        raise DataError(Problem("E901", message)) from None
    starts = np.cumsum([0, *(len(part) for part in parts[:-1])])
    misfits: dict[str, dict[int, str]] = {}
    for start, part in zip(starts, parts, strict=True):
        for name, misfit_rows in part.misfits.items():
            misfits.setdefault(name, {}).update({int(start) + i: k for i, k in misfit_rows.items()})
    return Table(
        dataset,
        [path.name for path in files],
        np.repeat(np.arange(len(parts)), [len(part) for part in parts]),
        np.concatenate([part.numbers for part in parts]),
        np.concatenate([part.lines for part in parts]),
        tuple(broken for part in parts for broken in part.broken),
        misfits,
        base,
        misread=tuple(note for part in parts for note in part.misread),
        assumed=parts[0].assumed,
    )


def as_table(dataset: datasets.Dataset, name: str) -> Table:
    """A data set that was not read from a text file."""
    n = len(dataset)
    zeros = np.zeros(n, dtype=np.int64)
    return Table(dataset, [name], zeros, np.arange(1, n + 1), zeros)


def _read_part(path: Path, form: TextFormat) -> Table:
    if path.suffix.lower() in TEXT_SUFFIXES:
        return _text_table(path, read_text_file(path, form), form)
    form.refuse_for(path.name, text=False)
    try:
        dataset = _binary(path)
    except DataError:
        raise
    except _DATA_ERRORS as error:  # Arrow's errors for a broken or hostile file
        raise DataError(Problem("E901", f"{path}: {first_line(error)}")) from None
    return as_table(dataset, path.name)


# -------------------------------------------------------------------------------- Parquet and Arrow


def _binary(path: Path) -> datasets.Dataset:
    if path.suffix.lower() in (".arrow", ".feather"):
        return _arrow(path)
    file = pq.ParquetFile(path)
    meta = file.metadata
    if meta.num_rows > MAX_ROWS:
        raise DataError(Problem("E901", f"{path}: {meta.num_rows:,} rows, more than {MAX_ROWS:,}"))
    refuse_parquet_bomb(path)
    size = sum(meta.row_group(i).total_byte_size for i in range(meta.num_row_groups))
    if size > IN_MEMORY_BYTES:
        return datasets.Dataset.from_parquet(str(path))  # pyright: ignore[reportReturnType]
    return from_arrow(file.read())


def _arrow(path: Path) -> datasets.Dataset:
    """A stream, as ``datasets`` writes it, or a file, as Feather; memory-mapped."""
    refuse_arrow_bomb(path)
    with path.open("rb") as file:
        is_file = file.read(6) == b"ARROW1"
    if is_file:
        with pa.memory_map(str(path)) as source:
            return from_arrow(pa.ipc.open_file(source).read_all())
    with pa.memory_map(str(path)) as source:
        reader = pa.ipc.open_stream(source)
        if any(map(pa.types.is_dictionary, reader.schema.types)):  # datasets would expand them
            refuse_dictionary_bomb(path.name, reader.read_all())
    return datasets.Dataset.from_file(str(path))


def from_arrow(table: Any) -> datasets.Dataset:
    """An Arrow table as a dataset, with plain columns.

    Columns that ``datasets`` has no type for, such as maps, are left out.

    Raises:
        DataError: E901, two columns have the same name, or nothing can be made of them.
    """
    refuse_dictionary_bomb("a table", table)
    table = plain_table(table)
    for usable in (_unchanged, _without_metadata):  # foreign metadata may be invalid
        with suppress(Exception):
            return datasets.Dataset(InMemoryTable(usable(table)))
    try:
        return datasets.Dataset(InMemoryTable(_usable_columns(table)))
    except _DATA_ERRORS:
        message = "the columns are of types that cannot be read"
        raise DataError(Problem("E901", message)) from None


def _unchanged(table: Any) -> Any:
    return table


def _without_metadata(table: Any) -> Any:
    """Metadata may contradict the columns, and are not needed."""
    return table.replace_schema_metadata(None)


def _usable_columns(table: Any) -> Any:
    """The columns that can be texts, images or labels."""
    names = [field.name for field in table.schema if _is_usable(field.type)]
    return _without_metadata(table.select(names))


def _is_usable(kind: Any) -> bool:
    if pa.types.is_struct(kind):
        fields = [kind.field(i) for i in range(kind.num_fields)]
        return bool(fields) and all(_is_usable(field.type) for field in fields)
    types = pa.types
    is_binary = types.is_binary(kind) or types.is_large_binary(kind)
    is_number = types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)
    return is_text(kind) or is_binary or is_number or types.is_boolean(kind) or types.is_null(kind)


def with_texts(table: Table) -> Table:
    """Convert columns of bytes to texts if all of their cells are UTF-8."""
    dataset = table.dataset
    for name, kind in zip(dataset.column_names, dataset.data.schema.types, strict=True):
        if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            with suppress(pa.ArrowInvalid):
                dataset = dataset.cast_column(name, datasets.Value("large_string"))
    return replace(table, dataset=dataset)


def plain_table(table: Any) -> Any:
    """An Arrow table with dictionaries, run-ends and extension types replaced by their values.

    Raises:
        DataError: E901, two columns have the same name.
    """
    if len(set(table.column_names)) < table.num_columns:
        raise DataError(Problem("E901", "two columns have the same name"))
    for i, kind in enumerate(table.schema.types):
        plain = _plain_type(kind)
        if plain is not None:
            column = table.column(i)
            if isinstance(kind, pa.BaseExtensionType):
                chunks = [chunk.storage for chunk in column.chunks]
                column = pa.chunked_array(chunks, type=kind.storage_type)
            if pa.types.is_run_end_encoded(column.type):
                column = pc.run_end_decode(column)  # pyright: ignore[reportAttributeAccessIssue]
            table = table.set_column(i, table.column_names[i], column.cast(plain))
    return table


def _plain_type(kind: Any) -> Any:
    if isinstance(kind, pa.BaseExtensionType):
        return _plain_type(kind.storage_type) or kind.storage_type
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return _plain_type(kind.value_type) or kind.value_type
    if pa.types.is_string_view(kind):
        return pa.large_string()
    return pa.large_binary() if pa.types.is_binary_view(kind) else None


# --------------------------------------------------------------------------------------- text files


def _text_table(path: Path, rows: TextRows, form: TextFormat) -> Table:
    misread = sum(one.reason == form.misread for one in rows.broken)
    return replace(
        rows_table(path.name, rows),
        misread=misread_notes(path, misread, form),
        assumed=form.header is None and is_separated(path.name),
    )


def rows_table(name: str, rows: TextRows) -> Table:
    """Rows as a table; cells are of the kinds that JSON has, or bytes."""
    misfits: dict[str, dict[int, str]] = {}
    unreadable: dict[str, str] = {}
    columns: dict[str, Any] = {}
    for column, cells in with_flat_answers(rows.columns).items():
        if kind := next((type(cell) for cell in cells if not _is_plain(cell)), None):
            unreadable[column] = f"{kind.__module__}.{kind.__qualname__}"
            cells = [None] * len(cells)  # an error only if the column is used
        columns[column], column_misfits = _column(cells)
        if column_misfits:
            misfits[column] = column_misfits
    n = len(rows.numbers)
    table = pa.table(columns) if columns else pa.table({"": pa.nulls(n)})
    return Table(
        from_arrow(table),
        [name],
        np.zeros(n, dtype=np.int64),
        np.array(rows.numbers, dtype=np.int64),
        np.array(rows.lines, dtype=np.int64),
        tuple((name, broken) for broken in rows.broken),
        misfits,
        unreadable=unreadable,
    )


def misread_notes(path: Path, misread: int, form: TextFormat) -> tuple[str, ...]:
    """How many rows are not in the file's encoding, and which encoding fits."""
    is_utf8 = form.codec.startswith("utf")
    if not is_utf8 and (word := utf8_example(path)):
        garbled = word.encode().decode(form.codec, "replace")
        note = f"{path.name}: it is UTF-8, and read as {form.encoding}, {word!r} becomes"
        return (f"{note} {garbled!r}: {WITHOUT_ENCODING}",)
    if not misread:
        return ()
    rows = "1 row is" if misread == 1 else f"{misread:,} rows are"
    return (f"{path.name}: {rows} {form.misread}; {suggest_encoding(path, form)}",)


_KINDS: tuple[tuple[type, str, Any], ...] = (
    (bool, "a truth value", pa.bool_()),
    (int, "a number", pa.int64()),
    (float, "a number", pa.float64()),
    (str, "text", pa.large_string()),
    (list, "a list", None),
    (dict, "an object", None),
    (bytes, "bytes", pa.large_binary()),
)


_LIST = 4
_ELEMENTS = ((str, pa.large_string()), (int, pa.int64()))


def _lists(cells: list[Any], misfits: Mapping[int, str]) -> Any:
    """Lists of texts, or of whole numbers, as an Arrow array; None for other lists."""
    lists = [None if i in misfits else cell for i, cell in enumerate(cells)]
    elements = [one for cell in lists for one in cell or ()]
    for kind, arrow in _ELEMENTS:
        if all(type(one) is kind for one in elements):
            try:
                return pa.array(lists, pa.list_(arrow))
            except (pa.ArrowException, OverflowError, UnicodeEncodeError):
                return None
    return None


def _is_plain(cell: Any) -> bool:
    return cell is None or isinstance(cell, tuple(kind for kind, _, _ in _KINDS))


def _column(cells: list[Any]) -> tuple[Any, dict[int, str]]:
    """Cells as an Arrow array of their most common kind, and the kinds of the other cells."""
    kinds = [_kind_of(cell) for cell in cells]
    counts = {k: kinds.count(k) for k in set(kinds) - {-1}}
    if counts.get(1) and counts.get(2):  # integers among floats
        kinds = [2 if kind == 1 else kind for kind in kinds]
        counts = {k: kinds.count(k) for k in set(kinds) - {-1}}
    if not counts:
        return pa.nulls(len(cells), pa.large_string()), {}
    main_kind = max(counts, key=lambda kind: (counts[kind], kind))
    _, _, kind = _KINDS[main_kind]
    misfits = {i: _KINDS[k][1] for i, k in enumerate(kinds) if k not in (main_kind, -1)}
    if main_kind == _LIST and (lists := _lists(cells, misfits)) is not None:
        return lists, misfits
    if kind is None:
        nested = {i: _KINDS[k][1] for i, k in enumerate(kinds) if k != -1}
        return pa.nulls(len(cells), pa.large_string()), nested
    values: list[Any] = []
    for i, cell in enumerate(cells):
        value = cell if i not in misfits else None
        if isinstance(value, str) and not _is_encodable(value):
            value, misfits[i] = None, "not Unicode"
        if main_kind == 1 and isinstance(value, int) and not -(2**63) <= value < 2**63:
            value, misfits[i] = None, "a huge number"
        values.append(float(value) if main_kind == 2 and value is not None else value)
    return pa.array(values, kind), misfits


def _kind_of(cell: Any) -> int:
    if cell is None:
        return -1
    return next(i for i, (kind, _, _) in enumerate(_KINDS) if isinstance(cell, kind))


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
