"""Images: as torchvision makes them, varied by seed, epoch and row alone, broken ones refused."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import archspec
from archspec.data import Data, ImageEncoder, UnreadableImage, encoder_for, open_data
from archspec.data.images import MAX_PIXELS, _random_crop, decoded
from archspec.errors import DataError
from archspec.lang.schema import ImageInput, Task

TASK = Task(kind="image-classification")
GREY = ImageInput(channels=1, resize=28, crop=28, mean=[0.5], std=[0.5])


def picture(width: int, height: int, mode: str = "RGB", seed: int = 0) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values).convert(mode)


def file_of(image: Image.Image, kind: str = "PNG", **given: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **given)
    return stream.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A small PNG that says it is large."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(bytes(100_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


# ------------------------------------------------------------------------------ as torchvision does

sizes = st.integers(1, 90)


flags = st.booleans()


@given(sizes, sizes, st.integers(1, 80), st.integers(1, 80), st.sampled_from([1, 3]), flags, flags)
@settings(max_examples=40)
def test_as_torchvision_does(
    width: int, height: int, resize: int, crop: int, channels: int, cubic: bool, stretch: bool
) -> None:
    """Equal to float32's rounding: both resize the same 8-bit pixels."""
    from torchvision import transforms

    mean, std = [0.1, 0.2, 0.3][:channels], [0.5, 0.6, 0.7][:channels]
    kinds = {kind.value: kind for kind in transforms.InterpolationMode}
    theirs = transforms.Compose(
        [
            transforms.Resize(
                (resize, resize) if stretch else resize, kinds["bicubic" if cubic else "bilinear"]
            ),
            transforms.CenterCrop(crop),
            transforms.ToTensor(),
            transforms.Normalize(mean, std),
        ]
    )
    image = picture(width, height).convert("L" if channels == 1 else "RGB")
    how: dict[str, Any] = {"stretch": stretch}
    how |= {"interpolation": "bicubic"} if cubic else {}
    ours = ImageInput(channels=channels, resize=resize, crop=crop, mean=mean, std=std, **how)  # pyright: ignore[reportArgumentType]
    found = ImageEncoder(ours).encode(file_of(image))
    expected = theirs(image)
    assert isinstance(expected, torch.Tensor)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_the_random_part_is_cut_as_torchvision_cuts_it() -> None:
    """Not the same parts, as chance is another, but parts of the same sizes: their mean areas."""
    from torchvision import transforms

    image = picture(320, 240)
    pixels = torch.zeros(3, 240, 320)
    parameters = transforms.RandomResizedCrop.get_params
    theirs = [parameters(pixels, [0.08, 1], [3 / 4, 4 / 3]) for _ in range(2_000)]
    expected = sum(h * w for _, _, h, w in theirs) / len(theirs) / (320 * 240)
    cut: list[float] = []

    class Spy(Image.Image):
        def crop(self, box: Any = None) -> Image.Image:
            cut.append((box[2] - box[0]) * (box[3] - box[1]) / (320 * 240))
            return Image.new("RGB", (4, 4))

    spy = Spy()
    spy.__dict__.update(image.__dict__)
    for row in range(2_000):
        _random_crop(spy, 8, Image.Resampling.BILINEAR, np.random.default_rng(row))
    assert min(cut) > 0.07 and max(cut) <= 1
    assert abs(sum(cut) / len(cut) - expected) < 0.03


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_becomes_grey_or_colour(mode: str, channels: int) -> None:
    kind = "JPEG" if mode in ("CMYK", "YCbCr") else "PNG"
    numbers = [0.5] * channels
    task = ImageInput(channels=channels, resize=8, crop=8, mean=numbers, std=numbers)  # pyright: ignore[reportArgumentType]
    found = ImageEncoder(task).encode(file_of(picture(9, 8, mode), kind))
    assert found.shape == (channels, 8, 8) and found.dtype == torch.float32
    assert -1 <= found.min() < found.max() <= 1


def test_sixteen_bits_are_not_cut_off() -> None:
    values = (np.arange(64, dtype=np.uint16).reshape(8, 8) * 1_024).astype(np.uint16)
    task = ImageInput(channels=1, resize=8, crop=8, mean=[0.0], std=[1.0])
    found = ImageEncoder(task).encode(file_of(Image.fromarray(values)))
    assert torch.equal((found * 255).round().flatten(), torch.arange(64) * 4.0)


def test_photographs_stand_upright() -> None:
    image = Image.new("L", (4, 8))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    assert decoded(file_of(image, "JPEG", exif=exif)).size == (8, 4)


# --------------------------------------------------------------------------------------- variation


