"""All that the page takes for granted of Gradio and that Gradio does not document.

A new version of Gradio needs a change here, in ``assets/framework.js`` and in
``assets/framework.css``, if anywhere. What else the page uses is documented: ``gr.Blocks``,
``gr.Tabs``, ``gr.HTML`` with ``html_template`` and ``js_on_load``, and listeners of events.

Known by trial with Gradio 6.31:

- Markup that a template of ``gr.HTML`` outputs is evaluated once more, so templates are fixed.
- An event that a script triggers is found by its name in quotes in the script.
- An event's data with the key ``path`` is taken for a file, and so is such a value in an answer.
- The page ignores an answer that equals the one before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr

from archspec_app.events import unpacked

LISTENER: Mapping[str, Any] = {
    "show_progress": "hidden", "trigger_mode": "multiple", "api_visibility": "private",
}  # fmt: skip
"""Of every listener: the views say themselves what is under way, and each event counts."""


def element(markup: str, script: str, **options: Any) -> gr.HTML:
    """An element of fixed markup, with a script that fills it.

    Args:
        markup: of ours, without a value of anybody else.
        script: run once, with ``element``, ``props``, ``trigger`` and ``watch``.
        **options: of ``gr.HTML``.
    """
    # No subclass: Gradio writes a stub file beside the source of every class of components.
    return gr.HTML(
        html_template=markup, js_on_load=script, apply_default_css=False, **options,
    )  # fmt: skip


def event_data(event: gr.EventData) -> object:
    """What the script sent with an event."""
    return unpacked(event._data)  # pyright: ignore[reportPrivateUsage]


def session_id(request: gr.Request) -> str:
    """The name of a visitor's page, which its script chose."""
    return str(request.session_hash or "")
