"""Refuses Parquet and Arrow files that unpack to far more than their size, before unpacking them.

A few kilobytes can expand to gigabytes: pages are compressed, the values of a dictionary are
repeated by their indices, and rows of equal or missing values take next to nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from archspec.data.extras import train_extra
from archspec.errors import DataError, Problem

with train_extra():
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

MIN_REFUSED_BYTES = 200_000_000  # bytes
MAX_RATIO = 50  # unpacked bytes per byte of the file
MIN_REFUSED_ROWS = 1_000_000
MAX_ROWS_PER_BYTE = 8  # of the file: one bit for each row
_BATCH_ROWS = 16_384  # rows of a batch with dictionary-encoded texts


def refuse_parquet_bomb(path: Path) -> None:
    """Check that a Parquet file does not unpack to far more than its size.

    Raises:
        DataError: E901.
        ArrowException, OSError: it cannot be read.
    """
    size = path.stat().st_size
    with pq.ParquetFile(path) as file:
        meta = file.metadata
        groups = [meta.row_group(i) for i in range(meta.num_row_groups)]
        _check(path, sum(group.total_byte_size for group in groups), size)
        # The values of a list are more than its rows.
        counts = [
            sum(group.column(i).num_values for group in groups) for i in range(meta.num_columns)
        ]
        _check_rows(path, max(meta.num_rows, *counts, 0), size)
        dictionary_columns = {
            chunk.path_in_schema
            for group in groups
            for chunk in map(group.column, range(group.num_columns))
            if chunk.has_dictionary_page and chunk.physical_type.endswith("BYTE_ARRAY")
        }
        # A single value may be as long as all columns together.
        total_bytes = sum(group.total_byte_size for group in groups)
        if not dictionary_columns or meta.num_rows * total_bytes <= MIN_REFUSED_BYTES:
            return
    unpacked = 0
    with pq.ParquetFile(path, read_dictionary=sorted(dictionary_columns)) as file:
        for batch in file.iter_batches(
            _BATCH_ROWS, columns=sorted(dictionary_columns), use_threads=False
        ):
            for column in batch.columns:
                unpacked += sum(map(unpacked_bytes, _leaves(column)))
            _check(path, unpacked, size)


def _leaves(column: Any) -> Iterator[Any]:
    """The columns within a nested one."""
    if pa.types.is_struct(column.type):
        for part in column.flatten():
            yield from _leaves(part)
    elif pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        yield from _leaves(column.flatten())
    else:
        yield column


def unpacked_bytes(column: Any) -> int:
    """Bytes of a column's cells, with dictionaries expanded."""
    if not pa.types.is_dictionary(column.type):
        return column.nbytes
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    return sum(map(_dictionary_bytes, chunks))


def _dictionary_bytes(array: Any) -> int:
    values = array.dictionary
    if not (
        pa.types.is_binary(values.type)
        or pa.types.is_string(values.type)
        or pa.types.is_large_binary(values.type)
        or pa.types.is_large_string(values.type)
    ):
        return len(array) * 8
    lengths = pc.binary_length(values)  # pyright: ignore[reportAttributeAccessIssue]
    used_lengths = pc.take(lengths, array.indices.cast(pa.int64()))
    total = pc.sum(used_lengths).as_py()  # pyright: ignore[reportAttributeAccessIssue]
    return (total or 0) + 4 * len(array)


def refuse_arrow_bomb(path: Path) -> None:
    """Check that the buffers of an Arrow file or stream do not unpack to far more than its size.

    Raises:
        DataError: E901.
        ArrowException, OSError, struct.error: it cannot be read.
    """
    unpacked, rows, size = 0, 0, path.stat().st_size
    with pa.memory_map(str(path)) as source:
        if source.read(6) == b"ARROW1":
            source.seek(8)  # a file is a stream between magic bytes, with an index
        else:
            source.seek(0)
        for message in pa.ipc.MessageReader.open_stream(source):
            if message.type in ("record batch", "dictionary"):
                metadata = message.metadata.to_pybytes()
                batch = _record_batch(metadata, message.type == "dictionary")
                rows += _message_rows(metadata, batch)
                _check_rows(path, rows, size)
                unpacked += _message_bytes(metadata, batch, message.body)
                _check(path, unpacked, size)


def _record_batch(metadata: bytes, is_dictionary: bool) -> int:
    """The position of a message's record batch.

    https://github.com/apache/arrow/blob/main/format/Message.fbs
    """
    batch = _follow_offset(metadata, _field_offset(metadata, _follow_offset(metadata, 0), 2))
    if is_dictionary:
        batch = _follow_offset(metadata, _field_offset(metadata, batch, 1))
    return batch


def _message_rows(metadata: bytes, batch: int) -> int:
    """The rows of a record batch, or the values of a column in it, where those are more."""
    length, nodes = _field_offset(metadata, batch, 0), _field_offset(metadata, batch, 1)
    rows = struct.unpack_from("<q", metadata, length)[0] if length else 0
    if not nodes:
        return rows
    vector = _follow_offset(metadata, nodes)
    (count,) = struct.unpack_from("<I", metadata, vector)
    lengths = [struct.unpack_from("<q", metadata, vector + 4 + 16 * i)[0] for i in range(count)]
    return max(rows, *lengths, 0)


def _message_bytes(metadata: bytes, batch: int, body: Any) -> int:
    """The unpacked size that its buffers declare: each compressed one begins with its length."""
    buffers, is_compressed = _field_offset(metadata, batch, 2), _field_offset(metadata, batch, 3)
    if not buffers or not is_compressed:
        return 0
    vector = _follow_offset(metadata, buffers)
    (count,) = struct.unpack_from("<I", metadata, vector)
    total = 0
    for i in range(count):
        offset, length = struct.unpack_from("<qq", metadata, vector + 4 + 16 * i)
        if length >= 8:
            total += max(0, *struct.unpack_from("<q", body, offset))
    return total


def _follow_offset(data: bytes, place: int) -> int:
    """The position that an offset of a flatbuffer refers to."""
    return place + struct.unpack_from("<I", data, place)[0]


def _field_offset(data: bytes, table: int, number: int) -> int:
    """The position of a field in a flatbuffer's table; 0 if it is absent."""
    layout = table - struct.unpack_from("<i", data, table)[0]
    place = 4 + 2 * number
    if place >= struct.unpack_from("<H", data, layout)[0]:
        return 0
    offset = struct.unpack_from("<H", data, layout + place)[0]
    return table + offset if offset else 0


def refuse_dictionary_bomb(name: str, table: Any) -> None:
    """Check that the dictionaries of an Arrow table can be expanded.

    Raises:
        DataError: E901.
    """
    columns = [column for column in table.columns if pa.types.is_dictionary(column.type)]
    _check(name, sum(map(unpacked_bytes, columns)), table.nbytes)


def _check_rows(path: object, rows: int, size: int) -> None:
    if rows > MIN_REFUSED_ROWS and rows > MAX_ROWS_PER_BYTE * size:
        message = f"{path}: {size:,} bytes that claim {rows:,} rows, less than a bit for each"
        raise DataError(Problem("E901", message))


def _check(path: object, unpacked: int, size: int) -> None:
    if unpacked > MIN_REFUSED_BYTES and unpacked > MAX_RATIO * size:
        message = f"{path}: {size:,} bytes that unpack to {unpacked:,} or more"
        raise DataError(Problem("E901", message))
