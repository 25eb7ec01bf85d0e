"""Files that are written as a whole or not at all, also when the process or the machine stops."""

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
_OLD = 3600  # seconds: a file that is still being written was changed later than that


def beside(place: Path) -> Path:
    """A temporary name in the folder of ``place``, with its suffix; nobody can foresee it.

    >>> beside(Path("out/model.safetensors")).suffix
    '.safetensors'
    """
    suffix = place.suffix if place.suffix[1:].isalnum() and len(place.suffix) <= 20 else ""
    return place.with_name(f".{place.stem[:100]}.{uuid4().hex}.partial{suffix}")


@contextlib.contextmanager
def replacing(place: Path) -> Iterator[IO[bytes]]:
    """A file that takes the place of ``place`` at the end, if nothing fails before.

    It keeps the mode of the file that it replaces; a link stays a link.

    Raises:
        OSError: it cannot be written; then the old file is as it was.
    """
    place = place.resolve()
    temporary = beside(place)
    remove_unfinished(place.parent)
    try:
        with open(temporary, "xb") as file:
            yield file
            flush(file)
        put(temporary, place)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write(place: Path, content: str | bytes) -> None:
    """Put a whole file in place; text as UTF-8.

    Raises:
        OSError: it cannot be written; then the old file is as it was.
        UnicodeEncodeError: the text has half of a character.
    """
    data = content.encode() if isinstance(content, str) else content
    with replacing(place) as file:
        file.write(data)


def flush(file: IO[bytes]) -> None:
    """Write what is buffered to the disk itself: a rename may survive a power cut that data
    does not."""
    file.flush()
    os.fsync(file.fileno())


def put(temporary: Path, place: Path) -> None:
    """Move a finished file to its place, with the mode of the file that is there."""
    if place.exists():
        shutil.copymode(place, temporary)
    os.replace(temporary, place)


def remove_unfinished(folder: Path, *, age: float = _OLD) -> None:
    """Remove what killed processes were writing in a folder.

    Args:
        age: seconds since the last change; 0 where no other process can be writing.
    """
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _UNFINISHED.fullmatch(entry.name) is None:
                continue
            with contextlib.suppress(OSError):
                if time.time() - entry.stat(follow_symlinks=False).st_mtime >= age:
                    os.unlink(entry.path)
