"""Whatever an event carries: an answer with a message, no traceback, and the next event works."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.app.page_server import Visitor, served

SPEC = """archspec: 1
model: Net
params: {width: 4}
blocks:
  Net:
    inputs: {x: [batch, 4]}
    modules: {up: {type: Linear, in_features: 4, out_features: $width}}
    forward: [{return: up(x)}]
dims: {batch: 2}
freeze: {none: []}
"""
DEEP: Any = "x"
for _ in range(200):
    DEEP = [DEEP]
HOSTILE: list[Any] = [
    -(2**63), 10**400, float("nan"), 1.5, -1, True, DEEP, [1, "x"], {"a": None}, "\ud800\0",
    "x" * 20_000, "/etc/passwd", {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}},
]  # fmt: skip
KEYS = (
    "node", "count", "frozen", "key", "reset", "text", "view", "a", "b", "levels", "spec", "plan",
    "source", "weights", "file", "texts", "seconds", "explain", "data", "request_id", "options",
    "run", "offset", "version",
)  # fmt: skip
WHOLE: list[Any] = [
    None,
    "text",
    3,
    2**70,
    [],
    DEEP,
    *(dict.fromkeys(KEYS, one) for one in HOSTILE),
]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("events") / "log"


@pytest.fixture(scope="module")
def url(log: Path) -> Iterator[str]:
    folder = log.parent / "folder"
    folder.mkdir()
    (folder / "net.yaml").write_text(SPEC)
    with served(folder, log, command=("app", "net.yaml")) as address:
        yield address


def wrongs(answer: Any, log: Path) -> list[str]:
    """What an answer and the server's log must not hold."""
    told = answer.text + log.read_text()
    return [one for one in ("Traceback", "root:x:0", "a defect", str(log.parent)) if one in told]


def message(answer: Any) -> str:
    return answer.text if answer.status != 200 else json.dumps(answer.outputs)


def test_every_handler_answers_whatever_it_is_sent(url: str, log: Path) -> None:
    """Reads the handlers off the page: a new one is tried, too."""
    with Visitor(url, "reader") as reader:
        handlers = reader.handlers
    handlers = [one for one in handlers if all(name != "unload" for _, name in one["targets"])]
    assert len(handlers) > 20
    inputs = {len(one["inputs"]): one["id"] for one in handlers}
    # Most of the time of an event is spent waiting for Gradio's queue.
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda one: _wrong_of(one, url, log, inputs), handlers)
        failing = [wrong for several in found for wrong in several]
    assert not failing, failing[:5]


def _wrong_of(handler: dict[str, Any], url: str, log: Path, inputs: dict[int, int]) -> list[Any]:
    """Problems with one handler; ``inputs`` names a handler for each number of inputs."""
    failing: list[Any] = []
    texts = [SPEC] * len(handler["inputs"])
    # Inputs that are no texts are refused before any handler is chosen: one handler will do.
    is_first = inputs[len(texts)] == handler["id"]
    values = [value for value in HOSTILE if is_first or isinstance(value, str)]
    sent = [([value if n == at else text for n, text in enumerate(texts)], None)
            for at in range(len(texts)) for value in values]  # fmt: skip
    with Visitor(url, f"hostile-{handler['id']}") as visitor:
        for data, event in [*sent, *((texts, event) for event in WHOLE)]:
            answer = visitor.send(handler["id"], data, event)
            is_told = answer.done or (answer.status == 400 and "detail" in answer.text)
            if not is_told or wrongs(answer, log):
                failing.append((handler["targets"], repr((data, event))[:200], answer.text[-500:]))
        after = visitor.type(SPEC.replace("width: 4", "width: 5"))
        if not after.done or '"25 parameters"' not in after.text:
            failing.append((handler["targets"], "the next event", after.text[-500:]))
    return failing


def test_values_are_told_on_the_page(url: str, log: Path) -> None:
    with Visitor(url, "told") as visitor:
        visitor.type(SPEC)
        _are_told(visitor)
    assert "Traceback" not in log.read_text()


