"""The tab Tree: the module tree with freeze toggles, and the details of the selected module."""

from __future__ import annotations

from typing import Any

from archspec_app.component import view
from archspec_app.details import details_data
from archspec_app.event_binding import LISTENER, EventBinder
from archspec_app.events import MAX_MODULE_PATH, Event, flag_of, number_of, text_of
from archspec_app.session import Session
from archspec_app.tree import tree_data


def build(binder: EventBinder) -> None:
    tree = view("tree", label="Modules", elem_id="tree")
    details = view("details", label="Details", elem_id="details")
    binder.add_outputs([tree], _render)
    binder.listen(tree, "toggle", _toggle)
    select = binder.on_query(_select, _failed, replaceable=True)
    details.select_module(select, [], [details], **LISTENER)


def _select(session: Session, event: Event) -> dict[str, Any]:
    session.selected = text_of(event.data, "node", MAX_MODULE_PATH)
    details = details_data(session.built, session.selected) if session.built else {}
    return {**details, "open_file": session.file}


def _failed(session: Session, event: Event, problem: str) -> dict[str, Any]:
    return {"open_file": session.file, "error": problem}


def _render(session: Session) -> list[Any]:
    if session.built is None:
        return [{"kinds": []}]
    return [{**tree_data(session.built), "file": session.file}]


def _toggle(session: Session, data: dict[str, Any]) -> None:
    path, count = text_of(data, "node", MAX_MODULE_PATH), number_of(data, "count", 1, minimum=1)
    session.toggle(path, count=count, frozen=flag_of(data, "frozen"))
    plan = session.built.plans.get(session.plan or "") if session.built else None
    if plan and not plan.gradients:
        session.notice = f"the plan {session.plan} has gradients: false and freezes no parameters"
