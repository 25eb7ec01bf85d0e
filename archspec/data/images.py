"""Images: checked, decoded, resized, cropped, varied and normalised, with Pillow and torch alone.

What torchvision's transforms do with the same settings is the reference.
"""

from __future__ import annotations

import io
import json
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from archspec.data.extras import train_extra
from archspec.errors import DataError, Problem, UsageError
from archspec.lang.schema import ImageInput

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")  # none that runs a program
MAX_BYTES = 100_000_000
MAX_PIXELS = 50_000_000
SMALL = 64  # pixels; standard augmentation shifts a smaller image, of a larger one it cuts a part
SHIFT = 4  # pixels
Key = tuple[int, int, int]  # seed, epoch, row


class UnreadableImage(Exception):
    """Why an image cannot be used: ``reason`` is the same for all images of its kind."""

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason, self.detail = reason, detail
        super().__init__(reason, detail)

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


def decoded(data: bytes) -> Image.Image:
    """The image in the bytes of a file; raises as ``decoded_frame``."""
    return decoded_frame(data)[0]


def decoded_frame(data: bytes) -> tuple[Image.Image, bool]:
    """The first frame in the bytes of a file, upright, with 8 bits, and whether there are others.

    Raises:
        UnreadableImage: it is broken, of no known format, larger than ``MAX_PIXELS``, or has
            numbers whose range is not known.
    """
    with train_extra():
        from PIL import Image, ImageOps
    if not data:
        raise UnreadableImage("no image")
    if len(data) > MAX_BYTES:
        raise UnreadableImage("too large image", f"{len(data):,} bytes")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        width, height = image.size
        if width * height <= MAX_PIXELS:
            bits = _bits(image)
            has_more = bool(getattr(image, "is_animated", False))
            return _eight_bits(ImageOps.exif_transpose(image), bits), has_more
    except UnreadableImage:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadableImage("too large image", str(error)[:80]) from None
    except Exception as error:  # decoders of broken files raise whatever they come to
        refuse_library_error(error)
        detail = str(error)[:80]
        if "cannot identify" in detail:  # the rest names an object in memory
            detail = f"not {', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
        raise UnreadableImage("unreadable image", detail) from None
    raise UnreadableImage("too large image", f"{width:,} × {height:,} pixels")


def refuse_library_error(error: Exception) -> None:
    """Where no image can be decoded, it is not the data's fault.

    Raises:
        UsageError: E801, as ``error`` would be that of every image.
        ImportError: as it is.
    """
    if isinstance(error, ImportError):
        raise error
    from PIL import Image

    try:
        Image.open(io.BytesIO(_GOOD), formats=FORMATS).convert("RGB").resize((2, 2))
    except Exception as own:
        message = f"Pillow can decode no image: {type(own).__name__}: {own}"[:300]
        hint = "its installation is broken; the data may be good"
        raise UsageError(Problem("E801", message, hint=hint)) from error


# A PNG of one pixel.
_GOOD = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010800000000"
    "3a7e9b550000000a49444154789c636000000002000148afa4710000000049454e44ae426082"
)


@contextmanager
def without_size_warnings() -> Iterator[None]:
    """Pillow warns of large images; here they are bad rows instead."""
    with train_extra():
        from PIL import Image
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


_BITS_PER_SAMPLE = 258  # a tag of TIFF


def _bits(image: Image.Image) -> int:
    """Of the numbers of a grey image that has more than 8: a TIFF may have 12.

    Raises:
        UnreadableImage: they have 32, of which nobody knows how many are used.
    """
    tags: Any = getattr(image, "tag_v2", {})
    said = tags.get(_BITS_PER_SAMPLE, (0,))[:1]
    # Pillow has these numbers as of 32 bits for some formats of 16, and fits them to that range.
    if image.mode == "I" and image.format not in ("PNG", "PPM") and said != (16,):
        detail = "integers of 32 bits, whose range is not known: save it with 8 or 16"
        raise UnreadableImage("unreadable image", detail)
    return 12 if said == (12,) else 16


def _eight_bits(image: Image.Image, bits: int) -> Image.Image:
    """An image whose numbers Pillow would cut off at 255: 16 bits, or a share from 0 to 1."""
    from PIL import Image

    if not image.mode.startswith(("I", "F")):
        return image
    values = np.asarray(image)
    most = 1 if image.mode == "F" else 2**bits - 1
    if not (values.min() >= 0 and values.max() <= most):  # nor are they NaN
        raise UnreadableImage("unreadable image", f"numbers that are not from 0 to {most:,}")
    scaled = (values * 255).round() if image.mode == "F" else values >> (bits - 8)
    return Image.fromarray(scaled.astype(np.uint8))


def _in_channels(image: Image.Image, channels: int) -> Image.Image:
    return _eight_bits(image, _bits(image)).convert("L" if channels == 1 else "RGB")


