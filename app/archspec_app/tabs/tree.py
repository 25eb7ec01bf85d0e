"""The module tree with its freeze toggles, and the details of the module that is selected."""

from __future__ import annotations

from typing import Any

import gradio as gr

from archspec_app.desk import Desk
from archspec_app.details import details_data
from archspec_app.face import Face, data_of, session, text_of
from archspec_app.tree import tree_data
from archspec_app.view import view


def build(face: Face) -> None:
    tree = view("tree", label="Modules", elem_id="tree")
    details = view("details", label="Details", elem_id="details")
    face.shows([tree, details], _shown)
    tree.toggle(
        face.does(_toggle), [face.code], face.outputs,
        show_progress="hidden", api_visibility="private",
    )  # fmt: skip

    def pick(request: gr.Request, event: gr.EventData) -> dict[str, Any]:
        desk = face.desks.of(session(request))
        with desk.lock:
            desk.selected = text_of(data_of(event), "node")
            return _details(desk)

    tree.pick(pick, [], [details], show_progress="hidden", api_visibility="private")


def _shown(desk: Desk) -> list[Any]:
    if desk.good is None:
        return [gr.skip(), gr.skip()]
    return [{**tree_data(desk.good), "file": desk.file}, _details(desk)]


def _details(desk: Desk) -> dict[str, Any]:
    return details_data(desk.good, desk.selected) if desk.good else {}


def _toggle(desk: Desk, data: dict[str, Any]) -> None:
    count = data.get("count")
    desk.toggle(
        text_of(data, "node"),
        count=count if isinstance(count, int) else 1,
        frozen=bool(data.get("frozen")),
    )
