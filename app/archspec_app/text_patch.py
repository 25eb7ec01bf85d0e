"""Keeps a text on the server and in the editor in step: line breaks, and small changes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_BREAK = re.compile(r"\r\n|\r|\n")
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_CONTEXT = 40


@dataclass(frozen=True)
class Patch:
    """A replacement of one part of a text, for an editor in which somebody may be typing.

    Lengths and offsets are in UTF-16 code units, as browsers count.

    Attributes:
        start: offset of the part.
        old, new: the part before and after.
        before, after: the text around it.
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
        old, new = with_unix_breaks(old), with_unix_breaks(new)
        head = _common_prefix(old, new)
        tail = _common_prefix(old[head:][::-1], new[head:][::-1])
        end = len(old) - tail
        return cls(
            _units(old[:head]), old[head:end], new[head : len(new) - tail],
            old[max(0, head - _CONTEXT) : head], old[end : end + _CONTEXT], _units(old),
        )  # fmt: skip


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _common_prefix(a: str, b: str) -> int:
    """Length of the common beginning of two texts."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if a[:middle] == b[:middle] else (low, middle - 1)
    return low


def with_unix_breaks(text: str) -> str:
    """The text as an editor has it.

    >>> with_unix_breaks("a\\r\\nb")
    'a\\nb'
    """
    return _BREAK.sub("\n", text)


def with_breaks_of(old: str, new: str) -> str:
    """A text from an editor, which knows only ``\\n``, with the line breaks of the old text.

    >>> with_breaks_of("a\\r\\nb\\r\\n", "a\\nnew\\nb\\n")
    'a\\r\\nnew\\r\\nb\\r\\n'
    """
    if "\r" not in old or "\r" in new:
        return new
    before, after = _LINE.findall(old), _LINE.findall(new)
    plain = [_BREAK.sub("\n", line) for line in before]
    head = _common_lines(plain, after)
    tail = _common_lines(plain[head:][::-1], after[head:][::-1])
    usual = "\r\n" if "\r\n" in old else "\r"
    changed = [line.replace("\n", usual) for line in after[head : len(after) - tail]]
    return "".join([*before[:head], *changed, *before[len(before) - tail :]])


def _common_lines(a: Sequence[str], b: Sequence[str]) -> int:
    """How many lines at the beginning are equal."""
    pairs = enumerate(zip(a, b, strict=False))
    return next((n for n, (x, y) in pairs if x != y), min(len(a), len(b)))
