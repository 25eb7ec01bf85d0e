"""Images with masks: a folder ``images`` beside ``masks``, perhaps below one for each split."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np

from archspec.data.extras import train_extra
from archspec.data.folder_walk import MAX_DEPTH, folders_in, walk
from archspec.data.image_folders import is_row, refuse_other_encodings
from archspec.data.masks import NO_CLASS
from archspec.data.tables import Splits, Table, from_arrow
from archspec.errors import DataError, Problem, listing

with train_extra():
    import pyarrow as pa

IMAGES, MASKS = "images", "masks"
CLASSES = "classes.txt"  # a name a line, from class 0 on
_MAX_BYTES = 100_000


def mask_folders(root: Path) -> Splits:
    """The splits of a folder of images and masks; none if it is no such folder.

    Raises:
        DataError: E901 or E906, the file with the names of the classes cannot be read.
    """
    if (root / IMAGES).is_dir():
        return {IMAGES: partial(_mask_table, root, root)}
    splits = [folder for folder in folders_in(root) if (folder / IMAGES).is_dir()]
    return {folder.name: partial(_mask_table, root, folder) for folder in splits}


def holds_masks(root: Path) -> bool:
    """Whether a folder has images, and masks with the same names."""
    for folder in (root, *folders_in(root)):
        if all((folder / name).is_dir() for name in (IMAGES, MASKS)):
            return bool(_by_stem(folder / IMAGES).keys() & _by_stem(folder / MASKS).keys())
    return False


def _by_stem(folder: Path) -> dict[str, Path]:
    """The images of a folder by their paths in it, without suffixes.

    Raises:
        DataError: E901, two have the same.
    """
    paths = [path for path in walk(folder, MAX_DEPTH, strict=True) if is_row(path)]
    stems = [path.relative_to(folder).with_suffix("").as_posix() for path in paths]
    if twice := [stem for stem, count in Counter(stems).items() if count > 1]:
        message = f"{folder}: several files are called {listing(twice)}"
        hint = "an image and its mask are found by their name without the suffix"
        raise DataError(Problem("E901", message, hint=hint))
    return dict(zip(stems, paths, strict=True))


def _mask_table(root: Path, folder: Path) -> Table:
    """Each image with the path of its mask, empty where there is none."""
    images = _by_stem(folder / IMAGES)
    has_masks = (folder / MASKS).is_dir()
    masks = _by_stem(folder / MASKS) if has_masks else {}
    names = [path.relative_to(root).as_posix() for path in images.values()]
    of_images = [
        masks[stem].relative_to(root).as_posix() if stem in masks else None for stem in images
    ]
    refuse_other_encodings(root, [*names, *(name for name in of_images if name)])
    columns = {"image": pa.array(names, pa.large_string())}
    if has_masks:
        columns["mask"] = pa.array(of_images, pa.large_string())
    count = len(names)
    unused = [stem for stem in masks if stem not in images]
    note = f"{folder / MASKS}: masks without an image are not used: {listing(unused)}"
    return Table(
        from_arrow(pa.table(columns)),
        names or [f"{folder.name}/{IMAGES}"],
        file_of=np.arange(count),
        numbers=np.arange(1, count + 1),
        lines=np.zeros(count, dtype=np.int64),
        base=root,
        image="image",
        notes=(note,) if unused else (),
        classes=read_class_names(root / CLASSES),
    )


def read_class_names(path: Path) -> tuple[str, ...] | None:
    """The names of the classes in a file, a line each; None if there is no such file.

    Raises:
        DataError: E901, it cannot be read; E906, its lines are no names of classes.
    """
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise DataError(Problem("E901", f"{path}: larger than {_MAX_BYTES:,} bytes"))
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise DataError(Problem("E901", f"{path}: {reason}")) from None
    names = [line.strip() for line in text.rstrip().split("\n")]
    hint = "a name a line, that of class 0 first"
    if empty := [number for number, name in enumerate(names, 1) if not name]:
        raise DataError(Problem("E906", f"{path}, line {empty[0]}: no name", hint=hint))
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise DataError(Problem("E906", f"{path}: two classes are called {twice[0]!r}", hint=hint))
    if not 2 <= len(names) <= NO_CLASS:
        message = f"{path}: {len(names)} classes, not 2 to {NO_CLASS}"
        raise DataError(Problem("E906", message, hint=hint))
    return tuple(names)
