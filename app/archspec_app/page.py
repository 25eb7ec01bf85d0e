"""The page: what is where, and which event does what."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from archspec_app.desks import Desks
from archspec_app.face import session
from archspec_app.tabs import cost, diagram, diff, predict, spec, train, tree
from archspec_app.view import view
from archspec_app.workspace import Workspace

TABS = (
    ("Tree", tree.build),
    ("Cost", cost.build),
    ("Diagram", diagram.build),
    ("Diff", diff.build),
    ("Train", train.build),
    ("Predict", predict.build),
)


def make_page(folder: Path, first: str = "bert") -> gr.Blocks:
    """The inspector.

    Args:
        folder: nothing outside it is read or written.
        first: the spec that is open at first: packaged, or relative to the folder.
    """
    desks = Desks(Workspace(folder))
    with gr.Blocks(title="archspec", analytics_enabled=False, fill_width=True) as page:
        face = spec.begin(desks)
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
        spec.wire(face, page, first)

        def closed(request: gr.Request) -> None:
            desks.close(session(request))

        page.unload(closed)
    page.queue(default_concurrency_limit=8)
    return page
