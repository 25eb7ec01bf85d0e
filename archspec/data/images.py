"""Decodes, resizes, crops, augments and normalises images with Pillow and NumPy.

The results are those of torchvision's transforms with the same settings.
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

FORMATS = (
    "PNG",
    "JPEG",
    "GIF",
    "BMP",
    "WEBP",
    "TIFF",
    "PPM",
)  # none of these decoders runs a program
MAX_BYTES = 100_000_000
MAX_PIXELS = 50_000_000
MAX_SHIFTED_SIZE = (
    64  # pixels; ``auto`` shifts images up to this size and crops larger ones at random
)
SHIFT = 4  # pixels
RandomKey = tuple[int, int, int]  # seed, epoch, row


class UnreadableImage(Exception):
    """An image that cannot be used; ``reason`` is the same for all images with this fault."""

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
            bits = _bit_depth(image)
            has_more = bool(getattr(image, "is_animated", False))
            ImageOps.exif_transpose(image, in_place=True)  # no copy: a large one takes 200 MB
            return _eight_bits(image, bits), has_more
    except UnreadableImage:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadableImage("too large image", str(error)[:80]) from None
    except Exception as error:  # decoders of broken files raise errors of any type
        refuse_library_error(error)
        detail = str(error)[:80]
        if "cannot identify" in detail:  # the rest of the message is the address of an object
            detail = f"not {', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
        raise UnreadableImage("unreadable image", detail) from None
    raise UnreadableImage("too large image", f"{width:,} × {height:,} pixels")


def refuse_library_error(error: Exception) -> None:
    """Stop if Pillow cannot decode any image: then it is not the data's fault.

    Raises:
        UsageError: E801, every image would fail.
        ImportError: unchanged.
    """
    if isinstance(error, ImportError):
        raise error
    from PIL import Image

    try:
        Image.open(io.BytesIO(_VALID_PNG), formats=FORMATS).convert("RGB").resize((2, 2))
    except Exception as cause:
        message = f"Pillow can decode no image: {type(cause).__name__}: {cause}"[:300]
        hint = "its installation is broken; the data may be good"
        raise UsageError(Problem("E801", message, hint=hint)) from error


# A PNG of one pixel.
_VALID_PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010800000000"
    "3a7e9b550000000a49444154789c636000000002000148afa4710000000049454e44ae426082"
)


@contextmanager
def without_size_warnings() -> Iterator[None]:
    """Without Pillow's warnings about large images: here they are bad rows."""
    with train_extra():
        from PIL import Image
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


_BITS_PER_SAMPLE = 258  # a tag of TIFF


def _bit_depth(image: Image.Image) -> int:
    """The bit depth of a grey image with more than 8 bits: a TIFF may have 12.

    Raises:
        UnreadableImage: it is 32, of which an unknown number is used.
    """
    tags: Any = getattr(image, "tag_v2", {})
    bits = tags.get(_BITS_PER_SAMPLE, (0,))[:1]
    # Pillow opens some 16-bit formats with 32 bits, and scales the values to that range.
    if image.mode == "I" and image.format not in ("PNG", "PPM") and bits != (16,):
        detail = "integers of 32 bits, whose range is not known: save it with 8 or 16"
        raise UnreadableImage("unreadable image", detail)
    return 12 if bits == (12,) else 16


def _eight_bits(image: Image.Image, bits: int) -> Image.Image:
    """Scale an image whose values Pillow would clip at 255: 16 bits, or floats from 0 to 1."""
    from PIL import Image

    if not image.mode.startswith(("I", "F")):
        return image
    values = np.asarray(image)
    highest = 1 if image.mode == "F" else 2**bits - 1
    if not (values.min() >= 0 and values.max() <= highest):  # also false for NaN
        raise UnreadableImage("unreadable image", f"numbers that are not from 0 to {highest:,}")
    scaled = (values * 255).round() if image.mode == "F" else values >> (bits - 8)
    return Image.fromarray(scaled.astype(np.uint8))


def _to_channels(image: Image.Image, channels: int) -> Image.Image:
    image, mode = _eight_bits(image, _bit_depth(image)), "L" if channels == 1 else "RGB"
    return image if image.mode == mode else image.convert(mode)  # which copies also what is so


