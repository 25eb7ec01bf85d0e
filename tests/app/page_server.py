"""The page's server as a process of its own, and a visitor without a browser."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from socket import socket
from typing import Any

import httpx

STARTS_WITHIN = 180.0


@contextmanager
def served(
    folder: Path, log: Path, port: int | None = None, command: Sequence[str] = ("app", "bert")
) -> Iterator[str]:
    """The page's server, and its address once it answers.

    Args:
        folder: in which the page finds and saves specs.
        log: what the server prints, behind what it says already.
        port: to listen at; None for a free one.
        command: of ``archspec``, or with ``-m`` of Python; gets ``--port``.
    """
    port = port or free_port()
    url = f"http://127.0.0.1:{port}/"
    module = [] if command[0] == "-m" else ["-m", "archspec"]
    with log.open("ab") as out:
        words = [sys.executable, *module, *command, "--port", str(port)]
        process = subprocess.Popen(words, cwd=folder, stdout=out, stderr=subprocess.STDOUT)
        try:
            _wait(process, url, log)
            yield url
            if process.poll() is not None:
                raise RuntimeError(f"the server ended by itself, {process.returncode}")
        finally:
            process.terminate()
            process.wait()


def free_port() -> int:
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    until = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.05)
    raise RuntimeError(f"the page's server did not start:\n{log.read_text()}")


@dataclass(frozen=True)
class Answer:
    """What came of an event.

    Attributes:
        status: of the request that sent it.
        done: whether its handler gave outputs.
        text: everything that was sent back.
        outputs: of the handler.
    """

    status: int
    done: bool
    text: str
    outputs: list[Any]


@cache
def _handlers(url: str) -> list[dict[str, Any]]:
    """Those of the page; all of them are the same for every visitor."""
    return httpx.get(f"{url}config", timeout=120).json()["dependencies"]


class Visitor:
    """Sends events as the page's script does, and reads what the page would show."""

    def __init__(self, url: str, session: str, seconds: float = 120.0) -> None:
        self.session = session
        self.client = httpx.Client(base_url=url, timeout=seconds)
        self.handlers = _handlers(url)

    def __enter__(self) -> Visitor:
        return self

    def __exit__(self, *error: object) -> None:
        self.client.close()

    def number(self, event: str, inputs: int | None = None) -> int:
        """The handler of an event, such as ``input`` for typing."""
        return next(
            one["id"]
            for one in self.handlers
            if any(name == event for _, name in one["targets"])
            and inputs in (None, len(one["inputs"]))
        )

    def send(self, number: Any, data: Any, event: Any = None, **more: Any) -> Answer:
        """One event, and its answer."""
        body = {"data": data, "fn_index": number, "session_hash": self.session} | more
        return self.post(json.dumps({**body, "event_data": event}))

    def post(self, body: str) -> Answer:
        kind = {"Content-Type": "application/json"}
        joined = self.client.post("gradio_api/queue/join", content=body.encode(), headers=kind)
        if joined.status_code != 200:
            return Answer(joined.status_code, False, joined.text, [])
        lines: list[str] = []
        where = {"session_hash": self.session}
        with self.client.stream("GET", "gradio_api/queue/data", params=where) as stream:
            for line in stream.iter_lines():
                lines.append(line)
                found = json.loads(line[6:]) if line.startswith("data: ") else {}
                if found.get("msg") == "process_completed":
                    outputs = found["output"].get("data", []) if found["success"] else []
                    return Answer(200, found["success"], "\n".join(lines), outputs)
        return Answer(200, False, "\n".join(lines), [])

    def type(self, text: str) -> Answer:
        return self.send(self.number("input"), [text])
