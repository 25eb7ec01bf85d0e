"""Packaged specs that many tests look at, loaded once in a process. A spec never changes."""

from __future__ import annotations

from functools import cache

import archspec


@cache
def packaged(name: str) -> archspec.Spec:
    """A packaged spec with the defaults of its parameters."""
    return archspec.load(name)


@cache
def source_of(name: str) -> str:
    """What ``to_python`` makes of it."""
    return archspec.to_python(packaged(name))
