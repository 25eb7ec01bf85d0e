"""Files and folders that look like data, below the folder of the page."""

from __future__ import annotations

import os
from pathlib import Path

MOST = 200
MOST_LOOKED_AT = 5_000
DEEPEST = 4
SUFFIXES = (".csv", ".tsv", ".jsonl", ".json", ".parquet")
_IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
_SKIPPED = frozenset({"runs", "node_modules", "__pycache__"})


def data_below(folder: Path) -> list[str]:
    """What a form suggests: tables, folders of them, and folders with a folder of images a class.

    Args:
        folder: the page's.

    Returns:
        Names relative to it, at most ``MOST``.
    """
    found: list[str] = []
    looked = 0
    level = [folder]
    for _ in range(DEEPEST):
        below: list[Path] = []
        for place in level:
            try:
                entries = sorted(os.scandir(place), key=lambda entry: entry.name)
            except OSError:
                continue
            looked += len(entries)
            if looked > MOST_LOOKED_AT:
                return found[:MOST]
            tables = [one for one in entries if one.name.endswith(SUFFIXES) and one.is_file()]
            here = place.relative_to(folder).as_posix()
            if len(tables) > 1 and here != ".":
                found.append(here)
            if any(one.name.lower().endswith(_IMAGES) for one in entries[:20]):
                found.append(place.parent.parent.relative_to(folder).as_posix() if False else here)
            found += [Path(one.path).relative_to(folder).as_posix() for one in tables]
            below += [
                Path(one.path)
                for one in entries
                if one.is_dir(follow_symlinks=False)
                and not one.name.startswith((".", "_"))
                and one.name not in _SKIPPED
            ]
        level = below
    return found[:MOST]
