"""Equal neighbours shown as one: ``encoder.layer.(0-11).output``, ``(0-11): 12 x BertLayer``."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from itertools import product
from typing import TypeVar

T = TypeVar("T")
_RANGE = re.compile(r"\(([0-9]{1,6})-([0-9]{1,6})\)")


def format_ranges(numbers: Iterable[int]) -> str:
    """Distinct numbers as ranges; a single one as it is.

    >>> format_ranges([0, 1, 2, 3, 5]), format_ranges([7])
    ('(0-3,5)', '7')
    """
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    text = ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
    return text if text.isdecimal() else f"({text})"


def is_range(name: str) -> bool:
    """Whether a name reads as a range, such as ``(0-11)``."""
    return _RANGE.fullmatch(name) is not None


def fold_neighbours(
    items: Iterable[T], name: Callable[[T], str], key: Callable[[T], object]
) -> Iterator[tuple[str, list[T]]]:
    """The items in order; those with equal keys whose names count up are put together.

    Args:
        items: such as the children of a module.
        name: of an item, such as ``3``; items with other names than numbers stay alone.
        key: equal for items that look alike.

    Returns:
        The name or range of each group, and its items.

    >>> [label for label, _ in fold_neighbours("0125x", str, lambda item: None)]
    ['(0-2)', '5', 'x']
    """

    def follows(item: T, group: Sequence[T]) -> bool:
        first = name(group[0])
        counts_up = first.isdecimal() and name(item) == str(int(first) + len(group))
        return counts_up and key(item) == key(group[0])

    groups: list[list[T]] = []
    for item in items:
        if groups and follows(item, groups[-1]):
            groups[-1].append(item)
        else:
            groups.append([item])
    for group in groups:
        first, last = name(group[0]), name(group[-1])
        yield f"({first}-{last})" if len(group) > 1 else first, group


def fold_paths(
    rows: Iterable[T], paths: Callable[[T], Sequence[str]], key: Callable[[T], Hashable]
) -> list[tuple[tuple[str, ...], list[T]]]:
    """Rows in groups, each with its paths written as one.

    Args:
        rows: anything with dotted paths.
        paths: of a row; those of a group differ in their numbers alone.
        key: what else the rows of a group have in common.

    >>> groups = fold_paths(["a.0.x", "a.1.x", "b"], lambda row: [row], lambda row: None)
    >>> [paths for paths, rows in groups]
    [('a.(0-1).x',), ('b',)]
    """
    candidates: dict[Hashable, list[T]] = {}
    for row in rows:
        templates = tuple(_template(path) for path in paths(row))
        candidates.setdefault((templates, key(row)), []).append(row)
    groups: list[tuple[tuple[str, ...], list[T]]] = []
    for group in candidates.values():
        split_paths = [tuple(path.split(".") for path in paths(row)) for row in group]
        if len(group) > 1 and _is_grid([_numbers(parts) for parts in split_paths]):
            groups.append((_joined(split_paths), group))
        else:
            groups += [(tuple(paths(row)), [row]) for row in group]
    return groups


def unfold_path(path: str, max_paths: int) -> list[str]:
    """Every path that a folded one stands for.

    Raises:
        ValueError: a range is empty, or there are more than ``max_paths``.

    >>> unfold_path("layer.(0-2).bias", 10)
    ['layer.0.bias', 'layer.1.bias', 'layer.2.bias']
    """
    choices: list[list[str]] = []
    count = 1
    for part in path.split("."):
        match = _RANGE.fullmatch(part)
        first, last = (int(match[1]), int(match[2])) if match else (0, 0)
        count *= last - first + 1
        if not 0 < count <= max_paths:
            raise ValueError("too many modules")
        choices.append([str(i) for i in range(first, last + 1)] if match else [part])
    return [".".join(parts) for parts in product(*choices)]


def _template(path: str) -> tuple[str, ...]:
    return tuple("#" if part.isdecimal() else part for part in path.split("."))


def _numbers(split_paths: tuple[list[str], ...]) -> tuple[int, ...]:
    return tuple(int(part) for parts in split_paths for part in parts if part.isdecimal())


def _is_grid(rows: list[tuple[int, ...]]) -> bool:
    """Whether the indices are all of a box; those of a second path may follow the first's."""
    axes: list[tuple[int, ...]] = []
    for column in zip(*rows, strict=True):
        shifted = tuple(value - column[0] for value in column)
        if shifted not in axes:
            axes.append(shifted)
    distinct = set(zip(*axes, strict=True))
    return distinct == set(product(*map(set, axes))) and len(distinct) == len(rows)


def _joined(split_paths: list[tuple[list[str], ...]]) -> tuple[str, ...]:
    joined: list[str] = []
    for versions in zip(*split_paths, strict=True):
        parts = (list(dict.fromkeys(column)) for column in zip(*versions, strict=True))
        joined.append(".".join(p[0] if len(p) == 1 else format_ranges(map(int, p)) for p in parts))
    return tuple(joined)
