"""Weight files in the folder of the page: a list of them, and whether they have changed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from archspec.errors import Problem, UsageError
from archspec.training.run_folder import BEST
from archspec.weights.files import IN_FOLDER
from archspec.weights.pytorch_files import SUFFIXES
from archspec_app.training.job_status import RUNS
from archspec_app.workspace import entries_of, files_below

MAX_LISTED = 200
_WEIGHTS = (".safetensors", *SUFFIXES)
_BESIDE = (*_WEIGHTS, ".json", ".txt")  # tokenizers, indices

Stamp = tuple[tuple[str, int, int], ...]


def weights_below(folder: Path) -> list[dict[str, Any]]:
    """Weight files, and folders with such files: their names relative to ``folder``, and sizes.

    Args:
        folder: where to look; links are not followed, hidden files are left out.
    """
    sizes: dict[str, int] = {}
    for path in files_below(folder, _WEIGHTS):
        # The folder, because its tokenizer is needed too.
        is_folder = path.name in IN_FOLDER and path.parent != folder
        name = (path.parent if is_folder else path).relative_to(folder).as_posix()
        sizes[name] = sizes.get(name, 0) + path.stat().st_size
    return [{"name": name, "bytes": sizes[name]} for name in sorted(sizes)][:MAX_LISTED]


def runs_with_weights(folder: Path) -> list[str]:
    """The names of runs relative to ``folder`` that have weights, the latest first.

    Links that lead out are left out.
    """
    times: dict[str, int] = {}
    for entry in entries_of(folder / RUNS):
        best = Path(entry.path) / BEST
        if best.is_file() and Path(os.path.realpath(best)).is_relative_to(folder):
            times[f"{RUNS}/{entry.name}"] = best.stat().st_mtime_ns
    return sorted(times, key=times.__getitem__, reverse=True)[:MAX_LISTED]


def companion_files(weights: Path) -> list[Path]:
    """The files of a folder that may be read together with weights."""
    folder = weights if weights.is_dir() else weights.parent
    return [Path(entry.path) for entry in entries_of(folder) if entry.name.endswith(_BESIDE)]


def stamp(folder: Path, files: Iterable[Path]) -> Stamp:
    """Names, times and sizes of the files that exist.

    Raises:
        UsageError: E801, one is a link that leads out of ``folder``.
    """
    stamps: list[tuple[str, int, int]] = []
    for file in files:
        if not Path(os.path.realpath(file)).is_relative_to(folder):
            raise UsageError(Problem("E801", f"{file.name}: a link that leads out of the folder"))
        try:
            state = file.stat()
        except OSError:
            continue
        stamps.append((file.name, state.st_mtime_ns, state.st_size))
    return tuple(sorted(stamps))
