"""All that the page takes for granted of Gradio and that Gradio does not document.

A new version of Gradio needs a change here, in ``assets/framework.js`` and in
``assets/framework.css``, if anywhere. What else the page uses is documented: ``gr.Blocks``,
``gr.Tabs``, ``gr.HTML`` with ``html_template`` and ``js_on_load``, and listeners of events.

Known by trial with Gradio 6.24 to 6.31:

- Markup that a template of ``gr.HTML`` outputs is evaluated once more, so templates are fixed.
- An event that a script triggers is found by its name in quotes in ``js_on_load``.
- An event's data with the key ``path`` is taken for a file, and so is such a value in an answer.
- The page ignores an answer that equals the one before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from archspec_app.events import unpacked

LISTENER: Mapping[str, Any] = {
    "show_progress": "hidden", "trigger_mode": "multiple", "api_visibility": "private",
}  # fmt: skip
"""Of every listener: the views say themselves what is under way, and each event counts."""


_MOUNT = """// %(events)s
const mount = () =>
  import(`${window.gradio_config?.root ?? "."}/archspec/%(script)s`).then(
    () => archspecViews["%(view)s"]({ element, props, trigger, watch }),
    () => element.append("This part of the page could not be loaded; load the page anew."),
  );
"""
_AT_ONCE = "mount();"
# A wide margin: it is shown, though perhaps not scrolled to.
_ONCE_SHOWN = """new IntersectionObserver((entries, seen) => {
  if (!entries.at(-1).isIntersecting) return;
  seen.disconnect();
  mount();
}, { rootMargin: "99999px" }).observe(element);"""


def element(
    markup: str, script: str, view: str, events: Sequence[str] = (), *, is_late: bool = False,
    **options: Any,
) -> gr.HTML:  # fmt: skip
    """An element of fixed markup, with a function of a script that fills it.

    Args:
        markup: of ours, without a value of anybody else.
        script: that the page loads, one of ``component.served_files``.
        view: its function, called once with ``element``, ``props``, ``trigger`` and ``watch``.
        events: that it triggers.
        is_late: whether to wait until the element is first shown.
        **options: of ``gr.HTML``.
    """
    names = {"events": " ".join(f'"{event}"' for event in events), "script": script, "view": view}
    code = _MOUNT % names + (_ONCE_SHOWN if is_late else _AT_ONCE)
    # No subclass: Gradio writes a stub file beside the source of every class of components.
    return gr.HTML(html_template=markup, js_on_load=code, apply_default_css=False, **options)


def event_data(event: gr.EventData) -> object:
    """What the script sent with an event."""
    return unpacked(event._data)  # pyright: ignore[reportPrivateUsage]


def session_id(request: gr.Request) -> str:
    """The name of a visitor's page, which its script chose."""
    return str(request.session_hash or "")
