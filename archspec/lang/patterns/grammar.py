"""From text to segments: what a pattern is made of, and what is wrong with one that is none."""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_LENGTH = 1000


class PatternError(ValueError):
    """A text that is not a pattern.

    Attributes:
        message: what is wrong.
        start, end: the stretch of ``text`` that is wrong, ``text[start:end]``.
        text: the pattern as written; tells the two sides of a rename apart.
    """

    def __init__(self, message: str, start: int, end: int, text: str = "") -> None:
        super().__init__(message, start, end, text)
        self.message, self.start, self.end, self.text = message, start, end, text

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True, slots=True)
class AnyDepth:
    """``**``: any number of names, also none."""

    def __str__(self) -> str:
        return "**"


@dataclass(frozen=True, slots=True)
class Typed:
    """``@Linear``: one name whose module is of that type."""

    type: str

    def __str__(self) -> str:
        return f"@{self.type}"


@dataclass(frozen=True, slots=True)
class Pick:
    """``[3]`` or ``[start:stop:step]``: one part is an index, two or three are a slice."""

    parts: tuple[int | None, ...]

    def of(self, size: int) -> range:
        """The positions picked among ``size`` children."""
        start, *others = self.parts
        if start is not None and not others:  # an index is a slice of one
            others = [start + 1 or None]
        return range(size)[slice(start, *others)]

    def __str__(self) -> str:
        return f"[{':'.join('' if part is None else str(part) for part in self.parts)}]"


@dataclass(frozen=True, slots=True)
class Named:
    """``conv*``: one name; with a pick, children of the module of that name."""

    glob: str
    pick: Pick | None = None

    def __str__(self) -> str:
        return f"{self.glob}{self.pick or ''}"


Segment = AnyDepth | Named | Typed
Segments = tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class Pattern:
    """A parsed pattern: ``segments`` has no ``**`` beside ``**`` and never begins with a type."""

    text: str
    negated: bool
    segments: Segments

    def __str__(self) -> str:
        return self.text


def parse(text: str) -> Pattern:
    """Read a pattern.

    Raises:
        PatternError: if the text is not a pattern, with the stretch that is wrong.

    >>> parse("!bert.encoder.layer[-2:]").segments[2]
    Named(glob='layer', pick=Pick(parts=(-2, None)))
    """
    if len(text) > MAX_LENGTH:
        message = f"a pattern of {len(text)} characters; {MAX_LENGTH} are the limit"
        raise PatternError(message, MAX_LENGTH, len(text), text)
    negated = text.startswith("!")
    start = int(negated)
    if start == len(text):
        raise PatternError("an empty pattern; '**' selects everything", 0, len(text), text)
    segments: list[Segment] = []
    for piece in text[start:].split("."):
        segment = _segment(text, start, start + len(piece))
        if segment != AnyDepth() or segments[-1:] != [segment]:
            segments.append(segment)
        start += len(piece) + 1
    if isinstance(segments[0], Typed):
        segments.insert(0, AnyDepth())
    return Pattern(text, negated, tuple(segments))


def _no_regular_expression(text: str) -> str:
    """What to add to a message about a pattern that looks like a regular expression."""
    is_one = ".*" in text or "\\" in text or text.startswith("^") or text.endswith("$")
    return ": patterns are no regular expressions, ** is any number of names" if is_one else ""


_PIECE = re.compile(r"([^\[\]]*)(\[[^\[\]]*\])?")
_NOT_IN_NAMES = re.compile(r"[\s\x00-\x1f\x7f!@?(){}|\\^$]")


def _segment(text: str, start: int, end: int) -> Segment:
    piece = text[start:end]
    if not piece:
        message = "a name is missing" + _no_regular_expression(text)
        raise PatternError(message, max(0, start - 1), min(len(text), end + 1), text)
    if piece == "**":
        return AnyDepth()
    if "**" in piece:
        raise PatternError("'**' stands alone between dots", start, end, text)
    match = _PIECE.fullmatch(piece)
    if match is None:
        raise _bracket_error(text, start, end)
    name, pick = match[1], match[2]
    if name.startswith("@"):
        return _typed(text, start, end)
    if wrong := _NOT_IN_NAMES.search(name):
        at = start + wrong.start()
        message = f"{wrong[0]!r} cannot stand in a name{_no_regular_expression(text)}"
        raise PatternError(message, at, at + 1, text)
    if not name:
        raise PatternError("an index needs the container's name before it", start, end, text)
    return Named(name, _pick(text, start + len(name), end) if pick else None)


def _bracket_error(text: str, start: int, end: int) -> PatternError:
    piece = text[start:end]
    if re.fullmatch(r"[^\[\]]*(\[[^\[\]]*\][^\[\]]*)*", piece):
        behind = start + piece.index("]") + 1
        return PatternError("an index ends its name; a dot goes between", behind, end, text)
    first = start + len(re.split(r"[\[\]]", piece)[0])
    return PatternError("a bracket without its partner", first, end, text)


def _typed(text: str, start: int, end: int) -> Typed:
    name = text[start + 1 : end]
    if "[" in name:
        at = text.index("[", start)
        raise PatternError("an index goes behind a name, not behind a type", at, end, text)
    if not name.isidentifier():
        raise PatternError("'@' takes the whole name of one type", start, end, text)
    return Typed(name)


def _pick(text: str, start: int, end: int) -> Pick:
    written = text[start + 1 : end - 1].split(":")
    number = re.compile("-?[0-9]+" if len(written) == 1 else "(-?[0-9]+)?")
    if len(written) > 3 or not all(map(number.fullmatch, written)):
        raise PatternError("neither an index nor a slice", start, end, text)
    parts = tuple(int(part) if part else None for part in written)
    if parts[2:] == (0,):
        raise PatternError("a slice cannot have step 0", start, end, text)
    return Pick(parts)
