"""Images as users give them: paths, bytes, arrays, images of Pillow's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from archspec.data import ImageEncoder
from archspec.data.checking import check_file
from archspec.data.images import MAX_PIXELS, UnreadableImage, decoded

if TYPE_CHECKING:
    from PIL.Image import Image


def is_image(value: object) -> bool:
    """Whether a value is an image of Pillow's."""
    return hasattr(value, "getbands")  # as Pillow's images have; Pillow may not be installed


def pixels(encoder: ImageEncoder, source: Any) -> Tensor:
    """An image as the model's input; raises as ``opened_image``."""
    return encoder.tensor(opened_image(source))


def opened_image(source: Any) -> Image:
    """An image of Pillow's; raises UnreadableImage or any error of a decoder."""
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        check_file(path)
        return decoded(path.read_bytes())
    if isinstance(source, bytes):
        return decoded(source)
    image = _from_array(source) if isinstance(source, np.ndarray) else source
    if not is_image(image):
        raise UnreadableImage("no image", f"{type(source).__name__}")
    width, height = image.size
    if not 0 < width * height <= MAX_PIXELS:
        raise UnreadableImage("too large image" if width else "no image", f"{width:,} × {height:,}")
    return image


def _from_array(array: np.ndarray) -> Image:
    from PIL import Image

    shape = array.shape[:2] if array.ndim == 3 and array.shape[2] == 1 else array.shape
    fits = array.ndim in (2, 3) and (len(shape) == 2 or shape[2] in (3, 4)) and array.size
    if array.dtype != np.uint8 or not fits:
        detail = f"{array.dtype} {list(array.shape)}, not uint8 [height, width] or […, channels]"
        raise UnreadableImage("no image", detail)
    return Image.fromarray(np.ascontiguousarray(array).reshape(shape))
