"""Numbers in the names of a rename: ``features.{s + 1}`` is ``blocks.{s}`` elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from archspec.lang.patterns.grammar import PatternError

_BRACES = re.compile(r"\{[^{}]*\}|[{}]")
_NUMBER = re.compile(
    r"\{ *(?:([1-9][0-9]{0,5}) *\* *)?([A-Za-z_]\w*) *(?:([+-]) *([0-9]{1,6}) *)?\}", re.ASCII
)
_BESIDE = re.compile(r"\}[{0-9]|[0-9]\{")  # what would let a name match in several ways
_DIGITS = "(0|[1-9][0-9]{0,8})"

Numbers = Mapping[str, int]


def without_numbers(text: str) -> str:
    """A pattern with a wildcard for each of its numbers.

    >>> without_numbers("features.{s + 1}.{i}")
    'features.*.*'
    """
    return _NUMBER.sub("*", text)


def same_length(text: str) -> str:
    """A pattern with digits for its numbers: the rest keeps its place.

    >>> same_length("features.{s + 1}")
    'features.0000000'
    """
    return _NUMBER.sub(lambda found: "0" * len(found[0]), text)


def names_of_numbers(text: str) -> frozenset[str]:
    """What the numbers of a pattern are called.

    Raises:
        PatternError: for other braces, for numbers side by side, and in a name with a wildcard.

    >>> sorted(names_of_numbers("block{s}-{i + 1}.{i}"))
    ['i', 's']
    """
    found = set[str]()
    for brace in _BRACES.finditer(text):
        number = _NUMBER.fullmatch(brace[0])
        if number is None:
            message = "a number in braces is {i}, {i + 1} or {2 * i - 1}"
            raise PatternError(message, brace.start(), brace.end(), text)
        found.add(number[2])
        start, end = text.rfind(".", 0, brace.start()) + 1, text.find(".", brace.end())
        whole = text[start : end if end >= 0 else len(text)]
        if not {"*", "#"}.isdisjoint(_NUMBER.sub("", whole)) or _BESIDE.search(whole):
            message = "a number in braces stands in a name without * and #, and beside no digit"
            raise PatternError(message, start, start + len(whole), text)
    return frozenset(found)


def numbers_in(glob: str, path: str) -> tuple[dict[str, int], str] | None:
    """What the numbers of some names stand for, and the path below them; None if they do not match.

    >>> numbers_in("block{s}-{i + 1}", "block2-3.a.b"), numbers_in("{2 * i}", "3")
    (({'s': 2, 'i': 2}, 'a.b'), None)
    """
    pattern, places = _compiled(glob)
    match = pattern.fullmatch(path)
    if match is None:
        return None
    *stretches, below = match.groups("")
    found: dict[str, int] = {}
    for (factor, which, more), digits in zip(places, stretches, strict=True):
        value, rest = divmod(int(digits) - more, factor)
        if value < 0 or rest or found.setdefault(which, value) != value:
            return None
    return found, below


def with_numbers(glob: str, numbers: Numbers) -> str:
    """The name with its numbers; "" if one would be negative.

    >>> with_numbers("b{i + 1}", {"i": 3}), with_numbers("b{i - 1}", {"i": 0})
    ('b4', '')
    """
    _, places = _compiled(glob)
    values = [factor * numbers[name] + more for factor, name, more in places]
    rest = iter(values)
    return "" if min(values, default=0) < 0 else _NUMBER.sub(lambda _: str(next(rest)), glob)


@lru_cache(maxsize=1024)
def _compiled(glob: str) -> tuple[re.Pattern[str], tuple[tuple[int, str, int], ...]]:
    """An expression with a group for each number and one for the path below, and what each is.

    That is a factor, a name and an addend.
    """
    places: list[tuple[int, str, int]] = []
    text, at = "", 0
    for one in _NUMBER.finditer(glob):
        places.append((int(one[1] or 1), one[2], int(f"{one[3] or '+'}{one[4] or 0}")))
        text += re.escape(glob[at : one.start()]) + _DIGITS
        at = one.end()
    return re.compile(f"{text}{re.escape(glob[at:])}(?:\\.(.+))?"), tuple(places)