@dataclass(frozen=True)
class ImageEncoder:
    """Makes a model's input of images.

    Args:
        settings: the spec's ``task.image``.
        train: whether images vary as ``settings.augment`` says.
        name: the model's input.

    Raises:
        DataError: E902, mean and standard deviation do not have a positive number per channel.

    Example:
        >>> encoder = ImageEncoder(ImageInput(resize=32, crop=28))
        >>> from PIL import Image
        >>> tuple(encoder.tensor(Image.new("RGB", (40, 50))).shape)
        (3, 28, 28)
    """

    settings: ImageInput
    train: bool = False
    name: str = "x"

    def __post_init__(self) -> None:
        given = self.settings
        lengths = {len(given.mean), len(given.std)}
        if lengths != {given.channels} or min(given.std) <= 0:
            message = f"task.image: mean and std want {given.channels} numbers, std above 0"
            raise DataError(Problem("E902", message))

    @property
    def augmentation(self) -> str:
        """What training does to images: ``none``, or what ``auto`` stands for at this size."""
        if not self.train:
            return "none"
        if self.settings.augment != "auto":
            return self.settings.augment
        return "shift-flip" if self.settings.crop <= SMALL else "resized-crop-flip"

    @property
    def definition(self) -> str:
        """All that decides what an image becomes: the settings, and how it varies."""
        version = metadata.version("pillow")
        return json.dumps([version, self.settings.model_dump(mode="json"), self.augmentation])

    def encode(self, data: bytes, key: Key = (0, 0, 0)) -> torch.Tensor:
        """The image in the bytes of a file as [channels, crop, crop]; raises UnreadableImage.

        Args:
            data: the bytes of a file.
            key: seed, epoch and row, which alone decide how the image varies in training.
        """
        return self.tensor(decoded(data), key)

    def tensor(self, image: Image.Image, key: Key = (0, 0, 0)) -> torch.Tensor:
        """As ``encode``, for an image that Pillow has opened."""
        image = _in_channels(image, self.settings.channels)
        shape = (self.settings.crop, self.settings.crop, self.settings.channels)
        values = np.asarray(self._framed(image, key)).reshape(shape).transpose(2, 0, 1)
        # In NumPy: for so few numbers torch's threads cost more than they give.
        pixels = values.astype(np.float32, order="C")
        pixels /= 255
        pixels -= np.array(self.settings.mean, dtype=np.float32)[:, None, None]
        pixels /= np.array(self.settings.std, dtype=np.float32)[:, None, None]
        return torch.from_numpy(pixels)

    def _framed(self, image: Image.Image, key: Key) -> Image.Image:
        kind = self.augmentation
        if kind == "none":
            return _centre(_resized(image, self.settings.resize), self.settings.crop)
        chance = np.random.Generator(np.random.PCG64(list(key)))
        flipped = chance.random() < 0.5
        if kind == "resized-crop-flip":
            framed = _random_part(image, self.settings.crop, chance)
        else:
            shift = SHIFT if kind == "shift-flip" else 0
            framed = _resized(image, self.settings.resize)
            framed = _shifted(framed, self.settings.crop, shift, chance)
        if not flipped:
            return framed
        from PIL import Image

        return framed.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def _resized(image: Image.Image, shorter: int) -> Image.Image:
    """The shorter side made ``shorter`` pixels long, bilinear with antialiasing."""
    from PIL import Image

    width, height = image.size
    if min(width, height) == shorter:
        return image
    check_enlarged(image.size, shorter)
    longer = _longer(image.size, shorter)
    size = (shorter, longer) if width <= height else (longer, shorter)
    return image.resize(size, Image.Resampling.BILINEAR)


def _longer(size: tuple[int, int], shorter: int) -> int:
    return int(shorter * max(size) / min(size))


def check_enlarged(size: tuple[int, int], shorter: int) -> None:
    """Whether an image is not too large when its shorter side has that many pixels.

    Raises:
        UnreadableImage: it is: a very long one.
    """
    if min(size) != shorter and _longer(size, shorter) * shorter > MAX_PIXELS:
        width, height = size
        detail = f"{width:,} × {height:,}, its shorter side made {shorter:,}"
        raise UnreadableImage("too large image", detail)


def _centre(image: Image.Image, crop: int) -> Image.Image:
    """The middle; what is missing is black."""
    left, top = (_margin(size, crop) for size in image.size)
    return image.crop((left, top, left + crop, top + crop))


def _margin(size: int, crop: int) -> int:
    return -((crop - size) // 2) if size < crop else round((size - crop) / 2)


def _shifted(image: Image.Image, crop: int, shift: int, chance: np.random.Generator) -> Image.Image:
    """The middle, moved by up to ``shift`` pixels each way."""
    dx, dy = (int(n) for n in chance.integers(-shift, shift + 1, 2))
    left, top = (_margin(size, crop) for size in image.size)
    return image.crop((left + dx, top + dy, left + dx + crop, top + dy + crop))


def _random_part(image: Image.Image, crop: int, chance: np.random.Generator) -> Image.Image:
    """8 % to 100 % of the area, 3:4 to 4:3, resized: Szegedy et al. 2014, arXiv:1409.4842."""
    from PIL import Image

    width, height = image.size
    box = (0, 0, width, height)
    for _ in range(10):
        area = width * height * chance.uniform(0.08, 1.0)
        ratio = math.exp(chance.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left = int(chance.integers(0, width - w + 1))
            top = int(chance.integers(0, height - h + 1))
            box = (left, top, left + w, top + h)
            break
    else:  # a very long image: the middle of it
        w, h = min(width, round(height * 4 / 3)), min(height, round(width * 4 / 3))
        left, top = (width - w) // 2, (height - h) // 2
        box = (left, top, left + max(1, w), top + max(1, h))
    # As torchvision: cut first, so that nothing beyond the part shows through.
    return image.crop(box).resize((crop, crop), Image.Resampling.BILINEAR)
