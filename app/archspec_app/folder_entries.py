"""What is in a folder below that of the page, for a dialog in which files are chosen."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from archspec.data.columns import IMAGE_SUFFIXES
from archspec.errors import Problem, UsageError
from archspec.training.run_folder import BEST
from archspec.weights.files import IN_FOLDER
from archspec.weights.pytorch_files import SUFFIXES as CHECKPOINTS
from archspec_app.data_files import SUFFIXES as TABLES
from archspec_app.data_files import TOKENIZERS
from archspec_app.training.job_status import RUNS
from archspec_app.workspace import MAX_ENTRIES, SKIPPED, inside

MAX_SHOWN = 300
MAX_LOOKED_INTO = 100  # folders
MAX_COUNTED = 200  # entries of one of them
_CLASS_WEIGHTS = (".csv", ".json", ".yaml", ".yml")


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


SUITS: Mapping[str, Callable[[str], bool]] = {
    "class_weights": lambda name: _suffix(name) in _CLASS_WEIGHTS,
    "data": lambda name: _suffix(name) in TABLES,
    "tokenizer": lambda name: name in TOKENIZERS,
    "weights": lambda name: _suffix(name) in (".safetensors", *CHECKPOINTS),
}
"""What files are chosen for, and whether one suits by its name; others can be chosen as well."""


def folder_entries(folder: Path, name: str, purpose: str, search: str = "") -> dict[str, Any]:
    """The folders and files in a folder, those that suit first.

    Args:
        folder: that the page works in.
        name: of a folder below it, with slashes; "" for itself.
        purpose: one of ``SUITS``.
        search: what the names of entries contain, in whatever case.

    Returns:
        ``folder``, its name; ``can_be_chosen``, whether it may be what is looked for, and
        ``takes_folders``, whether any folder may be;
        ``entries``, at most ``MAX_SHOWN``, each with ``name``, ``is_folder``, ``suits``, ``bytes``
        (None of folders), ``about`` ("" of files) and ``problem``, why it cannot be chosen;
        ``omitted``, how many more there are; ``is_cut``, whether not all were looked at.

    Raises:
        UsageError: E801, the folder is not below that of the page, hidden, or cannot be read; or
            there is no such purpose.
    """
    if purpose not in SUITS:
        raise _usage(f"no file is chosen for {purpose!r:.100}")
    place = _place(folder, name)
    try:
        with os.scandir(place) as scanned:
            found = list(islice(scanned, MAX_ENTRIES + 1))
    except OSError as error:
        raise _usage(f"{name or 'the folder'}: cannot be read: {error.strerror}") from None
    shown = [entry for entry in found[:MAX_ENTRIES] if _is_shown(entry, purpose)]
    wanted = [entry for entry in shown if search.lower() in entry.name.lower()]
    described = [_described(folder, entry, purpose) for entry in wanted]
    described.sort(key=_order)
    for entry in described[:MAX_LOOKED_INTO]:
        if entry["is_folder"] and not entry["problem"]:
            entry |= _contents(place / entry["name"], purpose)
    return {
        "folder": name,
        "can_be_chosen": bool(name) and purpose in ("data", "weights"),
        "takes_folders": purpose == "data",  # that of an image's class holds no data itself
        "entries": described[:MAX_SHOWN],
        "omitted": max(0, len(described) - MAX_SHOWN),
        "is_cut": len(found) > MAX_ENTRIES,
    }


def _place(folder: Path, name: str) -> Path:
    if not name:
        return folder
    place = inside(folder, name, must_exist=True)
    if any(part.startswith(".") for part in name.split("/")):
        raise _usage(f"{name!r:.200} is hidden")
    if not place.is_dir():
        raise _usage(f"{name}: not a folder")
    return place


def _is_shown(entry: os.DirEntry[str], purpose: str) -> bool:
    """Nothing hidden, and no name that a form could not send back."""
    name = entry.name
    if name.startswith(".") or not name.isprintable() or "\\" in name:
        return False
    return name not in SKIPPED or (name == RUNS and purpose == "weights")


def _described(folder: Path, entry: os.DirEntry[str], purpose: str) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": entry.name, "is_folder": False, "suits": False, "bytes": None, "about": "",
        "problem": "",
    }  # fmt: skip
    try:
        if entry.is_symlink() and not Path(os.path.realpath(entry)).is_relative_to(folder):
            return {**described, "problem": "a link that leads out of the folder"}
        if entry.is_dir():
            return {**described, "is_folder": True}
        if entry.is_file():
            size = entry.stat().st_size
            return {**described, "bytes": size, "suits": SUITS[purpose](entry.name)}
    except OSError as error:
        return {**described, "problem": error.strerror or "cannot be read"}
    return {**described, "problem": "neither a file nor a folder"}


def _order(entry: Mapping[str, Any]) -> tuple[bool, bool, bool, str]:
    """Files that suit stand behind the folders, and before other files."""
    is_folder, suits = entry["is_folder"], entry["suits"]
    return bool(entry["problem"]), not is_folder, not suits, entry["name"].casefold()


def _contents(place: Path, purpose: str) -> dict[str, Any]:
    """What a folder holds, in a few words, and whether it suits."""
    try:
        with os.scandir(place) as scanned:
            entries = [e for e in islice(scanned, MAX_COUNTED) if not e.name.startswith(".")]
            folders = sum(entry.is_dir(follow_symlinks=False) for entry in entries)
    except OSError:
        return {"about": "cannot be read"}
    names = [entry.name for entry in entries]
    tables = sum(_suffix(name) in TABLES for name in names)
    images = sum(_suffix(name) in IMAGE_SUFFIXES for name in names)
    more = "+" if len(names) == MAX_COUNTED else ""
    is_run = (place / BEST).is_file()
    is_model = not {*IN_FOLDER}.isdisjoint(names)
    counts = [(folders, "folder"), (tables, "table"), (images, "image")]
    parts = [f"{count}{more} {word}{'' if count == 1 else 's'}" for count, word in counts if count]
    parts = [*(["run"] if is_run else []), *(["weights"] if is_model else []), *parts]
    suits = tables > 0 if purpose == "data" else purpose == "weights" and (is_run or is_model)
    return {"about": ", ".join(parts), "suits": suits}


def _usage(message: str) -> UsageError:
    return UsageError(Problem("E801", message))
