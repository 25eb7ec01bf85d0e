"""A few inputs from the data that a run was trained on, to try its model with."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import archspec
from archspec.data.checking import image_bytes
from archspec.data.tables import SUFFIXES, Cells
from archspec.errors import ArchspecError
from archspec.predicting.row_reader import Window, row_file
from archspec_app.workspace import files_below, inside, refuse_links_out

MAX_EXAMPLES = 6
MAX_CHARACTERS = 2_000  # of a text; a longer one is no example
MAX_BYTES = 500_000  # of an image
MAX_FILE = 50_000_000  # bytes of a table; a larger one takes too long to read
_IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
_ROWS = 200  # from which examples are taken
_SPLITS = ("test", "val", "dev")  # what the model has not learned comes first


def examples_of(run: archspec.Run, folder: Path) -> list[dict[str, Any]]:
    """Inputs from the data of a run.

    Args:
        run: which.
        folder: that the page works in; data elsewhere give no examples.

    Returns:
        Each with ``label`` (None where it is not a text), and either ``text`` and ``second`` (""
        where there is none), or ``image``, the bytes of a file in base64.
    """
    data = run.facts.get("data")
    columns = data.get("columns") if isinstance(data, Mapping) else None
    path = _inside(folder, data.get("source") if isinstance(data, Mapping) else None)
    if path is None or not isinstance(columns, Mapping):
        return []
    try:
        return _from_table(path, columns) or _from_image_folder(path)
    except (ArchspecError, OSError, ValueError, LookupError):
        return []  # the data were changed since


def _inside(folder: Path, source: object) -> Path | None:
    """Where the data are, if they are in the folder and nothing in them leads out of it."""
    if not isinstance(source, str):
        return None
    try:
        name = Path(source)
        if name.is_absolute():
            name = name.relative_to(folder)
        path = inside(folder, name.as_posix(), must_exist=True)
        refuse_links_out(folder, path)
    except (ArchspecError, ValueError):
        return None
    return path


def _from_table(path: Path, columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    files = [path] if path.is_file() else [*files_below(path, tuple(SUFFIXES))]
    if not files:
        return []
    file = min(files, key=_split_rank)
    if file.stat().st_size > MAX_FILE:
        return []
    window = row_file(file).first(_ROWS)
    names = [columns.get(role) for role in ("text", "text_pair", "image", "label")]
    text, second, image, label = (
        window.values(name) if isinstance(name, str) and _has(window, name) else None
        for name in names
    )
    found: list[dict[str, Any]] = []
    for i in _spread(label, len(window))[: 4 * MAX_EXAMPLES]:
        row = {"label": label[i] if label and isinstance(label[i], str) else None}
        if image is not None:
            content = _image(window, str(names[2]), i, file)
            if 0 < len(content) <= MAX_BYTES:
                found.append({**row, "image": base64.b64encode(content).decode()})
        elif text is not None and _is_example(text[i], second[i] if second else ""):
            found.append({**row, "text": text[i], "second": second[i] if second else ""})
    return found[:MAX_EXAMPLES]


def _image(window: Window, column: str, i: int, file: Path) -> bytes:
    """The image of a row; nothing of one that is gone, or outside the data's folder."""
    table = window.as_data(file)
    try:
        return image_bytes(Cells(table.dataset, column, table.base), i)
    except (OSError, ValueError):
        return b""


def _from_image_folder(path: Path) -> list[dict[str, Any]]:
    """Of a folder with one folder of images for each class."""
    files = [file for file in files_below(path) if file.suffix.lower() in _IMAGES]
    if path.is_file() or not files:
        return []
    best = min(map(_split_rank, files))
    files = [file for file in files if _split_rank(file) == best and file.parent.name != "masks"]
    labels = [file.parent.name for file in files]
    return [
        {"label": labels[i], "image": base64.b64encode(files[i].read_bytes()).decode()}
        for i in _spread(labels, len(files))[:MAX_EXAMPLES]
        if files[i].stat().st_size <= MAX_BYTES
    ]


def _split_rank(file: Path) -> tuple[int, str]:
    """The place of a file among others, by its name or its folder's."""
    names = " ".join(part.lower() for part in file.parts[-3:])
    rank = next((i for i, name in enumerate(_SPLITS) if name in names), len(_SPLITS))
    return rank, file.name if file.suffix.lower() not in _IMAGES else ""


def _spread(labels: Sequence[object] | None, count: int) -> list[int]:
    """Positions: the first of each label, then the second of each."""
    if labels is None:
        return [*range(count)]
    seen: dict[str, int] = {}
    keyed: list[tuple[int, int]] = []
    for i, label in enumerate(labels):
        seen[str(label)] = seen.get(str(label), -1) + 1
        keyed.append((seen[str(label)], i))
    return [i for _, i in sorted(keyed)]


def _has(window: Window, name: str) -> bool:
    return name in (window.cells if window.cells is not None else window.table.column_names)


def _is_example(*texts: object) -> bool:
    return all(isinstance(text, str) and len(text) <= MAX_CHARACTERS for text in texts)
