"""One visitor's spec that computes for ever keeps nobody else waiting, and ends with a message."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from archspec_app.session_pool import MAX_QUEUED
from tests.app.page_server import Answer, Visitor, served
from tests.app.test_hostile_events import SPEC

SECONDS = 8.0
SLOW = SPEC.replace("Net", "Slow")
MESSAGE = f"took longer than {SECONDS:g} seconds and was stopped"


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("slow") / "log"


@pytest.fixture(scope="module")
def url(log: Path) -> Iterator[str]:
    folder = log.parent / "folder"
    folder.mkdir()
    command = ("-m", "tests.app.slow_page", f"{SECONDS:g}")
    with served(folder, log, command=command) as address:
        yield address


def timed(visitor: Visitor, text: str) -> tuple[float, Answer]:
    start = time.perf_counter()
    answer = visitor.type(text)
    return time.perf_counter() - start, answer


def edits(visitor: Visitor, start: int, count: int = 5) -> float:
    """Seconds of an edit, at the median, each of another width."""
    found = [timed(visitor, SPEC.replace("width: 4", f"width: {start + n}")) for n in range(count)]
    assert all(answer.done and "parameters" in answer.text for _, answer in found)
    return statistics.median(seconds for seconds, _ in found)


def test_eight_slow_visitors_keep_nobody_waiting(url: str, log: Path) -> None:
    slow = [Visitor(url, f"slow-{n}") for n in range(8)]
    with (
        Visitor(url, "quick") as quick,
        Visitor(url, "late") as late,
        ThreadPoolExecutor(8) as pool,
    ):
        edits(quick, 10, 1)
        alone = edits(quick, 20)
        asked = [pool.submit(timed, visitor, SLOW) for visitor in slow]
        time.sleep(1.5)
        beside = edits(quick, 30)
        first, _ = timed(late, SPEC)  # a visitor who comes now
        assert not any(one.done() for one in asked), "they are still at it"
        answers = [one.result() for one in asked]
    assert beside < max(5 * alone, 1.0), (beside, alone)
    assert first < SECONDS / 2
    for seconds, answer in answers:
        assert answer.done and MESSAGE in answer.text, answer.text[-500:]
        assert SECONDS <= seconds < 2 * SECONDS
    for visitor in slow:  # and each of them goes on
        assert '"20 parameters"' in visitor.type(SPEC).text
        visitor.client.close()
    assert "Traceback" not in log.read_text()


def test_a_session_has_one_process_and_bounded_events(url: str) -> None:
    with Visitor(url, "greedy") as visitor, ThreadPoolExecutor(MAX_QUEUED + 4) as pool:
        visitor.type(SPEC)
        before, number = processes(), visitor.number("undo")
        with visitor.client.stream("GET", "gradio_api/heartbeat/greedy") as heartbeat:
            lines = heartbeat.iter_lines()
            next(lines)
            asked = [pool.submit(visitor.send, number, [SLOW]) for _ in range(MAX_QUEUED + 4)]
            wait_until(lambda: sum(one.done() for one in asked) >= 4)
            assert processes() == before
            refused = [one.result() for one in asked if one.done()]
            told = f"{MAX_QUEUED} events of this page are under way"
            assert len(refused) == 4 and all(told in one.text for one in refused)
        # The page is closed: nothing of it goes on.
        wait_until(lambda: processes() < before)


def wait_until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)


def processes() -> int:
    """How many run the module of the workers: those that were forked have its command line."""
    found = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            found += b"tests.app.slow_page" in words
    return found


def test_what_was_built_stays_and_the_text_too(url: str) -> None:
    with Visitor(url, "stays") as visitor:
        visitor.type(SPEC)
        answer = visitor.type(SLOW)
        assert MESSAGE in answer.text
        assert '"20 parameters"' in answer.text, "the last good model"
        undone = visitor.send(visitor.number("undo"), [SLOW])
        assert undone.done and MESSAGE not in undone.text and '"20 parameters"' in undone.text


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Crash", "ended the process that ran it"),
        ("Defect", "RuntimeError at slow_page.py"),
    ],
)
def test_a_process_that_breaks_is_told(url: str, log: Path, name: str, said: str) -> None:
    with Visitor(url, name) as visitor:
        visitor.type(SPEC)
        answer = visitor.type(SPEC.replace("Net", name))
        assert answer.done and said in answer.text
        assert '"24 parameters"' not in answer.text
        assert '"25 parameters"' in visitor.type(SPEC.replace("width: 4", "width: 5")).text
    assert "Traceback" not in log.read_text()
