"""Files of weights below the page's folder: which there are, and whether they have changed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from archspec.errors import Problem, UsageError
from archspec.weights.files import IN_FOLDER
from archspec.weights.pytorch_files import SUFFIXES
from archspec_app.workspace import entries_of, files_below

MOST_LISTED = 200
_WEIGHTS = (".safetensors", *SUFFIXES)
_BESIDE = (*_WEIGHTS, ".json", ".txt")  # tokenizers, indices

Stamp = tuple[tuple[str, int, int], ...]


def weights_below(folder: Path) -> list[dict[str, Any]]:
    """Names relative to ``folder``, and bytes, of files of weights, and of folders with them.

    Args:
        folder: where to look; links are not followed, and nothing hidden is told.
    """
    sizes: dict[str, int] = {}
    for path in files_below(folder, _WEIGHTS):
        # Of a folder, the tokenizer is found, too.
        is_folder = path.name in IN_FOLDER and path.parent != folder
        name = (path.parent if is_folder else path).relative_to(folder).as_posix()
        sizes[name] = sizes.get(name, 0) + path.stat().st_size
    return [{"name": name, "bytes": sizes[name]} for name in sorted(sizes)][:MOST_LISTED]


def beside(weights: Path) -> list[Path]:
    """The files that may be read when weights are: those of their folder that are of a kind."""
    folder = weights if weights.is_dir() else weights.parent
    return [Path(entry.path) for entry in entries_of(folder) if entry.name.endswith(_BESIDE)]


def stamp(folder: Path, files: Iterable[Path]) -> Stamp:
    """Names, times and sizes of the files that are there.

    Raises:
        UsageError: E801, one is a link that leads out of ``folder``.
    """
    found: list[tuple[str, int, int]] = []
    for file in files:
        if not Path(os.path.realpath(file)).is_relative_to(folder):
            raise UsageError(Problem("E801", f"{file.name}: a link that leads out of the folder"))
        try:
            state = file.stat()
        except OSError:
            continue
        found.append((file.name, state.st_mtime_ns, state.st_size))
    return tuple(sorted(found))
