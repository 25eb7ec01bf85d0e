"""Overlapping windows of contexts with their questions, and where answers are in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from archspec.data.report import Integers, Targets

Places = Sequence[tuple[int, int] | None]  # of each token in the context; None of others


@dataclass(frozen=True, slots=True)
class AnswerWindows:
    """What the windows of some rows show of their contexts.

    Attributes:
        owners: the row of each window.
        places: of each window, the places of its tokens in the context; None for other tokens.
        contexts: of each row.
        spans: of each row, its answers: [answers, 2], first character and the one behind the last.
    """

    owners: Sequence[int]
    places: Sequence[Places]
    contexts: Sequence[str]
    spans: Targets | None = None

    def __call__(self, number: int) -> tuple[int, list[int], Callable[[int, int], str]]:
        """A window: its row, its context's tokens, and the text from one of them to another."""
        row, places = self.owners[number], self.places[number]

        def text(first: int, last: int) -> str:
            start, end = self.span(number, first, last)
            return self.contexts[row][start:end]

        return row, [i for i, place in enumerate(places) if place is not None], text

    def span(self, number: int, first: int, last: int) -> tuple[int, int]:
        """The characters of a window's tokens from one to another, without spaces around them."""
        begin, final = self.places[number][first], self.places[number][last]
        assert begin is not None and final is not None
        text = self.contexts[self.owners[number]][begin[0] : final[1]]
        start = begin[0] + len(text) - len(text.lstrip())
        return start, start + len(text.strip())

    def answers(self, row: int) -> list[str]:
        """The right answers of a row."""
        assert self.spans is not None
        return [self.contexts[row][start:end] for start, end in self.spans[row].tolist()]

    def targets(self) -> tuple[Integers, int]:
        """The first and last token of the first answer in each window, and how many rows have none.

        Returns:
            [windows, 2], both 0 where a window does not hold the whole answer; and the number of
            rows without a window that does.
        """
        assert self.spans is not None
        found = np.zeros((len(self.owners), 2), dtype=np.int64)
        for number, (row, places) in enumerate(zip(self.owners, self.places, strict=True)):
            start, end = self.spans[row][0].tolist()
            found[number] = _answer_tokens(places, start, end)
        held = {self.owners[number] for number in np.flatnonzero(found.any(1)).tolist()}
        return found, len(self.contexts) - len(held)


def _answer_tokens(places: Places, start: int, end: int) -> tuple[int, int]:
    """The first and last token of an answer; 0 and 0 if it is not there as a whole.

    >>> places = [None, (0, 1), (2, 5), (6, 9), None]
    >>> _answer_tokens(places, 2, 9), _answer_tokens(places, 6, 12)
    ((2, 3), (0, 0))
    """
    known = [(i, place) for i, place in enumerate(places) if place is not None]
    if not known or known[0][1][0] > start or known[-1][1][1] < end:
        return 0, 0
    first = max(i for i, place in known if place[0] <= start)
    last = min(i for i, place in known if place[1] >= end)
    return first, last
