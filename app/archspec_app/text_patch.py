"""A text on the server and the same text in an editor: line breaks, and changes on their way."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_BREAK = re.compile(r"\r\n|\r|\n")
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_AROUND = 40


@dataclass(frozen=True)
class Patch:
    """One stretch of a text that becomes another, for an editor in which somebody types on.

    Lengths and places are in UTF-16 units, as browsers count.

    Attributes:
        start: of the stretch.
        old, new: what it is, and what it becomes.
        before, after: what stands around it.
        length: of the whole old text.
    """

    start: int
    old: str
    new: str
    before: str
    after: str
    length: int

    @classmethod
    def between(cls, old: str, new: str) -> Patch:
        """
        >>> Patch.between("one two three", "one 2 three").old
        'two'
        """
        old, new = _BREAK.sub("\n", old), _BREAK.sub("\n", new)
        head = _begin(old, new)
        tail = _begin(old[head:][::-1], new[head:][::-1])
        end = len(old) - tail
        return cls(
            _units(old[:head]), old[head:end], new[head : len(new) - tail],
            old[max(0, head - _AROUND) : head], old[end : end + _AROUND], _units(old),
        )  # fmt: skip


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _begin(one: str, other: str) -> int:
    """How many letters both begin with."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


def with_breaks_of(old: str, new: str) -> str:
    """A text from an editor, which knows only ``\\n``, with the line breaks that the old one had.

    >>> with_breaks_of("a\\r\\nb\\r\\n", "a\\nnew\\nb\\n")
    'a\\r\\nnew\\r\\nb\\r\\n'
    """
    if "\r" not in old or "\r" in new:
        return new
    before, after = _LINE.findall(old), _LINE.findall(new)
    plain = [_BREAK.sub("\n", line) for line in before]
    head = _same(plain, after)
    tail = _same(plain[head:][::-1], after[head:][::-1])
    usual = "\r\n" if "\r\n" in old else "\r"
    changed = [line.replace("\n", usual) for line in after[head : len(after) - tail]]
    return "".join([*before[:head], *changed, *before[len(before) - tail :]])


def _same(one: Sequence[str], other: Sequence[str]) -> int:
    """How many of the first items are equal."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))
