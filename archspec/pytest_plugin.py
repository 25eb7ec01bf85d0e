"""A pytest plugin: specs under test, each held against its lock file.

    def test_my_model(archspec_snapshot):
        archspec_snapshot("specs/my-model.yaml")

``pytest --archspec-update`` writes the lock files anew; the test fails with the difference when a
spec drifts from its own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from archspec.differences import Diff
    from archspec.lang.spec import Spec

    Source = str | os.PathLike[str] | Spec


class Snapshot(Protocol):
    """What the fixture ``archspec_snapshot`` gives."""

    def __call__(
        self, source: Source, *, lock: str | os.PathLike[str] | None = None, **params: Any
    ) -> None:
        """Fail unless the spec builds what its lock file says.

        Args:
            source: a path, a packaged spec's name, or a Spec. Paths are relative to pytest's
                root folder.
            lock: the lock file; beside the spec if left out. For a Spec, and with ``params``, it
                has to be given.
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
    root, update = request.config.rootpath, bool(request.config.getoption("archspec_update"))

    def check(source: Source, *, lock: str | os.PathLike[str] | None = None, **params: Any) -> None:
        __tracebackhide__ = True
        is_path = not isinstance(source, str) or source.endswith((".yaml", ".yml"))
        named = isinstance(source, str | os.PathLike)
        if lock is None and (params or not named):
            pytest.fail("the lock file needs a name here: lock=…", pytrace=False)
        if named and is_path:
            source = root / source
        file = _file(source, root) if lock is None else root / lock
        if failure := _failure(source, params, file, update):
            pytest.fail(failure, pytrace=False)

    return check


def _file(source: Source, root: Path) -> Path:
    from archspec.differences.lock_files import beside

    assert isinstance(source, str | os.PathLike)
    return root / beside(source)


def _failure(source: Source, params: Mapping[str, Any], file: Path, update: bool) -> str:
    """What to tell; "" if the spec builds what its lock file says."""
    from archspec.differences.lock_files import Lock, lock
    from archspec.errors import ArchspecError

    try:
        now = lock(source, **params)
        if update:
            file.write_text(now.to_yaml(), encoding="utf-8")
            return ""
        if not file.exists():
            return f"{file} does not exist: {_WRITE}"
        found: Diff = Lock.read(file).compare(now)
    except ArchspecError as error:
        return str(error)
    except OSError as error:
        return f"{file}: {error.strerror}"
    return f"{found}\n\nIf that is meant: {_WRITE}" if found else ""


_WRITE = "pytest --archspec-update, then review the file"
