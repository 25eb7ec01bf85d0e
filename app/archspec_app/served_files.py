"""Serves the page compressed, and the files that it loads by themselves."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import zlib
from collections.abc import Callable, Mapping

import brotli

from archspec_app.request_limits import Application, Message, Receive, Send

PREFIX, ANSWERS = "/archspec/", "/gradio_api/queue/data"
TYPES = {"js": b"text/javascript; charset=utf-8", "json": b"application/json"}
MAX_PAGES = 8
"""That are kept compressed; they differ by the name of who has signed in."""

Headers = list[tuple[bytes, bytes]]


class ServedFiles:
    """Middleware that answers requests for some files, and passes on all others.

    A browser keeps a file, and asks each time whether it is still the same.

    Args:
        app: the ASGI application behind it.
        files: name behind ``/archspec/`` → what makes its text, once it is first asked for.
    """

    def __init__(self, app: Application, files: Mapping[str, Callable[[], str]]) -> None:
        self.app, self.files = app, files
        self._texts: dict[str, bytes] = {}
        self._bodies: dict[tuple[str, bytes], bytes] = {}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        name = scope["path"].rpartition(PREFIX)[2] if scope["type"] == "http" else ""
        if name not in self.files or not scope["path"].endswith(PREFIX + name):
            await self.app(scope, receive, send)
            return
        encoding = _encoding(scope)
        body = await asyncio.to_thread(self._body, name, encoding)
        tag = b'"%s"' % hashlib.sha256(body).hexdigest()[:32].encode()
        headers = [(b"cache-control", b"no-cache"), (b"etag", tag)]
        if dict(scope["headers"]).get(b"if-none-match") == tag:
            await _answer(send, 304, headers, b"")
            return
        headers.append((b"content-type", TYPES[name.rpartition(".")[2]]))
        await _answer(send, 200, [*headers, *_body_headers(encoding, body)], body)

    def _body(self, name: str, encoding: bytes) -> bytes:
        if name not in self._texts:
            self._texts[name] = self.files[name]().encode()
        if (name, encoding) not in self._bodies:
            self._bodies[name, encoding] = _compressed(self._texts[name], encoding)
        return self._bodies[name, encoding]


class CompressedPage:
    """Middleware that compresses the page and the answers to events, as Gradio does with files.

    Args:
        app: the ASGI application behind it.
    """

    def __init__(self, app: Application) -> None:
        self.app = app
        self._bodies: dict[tuple[bytes, bytes], bytes] = {}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET":
            await self.app(scope, receive, send)
        elif scope["path"].endswith("/"):
            await self._page(scope, receive, send)
        elif scope["path"].endswith(ANSWERS) and _encoding(scope):
            await self.app(scope, receive, _stream(send))
        else:
            await self.app(scope, receive, send)

    async def _page(self, scope: Message, receive: Receive, send: Send) -> None:
        started: list[Message] = []
        parts: list[bytes] = []

        async def send_compressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                if _is_plain_html(message["headers"]):
                    started.append(message)
                else:
                    await send(message)
            elif not started:
                await send(message)
            else:
                parts.append(message.get("body", b""))
                if not message.get("more_body"):
                    await self._send_page(scope, started[0], b"".join(parts), send)

        await self.app(scope, receive, send_compressed)

    async def _send_page(self, scope: Message, start: Message, page: bytes, send: Send) -> None:
        encoding = _encoding(scope)
        key = hashlib.sha256(page).digest(), encoding
        if (body := self._bodies.get(key)) is None:
            body = await asyncio.to_thread(_compressed, page, encoding)
            for oldest in [*self._bodies][: len(self._bodies) + 1 - MAX_PAGES]:
                del self._bodies[oldest]
            self._bodies[key] = body
        kept = [(name, value) for name, value in start["headers"] if name != b"content-length"]
        await _answer(send, start["status"], [*kept, *_body_headers(encoding, body)], body)


def _stream(send: Send) -> Send:
    """Sends each part of a stream compressed, and at once."""
    # With gzip, which takes 256 kB for each stream; brotli takes several MB.
    coder = zlib.compressobj(wbits=31)

    async def send_part(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [*message["headers"], (b"content-encoding", b"gzip")]
            await send({**message, "headers": headers})
            return
        body = coder.compress(message.get("body", b""))
        body += coder.flush(zlib.Z_SYNC_FLUSH if message.get("more_body") else zlib.Z_FINISH)
        await send({**message, "body": body})

    return send_part


def _is_plain_html(headers: Headers) -> bool:
    found = dict(headers)
    return found.get(b"content-type", b"").startswith(b"text/html") and (
        b"content-encoding" not in found
    )


def _encoding(scope: Message) -> bytes:
    """The best of those that a browser takes; b"" for none."""
    accepted = dict(scope["headers"]).get(b"accept-encoding", b"").decode("latin-1")
    names = {part.partition(";")[0].strip() for part in accepted.split(",")}
    return next((name.encode() for name in ("br", "gzip") if name in names), b"")


def _compressed(body: bytes, encoding: bytes) -> bytes:
    if encoding == b"br":
        return brotli.compress(body, mode=brotli.MODE_TEXT)
    return gzip.compress(body) if encoding else body


def _body_headers(encoding: bytes, body: bytes) -> Headers:
    coded = [(b"content-encoding", encoding)] if encoding else []
    return [*coded, (b"vary", b"accept-encoding"), (b"content-length", b"%d" % len(body))]


async def _answer(send: Send, status: int, headers: Headers, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
