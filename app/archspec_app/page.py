"""The page: what is where, and which event does what."""

from __future__ import annotations

from collections.abc import Callable

import gradio as gr

from archspec_app.component import view
from archspec_app.event_binding import Ask, EventBinder, session
from archspec_app.tabs import cost, diagram, diff, predict, spec, train, tree

TABS = (
    ("Tree", tree.build),
    ("Cost", cost.build),
    ("Diagram", diagram.build),
    ("Diff", diff.build),
    ("Train", train.build),
    ("Predict", predict.build),
)


def make_page(
    ask: Ask, close: Callable[[str], None] = lambda session: None
) -> tuple[gr.Blocks, EventBinder]:
    """The inspector, and the handlers of its events.

    Args:
        ask: who answers an event.
        close: is told the sessions whose pages were closed.
    """
    with gr.Blocks(title="archspec", analytics_enabled=False, fill_width=True) as page:
        face = spec.begin(ask)
        with gr.Row(elem_id="main"):
            with gr.Column(scale=5, min_width=360, elem_id="left"):
                spec.build(face)
            with gr.Column(scale=7, min_width=360, elem_id="right"):
                summary = view("summary", label="Figures")
                face.shows([summary], cost.summary)
                with gr.Tabs(elem_id="tabs"):
                    for name, build in TABS:
                        with gr.Tab(name, id=name.lower(), elem_id=f"tab-{name.lower()}"):
                            build(face)
        spec.wire(face, page)

        async def closed(request: gr.Request) -> None:
            close(session(request))

        page.unload(closed)
    page.queue(default_concurrency_limit=None)  # whoever answers has limits of their own
    return page, face
