"""The tree of a YAML text, and the places of its parts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from archspec.errors import Place

_LINE_BREAK = re.compile("\r\n|\r|\n")


@dataclass(frozen=True, slots=True, eq=False)
class SourceFile:
    """A text, under the name that users are shown.

    >>> SourceFile("mini.yaml", "a: 1\\nb: 2\\n").line(2)
    'b: 2'
    """

    name: str
    text: str = field(repr=False)
    _lines: list[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_lines", _LINE_BREAK.split(self.text))

    @property
    def last_line(self) -> int:
        """Its number; the line break of the last line begins no other."""
        return max(1, len(self._lines) - (not self._lines[-1]))

    def line(self, number: int) -> str:
        """The line without its line break; "" behind the last one. Lines count from 1."""
        return self._lines[number - 1] if 0 < number <= len(self._lines) else ""

    def place(self, line: int, column: int, end_column: int | None = None) -> Place:
        """A stretch of one line, up to its end if ``end_column`` is not given."""
        source = self.line(line)
        if end_column is None:
            end_column = max(column, len(source.rstrip()) + 1)
        return Place(self.name, line, column, end_column, source)

    def place_at(self, offset: int) -> Place:
        """The place of one character of ``text``."""
        before = _LINE_BREAK.split(self.text[:offset])
        return self.place(len(before), len(before[-1]) + 1, len(before[-1]) + 2)


@dataclass(frozen=True, slots=True)
class Span:
    """From ``line``, ``column`` up to, not including, ``end_line``, ``end_column``; all from 1."""

    file: SourceFile
    line: int
    column: int
    end_line: int
    end_column: int

    def place(self) -> Place:
        """The span if it stays on one line, else its first line."""
        one_line = self.line == self.end_line
        return self.file.place(self.line, self.column, self.end_column if one_line else None)


@dataclass(frozen=True, slots=True)
class Scalar:
    """A leaf. ``text`` is what was written, less quotes and escapes; ``plain`` means unquoted.

    Only plain scalars become anything but a string; ``value`` of every other one is ``text``.
    """

    value: str | int | float | bool | None
    text: str
    plain: bool
    span: Span

    def place(self, start: int = 0, end: int | None = None) -> Place:
        """Where ``text[start:end]`` stands in the file.

        Exact wherever text and file show the same characters, whatever the white space between
        them: on one line, folded or as a block. The place of the whole scalar, quotes included, if
        no stretch is asked for, and where an escape spoils the count.
        """
        marks = self._marks() if start or end is not None else None
        if marks is None:
            return self.span.place()
        last = len(self.text)
        start, end = min(start, last), last if end is None else min(end, last)
        line, column = marks[start]
        end_line, end_column = marks[end - 1] if end > start else (line, column - 1)
        return self.span.file.place(line, column, end_column + 1 if end_line == line else None)

    def _marks(self) -> list[tuple[int, int]] | None:
        """Line and column of each character of the text, and of its end; None if unknown.

        Folding changes white space only, so the n-th visible character of the text is the n-th of
        the file's stretch, counted from the end, where there is at most a quote too many.
        """
        visible = [c for c in self.text if not c.isspace()]
        written = list(self._written())
        count = len(visible)
        tails = (written[-count:], written[-count - 1 : -1]) if visible else ()
        found = next((tail for tail in tails if [c for *_, c in tail] == visible), None)
        if found is None:
            return None
        rest = iter(found)
        line, column, _ = found[0]
        last = column  # white space in front of all else takes the place of the first character
        marks: list[tuple[int, int]] = []
        for c in self.text:
            if not c.isspace():
                line, column, _ = next(rest)
                last = len(self.span.file.line(line)) + 1
            marks.append((line, min(column, last)))
            column += 1
        return [*marks, (line, min(column, last))]

    def _written(self) -> Iterator[tuple[int, int, str]]:
        """The visible characters of the file's stretch, with line and column."""
        span = self.span
        for number in range(span.line, span.end_line + 1):
            end = span.end_column - 1 if number == span.end_line else None
            start = span.column - 1 if number == span.line else 0
            for column, c in enumerate(span.file.line(number)[start:end], start + 1):
                if not c.isspace():
                    yield number, column, c


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a mapping: where its key stands, and its value."""

    key: Span
    value: Node


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys, always as text, to entries, in the order of the file."""

    entries: dict[str, Entry]
    span: Span


