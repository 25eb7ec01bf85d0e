"""The tab Diagram: the whole model on one canvas, and what differs in it from another spec."""

from __future__ import annotations

from typing import Any

from archspec.drawing.canvas import canvas_of
from archspec.errors import ArchspecError, Problem, UsageError
from archspec_app.component import view
from archspec_app.diff_view import names_data, side_label, spec_named
from archspec_app.event_binding import EventBinder
from archspec_app.events import Event, text_of
from archspec_app.framework import LISTENER
from archspec_app.session import Session


def build(binder: EventBinder) -> None:
    diagram = view("diagram", label="Diagram", elem_id="diagram")
    draw = binder.on_query(_draw, _failed, replaceable=True)
    diagram.draw(draw, [], [diagram], **LISTENER)


def _draw(session: Session, event: Event) -> dict[str, Any]:
    if session.built is None:
        raise UsageError(Problem("E801", "there is no model yet"))
    against, problem, other = text_of(event.data, "against"), "", None
    if against:
        try:
            other = spec_named(session, against)
        except ArchspecError as error:
            problem = f"Not compared: {error}"
    canvas = canvas_of(session.built.inspection, session.built.spec, against=other).to_dict()
    if other is not None:
        name = side_label(other.name, against)
        canvas["changes"] = {**canvas["changes"], "against": name}
    return {**names_data(session), "problem": problem, "canvas": canvas}


def _failed(session: Session, event: Event, problem: str) -> dict[str, Any]:
    return {"error": problem, **({} if session.built else {"canvas": None})}
