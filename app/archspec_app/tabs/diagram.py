"""The data flow of the selected block, and the hierarchy of modules."""

from __future__ import annotations

from collections.abc import Callable
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

    def answers(act: Callable[[Opened, str, str], dict[str, Any]]) -> Callable[..., Any]:
        def handle(request: gr.Request, event: gr.EventData) -> dict[str, Any]:
            desk, data = face.desks.of(session(request)), data_of(event)
            path = text_of(data, "node", MOST_PATH)
            kind = MODULES if data.get("view") == MODULES else FLOW
            with desk.lock:
                opened, file = desk.good, desk.file
            if opened is None:
                return {}
            try:
                return {**act(opened, path, kind), "open": file}
            except ArchspecError as error:
                return {"error": str(error), "path": path, "view": kind}

        return handle

    for name, act in (("draw", diagram_data), ("png", png_data)):
        getattr(part, name)(
            answers(act), [], [part], show_progress="hidden",
            trigger_mode="always_last", api_visibility="private",
        )  # fmt: skip
