"""Where data is: files, a folder, images in folders of classes, or a hub."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from archspec.data.columns import IMAGE_SUFFIXES
from archspec.data.extras import train_extra
from archspec.data.splitting import split_word
from archspec.data.tables import SUFFIXES, Table, as_table, from_arrow, read_table
from archspec.errors import DataError, Problem, UsageError, listing

with train_extra():
    import datasets
    import pyarrow as pa

Files = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
Source = Files | Mapping[str, Files]
Splits = dict[str, Callable[[], Table]]

MAX_FILES = 5_000_000
_MAX_DEPTH = 4
_HUB_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?(:[\w.-]+)?", re.ASCII)
_SHARD = re.compile(r"([-_.]?\d+(-of-\d+)?)$")
_NOT_DATA = {"dataset_info.json", "dataset_infos.json", "state.json", "dataset_dict.json"}


def find(source: Source, base: Path | None) -> Splits:
    """The data's own splits, by its own names; nothing is read yet.

    Raises:
        DataError: E901, there is no such data, or it is of no known kind.
        UsageError: E801, the source is nothing that could name data.
    """
    _check_kind(source)
    if isinstance(source, Mapping):
        return {
            str(name): partial(read_table, _files(files), base) for name, files in source.items()
        }
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if _exists(path):
            return _in_folder(path, base) if path.is_dir() else _grouped([path], base)
        if _HUB_NAME.fullmatch(str(source)) and path.suffix.lower() not in SUFFIXES:
            return _on_hub(str(source))
        raise DataError(Problem("E901", f"{path}: no such file or folder"))
    return _grouped(_files(source), base)


def _check_kind(source: Any) -> None:
    """Raises UsageError for anything but a path, paths, or a mapping of names to them."""
    groups = list(source.values()) if isinstance(source, Mapping) else [source]
    for group in groups:
        paths = [group] if isinstance(group, str | os.PathLike) else group
        is_list = isinstance(paths, Sequence) and not isinstance(paths, bytes)
        if not is_list or not all(isinstance(path, str | os.PathLike) for path in paths):
            message = "data is a path, a list of paths, or a mapping of names to them"
            raise UsageError(Problem("E801", f"{message}, not {type(group).__name__}"))
    if not groups:
        raise UsageError(Problem("E801", "no files are named"))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name too long, or with a NUL
        return False


def _files(given: Files) -> list[Path]:
    paths = [Path(given)] if isinstance(given, str | os.PathLike) else [Path(p) for p in given]
    problems: list[Problem] = []
    for path in paths:
        if not _exists(path) or not path.is_file():
            problems.append(Problem("E901", f"{path}: no such file"))
        elif path.suffix.lower() not in SUFFIXES:
            hint = f"known are {listing(sorted(SUFFIXES), 20)}"
            problems.append(Problem("E901", f"{path}: of no known kind", hint=hint))
    if problems or not paths:
        raise DataError(problems or Problem("E901", "no files are named"))
    return paths


def _grouped(paths: list[Path], base: Path | None, root: Path | None = None) -> Splits:
    """Files by the split that their names, or their folders', speak of."""
    paths = _files(paths)
    groups: dict[str, list[Path]] = {}
    for path in paths:
        groups.setdefault(_split_name(path, root), []).append(path)
    if len(groups) > 1 and not any(map(split_word, groups)):
        groups = {"data": paths}  # parts of one whole
    return {name: partial(read_table, files, base) for name, files in groups.items()}


def _split_name(path: Path, root: Path | None) -> str:
    stem = _SHARD.sub("", path.stem) or path.stem
    if split_word(stem) or root is None:
        return stem
    folders = [part for part in path.parent.relative_to(root).parts if split_word(part)]
    return folders[-1] if folders else stem


# ------------------------------------------------------------------------------------------ folders


def _in_folder(root: Path, base: Path | None) -> Splits:
    images = _image_folders(root)
    if images:
        return images
    found = [p for p in _walk(root, _MAX_DEPTH) if p.suffix.lower() in SUFFIXES]
    found = [p for p in found if p.name not in _NOT_DATA and not p.name.startswith("cache-")]
    if not found:
        kinds = listing(sorted(SUFFIXES), 20)
        hint = f"data is {kinds}, or a folder for each class with its images"
        raise DataError(Problem("E901", f"{root}: no data in this folder", hint=hint))
    kinds = sorted({path.suffix.lower() for path in found})
    if len(kinds) > 1:
        message = f"{root}: files of several kinds: {listing(kinds)}"
        raise DataError(Problem("E901", message, hint="name the files that are meant"))
    return _grouped(found, base or root, root)


def _walk(folder: Path, depth: int) -> Iterator[Path]:
    """The files below, in order; no hidden ones, and no folder behind a symbolic link."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(Problem("E901", f"{folder}: {error.strerror}")) from None
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            if depth:
                yield from _walk(Path(entry.path), depth - 1)
        else:
            yield Path(entry.path)


def _image_folders(root: Path) -> Splits:
    """Images in a folder for each class, perhaps below one for each split."""
    inner = [p for p in sorted(root.iterdir()) if p.is_dir() and not p.name.startswith(".")]
    splits = [p for p in inner if split_word(p.name)]
    if splits and any(_has_classes(p) for p in splits):
        return {p.name: partial(_image_table, p) for p in inner if _has_classes(p)}
    return {"images": partial(_image_table, root)} if _has_classes(root) else {}


def _has_classes(root: Path) -> bool:
    folders = (p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    return any(any(map(_is_image, _walk(folder, 0))) for folder in folders)


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES


def _image_table(root: Path) -> Table:
    """Each image with the name of its folder; rows are numbered in the order of their names."""
    names: list[str] = []
    for path in _walk(root, _MAX_DEPTH):
        if _is_image(path) and path.parent != root:
            names.append(path.relative_to(root).as_posix())
        if len(names) > MAX_FILES:
            raise DataError(Problem("E901", f"{root}: more than {MAX_FILES:,} images"))
    n = len(names)
    labels = [name.partition("/")[0] for name in names]
    names, labels = _printable(root, names), _printable(root, labels)
    table = pa.table({"image": pa.array(names, pa.large_string()), "label": labels})
    numbers = np.arange(1, n + 1)
    zeros = np.zeros(n, dtype=np.int64)
    return Table(from_arrow(table), names, np.arange(n), numbers, zeros, base=root)


def _printable(root: Path, names: list[str]) -> list[str]:
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise DataError(Problem("E901", f"{root}: a file name that is not UTF-8")) from None
    return names


# ---------------------------------------------------------------------------------------------- hub


def _on_hub(name: str) -> Splits:
    """A data set of the hub, ``owner/name`` or ``owner/name:subset``; none of its code is run."""
    repository, _, subset = name.partition(":")
    try:
        found = datasets.load_dataset(repository, subset or None)
    except Exception as error:  # many libraries are at work there
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        hint = "there is no such file or folder either"
        raise DataError(
            Problem("E901", f"{name}: not found on the hub: {reason}", hint=hint)
        ) from None
    if not isinstance(found, Mapping):
        raise DataError(Problem("E901", f"{name}: not a data set with splits"))
    return {str(split): partial(as_table, rows, str(split)) for split, rows in found.items()}
