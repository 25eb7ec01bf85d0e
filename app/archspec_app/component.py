"""Views: elements that a script in ``assets`` fills from plain data.

Gradio's HTML templates evaluate the values that they are given. So the markup here is fixed, and
the script creates all other elements, with ``textContent`` for every text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from archspec.drawing.canvas_page import ASSETS as CANVAS_ASSETS
from archspec.report import scripts
from archspec_app.framework import element
from archspec_app.language_data import language_json

ASSETS = Path(__file__).parent / "assets"


VIEWS: Mapping[str, Sequence[str]] = {
    "cost": (),
    "details": ("select_module",),
    "diagram": ("draw",),
    "editor": ("input",),
    "editor_messages": (),
    "form": ("field",),
    "hint": (),
    "memory": ("compute",),
    "problems": (),
    "reader": ("file", "resolved"),
    "run_status": ("poll",),
    "start": ("open", "upload", "folder", "example", "choices"),
    "summary": (),
    "toolbar": ("open", "upload", "save", "undo", "redo", "python", "sync"),
    "tree": ("toggle", "plan", "save_plan"),
}
"""The scripts of views, with the events that each of them triggers."""

TAB_VIEWS: Mapping[str, Sequence[str]] = {
    "diff": ("compare",),
    "predict": ("text", "image", "rows", "file", "nearest", "inside", "examples", "sources"),
    "train": (
        "preview", "estimate", "start", "stop", "resume", "poll", "compare", "again", "shorten",
        "note", "rename", "remove", "example", "plan", "report", "entries",
    ),
    "weights": ("files", "describe"),
}  # fmt: skip
"""Of tabs that few visits open: these are loaded when one of them is."""


def view(name: str, *, label: str, **options: Any) -> gr.HTML:
    """An element of class ``NAME-view`` that ``assets/NAME.js`` fills from its value.

    Args:
        name: of the script, one of ``VIEWS`` or ``TAB_VIEWS``.
        label: what the element is, for screen readers.
        **options: of ``gr.HTML``, such as ``elem_id``.
    """
    markup = f'<div class="{name}-view" role="region" aria-label="{label}"></div>'
    is_late = name in TAB_VIEWS
    script, events = ("tabs.js", TAB_VIEWS) if is_late else ("views.js", VIEWS)
    options = {"value": {}} | options
    return element(markup, script, name, events[name], is_late=is_late, **options)


def hint(text: str, with_keyboard: str = "") -> None:
    """A line that says what a tab is for, until a visitor closes it.

    Args:
        text: of ours, without markup.
        with_keyboard: what only somebody with a keyboard needs; not shown on a touch screen.
    """
    more = f' <span class="with-keyboard">{with_keyboard}</span>' if with_keyboard else ""
    markup = f'<div class="hint-view" role="note"><span>{text}{more}</span></div>'
    element(markup, "views.js", "hint", value="")


def editor() -> gr.HTML:
    """The editor; its value is its text. Event: ``input``, a while after somebody has typed."""
    return view("editor", label="Spec", value=None, elem_id="editor", render=False)


def editor_messages() -> gr.HTML:
    """What the server sends to the editor, apart from the editor's own value: typing sets that.

    The value is ``{"text": …, "spec": …, "revision": …}``, to show another text, or has ``patch``
    in place of the first two.
    """
    markup = '<div class="messages-view"></div>'
    options = {"value": None, "elem_id": "editor-messages", "render": False}
    return element(markup, "views.js", "editor_messages", **options)


def served_files() -> dict[str, Callable[[], str]]:
    """The files that the page loads by themselves, by name; see ``ServedFiles``."""
    return {
        "canvas.js": lambda: scripts.bundle("inspector_canvas.js", (CANVAS_ASSETS,)),
        "editor.js": lambda: bundle("code_editor.js"),
        "editor_tools.js": lambda: bundle("editor_tools.js"),
        "tabs.js": lambda: views(TAB_VIEWS),
        "views.js": lambda: views(VIEWS),
        "language.json": language_json,
    }


def views(names: Iterable[str]) -> str:
    """Views as one script, with what they share once."""
    return scripts.view_bundle(tuple(f"{name}.js" for name in names), (ASSETS, CANVAS_ASSETS))


def bundle(name: str) -> str:
    """A module of ``assets`` and those that it imports, as one script."""
    return scripts.bundle(name, (ASSETS, CANVAS_ASSETS))
