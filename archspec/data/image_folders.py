"""Images in a folder for each class, perhaps below one for each split."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from archspec.data.columns import IMAGE_SUFFIXES
from archspec.data.extras import train_extra
from archspec.data.folder_walk import MAX_DEPTH, folders_in, walk
from archspec.data.splitting import split_word
from archspec.data.tables import Splits, Table, from_arrow
from archspec.errors import DataError, Problem, listing

with train_extra():
    import pyarrow as pa

MAX_FILES = 5_000_000
_BESIDE = (".txt", ".csv", ".json", ".md")  # files that may lie among images
_LITTER = ("thumbs.db", "desktop.ini")
_METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")


def image_folders(root: Path) -> Splits:
    """The splits of a folder of images; none if it is no such folder.

    Raises:
        DataError: E901, an image lies where it would have no class, or what they are is written in
            a file; E904, there are splits without classes.
    """
    folders = folders_in(root)
    splits = [folder for folder in folders if split_word(folder.name)]
    if any(map(_has_classes, splits)):
        _refuse_metadata([root, *folders])
        _refuse_strays(root)
        return {p.name: partial(_image_table, p) for p in folders if _has_images_below(p)}
    with_images = [folder for folder in folders if _has_images(folder)]
    if not with_images:
        return {}
    _refuse_metadata([root, *folders])
    _refuse_unlabelled(root, [folder for folder in with_images if folder in splits], with_images)
    return {"images": partial(_image_table, root)}


def is_image(path: Path) -> bool:
    """Whether a file is an image by its suffix."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def _has_images(folder: Path) -> bool:
    return any(is_image(path) for path in _files_in(folder))


def _files_in(folder: Path) -> Iterator[Path]:
    return (p for p in folder.iterdir() if not p.name.startswith(".") and not p.is_dir())


def _has_classes(folder: Path) -> bool:
    return any(map(_has_images, folders_in(folder)))


def _has_images_below(folder: Path) -> bool:
    return any(map(is_image, walk(folder, MAX_DEPTH)))


def _refuse_metadata(folders: list[Path]) -> None:
    for path in (folder / name for folder in folders for name in _METADATA):
        if path.is_file():
            hint = f"give {path} itself: its paths of images are taken as below its folder"
            message = f"{path.parent}: a folder of images with a {path.name}"
            raise DataError(Problem("E901", message, hint=hint))


def _refuse_strays(root: Path) -> None:
    if strays := sorted(path.name for path in _files_in(root) if is_image(path)):
        message = f"{root}: images that lie in no class's folder: {listing(strays)}"
        raise DataError(Problem("E901", message))


def _refuse_unlabelled(root: Path, splits: list[Path], with_images: list[Path]) -> None:
    """``train`` may be a class beside ``bus``; where no other class is, it is a split."""
    if len(splits) > 1 or splits == with_images:
        names = listing([folder.name for folder in splits])
        message = f"{root}: the images in {names} have no folder for their class"
        raise DataError(Problem("E904", message, hint=f"{splits[0].name}/CLASS/…, for each class"))


def _image_table(root: Path) -> Table:
    """Each image with the name of its folder, or without a label where there are no such folders.

    Rows are numbered in the order of their names. Any visible file in a class's folder is one.
    """
    labelled = bool(folders_in(root))
    if labelled:
        _refuse_strays(root)
    names: list[str] = []
    for path in walk(root, MAX_DEPTH, strict=True):
        if is_image(path) or (path.parent != root and is_row(path)):
            names.append(path.relative_to(root).as_posix())
        if len(names) > MAX_FILES:
            raise DataError(Problem("E901", f"{root}: more than {MAX_FILES:,} images"))
    n = len(names)
    refuse_other_encodings(root, names)
    columns = {"image": pa.array(names, pa.large_string())}
    if labelled:
        labels = [name.partition("/")[0] for name in names]
        columns["label"] = pa.array(labels, pa.large_string())
    return Table(
        from_arrow(pa.table(columns)),
        names,
        file_of=np.arange(n),
        numbers=np.arange(1, n + 1),
        lines=np.zeros(n, dtype=np.int64),
        base=root,
        image="image",
        notes=_empty_folders(root, {name.partition("/")[0] for name in names}),
    )


def _empty_folders(root: Path, filled: set[str]) -> tuple[str, ...]:
    empty = [folder.name for folder in folders_in(root) if folder.name not in filled]
    return (f"folders without images are no classes: {listing(empty)}",) if empty else ()


def is_row(path: Path) -> bool:
    """Whether a file among images is one of them, if perhaps broken."""
    return path.suffix.lower() not in _BESIDE and path.name.lower() not in _LITTER


def refuse_other_encodings(root: Path, names: list[str]) -> None:
    """Check that file names can be in a table; raises DataError: E901."""
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise DataError(Problem("E901", f"{root}: a file name that is not UTF-8")) from None
