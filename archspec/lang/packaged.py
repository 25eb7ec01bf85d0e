"""The packaged specs: one file a model, in a folder for each field."""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path
from typing import Any

FIGURES = "parameters.json"
"""Of each field's folder: exact numbers of parameters, which tests check."""

TREES = "trees.json"
"""Of each field's folder: what cards show of the models' trees."""


@functools.cache
def packaged_folder() -> Path:
    """The folder of the packaged specs: inside the package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    inside = package / "specs"
    return inside if inside.is_dir() else package.parent / "specs"


def packaged_specs() -> dict[str, Path]:
    """Name → file, by name. A name is that of one file, whichever folder it is in."""
    found = {path.stem: path for path in packaged_folder().glob("*/*.yaml")}
    return dict(sorted(found.items()))


def find_packaged(name: str) -> Path | None:
    """The file of a packaged spec, if there is one of that name."""
    folder = packaged_folder()
    files = (folder / field / f"{name}.yaml" for field in os.listdir(folder))
    return next((file for file in files if os.path.isfile(file)), None)  # no name is too long


def is_packaged(path: Path) -> bool:
    """Whether a file is a packaged spec."""
    return path.parent.parent == packaged_folder()


def parameter_counts() -> dict[str, int]:
    """The exact number of parameters of each packaged spec at its default size."""
    return _known(FIGURES)


def tree_levels() -> dict[str, list[list[int]]]:
    """Of each packaged spec, widths of its modules by parameters, from the root's children down.

    The whole model is 160 wide; a negative width is a gap.
    """
    return _known(TREES)


def _known(file: str) -> dict[str, Any]:
    known: dict[str, Any] = {}
    for path in packaged_folder().glob(f"*/{file}"):
        known |= json.loads(path.read_text(encoding="utf-8"))
    return known
