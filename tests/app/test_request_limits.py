"""A body that is too large is refused before anybody reads it."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from archspec_app.request_limits import BoundedBody


async def _app(scope: Any, receive: Any, send: Any) -> None:
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        if not message.get("more_body"):
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def status(length: bytes | None, chunks: list[bytes]) -> int | None:
    """What a visitor who sends chunks is answered; None if nothing."""
    sent: list[Any] = []
    waiting = [{"type": "http.request", "body": one, "more_body": True} for one in chunks[:-1]]
    waiting.append({"type": "http.request", "body": chunks[-1]})

    async def receive() -> Any:
        return waiting.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [] if length is None else [(b"content-length", length)]
    scope = {"type": "http", "headers": headers}
    asked = BoundedBody(_app, max_bytes=10)(scope, receive, send)
    with ThreadPoolExecutor(1) as pool:  # the browser tests keep a loop in the main thread
        pool.submit(asyncio.run, asked).result()
    return sent[0]["status"] if sent else None


def test_bodies() -> None:
    rows: list[tuple[bytes | None, list[bytes], int | None]] = [
        (b"10", [b"x" * 10], 200), (b"11", [b"x" * 11], 413), (None, [b"x" * 5] * 2, 200),
        (None, [b"x" * 6] * 2, None), (b"3", [b"x" * 99], None), (b"-1", [b"x"], 413),
        (b"1e9", [b"x"], 413),
    ]  # fmt: skip
    assert [row for row in rows if status(row[0], row[1]) != row[2]] == []
