"""Limits of one run of a model on ``meta``, and the errors beyond them."""

from __future__ import annotations

from archspec.lang.limits import from_environment

MAX_OPERATIONS = 10_000
"""Default limit of operations, calls of blocks and iterations of ``range`` loops in one run.

Modules that are built and called alike are run once or twice; their repeats do not count.
"""

NEW_OPERATION = 3
"""What an operation on shapes that the run has not met before counts: it takes longer.

A thousand blocks of different sizes, with a few operations each, stay within the limit.
"""

MAX_EVENTS = 500_000
"""Maximum number of events in one run, with those of repeated modules."""

MAX_ELEMENTS = 10**15
"""Maximum elements of one tensor: a million times what a device holds."""

VARIABLE = "ARCHSPEC_MAX_OPERATIONS"


class RunLimitExceeded(Exception):
    """A run on ``meta`` that goes beyond a limit.

    Attributes:
        message: the limit that was exceeded.
        hint: how to raise it, if possible.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


def max_operations() -> int:
    """The limit of operations: the environment variable's value, if that is 1 or more.

    >>> max_operations()
    10000
    """
    return from_environment(VARIABLE, MAX_OPERATIONS)


def too_many_operations(limit: int, what: str = "one run of the model takes") -> RunLimitExceeded:
    message = f"{what} more than {limit:,} operations"
    return RunLimitExceeded(message, f"raise the limit with {VARIABLE}")


def too_many_events() -> RunLimitExceeded:
    message = f"one run of the model has more than {MAX_EVENTS:,} operations and calls to note"
    return RunLimitExceeded(message, "repeat fewer modules, or look at one block alone")


def too_large(shape: tuple[int, ...]) -> RunLimitExceeded:
    message = f"a tensor of the shape {list(shape)} has more than 10^15 elements"
    return RunLimitExceeded(message)
