"""Tests of tables: all rows of one are tried in one test, and each that fails is reported."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest


def every(
    names: str | Sequence[str], rows: Iterable[Any]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """As ``pytest.mark.parametrize``, in one test, for rows by the hundred.

    Args:
        names: of the arguments that a row gives; all others are fixtures, which the rows share.
        rows: a value each, or a tuple if there are several names.
    """
    listed = [name.strip() for name in names.split(",")] if isinstance(names, str) else [*names]
    table = [(row,) if len(listed) == 1 else tuple(row) for row in rows]

    def decorated(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def with_every_row(**fixtures: Any) -> None:
            failures: list[str] = []
            for row in table:
                try:
                    test(**dict(zip(listed, row, strict=True)), **fixtures)
                except (Exception, pytest.fail.Exception) as error:
                    what = f"{type(error).__name__}: {error}"
                    failures.append(f"{', '.join(map(repr, row))}\n  {what}")
            if failures:
                pytest.fail("\n".join(failures), pytrace=False)

        signature = inspect.signature(test)
        rest = [p for name, p in signature.parameters.items() if name not in listed]
        # pytest reads which fixtures a test wants from here; functions are not declared to have it.
        with_every_row.__signature__ = signature.replace(parameters=rest)  # type: ignore[attr-defined]
        return with_every_row

    return decorated
