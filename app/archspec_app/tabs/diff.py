"""The tab Diff: differences between two specs, by default the saved text and the edited one."""

from __future__ import annotations

from typing import Any

from archspec.errors import UsageError
from archspec_app.component import hint, view
from archspec_app.diff_view import Pair, diff_data, load_pair, names_data
from archspec_app.event_binding import EventBinder
from archspec_app.events import Event, text_of, texts_of
from archspec_app.framework import LISTENER
from archspec_app.session import Session


def build(binder: EventBinder) -> None:
    hint("What differs between two specs: by default between the text as saved and as it is now.")
    diff = view("diff", label="Difference", elem_id="diff")
    diff.compare(binder.on_query(_compare, _failed, replaceable=True), [], [diff], **LISTENER)


def _compare(session: Session, event: Event) -> dict[str, Any]:
    return {**names_data(session), **diff_data(load_pair(session, _pair(event)))}


def _failed(session: Session, event: Event, problem: str) -> dict[str, Any]:
    try:
        pair = _pair(event)
    except UsageError:
        pair = Pair.of("", "", [])
    chosen = {"a": pair.a, "b": pair.b, "levels": list(pair.levels)}
    return {**names_data(session), **chosen, "error": problem}


def _pair(event: Event) -> Pair:
    data = event.data
    return Pair.of(text_of(data, "a"), text_of(data, "b"), texts_of(data, "levels"))
