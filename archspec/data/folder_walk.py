"""Files below a folder, in order: none is left out in silence."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from archspec.errors import DataError, Problem

MAX_DEPTH = 4


def walk(folder: Path, depth: int, *, strict: bool = False) -> Iterator[Path]:
    """The files below, in order of their names, folders among them; no hidden ones.

    Args:
        depth: of folders below ``folder``.
        strict: whether a folder that lies deeper is an error, or left out.

    Raises:
        DataError: E901, a folder cannot be read, is a link, or lies too deep.
    """
    for entry in _entries(folder):
        if not _is_folder(entry):
            yield Path(entry.path)
        elif depth:
            yield from walk(Path(entry.path), depth - 1, strict=strict)
        elif strict:
            raise DataError(Problem("E901", f"{entry.path}: a folder that lies too deep"))


def folders_in(folder: Path) -> list[Path]:
    """The folders directly below; raises as ``walk``."""
    return [Path(entry.path) for entry in _entries(folder) if _is_folder(entry)]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(Problem("E901", f"{folder}: {error.strerror}")) from None
    return [entry for entry in entries if not entry.name.startswith(".")]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """A link could lead anywhere, and round in a circle: it is not followed."""
    if entry.is_symlink() and entry.is_dir():
        hint = "put the folder itself there, or name the files"
        raise DataError(Problem("E901", f"{entry.path}: a link to a folder", hint=hint))
    return entry.is_dir(follow_symlinks=False)
