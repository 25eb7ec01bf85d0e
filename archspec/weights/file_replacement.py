"""New files in the place of old ones: all of them or none, and never a mix that can be read."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from archspec import storage
from archspec.weights.files import INDEX

SUFFIX = ".safetensors"


def remove(files: Iterable[Path]) -> None:
    """Remove files; what cannot be removed stays."""
    for file in files:
        with contextlib.suppress(OSError):
            file.unlink(missing_ok=True)


def replace_files(place: Path, waiting: Mapping[Path, Path]) -> None:
    """Move the files of a checkpoint to their places, and remove those of an earlier one there.

    Args:
        place: the checkpoint's name; of several files, their names are derived from it.
        waiting: each file and where it is now; of several, the index is the last.

    Raises:
        OSError: it cannot be done; then the earlier files are as they were.
    """
    earlier = _earlier(place)
    if len(waiting) == 1:  # one move: there is no moment between old and new
        _move(waiting[place], _real(place), _real(place))
        remove(file for file in earlier if file != place)
        return
    aside: dict[Path, Path] = {}
    placed: list[Path] = []
    try:
        for file in earlier:
            file = _real(file) if file in waiting else file
            aside[file] = storage.temporary_path(file)
            storage.replace(file, aside[file])
        for file, temporary in waiting.items():
            placed.append(_real(file))
            _move(temporary, placed[-1], aside.get(placed[-1]))
    except BaseException:
        remove(reversed(placed))
        for file, kept in reversed(aside.items()):
            with contextlib.suppress(OSError):
                storage.replace(kept, file)
        raise
    remove(aside.values())


def _earlier(place: Path) -> list[Path]:
    """What a reader would take for parts of the checkpoint; first what it would begin with."""
    shard = re.compile(re.escape(place.stem) + r"-\d{5}-of-\d{5}" + re.escape(SUFFIX))
    first = [place.with_name(place.name + INDEX), place]
    shards = sorted(file for file in place.parent.iterdir() if shard.fullmatch(file.name))
    return [file for file in (*first, *shards) if file.is_file()]


def _real(file: Path) -> Path:
    return file.resolve() if file.is_symlink() else file


def _move(temporary: Path, file: Path, old: Path | None) -> None:
    if old is not None and old.exists():
        shutil.copymode(old, temporary)
    storage.replace(temporary, file)
