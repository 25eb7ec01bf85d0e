"""The start view: what can be opened, and the example."""

from __future__ import annotations

from functools import cache
from typing import Any

from archspec.errors import Problem, UsageError
from archspec.lang.catalog import catalog
from archspec.lang.packaged import tree_levels
from archspec.lang.yaml import MAX_BYTES
from archspec.report.numbers import format_count
from archspec_app.component import view
from archspec_app.event_binding import EventBinder
from archspec_app.events import Event, text_of
from archspec_app.example import FOLDER, OPTIONS, SPEC, write_example
from archspec_app.framework import LISTENER
from archspec_app.model_folders import model_folders_below, text_of_folder
from archspec_app.session import Session
from archspec_app.workspace import SUFFIXES

NEW = """archspec: 1
model: Net

blocks:
  Net:
    inputs: {x: [batch, 8]}
    outputs: {y: [batch, 2]}
    modules:
      fc: {type: Linear, in_features: 8, out_features: 2}
    forward:
      - return: fc(x)

dims: {batch: 1}
"""

_FIELDS = ("text", "vision", "audio", "multimodal")


def build(binder: EventBinder) -> None:
    start = view("start", label="Start", elem_id="start")
    for name, act in (
        ("open", open_spec), ("upload", upload), ("folder", _folder), ("example", _example),
    ):  # fmt: skip
        binder.listen(start, name, act)
    start.choices(binder.on_query(_choices, _failed, replaceable=True), [], [start], **LISTENER)


@cache
def packaged() -> list[dict[str, Any]]:
    """The packaged specs, as the page lists them."""
    levels = tree_levels()
    return [
        {
            "name": entry.name,
            "field": entry.field,
            "parameters": format_count(entry.parameters) if entry.parameters else "–",
            "task": entry.task.replace("-", " "),
            "description": entry.description,
            "levels": levels.get(entry.name, []),
        }
        for entry in sorted(catalog(), key=lambda entry: _FIELDS.index(entry.field))
    ]


def _choices(session: Session, event: Event) -> dict[str, Any]:
    names = session.workspace.names()
    return {
        "packaged": packaged(),
        "specs": [name for name in names if name.endswith(SUFFIXES)],
        "folders": model_folders_below(session.workspace.folder),
        "example": {"folder": FOLDER, "spec": SPEC},
    }


def _failed(session: Session, event: Event, problem: str) -> dict[str, Any]:
    return {"error": problem}


def open_spec(session: Session, data: dict[str, Any]) -> None:
    """Open a spec by its name; without one, begin a new one."""
    if name := text_of(data, "spec"):
        session.open(name)
    else:
        session.paste("untitled.yaml", NEW, is_saved=True)


def upload(session: Session, data: dict[str, Any]) -> None:
    """Open a text of the visitor's own."""
    text = text_of(data, "text", MAX_BYTES)
    name = text_of(data, "spec").replace("\\", "/").split("/")[-1].lstrip(".") or "untitled"
    if not text:
        message = f"the file is empty, or has more than {MAX_BYTES:,} bytes"
        raise UsageError(Problem("E801", message))
    session.paste(name if name.endswith(SUFFIXES) else f"{name}.yaml", text)


def _folder(session: Session, data: dict[str, Any]) -> None:
    name = text_of(data, "folder").strip()
    if not name:
        raise UsageError(Problem("E801", "enter the name of a folder below this page's folder"))
    text = text_of_folder(session.workspace.folder, name)
    session.paste(f"{name.rstrip('/').split('/')[-1]}.yaml", text)
    session.train_defaults = {"weights": name}
    session.notice = f"opened the model in {name}; its weights are chosen on the tab Train"


def _example(session: Session, data: dict[str, Any]) -> None:
    written = write_example(session.workspace.folder)
    session.open(SPEC)
    session.train_defaults = dict(OPTIONS)
    count = len(written)
    session.notice = f"wrote {count} files to {FOLDER}" if count else f"opened {SPEC}"
