"""Renames from our paths to those of a foreign checkpoint."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from archspec.lang.patterns.automaton import stars
from archspec.lang.patterns.grammar import PatternError, parse

Side = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Rename:
    """A rename; each wildcard of our side fills its like on the other.

    A path is renamed with its whole subtree. Where a pattern fits in several ways, the earliest
    fit counts.

    Attributes:
        new: pattern over our paths, the left side in a spec.
        old: pattern over the foreign paths.

    Raises:
        PatternError: if a side is no pattern, has a slice, a type or a ``!``, or if the two
            sides have not the same wildcards in the same order.

    >>> Rename("**.shortcut", "**.downsample").to_foreign("layer2.0.shortcut.0.weight")
    'layer2.0.downsample.0.weight'
    """

    new: str
    old: str

    def __post_init__(self) -> None:
        _sides(self.new, self.old)

    def to_foreign(self, path: str) -> str | None:
        """The foreign name of one of our paths; None if the rename does not apply to it."""
        source, target = _sides(self.new, self.old)
        caught = _caught(source, path.split(".") if path else [])
        return None if caught is None else _filled(target, caught)

    def numbered(self, path: str) -> tuple[int, str] | None:
        """The number that ``#`` stands for in one of our paths, and the foreign name without it.

        >>> Rename("**.experts.#.up", "**.experts.up").numbered("moe.experts.3.up.weight")
        (3, 'moe.experts.up.weight')
        """
        source, target = _sides(self.new, self.old)
        before = ".**.".join(map(".".join, source)).partition("#")[0]
        starred = tuple(tuple(name.replace("#", "*") for name in block) for block in source)
        caught = _caught(starred, path.split(".") if path else [])
        if caught is None:
            return None
        number = caught.pop(len(re.findall(r"\*+", before)))
        is_number = number.isdecimal() and number.isascii() and str(int(number)) == number
        foreign = _filled(target, caught) if is_number else None
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
    parse(text)
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
    return re.findall(r"\*+", ".**.".join(map(".".join, side)))


def _caught(side: Side, names: list[str]) -> list[str] | None:
    """What each wildcard stands for. The first fit of a block will do, as a ``**`` follows."""
    caught: list[str] = []
    at = 0
    for index, block in enumerate(side[:-1]):
        starts = range(at, len(names) - len(block) + 1) if index else range(1)
        start, inner = _first_fit(block, names, starts)
        if inner is None:
            return None
        caught += [".".join(names[at:start]), *inner] if index else inner
        at = start + len(block)
    return [*caught, ".".join(names[at:])]


def _first_fit(
    block: tuple[str, ...], names: list[str], starts: range
) -> tuple[int, list[str] | None]:
    for start in starts:
        inner = _fit(block, names[start : start + len(block)])
        if inner is not None:
            return start, inner
    return 0, None


def _fit(block: tuple[str, ...], names: list[str]) -> list[str] | None:
    if len(block) != len(names):
        return None
    caught: list[str] = []
    for glob, name in zip(block, names, strict=True):
        inner = stars(glob, name)
        if inner is None:
            return None
        caught += inner
    return caught


def _filled(side: Side, caught: list[str]) -> str | None:
    """The path of that side, with ``caught`` in place of its wildcards; None if a name is empty."""
    values = iter(caught)
    names: list[str] = []
    for index, block in enumerate(side):
        if index and (between := next(values)):
            names.append(between)
        names += [re.sub(r"\*", lambda _: next(values), glob) for glob in block]
    return ".".join(names) if all(names) else None
