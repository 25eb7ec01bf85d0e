"""The shortest text that still gives the same finding, by taking away what is not needed."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

from tools.fuzz.corpus import tree_of
from tools.fuzz.mutation import dump, spots

Holds = Callable[[str], bool]


def minimised(text: str, holds: Holds, most: int = 400) -> str:
    """A part of ``text`` for which ``holds`` is still true.

    Args:
        text: one for which it is true.
        holds: whether a text gives the same finding.
        most: how often ``holds`` may be called.
    """
    budget = iter(range(most))
    data = tree_of(text)
    if isinstance(data, dict) and _affordable(budget) and holds(dump(data)):
        return dump(_smaller(data, lambda new: holds(dump(new)), budget))
    lines = _smaller(text.split("\n"), lambda new: holds("\n".join(new)), budget)
    return "\n".join(lines)


def _affordable(budget: Iterator[int]) -> bool:
    return next(budget, None) is not None


def _smaller(data: Any, holds: Callable[[Any], bool], budget: Iterator[int]) -> Any:
    """Without every part that can be taken away, large ones first, until none can."""
    again = True
    while again:
        again = False
        paths = [path for *_, path in spots(data)]
        at = 0
        while at < len(paths):
            new = without(data, paths[at])
            if not _affordable(budget):
                return data
            if holds(new):
                data, again = new, True
                gone = paths[at]
                paths = [path for *_, path in spots(data)]
                at = min(at, len(paths)) if gone not in paths else at
            else:
                at += 1
    return data


def without(data: Any, path: tuple[Any, ...]) -> Any:
    """The data without what stands at a path."""
    new = copy.deepcopy(data)
    owner = new
    for key in path[:-1]:
        owner = owner[key]
    del owner[path[-1]]
    return new
