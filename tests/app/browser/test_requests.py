"""What anybody can ask of the page's server without a browser: nothing outside, no traceback."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

MADE_UP: list[dict[str, Any]] = [
    {},
    {"spec": "../outside.yaml", "text": 1, "node": "../..", "plan": [], "key": {}, "count": -9},
    {"spec": "/etc/passwd", "text": "x" * 9999, "node": "x", "key": "batch", "frozen": 7},
    {"spec": "\ud800\0", "text": "\ud800", "node": "\ud800", "plan": "\ud800", "key": "\ud800"},
]


def ask(url: str, body: bytes | None = None, **headers: str) -> tuple[int, str]:
    """Status and text of an answer."""
    request = urllib.request.Request(url, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def ask_json(url: str, data: object) -> tuple[int, str]:
    return ask(url, json.dumps(data).encode(), **{"Content-Type": "application/json"})


@pytest.fixture
def secrets(folder: Path) -> Iterator[list[str]]:
    """What no answer may hold."""
    outside = folder.parent / "outside.yaml"
    yield ["Traceback", "root:x:0", "Outside", str(folder), str(Path(__file__).parents[3])]
    assert outside.read_text() == "archspec: 1\nmodel: Outside\n"


def holds_none(answer: str, secrets: list[str]) -> None:
    assert [secret for secret in secrets if secret in answer] == []


@pytest.mark.parametrize("name", ["/etc/passwd", "../outside.yaml", "{outside}", "{inside}"])
def test_no_file_is_given_out(name: str, url: str, folder: Path, secrets: list[str]) -> None:
    name = name.format(outside=folder.parent / "outside.yaml", inside=folder / "tiny.yaml")
    for path in (f"gradio_api/file={name}", f"file={name}", f"static/{name}", f"assets/{name}",
                 f"gradio_api/stream/x/{name}", f"gradio_api/proxy=file://{name}"):  # fmt: skip
        status, answer = ask(url + path)
        assert status >= 400, path
        holds_none(answer, [*secrets[:3], "a classifier that fits"])


def test_the_pages_own_description_names_no_place(url: str, secrets: list[str]) -> None:
    for path in ("", "config", "gradio_api/info", "gradio_api/startup-events", "openapi.json"):
        _, answer = ask(url + path)
        holds_none(answer, secrets)


def test_made_up_events_are_answered(url: str, secrets: list[str]) -> None:
    calls = json.loads(ask(url + "config")[1])["dependencies"]

    def answers(call: dict[str, Any]) -> Iterator[str]:
        session = f"made-up-{call['id']}"
        for event in MADE_UP:
            data = {
                "data": ["x"] * len(call["inputs"]), "fn_index": call["id"], "event_data": event,
                "session_hash": session,
            }  # fmt: skip
            for path in ("run/predict", f"run/{call.get('api_name')}", f"call/{call['id']}"):
                yield ask_json(f"{url}gradio_api/{path}", data)[1]
            status, answer = ask_json(f"{url}gradio_api/queue/join", data)
            yield answer
            if status == 200:
                yield ask(f"{url}gradio_api/queue/data?session_hash={session}")[1]

    with ThreadPoolExecutor(8) as pool:
        for several in pool.map(lambda call: [*answers(call)], calls):
            for answer in several:
                holds_none(answer, secrets)


def test_nothing_can_be_uploaded(url: str, secrets: list[str]) -> None:
    head = b'--b\r\nContent-Disposition: form-data; name="files"; filename="../../x.yaml"\r\n\r\n'
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    for size in (10, 50_000_000):
        body = head + b"#" * size + b"\r\n--b--\r\n"
        try:
            status, answer = ask(f"{url}gradio_api/upload", body, **kind)
        except urllib.error.URLError:  # hung up before all of it was sent
            assert size > 10
            continue
        assert status == 404
        holds_none(answer, secrets)
