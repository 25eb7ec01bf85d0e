"""The data flow of the selected block, and the hierarchy of modules."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import gradio as gr

from archspec.errors import ArchspecError
from archspec_app.desk import Opened
from archspec_app.diagrams import FLOW, MODULES, diagram_data, png_data
from archspec_app.face import Face, data_of, session, text_of
from archspec_app.view import view

MOST_PATH = 10_000


def build(face: Face) -> None:
    part = view("diagram", label="Diagram", elem_id="diagram")
    turns = count()  # a page takes no notice of an answer like the one before

    def answers(act: Callable[[Opened, str, str], dict[str, Any]]) -> Callable[..., Any]:
        def handle(request: gr.Request, event: gr.EventData) -> dict[str, Any]:
            desk, data = face.desks.of(session(request)), data_of(event)
            path = text_of(data, "node", MOST_PATH)
            kind = MODULES if data.get("view") == MODULES else FLOW
            with desk.lock:
                opened = desk.good
            if opened is None:
                return {"error": "nothing has been built yet", "svg": "", "turn": next(turns)}
            try:
                return {**act(opened, path, kind), "turn": next(turns)}
            except ArchspecError as error:
                return {"error": str(error), "turn": next(turns)}

        return handle

    for name, act in (("draw", diagram_data), ("png", png_data)):
        getattr(part, name)(
            answers(act), [], [part], show_progress="hidden",
            trigger_mode="multiple", api_visibility="private",
        )  # fmt: skip
