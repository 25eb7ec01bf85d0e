"""The module tree with its freeze toggles, and the details of the module that is selected."""

from __future__ import annotations

from itertools import count
from typing import Any

import gradio as gr

from archspec_app.desk import Desk
from archspec_app.details import details_data
from archspec_app.face import Face, data_of, session, text_of
from archspec_app.tree import tree_data
from archspec_app.view import view

MOST_PATH = 10_000
"""Letters of one."""


def build(face: Face) -> None:
    tree = view("tree", label="Modules", elem_id="tree")
    details = view("details", label="Details", elem_id="details")
    face.shows([tree], _shown)
    tree.toggle(
        face.does(_toggle), [face.code], face.outputs,
        show_progress="hidden", trigger_mode="multiple", api_visibility="private",
    )  # fmt: skip

    turns = count()  # a page takes no notice of an answer like the one before

    def look(request: gr.Request, event: gr.EventData) -> dict[str, Any]:
        desk = face.desks.of(session(request))
        with desk.lock:
            desk.selected = text_of(data_of(event), "node", MOST_PATH)
            good, path, file = desk.good, desk.selected, desk.file
        found = details_data(good, path) if good else {}
        return {**found, "open": file, "turn": next(turns)}

    details.look(
        look, [], [details], show_progress="hidden",
        trigger_mode="multiple", api_visibility="private",
    )  # fmt: skip


def _shown(desk: Desk) -> list[Any]:
    if desk.good is None:
        return [{"kinds": []}]
    return [{**tree_data(desk.good), "file": desk.file}]


def _toggle(desk: Desk, data: dict[str, Any]) -> None:
    count = data.get("count")
    desk.toggle(
        text_of(data, "node"),
        count=count if isinstance(count, int) else 1,
        frozen=bool(data.get("frozen")),
    )
    plan = desk.good.plans.get(desk.plan or "") if desk.good else None
    if plan and not plan.gradients:
        desk.notice = f"{desk.plan} leaves gradients on: it freezes no parameter"
