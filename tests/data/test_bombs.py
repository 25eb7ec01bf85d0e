"""Little that unpacks to much is refused before it does; errors of libraries stay what they are."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import archspec
from archspec.data import open_data, unpacking
from archspec.data.images import UnreadableImage, decoded
from archspec.data.tables import read_table
from archspec.errors import DataError, UsageError
from archspec.lang.schema import Task
from archspec.predicting.row_reader import row_file

TEXTS, IMAGES = Task(kind="text-classification"), Task(kind="image-classification")
ROWS = 400


def write_arrow(path: Path, table: pa.Table, compression: str | None = None) -> None:
    options = pa.ipc.IpcWriteOptions(compression=compression)
    new = pa.ipc.new_file if path.suffix == ".feather" else pa.ipc.new_stream
    with pa.OSFile(str(path), "wb") as sink, new(sink, table.schema, options=options) as writer:
        writer.write_table(table)


def test_tables_that_unpack_to_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "MIN_REFUSED_BYTES", 5_000_000)
    numbers = pa.array(np.zeros(ROWS, np.int32))
    repeated = pa.DictionaryArray.from_arrays(numbers, pa.array(["x" * 300_000]))
    lists = pa.ListArray.from_arrays(pa.array(range(ROWS + 1), pa.int32()), repeated)
    label = pa.array([0, 1] * (ROWS // 2))
    whole: dict[str, Any] = {"compression": "zstd", "store_schema": False}
    whole["dictionary_pagesize_limit"] = 2**30
    pq.write_table(pa.table({"text": repeated, "label": label}), tmp_path / "a.parquet", **whole)
    pq.write_table(pa.table({"text": lists, "label": label}), tmp_path / "b.parquet", **whole)
    zeros = pa.table({"text": pa.nulls(1_000_000, pa.int64())})
    write_arrow(tmp_path / "c.feather", zeros, "zstd")
    write_arrow(tmp_path / "d.arrow", zeros, "zstd")
    write_arrow(tmp_path / "e.arrow", pa.table({"text": repeated, "label": label}))
    for path in sorted(tmp_path.iterdir()):
        before = pa.total_allocated_bytes()
        with pytest.raises(DataError, match="bytes that unpack to") as caught:
            read_table([path])
        assert caught.value.code == "E901", path.name
        if path.name != "e.arrow":
            with pytest.raises(DataError, match="bytes that unpack to"):
                row_file(path)
        assert pa.total_allocated_bytes() - before < 5_000_000


def test_rows_that_take_no_space(tmp_path: Path) -> None:
    """Equal and missing values are counted, not written: a few bytes hold millions of them."""
    few, many = 2_000, 2_000_000
    lists = pa.ListArray.from_arrays(pa.array([0, many, many], pa.int32()), pa.nulls(many))
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([many], pa.int32()), pa.array(["x"]))
    for name, label in (("nulls", pa.nulls(many, pa.string())), ("zeros", pa.array([0] * many))):
        table = pa.table({"text": pa.nulls(many, pa.string()), "label": label})
        pq.write_table(table, tmp_path / f"{name}.parquet", compression="zstd")
    write_arrow(tmp_path / "nulls.feather", table, "zstd")
    write_arrow(tmp_path / "nothing.arrow", pa.table({"text": pa.nulls(many)}))
    write_arrow(tmp_path / "runs.arrow", pa.table({"text": runs}))
    write_arrow(tmp_path / "lists.arrow", pa.table({"text": lists}))
    pq.write_table(pa.table({"text": lists}), tmp_path / "lists.parquet", compression="zstd")
    for path in sorted(tmp_path.iterdir()):
        for read in (lambda path: read_table([path]), row_file):
            with pytest.raises(DataError, match=r"bytes that claim 2,000,00\d rows") as caught:
                read(path)
            assert caught.value.code == "E901", path.name
    texts = pa.nulls(few, pa.string())
    table = pa.table({"text": texts, "label": pa.array([0] * few)})
    for name in ("few.parquet", "few.feather"):
        path = tmp_path / name
        pq.write_table(table, path) if name.endswith("t") else write_arrow(path, table)
        assert len(read_table([path])) == few


def test_what_is_large_for_good_reasons_is_read(tmp_path: Path) -> None:
    texts = [f"a text of its own {i}" for i in range(2_000)]
    table = pa.table({"text": texts, "label": pa.array(["a", "b"] * 1_000).dictionary_encode()})
    pq.write_table(table, tmp_path / "a.parquet")
    write_arrow(tmp_path / "b.feather", table, "lz4")
    write_arrow(tmp_path / "c.arrow", table, "zstd")
    for path in sorted(tmp_path.iterdir()):
        assert open_data(path, task=TEXTS, validation_fraction=0).labels == ("a", "b")


def png(width: int, height: int) -> bytes:
    """The head of an image, and a body that is never come to."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1_000_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body)


def test_images_that_unpack_to_gigabytes() -> None:
    with pytest.raises(UnreadableImage) as caught:
        decoded(png(30_000, 30_000))
    assert caught.value.reason == "too large image"


# -------------------------------------------------------------------------------- 32-bit integers


def saved(values: np.ndarray, kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(values).save(file, kind)
    return file.getvalue()


def test_integers_of_32_bits_are_refused_and_of_16_kept() -> None:
    for kind in ("PNG", "TIFF", "PPM"):
        image = decoded(saved(np.array([[0, 256, 65_535]], np.uint16), kind))
        assert np.asarray(image).tolist() == [[0, 1, 255]], kind
    for most in (200, 70_000):
        values = np.array([[0, most]], np.int32)
        with pytest.raises(UnreadableImage, match="integers of 32 bits, whose range is not known"):
            decoded(saved(values, "TIFF"))


# ----------------------------------------------------------------------------- errors of libraries


def test_a_broken_library_is_not_taken_for_broken_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(3):
            Image.new("L", (8, 8), i).save(tmp_path / name / f"{i}.png")

    def broken(*given: object, **options: object) -> None:
        raise RuntimeError("symbol not found")

    monkeypatch.setattr(Image, "open", broken)
    with pytest.raises(UsageError, match="Pillow can decode no image: RuntimeError: symbol"):
        open_data(tmp_path, task=IMAGES)
    monkeypatch.undo()
    pq.write_table(pa.table({"text": ["a b"], "label": [1]}), tmp_path / "c.parquet")
    monkeypatch.setattr(pq, "ParquetFile", broken)
    with pytest.raises(RuntimeError, match="symbol not found"):
        archspec.open_data(tmp_path / "c.parquet", task=TEXTS)
