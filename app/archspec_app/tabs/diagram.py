"""The tab Diagram: the data flow of the selected block, and the hierarchy of modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from archspec.errors import Problem, UsageError
from archspec_app.component import view
from archspec_app.diagrams import FLOW, MODULES, diagram_data, png_data
from archspec_app.event_binding import LISTENER, EventBinder
from archspec_app.events import MAX_MODULE_PATH, Event, text_of
from archspec_app.session import BuiltSpec, Session


def build(binder: EventBinder) -> None:
    diagram = view("diagram", label="Diagram", elem_id="diagram")
    for name, draw in (("draw", diagram_data), ("png", png_data)):
        handler = binder.on_query(_drawing(draw), _failed, replaceable=True)
        getattr(diagram, name)(handler, [], [diagram], **LISTENER)


def _drawing(
    draw: Callable[[BuiltSpec, str, str], dict[str, Any]],
) -> Callable[[Session, Event], dict[str, Any]]:
    def act(session: Session, event: Event) -> dict[str, Any]:
        path = text_of(event.data, "node", MAX_MODULE_PATH)
        kind = MODULES if text_of(event.data, "view") == MODULES else FLOW
        if session.built is None:
            raise UsageError(Problem("E801", "there is no model yet"))
        return draw(session.built, path, kind)

    return act


def _failed(session: Session, event: Event, problem: str) -> dict[str, Any]:
    return {"error": problem, **({} if session.built else {"svg": ""})}
