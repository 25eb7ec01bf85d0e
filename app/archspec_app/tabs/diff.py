"""What differs between two specs: by default, between the saved text and the edited one."""

from __future__ import annotations

from typing import Any

from archspec.errors import UsageError
from archspec_app.component import view
from archspec_app.diff_view import Pair, diff_data, names_data, sides
from archspec_app.event_binding import EventBinder
from archspec_app.events import Event, text_of, texts_of
from archspec_app.session import Session


def build(face: EventBinder) -> None:
    part = view("diff", label="Difference", elem_id="diff")
    part.compare(
        face.tells(_compare, _failed, replaceable=True), [], [part],
        show_progress="hidden", trigger_mode="multiple", api_visibility="private",
    )  # fmt: skip


def _compare(desk: Session, event: Event) -> dict[str, Any]:
    pair = _pair(event)
    return {**names_data(desk), **diff_data(sides(desk, pair))}


def _failed(desk: Session, event: Event, problem: str) -> dict[str, Any]:
    try:
        pair = _pair(event)
    except UsageError:
        pair = Pair.of("", "", [])
    asked = {"a": pair.a, "b": pair.b, "levels": list(pair.levels)}
    return {**names_data(desk), **asked, "error": problem}


def _pair(event: Event) -> Pair:
    data = event.data
    return Pair.of(text_of(data, "a"), text_of(data, "b"), texts_of(data, "levels"))