@pytest.mark.parametrize("kind", ["flip", "shift-flip", "resized-crop-flip"])
def test_seed_epoch_and_row_decide_how_an_image_varies(kind: str) -> None:
    task = GREY.model_copy(update={"augment": kind})
    encoder, data = ImageEncoder(task, train=True), file_of(picture(28, 28))
    again = ImageEncoder(task, train=True)
    keys = [(s, e, r) for s in range(2) for e in range(4) for r in range(4)]
    found = [encoder.encode(data, key) for key in keys]
    assert all(torch.equal(a, again.encode(data, k)) for a, k in zip(found, keys, strict=True))
    different = {one.numpy().tobytes() for one in found}
    assert len(different) == 2 if kind == "flip" else len(different) > 20
    plain = ImageEncoder(task).encode(data)
    assert torch.equal(plain, ImageEncoder(GREY).encode(data, (1, 2, 3)))


def test_a_flip_and_a_shift() -> None:
    data = file_of(picture(28, 28))
    plain = ImageEncoder(GREY).encode(data)
    flip = ImageEncoder(GREY.model_copy(update={"augment": "flip"}), train=True)
    found = [flip.encode(data, (0, 0, row)) for row in range(200)]
    assert all(torch.equal(one, plain) or torch.equal(one, plain.flip(2)) for one in found)
    assert 70 < sum(torch.equal(one, plain) for one in found) < 130
    padded = torch.nn.functional.pad(plain, (4, 4, 4, 4), value=-1.0)
    parts = [padded[:, y : y + 28, x : x + 28] for y in range(9) for x in range(9)]
    known = {part.contiguous().numpy().tobytes() for one in parts for part in (one, one.flip(2))}
    shift = ImageEncoder(GREY.model_copy(update={"augment": "shift-flip"}), train=True)
    found = [shift.encode(data, (0, 0, row)) for row in range(50)]
    assert {one.numpy().tobytes() for one in found} <= known


@pytest.mark.parametrize(
    ("crop", "augment", "train", "stands_for"),
    [
        (64, "auto", True, "shift-flip"),
        (65, "auto", True, "resized-crop-flip"),
        (224, "none", True, "none"),
        (224, "flip", True, "flip"),
        (224, "auto", False, "none"),
    ],
)
def test_what_augment_stands_for(crop: int, augment: Any, train: bool, stands_for: str) -> None:
    task = ImageInput(crop=crop, augment=augment)
    assert ImageEncoder(task, train=train).augmentation == stands_for


# ----------------------------------------------------------------------------------------- the spec

SPEC = """
archspec: 1
model: M
blocks: {M: {inputs: {image: [batch, 1, 28, 28]}, modules: {flat: {type: Flatten}}}}
task:
  kind: image-classification
"""


def test_the_encoder_of_a_spec() -> None:
    text = SPEC + "  image: {channels: 1, resize: 28, crop: 28, mean: [0.5], std: [0.5]}\n"
    encoder = encoder_for(archspec.loads(text), train=True)
    assert isinstance(encoder, ImageEncoder)
    assert (encoder.settings, encoder.train, encoder.name) == (GREY, True, "image")
    with pytest.raises(DataError) as caught:
        encoder_for(archspec.loads(SPEC, name="m.yaml"))
    assert caught.value.message.endswith("takes images of 1 channels, its task says 3")
    resnet = encoder_for(archspec.load("resnet18"))
    assert isinstance(resnet, ImageEncoder) and resnet.name == "x"


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("{mean: [0.5]}", "mean does not fit the image's channels"),
        ("{channels: 1, mean: [0.5]}", "std does not fit the image's channels"),
        ("{std: [0.5, 0, 0.5]}", "std does not fit the image's channels"),
        ("{mean: [.nan, 0.5, 0.5]}", "mean does not fit the image's channels"),
    ],
)
def test_numbers_that_do_not_fit_the_channels(image: str, message: str) -> None:
    with pytest.raises(archspec.SpecError) as caught:
        archspec.loads(f"{SPEC}  image: {image}\n")
    assert (caught.value.code, caught.value.message) == ("E202", message)
    assert caught.value.place is not None and caught.value.place.line == 7


# ---------------------------------------------------------------------------------- opening folders


def folders(root: Path, names: str = "train test") -> Path:
    for split in names.split():
        for label in ("cat", "dog"):
            folder = root / split / label
            folder.mkdir(parents=True)
            for i in range(4):
                picture(6, 5, seed=i + len(label + split)).save(folder / f"{i}.png")
    return root


def opened(source: Any, **given: Any) -> Data:
    return open_data(source, task=TASK, **given)


def bad_rows(source: Any) -> list[str]:
    return [str(row) for row in opened(source, max_bad_rows=1, validation_fraction=0).bad]


