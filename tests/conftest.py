"""What all tests share: golden files, settings that make every run the same, and a machine at rest
for those that measure."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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


class Rest:
    """Tests share the machine; one that measures has it for itself.

    Whoever measures holds the gate, so that no other test begins, and waits for those that run.
    """

    def __init__(self, folder: Path) -> None:
        self.gate = (folder / "gate").open("w")
        self.machine = (folder / "machine").open("w")

    @contextlib.contextmanager
    def shared(self) -> Iterator[None]:
        fcntl.flock(self.gate, fcntl.LOCK_EX)
        fcntl.flock(self.machine, fcntl.LOCK_SH)
        fcntl.flock(self.gate, fcntl.LOCK_UN)
        yield
        fcntl.flock(self.machine, fcntl.LOCK_UN)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        fcntl.flock(self.machine, fcntl.LOCK_UN)  # of the test that asks
        fcntl.flock(self.gate, fcntl.LOCK_EX)
        fcntl.flock(self.machine, fcntl.LOCK_EX)
        yield
        fcntl.flock(self.machine, fcntl.LOCK_SH)
        fcntl.flock(self.gate, fcntl.LOCK_UN)

    def close(self) -> None:
        self.gate.close()
        self.machine.close()


REST = pytest.StashKey[Rest]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[REST] = rest = Rest(config.cache.mkdir("rest"))
    config.add_cleanup(rest.close)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[Any]:
    with item.config.stash[REST].shared():
        return (yield)


@pytest.fixture(scope="session")
def alone(pytestconfig: pytest.Config) -> Callable[[], contextlib.AbstractContextManager[None]]:
    """``with alone():`` no other test runs; those that measure CPU time are not slowed down."""
    return pytestconfig.stash[REST].alone


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
