"""What differs between two specs: by default, between the saved text and the edited one."""

from __future__ import annotations

from itertools import count
from typing import Any

import gradio as gr

from archspec.errors import ArchspecError
from archspec_app.diffs import Pair, diff_data, names_data, sides
from archspec_app.face import Face, data_of, session, text_of
from archspec_app.view import view


def build(face: Face) -> None:
    part = view("diff", label="Difference", elem_id="diff")
    turns = count()  # a page takes no notice of an answer like the one before

    def compare(request: gr.Request, event: gr.EventData) -> dict[str, Any]:
        desk, data = face.desks.of(session(request)), data_of(event)
        levels = data.get("levels")
        pair = Pair.of(
            text_of(data, "a"), text_of(data, "b"), levels if isinstance(levels, list) else []
        )
        told: dict[str, Any] = {}
        try:
            with desk.lock:
                told = {**names_data(desk), "a": pair.a, "b": pair.b, "levels": list(pair.levels)}
                given = sides(desk, pair)
            return {**told, **diff_data(given), "turn": next(turns)}
        except ArchspecError as error:
            return {**told, "error": str(error), "turn": next(turns)}

    part.compare(
        compare, [], [part], show_progress="hidden",
        trigger_mode="multiple", api_visibility="private",
    )  # fmt: skip
