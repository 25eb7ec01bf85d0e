"""Writes masks: a PNG for an image, or a folder of them beside a file of rows."""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from archspec import storage
from archspec.predicting.row_writer import unwritable
from archspec.report.text import first_line

_NAME = re.compile(r"[0-9]+\.png")


def write_mask(path: Path, png: bytes) -> None:
    """Write a mask; raises as ``SegmentationPrediction.save``."""
    if path.suffix.lower() != ".png":
        raise unwritable(path, "of no known kind", "masks are written as .png")
    with _as_data_error(path):
        storage.write(path, png)


def check_mask(path: Path, sources: Sequence[Path], *, overwrite: bool) -> None:
    """Check that a mask can be written, before images are read.

    Args:
        sources: the images, which are never replaced.

    Raises:
        DataError: E931, the file is no PNG, is there already, or is one of the images.
    """
    if path.suffix.lower() != ".png":
        raise unwritable(path, "of no known kind", "masks are written as .png")
    with _as_data_error(path):
        if not path.exists():
            return
        if any(one.exists() and path.samefile(one) for one in sources):
            raise unwritable(path, "this is the image that is read", "give another file")
        if not overwrite:
            hint = "overwrite=True or --overwrite replaces it"
            raise unwritable(path, "it is there already", hint)


def mask_folder(out: Path) -> Path:
    """Where the masks of the rows of a file are written."""
    return out.with_name(f"{out.stem}-masks")


def mask_name(row: int) -> str:
    """The file of a row's mask, by its number from 1."""
    return f"{row:06}.png"


def check_mask_folder(out: Path, *, overwrite: bool) -> None:
    """Check that the masks of a file's rows can be written.

    Raises:
        DataError: E931, something else is in the way.
    """
    folder = mask_folder(out)
    with _as_data_error(folder):
        if not folder.exists():
            return
        if not folder.is_dir() or any(not _NAME.fullmatch(one.name) for one in folder.iterdir()):
            raise unwritable(folder, "holds something else than masks", "give another output")
    if not overwrite:
        hint = "overwrite=True or --overwrite replaces it"
        raise unwritable(folder, "it is there already", hint)


@contextlib.contextmanager
def replacing_masks(out: Path) -> Iterator[Path]:
    """A folder that takes the place of that of the masks at the end, if nothing fails before.

    Raises:
        DataError: E931, it cannot be written.
    """
    folder = mask_folder(out)
    with _as_data_error(folder):
        written = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield written
        with _as_data_error(folder):
            shutil.rmtree(folder, ignore_errors=True)
            written.chmod(0o755)
            written.rename(folder)
    finally:
        shutil.rmtree(written, ignore_errors=True)


@contextlib.contextmanager
def _as_data_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise unwritable(path, error.strerror or first_line(error)) from None
