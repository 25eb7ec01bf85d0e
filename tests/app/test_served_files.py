"""The scripts that the page loads by themselves, and the page's compression."""

from __future__ import annotations

import asyncio
import gzip
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from archspec_app.served_files import CompressedPage, ServedFiles

PAGE = b"the page" * 500


async def _app(scope: Any, receive: Any, send: Any) -> None:
    headers = [(b"content-type", b"text/html; charset=utf-8")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": PAGE})


def ask(app: Any, path: str, **headers: str) -> tuple[int, dict[bytes, bytes], bytes]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    listed = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "GET", "path": path, "headers": listed}
    with ThreadPoolExecutor(1) as pool:  # browser tests leave an event loop in this thread
        pool.submit(lambda: asyncio.run(app(scope, receive, send))).result()
    body = b"".join(part["body"] for part in sent[1:])
    return sent[0]["status"], dict(sent[0]["headers"]), body


def test_a_script_is_sent_once_and_then_kept() -> None:
    app = ServedFiles(_app, {"editor.js": lambda: "code;"})
    status, headers, body = ask(app, "/proxy/archspec/editor.js")
    assert (status, gzip.decompress(body)) == (200, b"code;")
    assert headers[b"content-type"] == b"text/javascript; charset=utf-8"
    tag = headers[b"etag"].decode()
    assert ask(app, "/archspec/editor.js", if_none_match=tag)[::2] == (304, b"")
    assert ask(app, "/archspec/editor.js", if_none_match='"other"')[0] == 200
    for path in ("/archspec/other.js", "/editor.js", "/", "/archspec/", "/archspec/x/editor.js"):
        assert ask(app, path)[2] == PAGE, path


def test_the_page_is_compressed_and_nothing_else() -> None:
    app = CompressedPage(_app)
    _, headers, body = ask(app, "/", accept_encoding="gzip, br")
    assert (headers[b"content-encoding"], gzip.decompress(body)) == (b"gzip", PAGE)
    assert ask(app, "/")[2] == PAGE
    assert ask(app, "/gradio_api/queue/data", accept_encoding="gzip")[2] == PAGE
