"""What all tests share: golden files, and settings that make every run the same."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

pytest_plugins = ["pytester"]

GOLDEN = Path(__file__).parent / "golden"

os.environ["HF_HUB_OFFLINE"] = "1"
if "PYTEST_XDIST_WORKER" in os.environ:  # the workers share the cores already
    os.environ.setdefault("OMP_NUM_THREADS", "1")

hypothesis.settings.register_profile("ci", derandomize=True, deadline=None)
hypothesis.settings.register_profile("search", max_examples=2000, deadline=None)
hypothesis.settings.load_profile("ci")  # --hypothesis-profile=search looks further


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="rewrite the files in tests/golden"
    )


def pytest_collection_finish() -> None:
    """What all modules of tests have imported stays: a full collection would go through it.

    Tests make many objects, few of them in cycles: Python's own limit of 700 objects costs them a
    fifth of their time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def settings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("ARCHSPEC")}


@pytest.fixture(autouse=True)
def settings_are_put_back() -> Iterator[None]:
    """A test (or an example of a docstring) that changes our variables changes them for all."""
    before = settings()
    yield
    assert settings() == before


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """``golden("errors/typo.txt", text)`` holds ``text`` against that file, byte for byte."""

    def check(name: str, text: str) -> None:
        path = GOLDEN / name
        if request.config.getoption("update_golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())
        update = 'if that is meant: make test ARGS="--update-golden", then read the diff'
        assert path.is_file(), f"tests/golden/{name} does not exist; {update}"
        assert text == path.read_bytes().decode(), f"not what tests/golden/{name} holds; {update}"

    return check
