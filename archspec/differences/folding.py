"""Many rows that differ in their indices alone, as one: ``encoder.layer.(0-11).output``."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import product
from typing import TypeVar

Row = TypeVar("Row")


def folded(
    rows: Iterable[Row], paths: Callable[[Row], Sequence[str]], rest: Callable[[Row], Hashable]
) -> list[tuple[tuple[str, ...], list[Row]]]:
    """Rows in groups, each with its paths written as one.

    Args:
        rows: anything with dotted paths.
        paths: of a row; those of a group differ in their numbers alone.
        rest: what else the rows of a group have in common.

    >>> found = folded(["a.0.x", "a.1.x", "b"], lambda row: [row], lambda row: None)
    >>> [paths for paths, rows in found]
    [('a.(0-1).x',), ('b',)]
    """
    groups: dict[Hashable, list[Row]] = {}
    for row in rows:
        templates = tuple(_template(path) for path in paths(row))
        groups.setdefault((templates, rest(row)), []).append(row)
    found: list[tuple[tuple[str, ...], list[Row]]] = []
    for group in groups.values():
        every = [tuple(path.split(".") for path in paths(row)) for row in group]
        if len(group) > 1 and _is_grid([_numbers(split) for split in every]):
            found.append((_joined(every), group))
        else:
            found += [(tuple(paths(row)), [row]) for row in group]
    return found


def _template(path: str) -> tuple[str, ...]:
    return tuple("#" if part.isdecimal() else part for part in path.split("."))


def _numbers(split: tuple[list[str], ...]) -> tuple[int, ...]:
    return tuple(int(part) for parts in split for part in parts if part.isdecimal())


def _is_grid(found: list[tuple[int, ...]]) -> bool:
    """Whether the indices are all of a box; those of a second path may follow the first's."""
    axes: list[tuple[int, ...]] = []
    for column in zip(*found, strict=True):
        shifted = tuple(value - column[0] for value in column)
        if shifted not in axes:
            axes.append(shifted)
    distinct = set(zip(*axes, strict=True))
    return distinct == set(product(*map(set, axes))) and len(distinct) == len(found)


def _joined(every: list[tuple[list[str], ...]]) -> tuple[str, ...]:
    paths: list[str] = []
    for versions in zip(*every, strict=True):
        parts = [_range(list(dict.fromkeys(column))) for column in zip(*versions, strict=True)]
        paths.append(".".join(parts))
    return tuple(paths)


def _range(values: list[str]) -> str:
    """``(0-3,5)``; one value as it is."""
    if len(values) == 1:
        return values[0]
    numbers = sorted(map(int, values))
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    texts = [f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]
    return f"({','.join(texts)})"
