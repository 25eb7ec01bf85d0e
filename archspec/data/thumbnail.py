"""Small pictures of images, which the page shows beside a row."""

from __future__ import annotations

import base64
import io

from archspec.data.checking import image_fault
from archspec.data.images import decoded

SIZE = 96  # pixels


def thumbnail(content: bytes) -> str | None:
    """An image of at most ``SIZE`` pixels to a side, as PNG or JPEG in base64.

    Args:
        content: of an image file.

    Returns:
        None of what cannot be read.
    """
    try:
        image = decoded(content)
        image.thumbnail((SIZE, SIZE))
        is_whole = max(image.size) < SIZE  # each pixel counts
        written = io.BytesIO()
        image.convert("RGB").save(written, "png" if is_whole else "jpeg", quality=85)
    except Exception as error:  # decoders of broken files raise errors of any type
        image_fault(error)
        return None
    return base64.b64encode(written.getvalue()).decode()
