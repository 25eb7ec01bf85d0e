"""The tab Diagram: the whole model on one canvas."""

from __future__ import annotations

from typing import Any

from archspec.drawing.canvas import canvas_of
from archspec.errors import Problem, UsageError
from archspec_app.component import view
from archspec_app.event_binding import EventBinder
from archspec_app.events import Event
from archspec_app.framework import LISTENER
from archspec_app.session import Session


def build(binder: EventBinder) -> None:
    diagram = view("diagram", label="Diagram", elem_id="diagram")
    draw = binder.on_query(_draw, _failed, replaceable=True)
    diagram.draw(draw, [], [diagram], **LISTENER)


def _draw(session: Session, event: Event) -> dict[str, Any]:
    if session.built is None:
        raise UsageError(Problem("E801", "there is no model yet"))
    return {"canvas": canvas_of(session.built.inspection, session.built.spec).to_dict()}


def _failed(session: Session, event: Event, problem: str) -> dict[str, Any]:
    return {"error": problem, **({} if session.built else {"canvas": None})}
