"""Files and folders in the folder of the page that look like training data or tokenizers."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from archspec_app.workspace import files_below

MAX_LISTED = 200
SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
TOKENIZERS = ("tokenizer.json", "vocab.txt")
_IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


def data_below(folder: Path) -> list[str]:
    """Suggestions for a form: tables, folders of tables, and folders with one folder per class.

    Args:
        folder: that the page works in.

    Returns:
        Names relative to it, at most ``MAX_LISTED``.
    """
    tables: list[Path] = []
    classes: set[Path] = set()
    for path in files_below(folder):
        if path.name.endswith(SUFFIXES):
            tables.append(path)
        elif path.suffix.lower() in _IMAGES:
            classes.add(path.parent)
    folders = Counter(path.parent for path in tables)
    several = [parent for parent, count in folders.items() if count > 1]
    paths = {*tables, *several, *(path.parent for path in classes)} - {folder, folder.parent}
    return sorted(path.relative_to(folder).as_posix() for path in paths)[:MAX_LISTED]


def tokenizers_below(folder: Path) -> list[str]:
    """The files of tokenizers: names relative to ``folder``, at most ``MAX_LISTED``."""
    paths = [path for path in files_below(folder, TOKENIZERS) if path.name in TOKENIZERS]
    return sorted(path.relative_to(folder).as_posix() for path in paths)[:MAX_LISTED]
