"""Serves the page compressed, and its larger scripts, which it loads by themselves."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping

from starlette.middleware.gzip import GZipMiddleware

from archspec_app.request_limits import Application, Message, Receive, Send

PREFIX = "/archspec/"


class ServedFiles:
    """Middleware that answers requests for some files, and passes on all others.

    A browser keeps a file, and asks each time whether it is still the same.

    Args:
        app: the ASGI application behind it.
        scripts: name behind ``/archspec/`` → the text of a script.
    """

    def __init__(self, app: Application, scripts: Mapping[str, str]) -> None:
        self.app = app
        self._bodies = {name: gzip.compress(text.encode()) for name, text in scripts.items()}
        self._tags = {
            name: b'"%s"' % hashlib.sha256(body).hexdigest()[:32].encode()
            for name, body in self._bodies.items()
        }

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        name = scope["path"].rpartition(PREFIX)[2] if scope["type"] == "http" else ""
        if name not in self._bodies or not scope["path"].endswith(PREFIX + name):
            await self.app(scope, receive, send)
            return
        body, tag = self._bodies[name], self._tags[name]
        headers = [(b"cache-control", b"no-cache"), (b"etag", tag)]
        if dict(scope["headers"]).get(b"if-none-match") == tag:
            await send({"type": "http.response.start", "status": 304, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
            return
        headers += [
            (b"content-type", b"text/javascript; charset=utf-8"),
            (b"content-encoding", b"gzip"),
            (b"content-length", b"%d" % len(body)),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


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
