"""A pytest plugin: specs under test, each held against its lock file.

    def test_my_model(archspec_snapshot):
        archspec_snapshot("specs/my-model.yaml")

``pytest --archspec-update`` writes the lock files anew; the test fails with the difference when a
spec drifts from its own.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol

import pytest


class Snapshot(Protocol):
    """What the fixture ``archspec_snapshot`` gives."""

    def __call__(
        self,
        source: str | os.PathLike[str],
        *,
        lock: str | os.PathLike[str] | None = None,
        **params: Any,
    ) -> None:
        """Fail unless the spec builds what its lock file says.

        Args:
            source: a path, or a packaged spec's name.
            lock: the lock file; beside the spec if left out. With ``params`` it has to be given.
            **params: values for the spec's parameters.
        """
        ...


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("archspec")
    group.addoption(
        "--archspec-update", action="store_true", help="write the lock files of specs anew"
    )


@pytest.fixture
def archspec_snapshot(request: pytest.FixtureRequest) -> Snapshot:
    """Holds a spec against its lock file."""

    def check(
        source: str | os.PathLike[str],
        *,
        lock: str | os.PathLike[str] | None = None,
        **params: Any,
    ) -> None:
        from archspec import locking
        from archspec.errors import ArchspecError
        from archspec.locking.locks import beside

        __tracebackhide__ = True
        if params and lock is None:
            pytest.fail("with parameters the lock file needs a name: lock=…", pytrace=False)
        file = Path(lock) if lock is not None else beside(source)
        try:
            now = locking.lock(source, **params)
            if request.config.getoption("archspec_update"):
                file.write_text(now.to_yaml(), encoding="utf-8")
                return
            if not file.exists():
                pytest.fail(f"{file} does not exist: {_WRITE}", pytrace=False)
            found = locking.Lock.read(file).compare(now)
        except ArchspecError as error:
            pytest.fail(str(error), pytrace=False)
        if found:
            pytest.fail(f"{found}\n\nIf that is meant: {_WRITE}", pytrace=False)

    return check


_WRITE = "pytest --archspec-update, then review the file"
