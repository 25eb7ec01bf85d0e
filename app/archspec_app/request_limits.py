"""Middleware: bodies of requests are bounded, and errors are not shown to visitors."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from archspec_app.server_log import log

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

MAX_BODY = 40_000_000
"""Bytes of a request's body: an image of 20 MB in base64, and the text of a spec."""


class BoundedBody:
    """Refuses requests whose body is too large, before it is in memory.

    Args:
        app: the ASGI application behind it.
        max_bytes: of a body.
    """

    def __init__(self, app: Application, max_bytes: int = MAX_BODY) -> None:
        self.app, self.max_bytes = app, max_bytes

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self.max_bytes:
            await send_text(send, 413, "the request is too large")
            return
        left = self.max_bytes

        async def receive_bounded() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            return message if left >= 0 else {"type": "http.disconnect"}

        await self.app(scope, receive_bounded, send)


class HiddenErrors:
    """Logs an error in one line, without a traceback, and completes the response.

    Gradio raises errors for visitors' mistakes, such as asking for a session that is gone.

    Args:
        app: the ASGI application behind it.
    """

    def __init__(self, app: Application) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        started = ended = False

        async def send_watched(message: Message) -> None:
            nonlocal started, ended
            started = started or message["type"] == "http.response.start"
            ended = message["type"] == "http.response.body" and not message.get("more_body")
            await send(message)

        try:
            await self.app(scope, receive, send_watched)
        except (Exception, asyncio.CancelledError) as error:
            if scope["type"] != "http":
                raise
            log(f"{type(error).__name__} at {scope['path']!r:.100}")
            if not started:
                await send_text(send, 500, "internal error")
            elif not ended:
                await send({"type": "http.response.body", "body": b""})


async def send_text(send: Send, status: int, text: str, kind: str = "text/plain") -> None:
    """A whole response, of a line of text."""
    headers = [
        (b"content-type", f"{kind}; charset=utf-8".encode()),
        (b"x-content-type-options", b"nosniff"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": f"{text}\n".encode("utf-8", "replace")})
