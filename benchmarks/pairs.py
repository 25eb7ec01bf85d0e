"""Two things timed in turn, so that a machine that slows down slows down both."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

SAMPLE_SECONDS = 0.25
"""One sample repeats its action for about this long."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One thing, done by us and by them.

    Attributes:
        target: the largest ratio of their times that is aimed for; None, just to know.
    """

    name: str
    ours: Callable[[], object]
    theirs: Callable[[], object]
    target: float | None


@dataclass(frozen=True, slots=True)
class Result:
    """The times of one pair, in seconds a call, run by run."""

    name: str
    target: float | None
    ours: list[float] = field(default_factory=list[float])
    theirs: list[float] = field(default_factory=list[float])

    @property
    def ratios(self) -> list[float]:
        return [ours / theirs for ours, theirs in zip(self.ours, self.theirs, strict=True)]

    @property
    def ratio(self) -> float:
        """The median of the ratios of the runs."""
        return statistics.median(self.ratios)

    @property
    def verdict(self) -> str:
        """Whether the target is met; by the median, or only by some of the runs."""
        if self.target is None:
            return ""
        if self.ratio <= self.target:
            return "met"
        return "within noise" if min(self.ratios) <= self.target else "missed"


def compare(pair: Pair, runs: int) -> Result:
    """Time both sides ``runs`` times in turn, after a warm-up of each."""
    repeats = max(_repeats(pair.ours), _repeats(pair.theirs))
    result = Result(pair.name, pair.target)
    for run in range(runs):
        sides = [(pair.ours, result.ours), (pair.theirs, result.theirs)]
        for action, times in sides if run % 2 == 0 else reversed(sides):
            times.append(_seconds(action, repeats))
    return result


def _repeats(action: Callable[[], object]) -> int:
    action()
    once = _seconds(action, 1)
    return max(1, min(1000, round(SAMPLE_SECONDS / once)))


def _seconds(action: Callable[[], object], repeats: int) -> float:
    """Seconds a call. What is made is dropped within the time: both sides pay for it."""
    gc.collect()
    gc.disable()
    try:
        start = time.perf_counter()
        for _ in range(repeats):
            action()
        return (time.perf_counter() - start) / repeats
    finally:
        gc.enable()
