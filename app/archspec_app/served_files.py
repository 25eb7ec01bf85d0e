"""Serves the page compressed, and the files that it loads by themselves."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import Callable, Mapping

from starlette.middleware.gzip import GZipMiddleware

from archspec_app.request_limits import Application, Message, Receive, Send

PREFIX = "/archspec/"
TYPES = {"js": b"text/javascript; charset=utf-8", "json": b"application/json"}


class ServedFiles:
    """Middleware that answers requests for some files, and passes on all others.

    A browser keeps a file, and asks each time whether it is still the same.

    Args:
        app: the ASGI application behind it.
        files: name behind ``/archspec/`` → what makes its text, once it is first asked for.
    """

    def __init__(self, app: Application, files: Mapping[str, Callable[[], str]]) -> None:
        self.app, self.files = app, files
        self._bodies: dict[str, bytes] = {}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        name = scope["path"].rpartition(PREFIX)[2] if scope["type"] == "http" else ""
        if name not in self.files or not scope["path"].endswith(PREFIX + name):
            await self.app(scope, receive, send)
            return
        body = await asyncio.to_thread(self._body, name)
        tag = b'"%s"' % hashlib.sha256(body).hexdigest()[:32].encode()
        headers = [(b"cache-control", b"no-cache"), (b"etag", tag)]
        if dict(scope["headers"]).get(b"if-none-match") == tag:
            await send({"type": "http.response.start", "status": 304, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
            return
        headers += [
            (b"content-type", TYPES[name.rpartition(".")[2]]),
            (b"content-encoding", b"gzip"),
            (b"content-length", b"%d" % len(body)),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _body(self, name: str) -> bytes:
        if name not in self._bodies:
            self._bodies[name] = gzip.compress(self.files[name]().encode())
        return self._bodies[name]


class CompressedPage:
    """Middleware that compresses the page, as Gradio does with the files that belong to it.

    Answers to events are a stream, and pass as they are.

    Args:
        app: the ASGI application behind it.
    """

    def __init__(self, app: Application) -> None:
        self.app = app
        self._compressed = GZipMiddleware(app, compresslevel=6)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        is_page = scope["type"] == "http" and scope["path"].endswith("/")
        await (self._compressed if is_page else self.app)(scope, receive, send)
