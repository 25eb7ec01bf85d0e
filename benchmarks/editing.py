"""An edit in the inspector, to tree and cost; beside it, torchinfo on the model built anew.

One is of BERT's YAML; the other of a spec of 2,000 layers, no two of which are alike.

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

BERT, LAYERS = "BERT edited in the inspector", "2,000 distinct layers, one of them edited"
TARGETS = {BERT: 0.15, LAYERS: 0.5}
"""Seconds of server time, at the median."""
LENGTH = 128
COUNT = 2_000


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

        yield Pair(BERT, ours, theirs, target=None)
    yield from _layers()


def _layers() -> Iterator[Pair]:
    """A chain of linear layers and norms, all of different sizes; an edit changes one number."""
    numbers = itertools.count(1)

    def text(of_one: int) -> str:
        items = [
            line
            for n in range(COUNT // 2)
            for eps in [of_one if n == 500 else 1]
            for line in (
                f"{{type: Linear, in_features: {8 + n}, out_features: {9 + n}}}",
                f"{{type: LayerNorm, normalized_shape: {9 + n}, eps: {eps}e-6}}",
            )
        ]
        listed = "".join(f"          - {item}\n" for item in items)
        return (
            "archspec: 1\nmodel: Net\nblocks:\n  Net:\n    inputs: {x: [batch, 8]}\n"
            "    modules:\n      body:\n        type: Sequential\n        items:\n"
            f"{listed}    forward:\n      - return: body(x)\n"
        )

    def theirs() -> object:
        from torchinfo import summary

        with torch.device("meta"):
            layers = [
                layer
                for n in range(COUNT // 2)
                for layer in (torch.nn.Linear(8 + n, 9 + n), torch.nn.LayerNorm(9 + n, eps=1e-6))
            ]
            model, rows = torch.nn.Sequential(*layers), torch.empty(1, 8)
        return summary(model, input_data=rows, verbose=0)

    with _page() as edit:

        def ours() -> None:
            answer = edit(text(next(numbers)))
            assert answer and not any(
                one.get("problems") for one in answer if isinstance(one, dict)
            ), "the page answers"

        yield Pair(LAYERS, ours, theirs, target=None)


def told(result: Result) -> str:
    """Whether the median is within what the page promises."""
    target = TARGETS[result.name]
    verdict = "met" if statistics.median(result.ours) <= target else "missed"
    return f"of that, the page promises {1000 * target:.0f} ms at the median: {verdict}"


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
