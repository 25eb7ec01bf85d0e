"""The data flow of the selected block, and the hierarchy of modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from archspec.errors import Problem, UsageError
from archspec_app.component import view
from archspec_app.diagrams import FLOW, MODULES, diagram_data, png_data
from archspec_app.event_binding import EventBinder
from archspec_app.events import Event, text_of
from archspec_app.session import BuiltSpec, Session

MOST_PATH = 10_000


def build(face: EventBinder) -> None:
    part = view("diagram", label="Diagram", elem_id="diagram")
    for name, draw in (("draw", diagram_data), ("png", png_data)):
        getattr(part, name)(
            face.tells(_drawing(draw), _failed, replaceable=True), [], [part],
            show_progress="hidden", trigger_mode="multiple", api_visibility="private",
        )  # fmt: skip


def _drawing(
    draw: Callable[[BuiltSpec, str, str], dict[str, Any]],
) -> Callable[[Session, Event], dict[str, Any]]:
    def act(desk: Session, event: Event) -> dict[str, Any]:
        path = text_of(event.data, "node", MOST_PATH)
        kind = MODULES if text_of(event.data, "view") == MODULES else FLOW
        if desk.good is None:
            raise UsageError(Problem("E801", "nothing has been built yet"))
        return draw(desk.good, path, kind)

    return act


def _failed(desk: Session, event: Event, problem: str) -> dict[str, Any]:
    return {"error": problem, **({} if desk.good else {"svg": ""})}
