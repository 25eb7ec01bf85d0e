"""Renames from our paths to those of a foreign checkpoint."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from archspec.lang.patterns.automaton import stars
from archspec.lang.patterns.grammar import PatternError, parse
from archspec.lang.patterns.numbers import (
    names_of_numbers,
    numbers_in,
    same_length,
    with_numbers,
)

Side = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Rename:
    """A rename; each wildcard of our side fills its like on the other, each number its namesakes.

    A path is renamed with its whole subtree. Where a pattern fits in several ways, the earliest
    fit counts. Numbers are counted from 0: ``{i + 1}`` is no name for a 0.

    Attributes:
        new: pattern over our paths, the left side in a spec.
        old: pattern over the foreign paths.

    Raises:
        PatternError: if a side is no pattern, has a slice, a type or a ``!``, or if the two
            sides have not the same wildcards in the same order, or the foreign one has a number
            that ours has not.

    >>> Rename("**.shortcut", "**.downsample").to_foreign("layer2.0.shortcut.0.weight")
    'layer2.0.downsample.0.weight'
    >>> Rename("features.{s + 1}.{i}", "s{s}.b{i + 1}").to_foreign("features.3.0.weight")
    's2.b1.weight'
    """

    new: str
    old: str

    def __post_init__(self) -> None:
        _sides(self.new, self.old)

    def to_foreign(self, path: str) -> str | None:
        """The foreign name of one of our paths; None if the rename does not apply to it."""
        source, target = _sides(self.new, self.old)
        if (names := _with_numbers_only(source)) is not None:
            found = numbers_in(names, path)
            return None if found is None else _filled(target, [found[1]], found[0])
        caught = _caught(source, path.split(".") if path else [])
        return None if caught is None else _filled(target, *caught)

    def numbered(self, path: str) -> tuple[int, str] | None:
        """The number that ``#`` stands for in one of our paths, and the foreign name without it.

        >>> Rename("**.experts.#.up", "**.experts.up").numbered("moe.experts.3.up.weight")
        (3, 'moe.experts.up.weight')
        """
        source, target = _sides(self.new, self.old)
        before = ".**.".join(map(".".join, source)).partition("#")[0]
        starred = tuple(tuple(name.replace("#", "*") for name in block) for block in source)
        found = _caught(starred, path.split(".") if path else [])
        if found is None:
            return None
        caught, numbers = found
        number = caught.pop(len(_stars(before)))
        is_number = number.isdecimal() and number.isascii() and str(int(number)) == number
        foreign = _filled(target, caught, numbers) if is_number else None
        return None if foreign is None else (int(number), foreign)


def parse_rename(ours: str, foreign: str) -> Rename:
    """Read one line of a ``rename`` mapping; raises what `Rename` raises."""
    return Rename(new=ours, old=foreign)


@lru_cache(maxsize=1024)
def _sides(ours: str, foreign: str) -> tuple[Side, Side]:
    """Both sides with the subtree at their ends, where they have the same wildcards.

    A ``**`` at an end is the subtree itself, unless that leaves the sides unequal:
    ``**.layers: **`` takes a name out of paths, and what is below it stays below.
    """
    written = _names(ours), _names(foreign)
    if unknown := names_of_numbers(foreign) - names_of_numbers(ours):
        missing = " and ".join(f"{{{name}}}" for name in sorted(unknown))
        message = f"'{foreign}' has the number {missing}, which '{ours}' has not"
        raise PatternError(message, 0, len(foreign), foreign)
    is_open = [len(side) > 1 and side[-1] == () for side in written]
    whole = [side if open_ else (*side, ()) for side, open_ in zip(written, is_open, strict=True)]
    other = written if is_open[0] else [(*side, ()) for side in written]
    for first, second in (whole, other):
        if _wildcards(first) == _wildcards(second):
            return first, second
    have = [" ".join(_wildcards(side)) or "none" for side in written]
    message = f"'{ours}' has the wildcards {have[0]}, '{foreign}' has {have[1]}: both sides need"
    raise PatternError(f"{message} the same, in the same order", 0, len(foreign), foreign)


def _names(text: str) -> Side:
    """The names between the ``**`` of a pattern, as they are written."""
    names_of_numbers(text)
    try:
        parse(same_length(text))
    except PatternError as error:
        raise PatternError(error.message, error.start, error.end, text) from None
    if wrong := re.search(r"^!|\[[^.]*|@[^.]*", text):
        message = f"a rename cannot have '{wrong[0]}'"
        raise PatternError(message, wrong.start(), wrong.end(), text)
    blocks: list[tuple[str, ...]] = [()]
    for name in text.split("."):
        if name == "**":
            blocks.append(())
        else:
            blocks[-1] += (name,)
    return tuple(blocks)


def _wildcards(side: Side) -> list[str]:
    return _stars(".**.".join(map(".".join, side)))


def _stars(text: str) -> list[str]:
    return re.findall(r"\*+", same_length(text))


@lru_cache(maxsize=1024)
def _with_numbers_only(side: Side) -> str | None:
    """The names of a side with numbers, and no wildcard but the path below: one match will do."""
    names = ".".join(side[0])
    return names if len(side) == 2 and not side[1] and "{" in names and not _stars(names) else None


def _caught(side: Side, names: list[str]) -> tuple[list[str], dict[str, int]] | None:
    """What each wildcard stands for, and each number by its name.

    The first fit of a block will do, as a ``**`` follows.
    """
    caught: list[str] = []
    numbers: dict[str, int] = {}
    at = 0
    for index, block in enumerate(side[:-1]):
        starts = range(at, len(names) - len(block) + 1) if index else range(1)
        start, inner = _first_fit(block, names, starts, numbers)
        if inner is None:
            return None
        caught += [".".join(names[at:start]), *inner] if index else inner
        at = start + len(block)
    return [*caught, ".".join(names[at:])], numbers


def _first_fit(
    block: tuple[str, ...], names: list[str], starts: range, numbers: dict[str, int]
) -> tuple[int, list[str] | None]:
    for start in starts:
        inner = _fit(block, names[start : start + len(block)], numbers)
        if inner is not None:
            return start, inner
    return 0, None


def _fit(block: tuple[str, ...], names: list[str], numbers: dict[str, int]) -> list[str] | None:
    """What the wildcards of a block stand for; adds its numbers, which agree with those before."""
    if len(block) != len(names):
        return None
    caught: list[str] = []
    found: dict[str, int] = {}
    for glob, name in zip(block, names, strict=True):
        if "{" in glob:
            inner = numbers_in(glob, name)
            if inner is None or any(found.setdefault(k, v) != v for k, v in inner[0].items()):
                return None
        elif (stretches := stars(glob, name)) is None:
            return None
        else:
            caught += stretches
    if any(numbers.get(k, v) != v for k, v in found.items()):
        return None
    numbers |= found
    return caught


def _filled(side: Side, caught: list[str], numbers: dict[str, int]) -> str | None:
    """The path of that side, with what its wildcards and numbers are; None if a name is empty."""
    values = iter(caught)
    names: list[str] = []
    for index, block in enumerate(side):
        if index and (between := next(values)):
            names.append(between)
        names += [
            with_numbers(glob, numbers)
            if "{" in glob
            else re.sub(r"\*", lambda _: next(values), glob)
            for glob in block
        ]
    return ".".join(names) if all(names) else None
