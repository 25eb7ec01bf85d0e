"""Renames between our paths and those of a foreign checkpoint, the same both ways."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from archspec.lang.patterns.automaton import stars
from archspec.lang.patterns.grammar import AnyDepth, PatternError, parse

Side = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Rename:
    """A rename in both directions; each wildcard of one side fills its like on the other.

    A path is renamed with its whole subtree. Where a pattern fits in several ways, the earliest
    fit counts. A path that would not come back from its new name is left alone.

    Attributes:
        new: pattern over our paths, the left side in a spec.
        old: pattern over the foreign paths.

    Raises:
        PatternError: if a side is no pattern, has a slice, a type or a ``!``, or if the two
            sides have not the same wildcards in the same order.

    >>> Rename("**.shortcut", "**.downsample").to_ours("layer2.0.downsample.0.weight")
    'layer2.0.shortcut.0.weight'
    """

    new: str
    old: str

    def __post_init__(self) -> None:
        ours, foreign = _wildcards(_side(self.new)), _wildcards(_side(self.old))
        if ours != foreign:
            message = f"not the same wildcards as in '{self.new}', in the same order"
            raise PatternError(message, 0, len(self.old), self.old)

    def to_foreign(self, path: str) -> str | None:
        """The foreign name of one of our paths; None if the rename does not apply to it."""
        return _there_and_back(_side(self.new), _side(self.old), path)

    def to_ours(self, path: str) -> str | None:
        """Our name of a foreign path; None if the rename does not apply to it."""
        return _there_and_back(_side(self.old), _side(self.new), path)


def parse_rename(ours: str, foreign: str) -> Rename:
    """Read one line of a ``rename`` mapping; raises what `Rename` raises."""
    return Rename(new=ours, old=foreign)


@lru_cache(maxsize=1024)
def _side(text: str) -> Side:
    """The names between the ``**``; a last ``**``, written or not, is the subtree."""
    segments = parse(text).segments
    if wrong := re.search(r"^!|\[[^.]*|@[^.]*", text):
        message = f"a rename cannot have '{wrong[0]}'"
        raise PatternError(message, wrong.start(), wrong.end(), text)
    blocks: list[tuple[str, ...]] = [()]
    for segment in segments:
        if isinstance(segment, AnyDepth):
            blocks.append(())
        else:
            blocks[-1] += (str(segment),)
    return tuple(blocks if segments[-1] == AnyDepth() else [*blocks, ()])


def _wildcards(side: Side) -> list[str]:
    return re.findall(r"\*+", ".**.".join(map(".".join, side)))


def _there_and_back(source: Side, target: Side, path: str) -> str | None:
    there = _translated(source, target, path)
    back = None if there is None else _translated(target, source, there)
    return there if back == path else None


def _translated(source: Side, target: Side, path: str) -> str | None:
    caught = _caught(source, path.split(".") if path else [])
    return None if caught is None else _filled(target, caught)


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


def _filled(side: Side, caught: list[str]) -> str:
    """The path of that side, with ``caught`` in place of its wildcards."""
    values = iter(caught)
    names: list[str] = []
    for index, block in enumerate(side):
        if index and (between := next(values)):
            names.append(between)
        names += [re.sub(r"\*", lambda _: next(values), glob) for glob in block]
    return ".".join(names)
