"""Files that are written completely or not at all, even when the process or the machine stops."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from uuid import uuid4

_UNFINISHED = re.compile(r"\..*\.[0-9a-f]{32}\.partial(\.[A-Za-z0-9]{1,20})?", re.DOTALL)
_MAX_AGE = 3600  # seconds since the last change: no process is still writing such a file


def temporary_path(path: Path) -> Path:
    """An unpredictable temporary name in the folder of ``path``, with its suffix.

    >>> temporary_path(Path("out/model.safetensors")).suffix
    '.safetensors'
    """
    suffix = path.suffix if path.suffix[1:].isalnum() and len(path.suffix) <= 20 else ""
    return path.with_name(f".{path.stem[:100]}.{uuid4().hex}.partial{suffix}")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file that replaces ``path`` at the end, if nothing fails before.

    It keeps the mode of the file that it replaces; a link stays a link.

    Raises:
        OSError: it cannot be written; the old file is unchanged.
    """
    path = path.resolve()
    temporary = temporary_path(path)
    remove_unfinished(path.parent)
    try:
        file = open(temporary, "xb")  # noqa: SIM115 (closed below, whose error must not hide another)
        try:
            yield file
            sync(file)
        except BaseException:
            with contextlib.suppress(OSError):  # what is not written yet may find no room, too
                file.close()
            raise
        file.close()
        replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write(path: Path, content: str | bytes) -> None:
    """Write a whole file; text as UTF-8.

    Raises:
        OSError: it cannot be written; the old file is unchanged.
        UnicodeEncodeError: the text has half of a surrogate pair.
    """
    data = content.encode() if isinstance(content, str) else content
    with replacing(path) as file:
        file.write(data)


def sync(file: IO[bytes]) -> None:
    """Flush a file to the disk: after a power cut a rename may be there and the data not."""
    file.flush()
    os.fsync(file.fileno())


def replace(temporary: Path, path: Path) -> None:
    """Move a finished file to its place, with the mode of the file that it replaces."""
    if path.exists():
        shutil.copymode(path, temporary)
    os.replace(temporary, path)


def remove_unfinished(folder: Path, *, age: float = _MAX_AGE) -> None:
    """Remove the temporary files that killed processes left in a folder.

    Args:
        age: seconds since the last change; 0 if no other process can be writing.
    """
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _UNFINISHED.fullmatch(entry.name) is None:
                continue
            with contextlib.suppress(OSError):
                if time.time() - entry.stat(follow_symlinks=False).st_mtime >= age:
                    os.unlink(entry.path)
