"""Reads masks: PNG files whose pixel values are class numbers, one for each image."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from archspec.data.checking import Fault, image_bytes, image_fault
from archspec.data.extras import train_extra
from archspec.data.images import (
    MAX_PIXELS,
    ImageEncoder,
    RandomKey,
    UnreadableImage,
    without_size_warnings,
)
from archspec.data.report import Integers
from archspec.data.tables import Cells, Table
from archspec.errors import DataError, Problem, listing
from archspec.tasks import IGNORED

if TYPE_CHECKING:
    from PIL import Image

NO_CLASS = 255
"""The value of a pixel that is neither learned nor scored."""
_BIT_DEPTH = 24  # position of a PNG's bits for each value


def decoded_mask(data: bytes) -> NDArray[np.uint8]:
    """The class numbers in the bytes of a PNG: [height, width], ``NO_CLASS`` for none.

    Raises:
        UnreadableImage: it is broken, no PNG, or its values are colours or have other than 8 bits.
    """
    with train_extra():
        from PIL import Image, ImageOps, UnidentifiedImageError
    if not data:
        raise UnreadableImage("no image")
    try:
        image = Image.open(io.BytesIO(data), formats=("PNG",))
    except UnidentifiedImageError:
        detail = "no PNG: other formats may change the values, which are class numbers"
        raise UnreadableImage("unreadable image", detail) from None
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise UnreadableImage("too large image", f"{width:,} × {height:,} pixels")
    if fault := _format_fault(image, data[_BIT_DEPTH]):
        raise UnreadableImage("unreadable image", fault)
    ImageOps.exif_transpose(image, in_place=True)
    return np.asarray(image).astype(np.uint8)


def _format_fault(image: Image.Image, bits: int) -> str:
    """Why the values of a PNG are no class numbers; empty if they are."""
    if getattr(image, "is_animated", False):
        return "several frames: save it with one"
    if image.mode not in ("P", "L", "1"):
        held = f"grey values of {bits} bits" if image.mode.startswith("I") else "colours"
        return f"{held}, not class numbers: save it with a palette, or grey with 8 bits"
    if image.mode == "L" and bits != 8:  # Pillow scales them to 0 to 255
        return f"grey values of {bits} bits: save it with 8, or with a palette"
    return ""


def encode_mask(encoder: ImageEncoder, data: bytes, key: RandomKey = (0, 0, 0)) -> Integers:
    """A mask as its image is encoded: resized with the nearest pixels, and the same part of it.

    Args:
        encoder: of the image.
        data: the bytes of a PNG.
        key: as the image was encoded with.

    Returns:
        int64 [crop, crop]: class numbers, ``IGNORED`` for none and beyond the edge of the image.
    """
    with train_extra():
        from PIL import Image
    # What a crop adds around an image is 0: with one more for each value, that is NO_CLASS.
    shifted = Image.fromarray(decoded_mask(data) + np.uint8(1))
    values = np.asarray(encoder.framed(shifted, key, Image.Resampling.NEAREST)) - np.uint8(1)
    return np.where(values == NO_CLASS, IGNORED, values.astype(np.int64))


@dataclass(frozen=True, slots=True)
class CheckedMasks:
    """What the masks of all rows hold.

    Attributes:
        cells: their column.
        pixels: of each row, how many have each value from 0 to 254; zeros where there is a fault.
        faults: position → what is wrong with a row's mask.
        digests: of each row's mask.
    """

    cells: Cells
    pixels: list[Integers]
    faults: dict[int, Fault]
    digests: list[bytes]

    def counts(self, classes: int) -> Integers:
        """Pixels of each class: [rows, classes]."""
        counts = np.zeros((len(self.pixels), classes), dtype=np.int64)
        for row, pixels in enumerate(self.pixels):
            counts[row, : len(pixels)] = pixels[:classes]
        return counts


def check_masks(
    table: Table,
    column: str,
    sizes: Mapping[int, tuple[int, int]],
    classes: Sequence[str] | None,
) -> CheckedMasks:
    """Check each row's mask.

    Args:
        sizes: position → width and height of the image, of the rows whose images are good.
        classes: their names, if they are known.
    """
    found = CheckedMasks(Cells(table.dataset, column, table.base), [], {}, [])
    empty = np.zeros(0, dtype=np.int64)
    rows = range(len(table))

    def check(row: int) -> tuple[Integers, bytes] | Fault:
        return _checked(found.cells, row, sizes.get(row), classes)

    with without_size_warnings(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for row, result in zip(rows, pool.map(check, rows), strict=True):
            pixels, digest = result
            if isinstance(pixels, str) or isinstance(digest, str):
                found.faults[row] = (str(pixels), str(digest))
                pixels, digest = empty, b""
            found.pixels.append(pixels)
            found.digests.append(digest)
    return found


def _checked(
    cells: Cells, row: int, size: tuple[int, int] | None, classes: Sequence[str] | None
) -> tuple[Integers, bytes] | Fault:
    """The pixels of each value in a row's mask, and its digest; or what is wrong with it."""
    try:
        data = image_bytes(cells, row)
        values = decoded_mask(data)
        path = cells.path(row)
    except Exception as error:  # decoders of broken files raise errors of any type
        reason, detail = image_fault(error)
        return reason.replace("image", "mask"), detail
    name = "" if path is None or cells.base is None else path.relative_to(cells.base.resolve())
    where = f"{name}: " if name else ""
    height, width = values.shape
    if size is not None and size != (width, height):
        other = f"{width} × {height} pixels, its image {size[0]} × {size[1]}"
        return "mask of another size", f"{where}{other}"
    pixels = np.bincount(values.ravel(), minlength=NO_CLASS)[:NO_CLASS]
    used = np.flatnonzero(pixels)
    if not len(used):
        return "mask without a class", f"{where}all pixels are {NO_CLASS}, which is ignored"
    if classes is not None and used[-1] >= len(classes):
        wrong = listing([str(value) for value in used if value >= len(classes)])
        known = f"the classes are 0 to {len(classes) - 1}, and {NO_CLASS} is ignored"
        return "mask outside the classes", f"{where}value {wrong}, and {known}"
    return pixels[: used[-1] + 1], hashlib.sha256(data).digest()


def class_names(masks: CheckedMasks, faults: Mapping[int, object], source: str) -> tuple[str, ...]:
    """The classes of masks that nobody has named: their numbers, from 0 to the largest.

    Raises:
        DataError: E906, there are fewer than two.
    """
    good = [len(pixels) for row, pixels in enumerate(masks.pixels) if row not in faults]
    largest = max(good, default=0)
    if good and largest < 2:
        message = f"{source}: all pixels of the masks are 0"
        hint = f"a model learns to tell classes apart; {NO_CLASS} is ignored: in masks of black and"
        raise DataError(Problem("E906", message, hint=f"{hint} white, white should be 1"))
    return tuple(map(str, range(max(largest, 2))))
