"""Folders of Hugging Face models, opened as specs that extend the packaged ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import archspec
from archspec.errors import Problem, UsageError
from archspec.lang import model_folder
from archspec.lang.spec import Spec
from archspec.lang.yaml import flow
from archspec_app.workspace import files_below, inside

MAX_LISTED = 50
CONFIG = "config.json"


def model_folders_below(folder: Path) -> list[str]:
    """Folders with a ``config.json``, by their names relative to ``folder``."""
    found = {path.parent for path in files_below(folder, (f"{CONFIG}",)) if path.name == CONFIG}
    return sorted(path.relative_to(folder).as_posix() for path in found - {folder})[:MAX_LISTED]


def text_of_folder(folder: Path, name: str) -> str:
    """A spec of the model in a Hugging Face folder: the packaged one, with the folder's values.

    Args:
        folder: that the page works in.
        name: of the model's folder, relative to it.

    Raises:
        UsageError: E801, it leads out of the folder, or there is no ``config.json``.
        SpecError: no packaged spec is of its class, or its ``config.json`` has a problem.
    """
    name = name.rstrip("/")
    if name.startswith(model_folder.PREFIX):
        name = name.removeprefix(model_folder.PREFIX)
    path = inside(folder, name, must_exist=True)
    if not path.is_dir() or not (path / CONFIG).exists():
        hint = f"a folder of a Hugging Face model has a {CONFIG}"
        raise UsageError(Problem("E801", f"{name}: no folder with a {CONFIG}", hint=hint))
    inside(folder, f"{name}/{CONFIG}")
    where = f"{model_folder.PREFIX}{path}"
    packaged = model_folder.read(where).spec
    return _text(packaged, name, archspec.load(where), archspec.load(packaged))


def _text(packaged: str, name: str, spec: Spec, parent: Spec) -> str:
    lines = ["archspec: 1", f"extends: {packaged}", f"description: {flow(f'Model in {name}')}"]
    changed = [
        f"  {key}: {flow(_plain(value))}"
        for key, value in spec.values.items()
        if key in parent.architecture.params and value != parent.values.get(key)
    ]
    if changed:
        lines += ["", "params:", *changed]
    if spec.labels and spec.labels != parent.labels:
        lines += ["", "task:", f"  labels: {flow(list(spec.labels))}"]
    return "\n".join([*lines, ""])


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
