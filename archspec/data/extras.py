"""Libraries that are only installed with the extra ``train``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from archspec.errors import Problem, UsageError


@contextmanager
def train_extra() -> Iterator[None]:
    """Explain a failing import: the libraries come with the extra ``train``.

    Raises:
        UsageError: E801, the extra is not installed.
    """
    try:
        yield
    except ImportError as error:
        message = f"data needs the package {(error.name or 'datasets').partition('.')[0]}"
        hint = "pip install 'archspec-nn[train]'"
        raise UsageError(Problem("E801", message, hint=hint)) from None