@dataclass(frozen=True)
class ImageEncoder:
    """Turns images into a model's input.

    Args:
        settings: the spec's ``task.image``.
        train: whether images are augmented as ``settings.augment`` says.
        name: the model's input.

    Raises:
        DataError: E902, ``mean`` or ``std`` lacks a number per channel, or ``std`` is not positive.

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
        settings = self.settings
        lengths = {len(settings.mean), len(settings.std)}
        if lengths != {settings.channels} or min(settings.std) <= 0:
            message = f"task.image: mean and std want {settings.channels} numbers, std above 0"
            raise DataError(Problem("E902", message))

    @property
    def augmentation(self) -> str:
        """The augmentation in use: ``none``, or what ``auto`` means for this size."""
        if not self.train:
            return "none"
        if self.settings.augment != "auto":
            return self.settings.augment
        return "shift-flip" if self.settings.crop <= MAX_SHIFTED_SIZE else "resized-crop-flip"

    @property
    def definition(self) -> str:
        """Everything that decides what an image becomes: the settings and the augmentation."""
        version = metadata.version("pillow")
        return json.dumps([version, self.settings.model_dump(mode="json"), self.augmentation])

    @property
    def resampling(self) -> Image.Resampling:
        """How images are resized."""
        from PIL import Image

        return Image.Resampling[self.settings.interpolation.upper()]

    def converted(self, image: Image.Image) -> Image.Image:
        """An image with the channels that the model takes, of 8 bits."""
        return _to_channels(image, self.settings.channels)

    def encode(self, data: bytes, key: RandomKey = (0, 0, 0)) -> torch.Tensor:
        """The image in the bytes of a file as [channels, crop, crop]; raises UnreadableImage.

        Args:
            data: the bytes of a file.
            key: seed, epoch and row, which decide the random augmentation.
        """
        return self.tensor(decoded(data), key)

    def tensor(self, image: Image.Image, key: RandomKey = (0, 0, 0)) -> torch.Tensor:
        """As ``encode``, for an image that Pillow has opened."""
        return self.pixels(self.framed(self.converted(image), key, self.resampling))

    def pixels(self, image: Image.Image) -> torch.Tensor:
        """An image that is cropped as the model's input: [channels, crop, crop]."""
        shape = (self.settings.crop, self.settings.crop, self.settings.channels)
        values = np.asarray(image).reshape(shape).transpose(2, 0, 1)
        # In NumPy: for so few values torch's threads cost more than they gain.
        pixels = values.astype(np.float32, order="C")
        pixels /= 255
        pixels -= np.array(self.settings.mean, dtype=np.float32)[:, None, None]
        pixels /= np.array(self.settings.std, dtype=np.float32)[:, None, None]
        return torch.from_numpy(pixels)

    def framed(
        self, image: Image.Image, key: RandomKey, resampling: Image.Resampling
    ) -> Image.Image:
        """An image resized, cropped and perhaps varied; pixels that are missing there are 0."""
        kind = self.augmentation
        if kind == "none":
            return _center_crop(resized(image, self.settings, resampling), self.settings.crop)
        generator = np.random.Generator(np.random.PCG64(list(key)))
        flipped = generator.random() < 0.5
        if kind == "resized-crop-flip":
            framed = _random_crop(image, self.settings.crop, resampling, generator)
        else:
            shift = SHIFT if kind == "shift-flip" else 0
            framed = resized(image, self.settings, resampling)
            framed = _shifted(framed, self.settings.crop, shift, generator)
        if not flipped:
            return framed
        from PIL import Image

        return framed.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def resized(image: Image.Image, settings: ImageInput, resampling: Image.Resampling) -> Image.Image:
    """Make the shorter side as long as the settings say, or both; with antialiasing unless the
    nearest pixels are taken."""
    size = new_size(image.size, settings)
    return image if size == image.size else image.resize(size, resampling)


def new_size(size: tuple[int, int], settings: ImageInput) -> tuple[int, int]:
    """Width and height of a resized image of this width and height.

    Raises:
        UnreadableImage: it would be too large, because it is very long.
    """
    (width, height), shorter = size, settings.resize
    longer = shorter if settings.stretch else int(shorter * max(size) / min(size))
    found = (shorter, longer) if width <= height else (longer, shorter)
    if min(size) == shorter and not settings.stretch:
        found = size
    if found != size and longer * shorter > MAX_PIXELS:
        detail = f"{width:,} × {height:,}, its shorter side made {shorter:,}"
        raise UnreadableImage("too large image", detail)
    return found


def _center_crop(image: Image.Image, crop: int) -> Image.Image:
    """The centre of an image; missing pixels are black."""
    left, top = (margin(size, crop) for size in image.size)
    return image.crop((left, top, left + crop, top + crop))


def margin(size: int, crop: int) -> int:
    """Where the centre of so many pixels begins; below 0 where some are missing."""
    return -((crop - size) // 2) if size < crop else round((size - crop) / 2)


def _shifted(
    image: Image.Image, crop: int, shift: int, generator: np.random.Generator
) -> Image.Image:
    """The centre of an image, shifted by up to ``shift`` pixels in each direction."""
    dx, dy = (int(n) for n in generator.integers(-shift, shift + 1, 2))
    left, top = (margin(size, crop) for size in image.size)
    return image.crop((left + dx, top + dy, left + dx + crop, top + dy + crop))


def _random_crop(
    image: Image.Image, crop: int, resampling: Image.Resampling, generator: np.random.Generator
) -> Image.Image:
    """A part of 8 % to 100 % of the area, aspect 3:4 to 4:3, resized.

    Szegedy et al. 2014, Going Deeper with Convolutions, arXiv:1409.4842.
    """
    width, height = image.size
    box = (0, 0, width, height)
    for _ in range(10):
        area = width * height * generator.uniform(0.08, 1.0)
        ratio = math.exp(generator.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left = int(generator.integers(0, width - w + 1))
            top = int(generator.integers(0, height - h + 1))
            box = (left, top, left + w, top + h)
            break
    else:  # a very long image: its centre
        w, h = min(width, round(height * 4 / 3)), min(height, round(width * 4 / 3))
        left, top = (width - w) // 2, (height - h) // 2
        box = (left, top, left + max(1, w), top + max(1, h))
    # As torchvision: crop first, so that no pixels outside the part are blended in.
    return image.crop(box).resize((crop, crop), resampling)
