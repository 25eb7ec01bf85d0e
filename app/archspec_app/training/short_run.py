"""A short run in place of a long one: how many steps take half a minute."""

from __future__ import annotations

LONG, SHORT = 180.0, 30.0  # seconds: longer is long, and what a short one takes
MAX_STEPS = 100_000


def short_steps(seconds: float | None, seconds_per_step: float | None) -> int | None:
    """The steps of a short run; None where the whole one is not long, or its speed is unknown.

    Args:
        seconds: of the whole run, or of what is left of it.
        seconds_per_step: of the optimizer.

    >>> short_steps(4000.0, 2.5), short_steps(4000.0, 40.0), short_steps(100.0, 2.5)
    (12, 1, None)
    """
    if seconds is None or seconds <= LONG or not seconds_per_step:
        return None
    return max(1, int(min(SHORT / seconds_per_step, MAX_STEPS)))
