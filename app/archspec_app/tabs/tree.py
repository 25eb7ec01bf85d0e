"""The module tree with its freeze toggles, and the details of the module that is selected."""

from __future__ import annotations

from typing import Any

from archspec_app.component import view
from archspec_app.details import details_data
from archspec_app.event_binding import EventBinder
from archspec_app.events import Event, flag_of, number_of, text_of
from archspec_app.session import Session
from archspec_app.tree import tree_data

MOST_PATH = 10_000
"""Letters of one."""


def build(face: EventBinder) -> None:
    tree = view("tree", label="Modules", elem_id="tree")
    details = view("details", label="Details", elem_id="details")
    face.shows([tree], _shown)
    tree.toggle(
        face.does(_toggle), [face.code], face.outputs,
        show_progress="hidden", trigger_mode="multiple", api_visibility="private",
    )  # fmt: skip
    details.look(
        face.tells(_look, _failed, replaceable=True), [], [details],
        show_progress="hidden", trigger_mode="multiple", api_visibility="private",
    )  # fmt: skip


def _look(desk: Session, event: Event) -> dict[str, Any]:
    desk.selected = text_of(event.data, "node", MOST_PATH)
    found = details_data(desk.good, desk.selected) if desk.good else {}
    return {**found, "open": desk.file}


def _failed(desk: Session, event: Event, problem: str) -> dict[str, Any]:
    return {"open": desk.file, "error": problem}


def _shown(desk: Session) -> list[Any]:
    if desk.good is None:
        return [{"kinds": []}]
    return [{**tree_data(desk.good), "file": desk.file}]


def _toggle(desk: Session, data: dict[str, Any]) -> None:
    path, count = text_of(data, "node", MOST_PATH), number_of(data, "count", 1, least=1)
    desk.toggle(path, count=count, frozen=flag_of(data, "frozen"))
    plan = desk.good.plans.get(desk.plan or "") if desk.good else None
    if plan and not plan.gradients:
        desk.notice = f"{desk.plan} leaves gradients on: it freezes no parameter"
