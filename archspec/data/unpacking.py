"""How large a table becomes when it is unpacked, told before that is done.

A few kilobytes of Parquet or Arrow can stand for gigabytes: pages are compressed, and the values of
a dictionary are repeated by their numbers alone.
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

ALWAYS_FITS = 1_000_000_000  # bytes
MOST_TIMES = 50  # as many bytes as the file has
_ROWS = 16_384  # of a batch whose texts are numbers of a dictionary's


def refuse_parquet_bomb(path: Path) -> None:
    """Whether a Parquet file unpacks to no more than its size lets expect.

    Raises:
        DataError: E901.
        ArrowException, OSError: it cannot be read.
    """
    size = path.stat().st_size
    with pq.ParquetFile(path) as file:
        meta = file.metadata
        groups = [meta.row_group(i) for i in range(meta.num_row_groups)]
        _check(path, sum(group.total_byte_size for group in groups), size)
        repeated = {
            chunk.path_in_schema
            for group in groups
            for chunk in map(group.column, range(group.num_columns))
            if chunk.has_dictionary_page and chunk.physical_type.endswith("BYTE_ARRAY")
        }
        # A value may be as long as all of its column is: so often does it fit.
        longest = sum(group.total_byte_size for group in groups)
        if not repeated or meta.num_rows * longest <= ALWAYS_FITS:
            return
    unpacked = 0
    with pq.ParquetFile(path, read_dictionary=sorted(repeated)) as file:
        for batch in file.iter_batches(_ROWS, columns=sorted(repeated), use_threads=False):
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
    """Bytes of a column's cells, where those of a dictionary are written out."""
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
    taken = pc.take(lengths, array.indices.cast(pa.int64()))
    found = pc.sum(taken).as_py()  # pyright: ignore[reportAttributeAccessIssue]
    return (found or 0) + 4 * len(array)


def refuse_arrow_bomb(path: Path) -> None:
    """Whether an Arrow file's or stream's buffers unpack to what its size lets expect.

    Raises:
        DataError: E901.
        ArrowException, OSError, struct.error: it cannot be read.
    """
    unpacked = 0
    with pa.memory_map(str(path)) as source:
        if source.read(6) == b"ARROW1":
            source.seek(8)  # a file is a stream between marks, and a table of contents
        else:
            source.seek(0)
        for message in pa.ipc.MessageReader.open_stream(source):
            if message.type in ("record batch", "dictionary"):
                unpacked += _message_bytes(message)
                _check(path, unpacked, path.stat().st_size)


def _message_bytes(message: Any) -> int:
    """What its buffers claim to unpack to: each compressed one begins with its length.

    https://github.com/apache/arrow/blob/main/format/Message.fbs
    """
    metadata, body = message.metadata.to_pybytes(), message.body
    batch = _follow(metadata, _field(metadata, _follow(metadata, 0), 2))
    if message.type == "dictionary":
        batch = _follow(metadata, _field(metadata, batch, 1))
    buffers, is_compressed = _field(metadata, batch, 2), _field(metadata, batch, 3)
    if not buffers or not is_compressed:
        return 0
    vector = _follow(metadata, buffers)
    (count,) = struct.unpack_from("<I", metadata, vector)
    total = 0
    for i in range(count):
        offset, length = struct.unpack_from("<qq", metadata, vector + 4 + 16 * i)
        if length >= 8:
            total += max(0, *struct.unpack_from("<q", body, offset))
    return total


def _follow(data: bytes, place: int) -> int:
    """Where an offset of a flatbuffer leads to."""
    return place + struct.unpack_from("<I", data, place)[0]


def _field(data: bytes, table: int, number: int) -> int:
    """Where a field of a flatbuffer's table is; 0 if it is not there."""
    layout = table - struct.unpack_from("<i", data, table)[0]
    place = 4 + 2 * number
    if place >= struct.unpack_from("<H", data, layout)[0]:
        return 0
    offset = struct.unpack_from("<H", data, layout + place)[0]
    return table + offset if offset else 0


def refuse_dictionary_bomb(name: str, table: Any) -> None:
    """Whether the dictionaries of an Arrow table can be written out.

    Raises:
        DataError: E901.
    """
    columns = [column for column in table.columns if pa.types.is_dictionary(column.type)]
    _check(name, sum(map(unpacked_bytes, columns)), table.nbytes)


def _check(path: object, unpacked: int, size: int) -> None:
    if unpacked > ALWAYS_FITS and unpacked > MOST_TIMES * size:
        message = f"{path}: {size:,} bytes that unpack to {unpacked:,} or more"
        raise DataError(Problem("E901", message))
