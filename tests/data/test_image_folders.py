"""Folders of images, and images of unusual numbers: no file becomes a class, or vanishes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from archspec.data import Data, ImageEncoder, UnreadableImage, open_data
from archspec.errors import DataError
from archspec.lang.schema import ImageInput, Task

TASK = Task(kind="image-classification")


def write(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (6, 6), len(name)).save(path, "PNG")


def opened(source: Any, **given: Any) -> Data:
    return open_data(source, task=TASK, **{"validation_fraction": 0, **given})


def refused(source: Any, **given: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        opened(source, **given)
    return caught.value


def test_images_are_no_text(tmp_path: Path) -> None:
    write(tmp_path, "cat/a.png", "dog/a.png")
    for kind in ("text-classification", "text-embedding"):
        with pytest.raises(DataError) as caught:
            open_data(tmp_path, task=Task(kind=kind))
        message = "cat/a.png: column 'image' holds images, and the task takes text"
        assert (caught.value.code, caught.value.message) == ("E902", message)


def test_splits_are_no_classes(tmp_path: Path) -> None:
    write(tmp_path, "train/a.png", "test/a.png")
    error = refused(tmp_path)
    assert error.code == "E904"
    assert error.message == f"{tmp_path}: the images in test, train have no folder for their class"
    write(tmp_path, "train/cat/a.png", "train/dog/a.png")
    assert refused(tmp_path).message == f"{tmp_path / 'train'}: images that lie in no class's " + (
        "folder: a.png"
    )
    (tmp_path / "train" / "a.png").unlink()
    data = opened(tmp_path)
    assert data.counts == {"train": {"cat": 1, "dog": 1}}
    assert data.unused == ("test",)
    assert data.notes[0] == "the test split 'test' has no labels and is left out"
    write(tmp_path / "vehicles", "bus/a.png", "train/a.png")
    assert opened(tmp_path / "vehicles").labels == ("bus", "train")


def test_every_file_is_a_row_or_an_error(tmp_path: Path) -> None:
    write(tmp_path, "cat/a.jfif", "dog/sub/b.png", "dog/d")
    (tmp_path / "dog" / "a.heic").write_bytes(b"heic")
    for name in ("Thumbs.db", "notes.txt", ".hidden.png"):
        (tmp_path / "cat" / name).write_text("no image")
    data = opened(tmp_path, max_bad_rows=0.25)
    assert data.counts == {"train": {"cat": 1, "dog": 2}}
    assert [(row.file, row.row, row.reason) for row in data.bad] == [
        ("dog/a.heic", 2, "unreadable image")
    ]
    write(tmp_path, "stray.png")
    assert refused(tmp_path).message.endswith("images that lie in no class's folder: stray.png")
    (tmp_path / "stray.png").unlink()
    write(tmp_path, "dog/1/2/3/4/5/a.png")
    assert refused(tmp_path).message == f"{tmp_path / 'dog/1/2/3/4'}: a folder that lies too deep"


def test_a_class_behind_a_link(tmp_path: Path) -> None:
    write(tmp_path, "data/cat/a.png", "elsewhere/a.png")
    (tmp_path / "data" / "dog").symlink_to(tmp_path / "elsewhere")
    error = refused(tmp_path / "data")
    assert (error.code, error.message) == ("E901", f"{tmp_path / 'data/dog'}: a link to a folder")


def test_what_images_are_written_in_a_file(tmp_path: Path) -> None:
    write(tmp_path, "train/a/1.png", "train/b/1.png")
    path = tmp_path / "train" / "metadata.csv"
    path.write_text("file_name,label\na/1.png,x\nb/1.png,y\n")
    error = refused(tmp_path)
    assert error.code == "E901"
    assert error.message == f"{path.parent}: a folder of images with a metadata.csv"
    assert opened(path).counts == {"train": {"x": 1, "y": 1}}


def test_an_image_that_becomes_too_large(tmp_path: Path) -> None:
    write(tmp_path, "cat/a.png", "cat/b.png", "dog/a.png")
    Image.new("L", (20_000, 1)).save(tmp_path / "cat" / "b.png")
    (row,) = opened(tmp_path, max_bad_rows=0.5).bad
    assert (row.reason, row.detail) == (
        "too large image", "20,000 × 1, its shorter side made 256",
    )  # fmt: skip


# ------------------------------------------------------------------------------ 12, 16 and 32 bits

GREY = ImageEncoder(ImageInput(channels=1, resize=4, crop=4, mean=[0.0], std=[1.0]))
STEPS = np.linspace(0, 1, 16).reshape(4, 4)


def pixels(values: np.ndarray, kind: str = "TIFF", tags: Any = None) -> list[float]:
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, kind, **({"tiffinfo": tags} if tags else {}))
    return (GREY.encode(stream.getvalue()) * 255).round().flatten().tolist()


def test_numbers_that_are_not_of_eight_bits() -> None:
    found = pixels(STEPS.astype(np.float32))
    assert found == (STEPS * 255).round().flatten().tolist()
    sixteen = (STEPS * 65_535).astype(np.uint16)
    assert pixels(sixteen) == pixels(sixteen, "PNG") == (sixteen >> 8).flatten().tolist()
    for values in (STEPS * 2, STEPS - 0.5, STEPS * np.nan):
        with pytest.raises(UnreadableImage) as caught:
            pixels(values.astype(np.float32))
        assert str(caught.value) == "unreadable image: numbers that are not from 0 to 1"
    with pytest.raises(UnreadableImage, match="integers of 32 bits, whose range is not known"):
        pixels(sixteen.astype(np.int32))


def test_twelve_bits() -> None:
    """Two numbers in three bytes, which Pillow reads, but does not write."""
    values = (STEPS * 4_095).astype(int).flatten()
    packed = b"".join(
        int(a << 12 | b).to_bytes(3, "big") for a, b in zip(values[::2], values[1::2], strict=True)
    )
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in {256: 4, 257: 4, 258: 12, 259: 1, 262: 1, 277: 1, 278: 4}.items():
        tags[tag] = value
    tags[279], tags[273] = len(packed), 0
    stream = io.BytesIO()
    stream.write(b"II*\0\x08\0\0\0")
    stream.write(tags.tobytes(8) + packed)  # which adds its own length to the offset
    found = (GREY.encode(stream.getvalue()) * 255).round().flatten().tolist()
    assert found == (values >> 4).tolist()
