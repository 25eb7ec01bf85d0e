"""Which items of two sequences correspond: the cheapest way to edit one into the other.

Needleman and Wunsch 1970, "A general method applicable to the search for similarities in the amino
acid sequence of two proteins": an item kept costs nothing, one added or removed costs one, one
changed the more the less alike both are.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Hashable, Iterator, Sequence

MAX_CELLS = 10_000
"""Beyond this many pairs, only equal items are found to correspond."""

Match = tuple[int | None, int | None]


def aligned(
    old: Sequence[Hashable],
    new: Sequence[Hashable],
    similarity: Callable[[int, int], float],
    min_similarity: float,
) -> list[Match]:
    """Index pairs in order; one side is None for what was added or removed.

    Args:
        similarity: of an old and a new item, from 0 to 1.
        min_similarity: two items below it do not correspond.

    >>> aligned("abd", "abcd", lambda i, j: 0.0, 0.5)
    [(0, 0), (1, 1), (None, 2), (2, 3)]
    """
    head = 0
    while head < min(len(old), len(new)) and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    first, second = old[head : len(old) - tail], new[head : len(new) - tail]
    if len(first) * len(second) <= MAX_CELLS:
        middle = _cheapest(len(first), len(second), similarity, min_similarity, head)
    else:
        middle = _equal(first, second, head)
    start = [(i, i) for i in range(head)]
    end = [(len(old) - i, len(new) - i) for i in range(tail, 0, -1)]
    return [*start, *middle, *end]


def _cheapest(
    rows: int,
    columns: int,
    similarity: Callable[[int, int], float],
    min_similarity: float,
    shift: int,
) -> list[Match]:
    cost = [[float(i + j) for j in range(columns + 1)] for i in range(rows + 1)]
    alike: dict[tuple[int, int], float] = {}
    for i in range(1, rows + 1):
        for j in range(1, columns + 1):
            alike[i, j] = similarity(shift + i - 1, shift + j - 1)
            change = 2 * (1 - alike[i, j]) if alike[i, j] >= min_similarity else 2.0
            cost[i][j] = min(cost[i - 1][j - 1] + change, cost[i - 1][j] + 1, cost[i][j - 1] + 1)
    matches: list[Match] = []
    i, j = rows, columns
    while i or j:
        alike_enough = i and j and alike[i, j] >= min_similarity
        if alike_enough and cost[i][j] == cost[i - 1][j - 1] + 2 * (1 - alike[i, j]):
            i, j = i - 1, j - 1
            matches.append((shift + i, shift + j))
        elif j and cost[i][j] == cost[i][j - 1] + 1:
            j -= 1
            matches.append((None, shift + j))
        else:
            i -= 1
            matches.append((shift + i, None))
    return matches[::-1]


def _equal(old: Sequence[Hashable], new: Sequence[Hashable], shift: int) -> Iterator[Match]:
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    for _, i, i_end, j, j_end in matcher.get_opcodes():
        if old[i:i_end] == new[j:j_end]:
            yield from ((shift + i + k, shift + j + k) for k in range(i_end - i))
        else:
            yield from ((shift + k, None) for k in range(i, i_end))
            yield from ((None, shift + k) for k in range(j, j_end))
