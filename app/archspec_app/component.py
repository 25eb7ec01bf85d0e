"""A part of the page that draws itself: data goes to the browser, and text stays text there.

Gradio's HTML templates evaluate what they are given. So the markup here is fixed, and a script
builds the rest out of plain data by ``textContent``.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import gradio as gr

ASSETS = Path(__file__).parent / "assets"


def view(name: str, *, label: str, **more: Any) -> gr.HTML:
    """A fixed element that ``assets/NAME.js`` fills from the value, which is plain data.

    The script triggers the events that it names in quotes, and is told of new values.

    Args:
        name: of the script; the element's class is ``NAME-view``.
        label: what the element is, for those who cannot see it.
        **more: of ``gr.HTML``, such as ``elem_id``.
    """
    # No subclass: Gradio writes a stub file beside the source of every class of components.
    return gr.HTML(
        value={},  # pyright: ignore[reportArgumentType]
        html_template=f'<div class="{name}-view" role="region" aria-label="{label}"></div>',
        js_on_load=_script(name),
        apply_default_css=False,
        **more,
    )


@cache
def _script(name: str) -> str:
    parts = [(ASSETS / f"{part}.js").read_text(encoding="utf-8") for part in ("common", name)]
    return "\n".join(["(() => {", *parts, "})();"])
