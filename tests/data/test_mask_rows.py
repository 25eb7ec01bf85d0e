"""Images with masks: found, checked by file and value, and varied as their images are."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from archspec.data import Data, ImageEncoder, batches, open_data
from archspec.data.class_weights import class_weights
from archspec.data.masks import decoded_mask, encode_mask
from archspec.errors import DataError
from archspec.lang.schema import ImageInput, Task, TaskKind
from archspec.tasks import IGNORED
from tests.tables import every

LEVEL = 40  # grey of an image for each class of its mask
CLASSES = "sky\nroad\ncar\n"


def classes(seed: int, size: tuple[int, int] = (12, 8)) -> np.ndarray:
    found = np.random.default_rng(seed).integers(0, 3, size).astype(np.uint8)
    found[0, :3] = (0, 1, 2)
    return found


def write(folder: Path, *names: str, first: int = 0) -> None:
    """Images, and masks of them that have the same names."""
    for seed, name in enumerate(names, first):
        for kind, values in (("images", classes(seed) * LEVEL), ("masks", classes(seed))):
            path = folder / kind / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(path)


def opened(source: Any, kind: TaskKind = "image-segmentation", **given: Any) -> Data:
    return open_data(source, task=Task(kind=kind), **{"validation_fraction": 0, **given})


def refused(source: Any, kind: TaskKind = "image-segmentation", **given: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        opened(source, kind, **given)
    return caught.value


def test_folders_of_images_and_masks(tmp_path: Path) -> None:
    write(tmp_path / "train", "a", "deep/b", "c", "d")
    write(tmp_path / "test", "e", first=4)
    (tmp_path / "train/images/c.png").unlink()
    (tmp_path / "classes.txt").write_text(CLASSES)
    palette = Image.fromarray(classes(1)).convert("P")
    palette.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    palette.save(tmp_path / "train/masks/deep/b.png")
    data = opened(tmp_path, validation_fraction=0.4)
    assert data.labels == ("sky", "road", "car")
    assert (data.columns.image, data.columns.label) == ("image", "mask")
    assert {name: len(rows) for name, rows in data.splits.items()} == {
        "train": 2, "validation": 1, "test": 1,
    }  # fmt: skip
    assert data.counts["test"] == dict(
        zip(data.labels, np.bincount(classes(4).ravel()).tolist(), strict=True)
    )
    assert data.notes == (f"{tmp_path}/train/masks: masks without an image are not used: c",)
    assert data.rule == "validation is 0.4 of train, cut at random, with seed 0"
    assert "pixels of class" in str(data)
    counts = np.array([*data.counts["train"].values()])
    weights = class_weights(data, "balanced")
    assert weights == pytest.approx((counts.sum() / (3 * counts)).tolist())
    before = data.fingerprint
    Image.fromarray(classes(9)).save(tmp_path / "test/masks/e.png")
    assert opened(tmp_path, validation_fraction=0.4).fingerprint != before
    assert opened(tmp_path, labels=["x", "y", "z"]).labels == ("x", "y", "z")
    (tmp_path / "classes.txt").unlink()
    assert opened(tmp_path).labels == ("0", "1", "2")
    (tmp_path / "test/masks/e.png").unlink()
    (tmp_path / "test/masks").rmdir()
    assert opened(tmp_path).notes[-1] == "the test split 'test' has no labels and is left out"


def test_tables_of_images_and_masks(tmp_path: Path) -> None:
    write(tmp_path, "a", "b")
    rows = [f"masks/{name}.png,images/{name}.png" for name in "ab"]
    (tmp_path / "rows.csv").write_text("\n".join(["truth,photo", *rows]))
    wanted: dict[str, Any] = {"image_column": "photo", "label_column": "truth"}
    paths = opened(tmp_path / "rows.csv", **wanted)
    read = [{k: (tmp_path / f"{k}s/{n}.png").read_bytes() for k in ("image", "mask")} for n in "ab"]
    kept = opened(read)
    assert (kept.columns.image, kept.columns.label) == ("image", "mask")
    assert kept.counts == paths.counts == opened(tmp_path).counts
    encoder = ImageEncoder(ImageInput(channels=1, resize=8, crop=8, mean=[0], std=[1]))
    found = [next(iter(batches(d.splits["train"], encoder, batch_size=2, shuffle=False)))
             for d in (paths, kept)]  # fmt: skip
    assert torch.equal(found[0]["labels"], found[1]["labels"])
    error = refused(tmp_path / "rows.csv")
    assert (error.code, error.message) == (
        "E902", "rows.csv: truth, photo could each be the image",
    )  # fmt: skip


@every("augment", ["none", "flip", "shift-flip", "resized-crop-flip"])
def test_masks_vary_as_their_images(augment: Any) -> None:
    settings = ImageInput(channels=1, resize=12, crop=14, mean=[0], std=[1], augment=augment)
    encoder = ImageEncoder(settings, train=True)
    image = classes(3, (12, 16)) + np.uint8(1)
    if augment == "resized-crop-flip":  # two large parts: between them pixels are mixed
        image = np.repeat([[1] * 7 + [2] * 9], 12, 0).astype(np.uint8)
    labels = np.where(np.arange(16) < 5, 255, image).astype(np.uint8)
    masks: list[np.ndarray] = []
    for seed in range(8):
        key = (seed, 1, 2)
        pixels = encoder.tensor(Image.fromarray(image * LEVEL), key)[0].numpy() * 255 / LEVEL
        mask = encode_mask(encoder, png(labels), key)
        assert mask.shape == pixels.shape == (14, 14) and mask.dtype == np.int64
        known = mask != IGNORED
        near = np.abs(pixels - mask) < 0.01
        assert near[known].mean() > 0.7 if augment == "resized-crop-flip" else near[known].all()
        assert known[pixels < 0.5].sum() == 0  # beyond the edge it is black
        masks.append(mask)
    assert {*np.unique(masks).tolist()} <= {IGNORED, 1, 2, 3} and IGNORED in np.array(masks)
    assert (len({mask.tobytes() for mask in masks}) > 1) == (augment != "none")


def png(values: np.ndarray, **given: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(values).save(file, "PNG", **given)
    return file.getvalue()


def small(bits: int) -> bytes:
    """A grey PNG of so few bits, made of one that has a palette."""
    import struct
    import zlib

    data = struct.pack(">IIBBBBB", 8, 12, bits, 0, 0, 0, 0)
    lines = zlib.compress((b"\0" + b"\x01" * bits) * 12)
    chunks = ((b"IHDR", data), (b"IDAT", lines), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks
    )


def jpeg() -> bytes:
    file = io.BytesIO()
    Image.fromarray(classes(0)).save(file, "JPEG")
    return file.getvalue()


BAD: list[tuple[Callable[[], bytes] | None, str]] = [
    (None, "no mask"),
    (lambda: png(classes(0).T), "mask of another size: masks/a.png: 12 × 8 pixels, its image"
     " 8 × 12"),
    (lambda: png(classes(0) + np.uint8(5)), "mask outside the classes: masks/a.png: value 5, 6, 7,"
     " and the classes are 0 to 2, and 255 is ignored"),
    (lambda: png(np.full((12, 8), 255, np.uint8)), "mask without a class: masks/a.png: all pixels"
     " are 255, which is ignored"),
    (lambda: png(np.zeros((12, 8, 3), np.uint8)), "unreadable mask: colours, not class numbers:"
     " save it with a palette, or grey with 8 bits"),
    (lambda: png(np.zeros((12, 8), np.uint16)), "unreadable mask: grey values of 16 bits, not class"
     " numbers: save it with a palette, or grey with 8 bits"),
    (lambda: small(4), "unreadable mask: grey values of 4 bits: save it with 8, or with a palette"),
    (jpeg, "unreadable mask: no PNG: other formats may change the values, which are class numbers"),
    (lambda: png(classes(0))[:60], "unreadable mask: "),
]  # fmt: skip


@every("make, reason", BAD)
def test_masks_that_are_refused(
    make: Callable[[], bytes] | None, reason: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("bad")
    write(folder, "a", "b", "c")
    (folder / "classes.txt").write_text(CLASSES)
    (folder / "masks/a.png").unlink()
    if make is not None:
        (folder / "masks/a.png").write_bytes(make())
    error = refused(folder)
    (problem,) = error.problems
    assert problem.code == "E903" and problem.message.startswith("1 of the 3 rows of train are bad")
    assert problem.notes[0].message.startswith(f"images/a.png, row 1: {reason}"), problem.notes
    data = opened(folder, max_bad_rows=0.5)
    assert [row.file for row in data.bad] == ["images/a.png"] and len(data.splits["train"]) == 2


def test_one_bit_is_two_classes() -> None:
    assert set(np.unique(decoded_mask(png(classes(0) > 1)))) == {0, 1}
    assert set(np.unique(decoded_mask(small(1)))) == {0, 1}


def test_what_is_no_folder_of_masks(tmp_path: Path) -> None:
    write(tmp_path, "a", "b")
    error = refused(tmp_path, kind="image-classification")
    assert error.code == "E907" and "--task image-segmentation" in error.problems[0].hint
    files = {
        "a\n\nb": "line 2: no name", "a\nb\na": "two classes are called 'a'",
        "one": "1 classes, not 2 to 255",
    }  # fmt: skip
    for text, message in files.items():
        (tmp_path / "classes.txt").write_text(text)
        error = refused(tmp_path)
        assert error.code == "E906" and error.message.endswith(message)
    (tmp_path / "classes.txt").write_bytes(b"\xff\xfe")
    assert refused(tmp_path).code == "E901"
    (tmp_path / "classes.txt").unlink()
    for name in "ab":
        black_and_white = (classes(0) > 0).astype(np.uint8) * 255
        Image.fromarray(black_and_white).save(tmp_path / f"masks/{name}.png")
    error = refused(tmp_path)
    assert error.code == "E906" and error.message == "images/a.png: all pixels of the masks are 0"
    assert error.problems[0].hint.endswith("in masks of black and white, white should be 1")
    Image.fromarray(classes(0)).save(tmp_path / "images/a.bmp")
    error = refused(tmp_path)
    assert (error.code, error.message) == ("E901", f"{tmp_path}/images: several files are called a")
    for path in (tmp_path / "masks").iterdir():
        path.unlink()
    (tmp_path / "masks").rmdir()
    (tmp_path / "images/a.bmp").unlink()
    error = refused(tmp_path)
    assert (error.code, error.message) == ("E902", "images/a.png: no masks beside the images")
