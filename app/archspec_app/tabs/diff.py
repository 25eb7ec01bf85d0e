"""What differs between two specs: by default, between the saved text and the edited one."""

from __future__ import annotations

from typing import Any

from archspec.errors import UsageError
from archspec_app.desk import Desk
from archspec_app.diffs import Pair, diff_data, names_data, sides
from archspec_app.events import Event, text_of, texts_of
from archspec_app.face import Face
from archspec_app.view import view


def build(face: Face) -> None:
    part = view("diff", label="Difference", elem_id="diff")
    part.compare(
        face.tells(_compare, _failed, replaceable=True), [], [part],
        show_progress="hidden", trigger_mode="multiple", api_visibility="private",
    )  # fmt: skip


def _compare(desk: Desk, event: Event) -> dict[str, Any]:
    pair = _pair(event)
    return {**names_data(desk), **diff_data(sides(desk, pair))}


def _failed(desk: Desk, event: Event, problem: str) -> dict[str, Any]:
    try:
        pair = _pair(event)
    except UsageError:
        pair = Pair.of("", "", [])
    asked = {"a": pair.a, "b": pair.b, "levels": list(pair.levels)}
    return {**names_data(desk), **asked, "error": problem}


def _pair(event: Event) -> Pair:
    data = event.data
    return Pair.of(text_of(data, "a"), text_of(data, "b"), texts_of(data, "levels"))
