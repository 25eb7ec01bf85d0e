"""Walks the files below a folder, in order; links to folders are refused."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from archspec.errors import DataError, Problem

MAX_DEPTH = 4


def walk(folder: Path, depth: int, *, strict: bool = False) -> Iterator[Path]:
    """The files below a folder, in order of their names, without hidden ones.

    Args:
        depth: levels of folders below ``folder``.
        strict: whether a deeper folder is an error; otherwise it is left out.

    Raises:
        DataError: E901, a folder cannot be read, is a link, or is too deep.
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
    """A link is not followed: it could lead anywhere, or in a circle."""
    if entry.is_symlink() and entry.is_dir():
        hint = "put the folder itself there, or name the files"
        raise DataError(Problem("E901", f"{entry.path}: a link to a folder", hint=hint))
    return entry.is_dir(follow_symlinks=False)
