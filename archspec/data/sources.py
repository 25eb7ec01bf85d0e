"""Finds data: files, a folder, images in folders of classes, a hub, or data in memory."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from archspec.data.folder_walk import MAX_DEPTH, walk
from archspec.data.hub import is_hub_name, on_hub
from archspec.data.image_folders import image_folders
from archspec.data.in_memory import in_memory, is_in_memory
from archspec.data.mask_folders import holds_masks, mask_folders
from archspec.data.splitting import split_word
from archspec.data.tables import SUFFIXES, Splits, read_table
from archspec.data.text_files import LINE_SUFFIX, PLAIN, TextFormat
from archspec.errors import DataError, Problem, UsageError, listing

Files = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
Source = Files | Mapping[str, Files] | Any
"""Where data is, or data in memory: a data set, a frame of pandas or Polars, rows or columns."""

_SHARD = re.compile(r"([-_.]?\d+(-of-\d+)?)$")
_NOT_DATA = {"dataset_info.json", "dataset_infos.json", "state.json", "dataset_dict.json"}


def find(
    source: Source, base: Path | None, form: TextFormat = PLAIN, *, masks: bool = False
) -> Splits:
    """The data's own splits, by its own names; nothing is read yet.

    Args:
        masks: whether images have masks, not classes.

    Raises:
        DataError: E901, there is no such data, or its kind is unknown.
        UsageError: E801, the source has a wrong type, or the text format does not apply to it.
    """
    if is_in_memory(source):
        form.refuse_for("data in memory", text=False)
        return in_memory(source, base)
    _check_type(source)
    if isinstance(source, Mapping):
        return {
            str(name): partial(read_table, _files(files), base, form)
            for name, files in source.items()
        }
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if _exists(path):
            if path.is_dir():
                return _in_folder(path, base, form, masks=masks)
            return _grouped([path], base, form)
        if isinstance(source, str) and is_hub_name(source) and path.suffix.lower() not in SUFFIXES:
            form.refuse_for(source, text=False)
            return on_hub(source)
        is_word = len(path.parts) == 1 and path.suffix.lower() not in SUFFIXES
        hint = "a data set of the hub is owner/name" if is_word else ""
        raise DataError(Problem("E901", f"{path}: no such file or folder", hint=hint))
    return _grouped(_files(source), base, form)


def _check_type(source: Any) -> None:
    """Raise UsageError for anything but a path, paths, or a mapping of names to paths."""
    groups = list(source.values()) if isinstance(source, Mapping) else [source]
    for group in groups:
        paths = [group] if isinstance(group, str | os.PathLike) else group
        is_list = isinstance(paths, Sequence) and not isinstance(paths, bytes)
        if not is_list or not all(isinstance(path, str | os.PathLike) for path in paths):
            message = "data is a path, a list of paths, a data set, a frame, a list of dicts, or"
            message = f"{message} a mapping of names to them, not {type(group).__name__}"
            raise UsageError(Problem("E801", message))
    if not groups:
        raise UsageError(Problem("E801", "no files are named"))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that is too long, or has a NUL
        return False


_OTHER_KINDS = (  # suffixes, what such a file is, what to do about it
    (".xlsx .xlsm .xls .ods .numbers", "a spreadsheet", "export it as CSV"),
    (".zip .gz .bz2 .xz .zst .tar .tgz .7z .rar", "an archive", "unpack it first"),
    (".pkl .pickle", "a pickle, which could run code", "write its rows as CSV or Parquet"),
    (".db .sqlite .sqlite3", "a database", "export its rows as CSV or Parquet"),
)


def _of_another_kind(path: Path) -> Problem:
    kinds = (kind for kind in _OTHER_KINDS if path.suffix.lower() in kind[0].split())
    usual = "", "of no known kind", f"known are {listing(sorted(SUFFIXES), 20)}"
    _, what, hint = next(kinds, usual)
    return Problem("E901", f"{path}: {what}", hint=hint)


def _files(files: Files) -> list[Path]:
    paths = [Path(files)] if isinstance(files, str | os.PathLike) else [Path(p) for p in files]
    problems: list[Problem] = []
    for path in paths:
        if not _exists(path) or not path.is_file():
            problems.append(Problem("E901", f"{path}: no such file"))
        elif path.suffix.lower() not in SUFFIXES:
            problems.append(_of_another_kind(path))
    if problems or not paths:
        raise DataError(problems or Problem("E901", "no files are named"))
    return paths


def _grouped(
    paths: list[Path], base: Path | None, form: TextFormat, root: Path | None = None
) -> Splits:
    """Group files by the split in their names or in those of their folders."""
    paths = _files(paths)
    groups: dict[str, list[Path]] = {}
    for path in paths:
        groups.setdefault(_split_name(path, root), []).append(path)
    if len(groups) > 1 and not any(map(split_word, groups)):
        groups = {"data": paths}  # parts of one split
    return {name: partial(read_table, files, base, form) for name, files in groups.items()}


def _split_name(path: Path, root: Path | None) -> str:
    stem = _SHARD.sub("", path.stem) or path.stem
    if split_word(stem) or root is None:
        return stem
    folders = [part for part in path.parent.relative_to(root).parts if split_word(part)]
    return folders[-1] if folders else stem


# ------------------------------------------------------------------------------------------ folders


def _in_folder(root: Path, base: Path | None, form: TextFormat, *, masks: bool) -> Splits:
    if not masks and holds_masks(root):
        message = f"{root}: images with masks, which say what each pixel is"
        hint = "they are for task.kind image-segmentation (--task image-segmentation)"
        raise DataError(Problem("E907", message, hint=hint))
    images = mask_folders(root) if masks else image_folders(root)
    if images:
        form.refuse_for(str(root), text=False)
        return images
    files = [p for p in walk(root, MAX_DEPTH) if p.suffix.lower() in SUFFIXES]
    files = [p for p in files if p.name not in _NOT_DATA and not p.name.startswith("cache-")]
    # Other files of plain text explain the data, or are words of a tokenizer.
    files = [p for p in files if p.suffix.lower() != LINE_SUFFIX or split_word(p.stem)]
    if not files:
        kinds = listing(sorted(SUFFIXES), 20)
        hint = f"data is {kinds}, or a folder for each class with its images"
        raise DataError(Problem("E901", f"{root}: no data in this folder", hint=hint))
    kinds = sorted({path.suffix.lower() for path in files})
    if len(kinds) > 1:
        message = f"{root}: files of several kinds: {listing(kinds)}"
        raise DataError(Problem("E901", message, hint="name the files that are meant"))
    return _grouped(files, base or root, form, root)