def _are_told(visitor: Visitor) -> None:
    toggle, select = visitor.number("toggle"), visitor.number("select_module")
    rows: list[tuple[int, Any, Any, str]] = [
        (
            toggle,
            [SPEC],
            {"rows": [{"node": "up", "count": 2**70}], "frozen": True},
            "more than 64 bits",
        ),
        (
            toggle,
            [SPEC],
            {"rows": [{"node": "up", "count": 1.0}], "frozen": True},
            "'count' is not an int",
        ),
        (
            toggle,
            [SPEC],
            {"rows": [{"node": "up", "count": True}], "frozen": True},
            "'count' is not an int",
        ),
        (toggle, [SPEC], {"rows": [{"node": "up"}], "frozen": "yes"}, "'frozen' is neither true"),
        (toggle, [SPEC], {"rows": [{"node": 7}]}, "'node' is not a text"),
        (toggle, [SPEC], {"node": "up", "x": float("nan")}, "a number is not finite"),
        (toggle, [SPEC], {"rows": [{"node": "nowhere"}], "frozen": True}, "nowhere"),
        (toggle, [SPEC], {"rows": {"node": "up"}}, "'rows' are 1 to 200 rows"),
        (toggle, [SPEC], DEEP, "an event's data is an object"),
        (toggle, [SPEC], {"node": DEEP}, "nested in more than"),
        (toggle, [SPEC], {"node": list(range(20_000))}, "more than 10,000 values"),
        (toggle, [7], {"node": "up"}, "an input is not a text"),
        (select, [], {"node": {}}, "'node' is not a text"),
        (select, [], {"node": "x" * 20_000}, "'node' has more than 10,000 characters"),
    ]
    wrong = [
        (row[2:], message(found)[:300])
        for row in rows
        if row[3] not in message(found := visitor.send(*row[:3])) or not found.done
    ]
    assert not wrong


def test_a_draft_names_no_file(url: str, log: Path) -> None:
    """What a page kept of itself comes back as it is: Gradio would copy a file, and give it out."""
    named = {"path": str(log), "meta": {"_type": "gradio.FileData"}, "url": None}
    draft = {
        "name": "x.yaml",
        "text": SPEC,
        "sizes": {"width": named, "big": 10**300},
        "plan": None,
        "precision": "fp32",
        "optimizer": "adamw",
        "checkpoint_blocks": [],
        "without": [],
        "device": "cpu",
    }
    draft["choices"] = {name: {k: v for k, v in draft.items() if k not in ("name", "text")}
                        for name in ("x.yaml", "../outside.yaml", "bert")}  # fmt: skip
    with Visitor(url, "draft") as visitor:
        answer = visitor.send(visitor.number("load"), [None, json.dumps(draft), None])
        assert answer.done and "gradio_api/file" not in answer.text
        assert "Traceback" not in log.read_text()


def test_what_is_no_event_of_the_page_is_refused(url: str, log: Path) -> None:
    with Visitor(url, "refused") as visitor:
        _are_refused(visitor)
        assert not wrongs(visitor.type(SPEC), log)


def _are_refused(visitor: Visitor) -> None:
    typing = visitor.number("input")
    good = {"data": [SPEC], "fn_index": typing, "session_hash": "refused", "event_data": None}
    rows: list[tuple[str, str]] = [
        (json.dumps(good | {"fn_index": 10_000}), "no such handler"),
        (json.dumps(good | {"fn_index": -1}), "no such handler"),
        (json.dumps(good | {"fn_index": str(typing)}), "no such handler"),
        (json.dumps(good | {"fn_index": 2**70}), "no such handler"),
        (json.dumps(good | {"fn_index": None, "api_name": "handle"}), "no such handler"),
        (json.dumps(good | {"data": []}), "has 1 inputs"),
        (json.dumps(good | {"data": [SPEC, SPEC]}), "has 1 inputs"),
        (json.dumps(good | {"data": {"0": SPEC}}), "has 1 inputs"),
        (json.dumps(good | {"session_hash": ""}), "a session's name"),
        (json.dumps(good | {"session_hash": None}), "a session's name"),
        (json.dumps(good | {"session_hash": "../x"}), "a session's name"),
        (json.dumps(good | {"session_hash": "x" * 1000}), "a session's name"),
        (json.dumps([good]), "an event is an object"),
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ('{"data": [%s]}' % ("9" * 10_000), "is not JSON"),
    ]
    failing = [
        (body[:200], answer)
        for body, said in rows
        if (answer := visitor.post(body)).status != 400 or said not in answer.text
    ]
    assert not failing
    # What a handler is not sent for is not looked at.
    for more in ({"trigger_id": 2**70}, {"trigger_id": "x"}, {"batched": True}, {"event_id": {}}):
        assert visitor.post(json.dumps(good | more)).done, more
    assert visitor.client.get("gradio_api/queue/data?session_hash=nobody").status_code < 500
