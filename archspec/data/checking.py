"""Checks every row's text or image once: what is wrong with it, or a digest of it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from archspec.data.images import (
    MAX_BYTES,
    UnreadableImage,
    decoded_frame,
    new_size,
    refuse_library_error,
    without_size_warnings,
)
from archspec.data.report import Columns
from archspec.data.tables import Cells, Table
from archspec.errors import ArchspecError
from archspec.lang.schema import ImageInput

Fault = tuple[str, str]  # reason, detail
_CHUNK = 10_000  # rows whose cells are in memory at once


@dataclass(frozen=True, slots=True)
class CheckedInputs:
    """What the inputs of all rows are.

    Attributes:
        cells: the column of each input: one, or two of a pair of texts.
        faults: position → what is wrong with a row.
        digests: of each row's text or image; empty where there is a fault.
        sizes: position → width and height of a good image, in pixels.
        notes: a line for each thing that is worth knowing.
    """

    cells: tuple[Cells, ...]
    faults: dict[int, Fault]
    digests: list[bytes]
    sizes: dict[int, tuple[int, int]]
    notes: tuple[str, ...] = ()


def check_inputs(
    table: Table, columns: Columns, settings: ImageInput, *, words: bool = False
) -> CheckedInputs:
    """Check each row's input.

    Args:
        settings: how images are resized.
        words: whether a text is a list of words.
    """
    is_image = columns.image is not None
    base = table.base if is_image else None
    cells = tuple(Cells(table.dataset, name, base) for name in columns.inputs)
    misfits = dict[int, str]()
    for name in columns.inputs:
        misfits.update(table.misfits.get(name, {}))
    faults: dict[int, Fault] = {}
    digests: list[bytes] = []
    animated: list[int] = []
    sizes = dict[int, tuple[int, int]]()
    with without_size_warnings(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for start in range(0, len(table), _CHUNK):
            positions = np.arange(start, min(start + _CHUNK, len(table)))
            if is_image:
                check = partial(_image, cells[0], settings, animated, sizes)
                results = list(pool.map(check, positions.tolist()))
            elif words:
                results = list(map(_words, cells[0].words(positions)))
            else:
                results = list(map(_texts, *(one.texts(positions) for one in cells)))
            for i, result in zip(positions.tolist(), results, strict=True):
                if i in misfits:
                    faults[i] = ("wrong type", misfits[i])
                elif not isinstance(result, bytes):
                    faults[i] = result
                digests.append(result if isinstance(result, bytes) else b"")
    return CheckedInputs(cells, faults, digests, sizes, _frame_notes(table, animated))


def _frame_notes(table: Table, animated: list[int]) -> tuple[str, ...]:
    if not animated:
        return ()
    first = min(animated)
    name = f"{table.file(first)}, row {int(table.numbers[first])}"
    count = "1 image has" if len(animated) == 1 else f"{len(animated):,} images have"
    return (f"{count} several frames, of which only the first is read: {name}",)


def _texts(*texts: str | None) -> bytes | Fault:
    """The digest of a text or a pair of them, or what is wrong with it."""
    fault = next(filter(None, map(text_fault, texts)), None)
    if fault is not None:
        return fault
    digests = [hashlib.sha256((text or "").encode()).digest() for text in texts]
    return digests[0] if len(digests) == 1 else hashlib.sha256(b"".join(digests)).digest()


def _words(words: Sequence[str | None]) -> bytes | Fault:
    """The digest of the words of a row, or what is wrong with them."""
    if fault := words_fault(words):
        return fault
    return hashlib.sha256("\0".join(word or "" for word in words).encode()).digest()


def words_fault(words: Sequence[str | None]) -> Fault | None:
    """Why a model cannot read a list of words; None if it can."""
    if not words:
        return "no text", ""
    for number, word in enumerate(words, 1):
        if fault := text_fault(word):
            reason = "an empty word" if fault[0] == "no text" else fault[0]
            return reason, f"word {number} of {len(words)}"
    return None


def text_fault(text: str | None) -> Fault | None:
    """Why a model cannot read a text; None if it can."""
    if text is None or not text.strip():
        return "no text", ""
    try:
        text.encode()
    except UnicodeEncodeError:
        return "not Unicode", ""
    return ("a NUL character", "") if "\0" in text else None


def _image(
    cells: Cells,
    settings: ImageInput,
    animated: list[int],
    sizes: dict[int, tuple[int, int]],
    position: int,
) -> bytes | Fault:
    try:
        data = image_bytes(cells, position)
        image, has_more = decoded_frame(data)
        new_size(image.size, settings)
    except Exception as error:
        return image_fault(error)
    sizes[position] = image.size
    if has_more:
        animated.append(position)
    return hashlib.sha256(data).digest()


def image_bytes(cells: Cells, position: int) -> bytes:
    """The bytes of a row's image; ``image_fault`` explains what it raises."""
    path = cells.path(position)
    if path is not None:
        check_file(path)
    data = cells.read(position)
    assert isinstance(data, bytes)
    return data


def image_fault(error: Exception) -> Fault:
    """Why an image cannot be used, from the error that reading and decoding it raised.

    Raises:
        UsageError: E801, no image can be decoded at all; other errors not caused by the image.
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
        case _:  # decoders of broken files raise errors of any type
            refuse_library_error(error)
            return "unreadable image", f"{type(error).__name__}: {error}"[:80]


def check_file(path: Path) -> None:
    """Raise UnreadableImage unless there is an image file that is not too large."""
    if not path.is_file():  # reading a pipe would never end
        raise UnreadableImage("no image", "no such file")
    if path.stat().st_size > MAX_BYTES:
        raise UnreadableImage("too large image", f"{path.stat().st_size:,} bytes")
