"""Views: elements that a script in ``assets`` fills from plain data.

Gradio's HTML templates evaluate the values that they are given. So the markup here is fixed, and
the script creates all other elements, with ``textContent`` for every text.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from archspec.drawing.canvas_page import ASSETS as CANVAS_ASSETS
from archspec.report import scripts
from archspec_app.framework import element
from archspec_app.language_data import language_json

ASSETS = Path(__file__).parent / "assets"


def view(name: str, *, label: str, **options: Any) -> gr.HTML:
    """An element of class ``NAME-view`` that ``assets/NAME.js`` fills from its value.

    Gradio finds the events that the script triggers by their names in quotes.

    Args:
        name: of the script.
        label: what the element is, for screen readers.
        **options: of ``gr.HTML``, such as ``elem_id``.
    """
    markup = f'<div class="{name}-view" role="region" aria-label="{label}"></div>'
    return element(markup, bundle(f"{name}.js"), value={}, **options)


def hint(text: str) -> None:
    """A line that says what a tab is for, until a visitor closes it.

    Args:
        text: of ours, without markup.
    """
    element(f'<div class="hint-view" role="note">{text}</div>', bundle("hint.js"), value="")


def editor() -> gr.HTML:
    """The editor; its value is its text. Event: ``input``, a while after somebody has typed."""
    markup = '<div class="editor-view" role="region" aria-label="Spec"></div>'
    return element(markup, bundle("editor.js"), value=None, elem_id="editor", render=False)


def editor_messages() -> gr.HTML:
    """What the server sends to the editor, apart from the editor's own value: typing sets that.

    The value is ``{"text": …, "spec": …, "revision": …}``, to show another text, or has ``patch``
    in place of the first two.
    """
    markup = '<div class="messages-view"></div>'
    script = bundle("editor_messages.js")
    return element(markup, script, value=None, elem_id="editor-messages", render=False)


def served_files() -> dict[str, Callable[[], str]]:
    """The files that the page loads by themselves, by name; see ``ServedFiles``."""
    return {
        "canvas.js": lambda: scripts.bundle("inspector_canvas.js", (CANVAS_ASSETS,)),
        "editor.js": lambda: bundle("code_editor.js"),
        "language.json": language_json,
    }


def bundle(name: str) -> str:
    """A module of ``assets`` and those that it imports, as one script."""
    return scripts.bundle(name, (ASSETS, CANVAS_ASSETS))
