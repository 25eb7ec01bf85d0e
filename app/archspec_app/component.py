"""Views: elements that a script in ``assets`` fills from plain data.

Gradio's HTML templates evaluate the values that they are given. So the markup here is fixed, and
the script creates all other elements, with ``textContent`` for every text.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import gradio as gr

ASSETS = Path(__file__).parent / "assets"
_IMPORT = re.compile(r"^import [^;]*? from \"\./([\w/]+\.js)\";\n", re.MULTILINE)
_EXPORT = re.compile(r"^export (?=\w)", re.MULTILINE)


def view(name: str, *, label: str, **options: Any) -> gr.HTML:
    """An element of class ``NAME-view`` that ``assets/NAME.js`` fills from its value.

    Gradio finds the events that the script triggers by their names in quotes.

    Args:
        name: of the script.
        label: what the element is, for screen readers.
        **options: of ``gr.HTML``, such as ``elem_id``.
    """
    # No subclass: Gradio writes a stub file beside the source of every class of components.
    return gr.HTML(
        value={},  # pyright: ignore[reportArgumentType]
        html_template=f'<div class="{name}-view" role="region" aria-label="{label}"></div>',
        js_on_load=bundle(f"{name}.js"),
        apply_default_css=False,
        **options,
    )


@cache
def bundle(name: str) -> str:
    """A module of ``assets`` and those that it imports, as one script."""
    sources: dict[str, str] = {}

    def add(file: str) -> None:
        if file not in sources:
            source = (ASSETS / file).read_text(encoding="utf-8")
            for imported in _IMPORT.findall(source):
                add(imported)
            sources[file] = _EXPORT.sub("", _IMPORT.sub("", source))

    add(name)
    return "\n".join(['(() => {"use strict";', *sources.values(), "})();"])
