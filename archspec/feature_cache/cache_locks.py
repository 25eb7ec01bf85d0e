"""Locks that end with their process: who has a cache open, and whose turn it is."""

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

IN_USE = "in-use"


class CacheLock:
    """Marks a file as used while this object, or its process, lives; and notes the time."""

    def __init__(self, path: Path) -> None:
        number = _opened(path)
        weakref.finalize(self, os.close, number)
        _lock(number, "LOCK_SH")
        with contextlib.suppress(OSError):  # another user's: its time is only a hint
            os.utime(path)


def is_held(path: Path) -> bool:
    """Whether a process holds a file; False where the system has no such locks."""
    try:
        number = _opened(path)
    except OSError:
        return False
    try:
        return not _lock(number, "LOCK_EX", "LOCK_NB")
    finally:
        os.close(number)


@contextlib.contextmanager
def turn(path: Path) -> Iterator[None]:
    """Wait until no other process is inside with the same file."""
    number = _opened(path)
    try:
        _lock(number, "LOCK_EX")
        yield
    finally:
        os.close(number)


def _opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)


def _lock(number: int, *flags: str) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows, which by itself refuses to move a file that is open
        return True
    known: Any = fcntl
    try:
        known.flock(number, sum(getattr(known, flag) for flag in flags))
    except OSError:
        return False
    return True
