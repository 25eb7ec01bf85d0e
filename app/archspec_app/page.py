"""The layout of the page."""

from __future__ import annotations

from collections.abc import Callable

import gradio as gr

from archspec_app.component import view
from archspec_app.event_binding import Dispatch, EventBinder
from archspec_app.framework import session_id
from archspec_app.tabs import cost, diagram, diff, predict, spec, start, train, tree, weights

TABS = (
    ("Tree", tree.build),
    ("Cost", cost.build),
    ("Diagram", diagram.build),
    ("Diff", diff.build),
    ("Train", train.build),
    ("Predict", predict.build),
    ("Weights", weights.build),
)


def make_page(
    dispatch: Dispatch, close: Callable[[str], None] = lambda session_id: None
) -> tuple[gr.Blocks, EventBinder]:
    """The inspector, and the handlers of its events.

    Args:
        dispatch: sends an event to the process of its session.
        close: called with the id of a session whose page was closed.
    """
    with gr.Blocks(title="archspec", analytics_enabled=False, fill_width=True) as page:
        binder = spec.build_toolbar(dispatch)
        train.build_run_status(binder)
        start.build(binder)
        summary = view("summary", label="Figures", elem_id="summary")
        binder.add_outputs([summary], cost.render_summary)
        with gr.Row(elem_id="main"):
            with gr.Column(scale=5, min_width=360, elem_id="left"):
                spec.build(binder)
            with gr.Column(scale=7, min_width=360, elem_id="right"), gr.Tabs(elem_id="tabs"):
                for name, build in TABS:
                    with gr.Tab(name, id=name.lower(), elem_id=f"tab-{name.lower()}"):
                        build(binder)
        spec.bind_page_events(binder, page)

        async def closed(request: gr.Request) -> None:
            close(session_id(request))

        page.unload(closed)
    page.queue(default_concurrency_limit=None)  # the session pool has its own limits
    return page, binder
