"""Locks on files that end with their process, however it ends.

This is the system's own ``flock``. The package ``filelock`` has no shared lock on a file (its
read-write lock is an SQLite database), truncates the file in which a holder writes its process id,
and hides the descriptor that a child process has to inherit.
"""

from __future__ import annotations

import contextlib
import os
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

_MAX_DIGITS = 20  # of a process id
_TRIES, _PAUSE = 20, 0.02  # seconds
_READ = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
_WRITE = _READ | os.O_RDWR | os.O_CREAT


class SharedLock:
    """Marks a file as in use while this object or its process lives, and updates its time."""

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, _WRITE, 0o666)
        weakref.finalize(self, os.close, descriptor)
        _flock(descriptor, "LOCK_SH")
        with contextlib.suppress(OSError):  # another user's file: its time is only a hint
            os.utime(path)


@contextlib.contextmanager
def locked(path: Path, *, wait: bool = False, mode: int = 0o666) -> Iterator[IO[bytes] | None]:
    """Hold an exclusive lock inside the block; yields None if another process holds it.

    Args:
        path: the lock file, created if necessary.
        wait: whether to wait until the lock is free.
        mode: permissions of a new file.

    Raises:
        OSError: the file cannot be opened, or is a symbolic link.
    """
    with open(os.open(path, _WRITE, mode), "r+b") as file:
        yield file if _acquire(file.fileno(), wait=wait) else None


def write_holder(file: IO[bytes], pid: int) -> None:
    """Write into a lock file which process holds it."""
    with contextlib.suppress(OSError):  # on a full disk the lock still holds
        file.truncate(0)
        file.write(b"%d\n" % pid)
        file.flush()


def holder(path: Path) -> int | None:
    """The id of the process that holds an exclusive lock: 0 if unknown, None if nobody does."""
    try:
        with open(os.open(path, _READ), "rb") as file:
            if not _flock(file.fileno(), "LOCK_SH", "LOCK_NB"):
                text = file.read(_MAX_DIGITS + 1).strip()
                return int(text) if text.isdigit() and len(text) <= _MAX_DIGITS else 0
    except OSError:
        pass
    return None


def is_shared(path: Path) -> bool:
    """Whether a process holds a ``SharedLock`` on a file; False where the system has no locks."""
    try:
        with open(os.open(path, _READ), "rb") as file:
            return not _flock(file.fileno(), "LOCK_EX", "LOCK_NB")
    except OSError:
        return False


def _acquire(descriptor: int, *, wait: bool) -> bool:
    if wait:
        return _flock(descriptor, "LOCK_EX")
    for _ in range(_TRIES):  # ``holder`` keeps the lock from others for a moment
        if _flock(descriptor, "LOCK_EX", "LOCK_NB"):
            return True
        time.sleep(_PAUSE)
    return False


def _flock(descriptor: int, *flags: str) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows, which by itself refuses to move a file that is open
        return True
    names: Any = fcntl
    try:
        names.flock(descriptor, sum(getattr(names, flag) for flag in flags))
    except OSError:
        return False
    return True
