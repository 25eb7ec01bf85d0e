"""Middleware: refuses event bodies that Gradio would fail on, and packs the data of the others."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any

from archspec_app.events import find_fault, packed
from archspec_app.request_limits import Application, Message, Receive, Send, send_text

JOIN = "/gradio_api/queue/join"
_SESSION = re.compile("[A-Za-z0-9_-]{1,64}")


class EventBodies:
    """Checks the body of each event before Gradio reads it.

    Args:
        app: the ASGI application behind it.
        inputs: the number of inputs of each handler, by its id.
    """

    def __init__(self, app: Application, inputs: Mapping[int, int]) -> None:
        self.app, self.inputs = app, inputs

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].endswith(JOIN):
            await self.app(scope, receive, send)
            return
        body = await _read_body(receive)
        if body is None:
            return
        try:
            body = await asyncio.to_thread(check_body, body, self.inputs)
        except ValueError as error:
            detail = json.dumps({"detail": f"invalid event: {error}"})
            await send_text(send, 400, detail, "application/json")
            return
        await self.app(_with_length(scope, len(body)), _replay(body, receive), send)


def check_body(body: bytes, inputs: Mapping[int, int]) -> bytes:
    """An event's body with the fields that Gradio needs, and no others.

    Raises:
        ValueError: it is not an event of this page; the message says why.
    """
    event = _json(body)
    number, session = event.get("fn_index"), event.get("session_hash")
    if not isinstance(number, int) or isinstance(number, bool) or number not in inputs:
        raise ValueError("the page has no such handler")
    if not isinstance(session, str) or not _SESSION.fullmatch(session):
        raise ValueError("a session's name has 1 to 64 letters and digits")
    values = event.get("data")
    if not isinstance(values, list) or len(values) != inputs[number]:
        raise ValueError(f"this handler has {inputs[number]} inputs")
    return json.dumps({
        "data": [value if isinstance(value, str) else None for value in values],
        "event_data": packed(_data(event.get("event_data"), values)),
        "fn_index": number,
        "session_hash": session,
        "trigger_id": _trigger(event.get("trigger_id")),
    }).encode()  # fmt: skip


def _data(data: object, values: list[object]) -> object:
    """The event's data, or a text that says what is wrong with it, which the page shows."""
    if any(not isinstance(value, str | None) for value in values):
        return "an input is not a text"
    if not isinstance(data, dict | None):
        return "an event's data is an object"
    return find_fault(data) or data


def _trigger(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31:
        return value
    return None


def _json(body: bytes) -> dict[str, Any]:
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError("the body is not JSON") from None
    if not isinstance(event, dict):
        raise ValueError("an event is an object")
    return event


async def _read_body(receive: Receive) -> bytes | None:
    """A request's body; None if the visitor disconnected."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _with_length(scope: Message, length: int) -> Message:
    replaced = (b"content-length", b"content-type")
    kept = [header for header in scope["headers"] if header[0] not in replaced]
    own = [(b"content-length", b"%d" % length), (b"content-type", b"application/json")]
    return {**scope, "headers": [*kept, *own]}


def _replay(body: bytes, receive: Receive) -> Receive:
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_replayed() -> Message:
        return messages.pop() if messages else await receive()

    return receive_replayed