def test_images_in_folders_of_classes(tmp_path: Path) -> None:
    data = opened(folders(tmp_path), validation_fraction=0.25)
    assert data.counts == {
        "train": {"cat": 3, "dog": 3},
        "validation": {"cat": 1, "dog": 1},
        "test": {"cat": 4, "dog": 4},
    }
    first = data.splits["test"][0]
    assert first == (tmp_path / "test" / "cat" / "0.png").read_bytes()
    alone = opened(tmp_path / "train", validation_fraction=0)
    assert alone.counts == {"train": {"cat": 4, "dog": 4}}


def test_only_the_first_frame_is_read_and_that_is_told(tmp_path: Path) -> None:
    frames = [picture(6, 5, seed=i) for i in range(3)]
    for kind in ("gif", "png", "webp", "tiff"):
        root = folders(tmp_path / kind)
        target = root / "train" / "cat" / f"1.{kind}"
        frames[0].save(target, save_all=True, append_images=frames[1:], duration=100)
        note = "1 image has several frames, of which only the first is read"
        assert any(text.startswith(note) for text in opened(root).notes), kind


def test_a_table_of_paths_is_the_same_data(tmp_path: Path) -> None:
    folders(tmp_path, "train")
    paths = sorted((tmp_path / "train").glob("*/*.png"))
    lines = [f"{p.relative_to(tmp_path)},{p.parent.name}" for p in paths]
    (tmp_path / "a.csv").write_text("\n".join(["image,label", *lines]))
    images = [{"bytes": path.read_bytes(), "path": path.name} for path in paths]
    labels = [path.parent.name for path in paths]
    pq.write_table(pa.table({"image": images, "label": labels}), tmp_path / "a.parquet")
    plain = pa.table({"image": [p.read_bytes() for p in paths], "label": labels})
    pq.write_table(plain, tmp_path / "bytes.parquet")
    names = [tmp_path / name for name in ("train", "a.csv", "a.parquet", "bytes.parquet")]
    assert len({opened(name).fingerprint for name in names}) == 1


# ----------------------------------------------------------------------------------- hostile images


def test_images_that_cannot_be_used(tmp_path: Path) -> None:
    folder = folders(tmp_path, "train") / "train" / "cat"
    whole = file_of(picture(20, 20))
    files = {
        "4.png": b"",
        "5.png": b"not an image",
        "6.png": whole[:200],
        "7.png": whole[:100] + b"\0" * 50 + whole[150:],
        "8.png": bomb(60_000, 60_000),
        "9.png": bomb(9_000, 9_000),
        "9a.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    found = bad_rows(tmp_path / "train")
    assert [row.partition(": ")[0] for row in found] == [
        f"cat/{name}, row {i}" for i, name in enumerate(files, 5)
    ]
    reasons = [row.split(": ")[1] for row in found]
    assert reasons == ["no image", *["unreadable image"] * 3, *["too large image"] * 2,
                       "unreadable image"]  # fmt: skip
    assert f"{9_000:,} × {9_000:,} pixels" in found[5] and MAX_PIXELS < 9_000 * 9_000
    assert "not PNG, JPEG," in found[6]


def test_paths_that_lead_out_of_the_folder(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    picture(4, 4).save(secret)
    folder = folders(tmp_path / "data", "train") / "train"
    (folder / "cat" / "4.png").symlink_to(secret)
    (folder / "cat" / "5.png").symlink_to(folder / "dog" / "0.png")
    (folder / "cat" / "6.png").symlink_to(folder / "nowhere.png")
    os.mkfifo(folder / "cat" / "7.png")
    assert bad_rows(folder) == [
        "cat/4.png, row 5: unreadable image: outside the data's folder",
        "cat/6.png, row 7: no image: no such file",
        "cat/7.png, row 8: no image: no such file",
    ]
    lines = ["image,label", "train/cat/0.png,a", "../secret.png,b", f"{secret},a", "no.png,b"]
    path = tmp_path / "data" / "a.csv"
    path.write_text("\n".join([*lines, "train/dog/0.png,b"]))
    assert bad_rows(path) == [
        "a.csv, row 2 (line 3): unreadable image: outside the data's folder",
        "a.csv, row 3 (line 4): unreadable image: outside the data's folder",
        "a.csv, row 4 (line 5): no image: no such file",
    ]
    within = opened(path, base=tmp_path, labels=["a", "b"], max_bad_rows=1, validation_fraction=0)
    assert [row.row for row in within.bad] == [1, 2, 4, 5]
    assert within.splits["train"][0] == secret.read_bytes()


@given(st.binary(max_size=60), st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"]),
       st.integers(0, 400), st.integers(0, 60))  # fmt: skip
@settings(max_examples=80)
def test_broken_images_give_one_kind_of_error(
    noise: bytes, kind: str, at: int, length: int
) -> None:
    whole = file_of(picture(12, 12), kind)
    data = whole[:at] + noise + whole[at + length :]
    encoder = ImageEncoder(GREY)
    try:
        found = encoder.encode(data)
    except (UnreadableImage, DataError):
        return
    assert found.shape == (1, 28, 28)
