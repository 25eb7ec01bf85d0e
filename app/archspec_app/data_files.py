"""Files and folders that look like data, below the folder of the page."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from archspec_app.workspace import files_below

MOST = 200
SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
_IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


def data_below(folder: Path) -> list[str]:
    """What a form suggests: tables, folders of them, and folders with a folder of images a class.

    Args:
        folder: the page's.

    Returns:
        Names relative to it, at most ``MOST``.
    """
    tables: list[Path] = []
    classes: set[Path] = set()
    for path in files_below(folder):
        if path.name.endswith(SUFFIXES):
            tables.append(path)
        elif path.suffix.lower() in _IMAGES:
            classes.add(path.parent)
    several = [place for place, count in Counter(one.parent for one in tables).items() if count > 1]
    found = {*tables, *several, *(place.parent for place in classes)} - {folder, folder.parent}
    return sorted(path.relative_to(folder).as_posix() for path in found)[:MOST]
