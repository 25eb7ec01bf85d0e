"""The learning rate over a phase, as a factor of the one that was asked for."""

from __future__ import annotations

import math
from collections.abc import Callable

from archspec.training.options import Schedule

_START, _END = 1 / 25, 1e-4
"""Of one cycle (Smith and Topin 2017, Super-Convergence, arXiv:1708.07120)."""


def lr_factor(schedule: Schedule, steps: int, warmup: float) -> Callable[[int], float]:
    """The factor at each step of the optimizer, counted from 0.

    Args:
        schedule: ``one-cycle`` rises and falls as a cosine; the others rise in a line, and then
            fall in a line, fall as a cosine, or stay.
        steps: of the whole phase.
        warmup: the share of steps in which it rises.

    >>> linear = lr_factor("linear", 10, 0.2)
    >>> [round(linear(step), 2) for step in range(10)]
    [0.5, 1.0, 1.0, 0.88, 0.75, 0.62, 0.5, 0.38, 0.25, 0.12]
    """
    rising = round(steps * warmup)

    def at(step: int) -> float:
        if step < rising:
            if schedule == "one-cycle":
                return _between(_START, 1, step / rising)
            return (step + 1) / rising
        done = min(1.0, (step - rising) / max(1, steps - rising))
        match schedule:
            case "constant":
                return 1.0
            case "linear":
                return 1 - done
            case "cosine":
                return _between(1, 0, done)
            case "one-cycle":
                return _between(1, _START * _END, done)

    return at


def _between(first: float, last: float, done: float) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * done)) / 2
