"""Events on their way in: what Gradio would stumble over is refused, and the rest is packed."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any

from archspec_app.events import packed, unreadable
from archspec_app.request_limits import Application, Message, Receive, Send

JOIN = "/gradio_api/queue/join"
_SESSION = re.compile("[A-Za-z0-9_-]{1,64}")


class EventBodies:
    """Reads the body of each event before Gradio does.

    Args:
        app: what answers; an ASGI application.
        inputs: how many inputs each handler has, by its id.
    """

    def __init__(self, app: Application, inputs: Mapping[int, int]) -> None:
        self.app, self.inputs = app, inputs

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].endswith(JOIN):
            await self.app(scope, receive, send)
            return
        body = await _whole(receive)
        if body is None:
            return
        try:
            body = await asyncio.to_thread(checked, body, self.inputs)
        except ValueError as error:
            await _refuse(send, str(error))
            return
        await self.app(_of_length(scope, len(body)), _given(body, receive), send)


def checked(body: bytes, inputs: Mapping[int, int]) -> bytes:
    """An event's body with nothing in it but what Gradio needs, in a form that it takes.

    Raises:
        ValueError: it is no event of this page; says why.
    """
    event = _json(body)
    number, session = event.get("fn_index"), event.get("session_hash")
    if not isinstance(number, int) or isinstance(number, bool) or number not in inputs:
        raise ValueError("the page has no such handler")
    if not isinstance(session, str) or not _SESSION.fullmatch(session):
        raise ValueError("a session's name is of 1 to 64 letters and digits")
    values = event.get("data")
    if not isinstance(values, list) or len(values) != inputs[number]:
        raise ValueError(f"this handler has {inputs[number]} inputs")
    return json.dumps({
        "data": [one if isinstance(one, str) else None for one in values],
        "event_data": packed(_data(event.get("event_data"), values)),
        "fn_index": number,
        "session_hash": session,
        "trigger_id": _trigger(event.get("trigger_id")),
    }).encode()  # fmt: skip


def _data(data: object, values: list[object]) -> object:
    """What the handler gets: a text instead, if something cannot be read, which the page shows."""
    if any(not isinstance(one, str | None) for one in values):
        return "an input is not a text"
    if not isinstance(data, dict | None):
        return "an event's data is an object"
    return unreadable(data) or data


def _trigger(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31:
        return value
    return None


def _json(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError("the body of an event is JSON") from None
    if not isinstance(found, dict):
        raise ValueError("an event is an object")
    return found


async def _whole(receive: Receive) -> bytes | None:
    """A request's body; None if the visitor hung up."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _of_length(scope: Message, length: int) -> Message:
    kept = [one for one in scope["headers"] if one[0] not in (b"content-length", b"content-type")]
    own = [(b"content-length", b"%d" % length), (b"content-type", b"application/json")]
    return {**scope, "headers": [*kept, *own]}


def _given(body: bytes, receive: Receive) -> Receive:
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def given() -> Message:
        return waiting.pop() if waiting else await receive()

    return given


async def _refuse(send: Send, why: str) -> None:
    text = f"an event that cannot be read: {why}"
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 400, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps({"detail": text}).encode()})
