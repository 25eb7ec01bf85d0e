"""An edit of BERT's YAML in the inspector, to tree and cost; beside it, torchinfo on a built BERT.

Ours is all that the server does and the way there and back on this machine: the request, the queue,
parsing, checking, building, measuring, and everything on the page that follows from it.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import socket
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import torch

from benchmarks.pairs import Pair, Result
from benchmarks.references import bert

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

TARGET = 0.3
"""Seconds of server time, at the median."""
LENGTH = 128


def pairs() -> Iterator[Pair]:
    """Edits that no cache has seen, one after the other: every one changes the model."""
    from archspec.lang.inherit import locate

    text = locate("bert").read_text(encoding="utf-8")
    labels = itertools.count(3)

    def theirs() -> object:
        from torchinfo import summary

        with torch.device("meta"):
            model = bert()
            ids = torch.zeros(1, LENGTH, dtype=torch.int64)
        return summary(model, input_data={"input_ids": ids}, verbose=0)

    with _page() as edit:

        def ours() -> None:
            answer = edit(text.replace("default: 2,", f"default: {next(labels)},"))
            assert answer, "the page answers"

        yield Pair("BERT edited in the inspector", ours, theirs, target=None)


def told(result: Result) -> str:
    """Whether the median is within what the page promises."""
    median = statistics.median(result.ours)
    verdict = "met" if median <= TARGET else "missed"
    return f"of that, the page promises {1000 * TARGET:.0f} ms at the median: {verdict}"


@contextlib.contextmanager
def _page() -> Iterator[Any]:
    from archspec_app.serving import launched

    with tempfile.TemporaryDirectory() as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        with launched(folder=Path(folder), port=port) as (page, address):
            index = next(
                number
                for number, function in page.fns.items()
                if any(name == "input" for _, name in function.targets)
            )
            with httpx.Client(base_url=f"{address}gradio_api", timeout=60) as client:
                yield lambda text: asked(client, index, text)


def asked(client: httpx.Client, index: int, text: str, session: str = "benchmark") -> Any:
    """The outputs of a handler to a text in the editor."""
    body = {"data": [text], "fn_index": index, "session_hash": session, "event_data": None}
    client.post("/queue/join", json=body).raise_for_status()
    with client.stream("GET", "/queue/data", params={"session_hash": session}) as stream:
        for line in stream.iter_lines():
            found = json.loads(line.removeprefix("data: ")) if line.startswith("data: ") else {}
            if found.get("msg") == "process_completed":
                assert found["success"], found["output"]
                return found["output"]["data"]
    return None
