"""The scripts that the page loads by themselves, and the page's compression."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import brotli

from archspec_app.served_files import CompressedPage, ServedFiles

PAGE = b"the page" * 500
EVENTS = "/gradio_api/queue/data"
SENT = (b"data: 1\n\n", b"data: 2\n\n")


async def _app(scope: Any, receive: Any, send: Any) -> None:
    kind = b"text/event-stream" if scope["path"] == EVENTS else b"text/html; charset=utf-8"
    headers = [(b"content-type", kind)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if scope["path"] == EVENTS:
        for part in SENT:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body"})
        return
    await send({"type": "http.response.body", "body": PAGE})


def messages(app: Any, path: str, **headers: str) -> list[Any]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    listed = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "GET", "path": path, "headers": listed}
    with ThreadPoolExecutor(1) as pool:  # browser tests leave an event loop in this thread
        pool.submit(lambda: asyncio.run(app(scope, receive, send))).result()
    return sent


def ask(app: Any, path: str, **headers: str) -> tuple[int, dict[bytes, bytes], bytes]:
    start, *parts = messages(app, path, **headers)
    return start["status"], dict(start["headers"]), b"".join(part["body"] for part in parts)


def test_a_script_is_sent_once_and_then_kept() -> None:
    app = ServedFiles(_app, {"editor.js": lambda: "code;"})
    status, headers, body = ask(app, "/proxy/archspec/editor.js", accept_encoding="gzip;q=0.9, br")
    assert (status, brotli.decompress(body)) == (200, b"code;")
    assert headers[b"content-type"] == b"text/javascript; charset=utf-8"
    assert headers[b"content-length"] == b"%d" % len(body)
    tag = headers[b"etag"].decode()
    again = {"accept_encoding": "br", "if_none_match": tag}
    assert ask(app, "/archspec/editor.js", **again)[::2] == (304, b"")
    assert ask(app, "/archspec/editor.js", accept_encoding="br", if_none_match='"x"')[0] == 200
    for path in ("/archspec/other.js", "/editor.js", "/", "/archspec/", "/archspec/x/editor.js"):
        assert ask(app, path)[2] == PAGE, path


def test_each_browser_gets_what_it_can_read() -> None:
    app = ServedFiles(_app, {"editor.js": lambda: "code;"})
    _, headers, body = ask(app, "/archspec/editor.js", accept_encoding="deflate, gzip")
    assert (headers[b"content-encoding"], gzip.decompress(body)) == (b"gzip", b"code;")
    _, headers, body = ask(app, "/archspec/editor.js")
    assert (b"content-encoding" in headers, body) == (False, b"code;")


def test_the_page_is_compressed() -> None:
    app = CompressedPage(_app)
    for _ in range(2):  # the second one is kept
        _, headers, body = ask(app, "/", accept_encoding="gzip, br")
        assert (headers[b"content-encoding"], brotli.decompress(body)) == (b"br", PAGE)
        assert headers[b"content-length"] == b"%d" % len(body)
    assert gzip.decompress(ask(app, "/", accept_encoding="gzip")[2]) == PAGE
    assert ask(app, "/")[2] == PAGE
    assert ask(app, "/gradio_api/info", accept_encoding="gzip")[2] == PAGE


def test_each_answer_to_an_event_is_sent_at_once() -> None:
    app = CompressedPage(_app)
    start, *parts = messages(app, EVENTS, accept_encoding="gzip, br")
    assert dict(start["headers"])[b"content-encoding"] == b"gzip"
    reader = zlib.decompressobj(wbits=31)
    assert [reader.decompress(part["body"]) for part in parts] == [
        b"data: 1\n\n",
        b"data: 2\n\n",
        b"",
    ]
    assert reader.eof
    assert (
        b"".join(part.get("body", b"") for part in messages(app, EVENTS)[1:])
        == b"data: 1\n\ndata: 2\n\n"
    )
