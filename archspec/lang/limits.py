"""Limits that the environment may raise, for those who trust a spec that is larger."""

from __future__ import annotations

import os

MAX_MODULES = 20_000
MODULES_VARIABLE = "ARCHSPEC_MAX_MODULES"


def max_modules() -> int:
    """How many modules a model may have, where ``ARCHSPEC_MAX_MODULES`` says nothing else.

    >>> max_modules()
    20000
    """
    return from_environment(MODULES_VARIABLE, MAX_MODULES)


def from_environment(variable: str, default: int) -> int:
    """The variable's value, if that is a number of 1 or more; else the default."""
    text = os.environ.get(variable, "")
    return int(text) if text.isdecimal() and int(text) > 0 else default
