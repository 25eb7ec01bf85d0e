"""Serves the script of the canvas, which the page loads when its diagram is first opened."""

from __future__ import annotations

import gzip

from archspec.drawing.canvas_page import ASSETS
from archspec.report.scripts import bundle
from archspec_app.request_limits import Application, Message, Receive, Send

_PATH = "/archspec/canvas.js"


class CanvasScript:
    """Middleware that answers requests for the script, and passes on all others."""

    def __init__(self, app: Application) -> None:
        self.app = app
        self._body = gzip.compress(bundle("inspector_canvas.js", (ASSETS,)).encode())

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].endswith(_PATH):
            await self.app(scope, receive, send)
            return
        headers = [
            (b"content-type", b"text/javascript; charset=utf-8"),
            (b"content-encoding", b"gzip"),
            (b"content-length", b"%d" % len(self._body)),
            (b"cache-control", b"no-cache"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": self._body})
