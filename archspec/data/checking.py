"""Every row's text or image looked at once: what is wrong with it, or a digest of it."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from archspec.data.images import (
    MAX_BYTES,
    UnreadableImage,
    check_enlarged,
    decoded,
    refuse_library_error,
    without_size_warnings,
)
from archspec.data.report import Columns
from archspec.data.tables import Cells, Table
from archspec.errors import ArchspecError

Fault = tuple[str, str]  # reason, detail
_CHUNK = 10_000  # rows whose cells are in memory at once


def check_inputs(
    table: Table, columns: Columns, resize: int
) -> tuple[Cells, dict[int, Fault], list[bytes]]:
    """Look at each row's input.

    Args:
        resize: pixels that the shorter side of an image will have.

    Returns:
        The column, the faults by position, and a digest of each row that has none.
    """
    is_image = columns.image is not None
    cells = Cells(table.dataset, columns.input, table.base if is_image else None)
    odd = table.misfits.get(columns.input, {})
    faults: dict[int, Fault] = {}
    digests: list[bytes] = []
    with without_size_warnings(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for start in range(0, len(table), _CHUNK):
            at = np.arange(start, min(start + _CHUNK, len(table)))
            if is_image:
                found = list(pool.map(lambda i: _image(cells, int(i), resize), at))
            else:
                found = list(map(_text, cells.texts(at)))
            for i, one in zip(at.tolist(), found, strict=True):
                if i in odd:
                    faults[i] = ("wrong type", odd[i])
                elif not isinstance(one, bytes):
                    faults[i] = one
                digests.append(one if isinstance(one, bytes) else b"")
    return cells, faults, digests


def _text(text: str | None) -> bytes | Fault:
    return text_fault(text) or hashlib.sha256((text or "").encode()).digest()


def text_fault(text: str | None) -> Fault | None:
    """Why a model cannot read a text; None if it can."""
    if text is None or not text.strip():
        return "no text", ""
    try:
        text.encode()
    except UnicodeEncodeError:
        return "not Unicode", ""
    return ("a NUL character", "") if "\0" in text else None


def _image(cells: Cells, position: int, resize: int) -> bytes | Fault:
    try:
        data = image_bytes(cells, position)
        check_enlarged(decoded(data).size, resize)
    except Exception as error:
        return image_fault(error)
    return hashlib.sha256(data).digest()


def image_bytes(cells: Cells, position: int) -> bytes:
    """The bytes of a row's image; what it raises is for ``image_fault``."""
    path = cells.path(position)
    if path is not None:
        check_file(path)
    data = cells.read(position)
    assert isinstance(data, bytes)
    return data


def image_fault(error: Exception) -> Fault:
    """Why an image cannot be used, from what was raised when it was read and decoded.

    Raises:
        UsageError: E801, no image at all can be decoded; other errors that are not the image's.
    """
    match error:
        case UnreadableImage():
            return error.reason, error.detail
        case ValueError():
            return "unreadable image", str(error)[:80]
        case OSError():
            return "unreadable image", (error.strerror or str(error))[:80]
        case ArchspecError():
            raise error
        case _:  # decoders of broken files raise whatever they come to
            refuse_library_error(error)
            return "unreadable image", f"{type(error).__name__}: {error}"[:80]


def check_file(path: Path) -> None:
    """Whether there is a file of an image that is not too large; raises UnreadableImage."""
    if not path.is_file():  # a pipe would never end
        raise UnreadableImage("no image", "no such file")
    if path.stat().st_size > MAX_BYTES:
        raise UnreadableImage("too large image", f"{path.stat().st_size:,} bytes")