@dataclass(frozen=True, slots=True)
class Listing:
    items: tuple[Node, ...]
    span: Span


Node: TypeAlias = Scalar | Listing | Mapping
Path: TypeAlias = tuple[str | int, ...]


def plain(node: Node) -> object:
    """The node as plain data: dicts, lists and scalars.

    >>> from archspec.lang.yaml import parse
    >>> plain(parse("a: {on: [1, no]}")[0])
    {'a': {'on': [1, 'no']}}
    """
    match node:
        case Scalar():
            return node.value
        case Listing():
            return [plain(item) for item in node.items]
        case Mapping():
            return {key: plain(entry.value) for key, entry in node.entries.items()}


def count(node: Node) -> int:
    """How many keys and values a node is, those that an alias stands for each time.

    >>> from archspec.lang.yaml import parse
    >>> count(parse("a: {on: &x [1, no], off: *x}")[0])
    11
    """
    match node:
        case Scalar():
            return 1
        case Listing():
            return 1 + sum(count(item) for item in node.items)
        case Mapping():
            return 1 + sum(1 + count(entry.value) for entry in node.entries.values())


def sources(node: Node) -> dict[str, SourceFile]:
    """The files that a tree is made of, by the names that users are shown."""
    found: dict[str, SourceFile] = {}
    waiting = [node]
    while waiting:
        part = waiting.pop()
        found.setdefault(part.span.file.name, part.span.file)
        match part:
            case Mapping():
                waiting += [entry.value for entry in part.entries.values()]
            case Listing():
                waiting += part.items
            case Scalar():
                pass
    return found


def find(node: Node, path: Path) -> Node | None:
    """The node at ``path`` below ``node``, or None if the path leads nowhere."""
    found, rest = _descend(node, path)
    return None if rest else found.value


def place_of(node: Node, path: Path, *, key: bool = False) -> Place:
    """Where the value at ``path`` stands, or with ``key`` its key.

    If the path leads nowhere, the place is that of its longest part that exists. The items of a
    list, and the root, have no key: their own place serves.
    """
    found, _ = _descend(node, path)
    return (found.key if key else found.value.span).place()


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Some lines of a file.

    Attributes:
        file: its name, as users are shown it.
        first: the number of the first line, counted from 1.
        lines: without their line breaks.
        marked: the numbers of the lines that are meant; the others are around them.
    """

    file: str
    first: int
    lines: tuple[str, ...]
    marked: range


def excerpt(node: Node, path: Path, around: int = 0) -> Excerpt:
    """The lines of the key and the value at ``path``, or of its longest part that exists.

    Args:
        around: how many lines are shown before and after them.
    """
    found, _ = _descend(node, path)
    span = found.value.span
    file, start = span.file, found.key.line if found.key.file is span.file else span.line
    end = span.end_line
    if not file.line(end)[: span.end_column - 1].strip():
        end -= 1  # a block ends where what follows it begins
    while end > start and file.line(end).strip()[:1] in ("", "#"):
        end -= 1
    marked = range(start, max(start, end) + 1)
    first = max(1, start - around)
    last = min(file.last_line, marked[-1] + around)
    lines = tuple(file.line(number) for number in range(first, max(last, start) + 1))
    return Excerpt(file.name, first, lines, marked)


def _descend(node: Node, path: Path) -> tuple[Entry, Path]:
    """What the path's longest existing part leads to, and the rest of the path."""
    found = Entry(node.span, node)
    for depth, step in enumerate(path):
        below = _child(found.value, step)
        if below is None:
            return found, path[depth:]
        found = below
    return found, ()


def _child(node: Node, step: str | int) -> Entry | None:
    match node, step:
        case Mapping(), str():
            return node.entries.get(step)
        case Listing(), int() if 0 <= step < len(node.items):
            return Entry(node.items[step].span, node.items[step])
        case _:
            return None
