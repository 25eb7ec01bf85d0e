"""How much a visitor may send at once, and that nothing which goes wrong is told in full."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

MOST_BYTES = 40_000_000
"""Of a request's body: an image of 20 MB in base64, and the text of a spec."""


class BoundedBody:
    """Refuses requests with a body that is too large, before it is in memory.

    Args:
        app: what answers the others; an ASGI application.
        most: bytes.
    """

    def __init__(self, app: Application, most: int = MOST_BYTES) -> None:
        self.app, self.most = app, most

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        said = dict(scope["headers"]).get(b"content-length", b"0")
        if not said.isdigit() or int(said) > self.most:
            await _answer(send, 413, b"more than this page takes at once")
            return
        left = self.most

        async def counted() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            return message if left >= 0 else {"type": "http.disconnect"}

        await self.app(scope, counted, send)


class HiddenErrors:
    """Ends a request whose answer breaks off, in one line of the log.

    Gradio raises errors for what visitors do: asking for a session that is gone, or twice for one.

    Args:
        app: what answers; an ASGI application.
    """

    def __init__(self, app: Application) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        begun = ended = False

        async def watched(message: Message) -> None:
            nonlocal begun, ended
            begun = begun or message["type"] == "http.response.start"
            ended = message["type"] == "http.response.body" and not message.get("more_body")
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except (Exception, asyncio.CancelledError) as error:
            if scope["type"] != "http":
                raise
            print(
                f"archspec app: {type(error).__name__} at {scope['path']!r:.100}", file=sys.stderr
            )
            if not begun:
                await _answer(send, 500, b"this could not be answered")
            elif not ended:
                await send({"type": "http.response.body", "body": b""})


async def _answer(send: Send, status: int, text: bytes) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text})
