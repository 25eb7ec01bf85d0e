"""Alignments keep the order, leave nothing out, and cost no more than any other."""

from __future__ import annotations

from functools import cache

from hypothesis import given
from hypothesis import strategies as st

from archspec.differences import sequences
from archspec.differences.sequences import Match, aligned

TEXTS = st.text("abc", max_size=8)


def likeness(old: str, new: str) -> dict[tuple[str, str], float]:
    def of(a: str, b: str) -> float:
        return 1.0 if a == b else 0.7 if {a, b} == {"a", "b"} else 0.0

    return {(a, b): of(a, b) for a in old for b in new}


def cost(matches: list[Match], old: str, new: str) -> float:
    alike = likeness(old, new)
    return sum(1 if i is None or j is None else 2 * (1 - alike[old[i], new[j]]) for i, j in matches)


def least_cost(old: str, new: str) -> float:
    alike = likeness(old, new)

    @cache
    def least(i: int, j: int) -> float:
        options: list[float] = (
            [i + j] if not (i and j) else [least(i - 1, j) + 1, least(i, j - 1) + 1]
        )
        if i and j and alike[old[i - 1], new[j - 1]] >= 0.5:
            options.append(least(i - 1, j - 1) + 2 * (1 - alike[old[i - 1], new[j - 1]]))
        return min(options)

    return least(len(old), len(new))


def is_whole(matches: list[Match], old: str, new: str) -> bool:
    firsts = [i for i, _ in matches if i is not None]
    seconds = [j for _, j in matches if j is not None]
    return firsts == list(range(len(old))) and seconds == list(range(len(new)))


@given(TEXTS, TEXTS)
def test_an_alignment_is_whole_and_cheapest(old: str, new: str) -> None:
    alike = likeness(old, new)
    found = aligned(old, new, lambda i, j: alike[old[i], new[j]], 0.5)
    assert is_whole(found, old, new)
    assert abs(cost(found, old, new) - least_cost(old, new)) < 1e-9


@given(TEXTS, TEXTS)
def test_long_sequences_match_what_is_equal(old: str, new: str) -> None:
    most = sequences.MAX_CELLS
    sequences.MAX_CELLS = 0
    try:
        found = aligned(old, new, lambda i, j: 1.0, 0.5)
    finally:
        sequences.MAX_CELLS = most
    assert is_whole(found, old, new)
    assert all(old[i] == new[j] for i, j in found if i is not None and j is not None)


def test_an_insertion_among_equals_goes_to_the_end() -> None:
    assert aligned("aaa", "aaaa", lambda i, j: 1.0, 0.5)[-1] == (None, 3)
