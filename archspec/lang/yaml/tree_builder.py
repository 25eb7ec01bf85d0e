"""From PyYAML's events to the tree.

The tree is built from events, never by PyYAML's composer: they come one by one, so that a million
open brackets are refused at the 65th, and aliases are counted instead of expanded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import yaml

from archspec.errors import Note, Place, Problem, SpecError
from archspec.lang.yaml.core_schema import MAX_DIGITS, value_of
from archspec.lang.yaml.syntax import explain, is_crowded, shortened, tag_at, tag_problem, token_at
from archspec.lang.yaml.tree import Entry, Listing, Mapping, Node, Scalar, SourceFile, Span

MAX_DEPTH = 64
MAX_NODES = 20_000  # keys and values, each alias counted as all that it stands for

SURROGATE = re.compile("[\ud800-\udfff]")

_Begin: TypeAlias = yaml.SequenceStartEvent | yaml.MappingStartEvent
_End: TypeAlias = yaml.SequenceEndEvent | yaml.MappingEndEvent


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end has not come yet."""

    start: yaml.Mark
    is_mapping: bool
    anchor: str | None
    nodes_before: int
    height: int = 1
    items: list[Node] = field(default_factory=list[Node])
    entries: dict[str, Entry] = field(default_factory=dict[str, Entry])
    key: _Key | None = None  # that waits for its value


class _Key(NamedTuple):
    text: str | None  # None for one that cannot be used
    span: Span


@dataclass(frozen=True, slots=True)
class _Anchored:
    """What an alias repeats: so many nodes, in lists and mappings nested so deep."""

    node: Node
    nodes: int
    height: int


class TreeBuilder:
    """Makes the tree of the events of one text."""

    def __init__(self, file: SourceFile) -> None:
        self.problems: list[Problem] = []
        self._file = file
        self._root: Node | None = None
        self._open: list[_Open] = []
        self._anchors: dict[str, _Anchored | _Open] = {}
        self._nodes = 0
        self._documents = 0
        self._end = (1, 1)  # of what was last read; blocks have no end of their own

    def build(self, loader: Any) -> Mapping:
        """The root of the tree; ``problems`` grows by what does not prevent it."""
        try:
            while loader.check_event():
                self._take(loader.get_event())
        finally:
            loader.dispose()
        if self._root is None or _is_empty(self._root):
            raise self._error("E107", "the spec is empty", self._file.place(1, 1))
        if not isinstance(self._root, Mapping):
            raise self._not_a_mapping(self._root)
        return self._root

    def _not_a_mapping(self, root: Scalar | Listing) -> SpecError:
        kind = "a list" if isinstance(root, Listing) else "one value"
        message = f"a spec is a mapping of keys to values, not {kind}"
        crowded = isinstance(root, Scalar) and root.plain and is_crowded(root.text)
        hint = "put a space behind each ':'" if crowded else "begin with 'archspec: 1'"
        return self._error("E202", message, root.span.place(), hint)

    def syntax_error(self, error: yaml.MarkedYAMLError) -> SpecError:
        """What stops the parser, behind the problems found before."""
        found = explain(error, self._file, self._open[-1].start if self._open else None)
        marks = (error.context_mark, error.problem_mark)
        lines = {mark.line + 1 for mark in marks if mark}
        tags = {p.place.line for p in self.problems if p.code == "E103" and p.place}
        # '[a, !b]' fails because the tag swallows the bracket: the tag is the one mistake.
        more = [] if lines & tags else [found]
        return SpecError(in_order([*self.problems, *more]))

    def _take(self, event: yaml.Event) -> None:
        match event:
            case yaml.ScalarEvent():
                self._scalar(event)
            case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                self._begin(event)
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                self._close(event)
            case yaml.AliasEvent():
                self._alias(event)
            case yaml.DocumentStartEvent():
                self._document(event)
            case _:
                pass

    def _document(self, event: yaml.DocumentStartEvent) -> None:
        self._documents += 1
        if self._documents > 1:
            place = token_at(self._file, event.start_mark)
            raise self._error("E107", "a second document begins here", place, "one file, one spec")

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        text, style = event.value, event.style
        span = self._block_span(event) if style in ("|", ">") else self._span(event)
        plain = not style
        value = self._plain_value(text, span) if plain else text
        if style == '"' and SURROGATE.search(text):
            message = "an escape that stands for half a character"
            self._problem("E101", message, span.place(), "write the character itself")
            text = value = SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)
        node = Scalar(value, text, plain, span)
        if event.tag is not None:
            self._tag(event, of_text=True)
        self._count(span)
        if event.anchor is not None:
            self._anchors[event.anchor] = _Anchored(node, 1, 0)
        self._add(node, span)

    def _plain_value(self, text: str, span: Span) -> str | int | float | bool | None:
        try:
            return value_of(text)
        except OverflowError:
            message = f"an integer of more than {MAX_DIGITS} digits"
            self._problem("E105", message, span.place())
            return text

    def _alias(self, event: yaml.AliasEvent) -> None:
        span, name = self._span(event), event.anchor
        target = self._anchors.get(name)
        if target is None:
            hint = f'if text is meant, quote it: "*{shortened(name)}"'
            message = f"there is no anchor '&{shortened(name)}' above"
            self._problem("E101", message, span.place(), hint)
        elif isinstance(target, _Open):
            message = f"'*{shortened(name)}' stands inside what it repeats"
            self._problem("E104", message, span.place())
        if isinstance(target, _Anchored):
            self._repeat(target, span)
        else:
            self._count(span)
            self._add(Scalar(f"*{name}", f"*{name}", True, span), span)

    def _repeat(self, target: _Anchored, span: Span) -> None:
        if self._nodes + target.nodes > MAX_NODES:
            message = f"aliases expand to more than {MAX_NODES:,} keys and values"
            raise self._error("E104", message, span.place())
        if len(self._open) + target.height > MAX_DEPTH:
            message = f"aliases expand to more than {MAX_DEPTH} levels"
            raise self._error("E104", message, span.place())
        self._nodes += target.nodes
        self._add(target.node, span, target.height)

    def _begin(self, event: _Begin) -> None:
        if len(self._open) == MAX_DEPTH:
            message = f"lists and mappings are nested more than {MAX_DEPTH} deep"
            raise self._error("E105", message, token_at(self._file, event.start_mark))
        if event.tag is not None:
            self._tag(event, of_text=False)
        span = self._span(event)
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        opened = _Open(event.start_mark, is_mapping, event.anchor, self._nodes)
        self._count(span)
        self._end = (span.end_line, span.end_column)
        self._open.append(opened)
        if event.anchor is not None:
            self._anchors[event.anchor] = opened

    def _close(self, event: _End) -> None:
        closed = self._open.pop()
        start, end = closed.start, event.end_mark
        if (event.start_mark.line, event.start_mark.column) != (end.line, end.column):
            self._end = (end.line + 1, end.column + 1)  # a closing bracket
        span = Span(self._file, start.line + 1, start.column + 1, *self._end)
        node = Listing(tuple(closed.items), span)
        if closed.is_mapping:
            node = Mapping(closed.entries, span)
        if closed.anchor is not None and self._anchors[closed.anchor] is closed:
            size = self._nodes - closed.nodes_before
            self._anchors[closed.anchor] = _Anchored(node, size, closed.height)
        self._add(node, span, closed.height)

    def _add(self, node: Node, span: Span, height: int = 0) -> None:
        if not _is_empty(node):
            self._end = (span.end_line, span.end_column)
        if not self._open:
            self._root = node
            return
        parent = self._open[-1]
        if height >= parent.height:
            parent.height = height + 1
        if not parent.is_mapping:
            parent.items.append(node)
        elif parent.key is None:
            parent.key = _Key(self._usable(node, span, parent.entries), span)
        else:
            key, parent.key = parent.key, None
            if key.text is not None:
                parent.entries[key.text] = Entry(key.span, _behind(key.span, node))

    def _usable(self, key: Node, span: Span, entries: dict[str, Entry]) -> str | None:
        """The key's text, unless it cannot be used."""
        if not isinstance(key, Scalar):
            message = "a list or mapping cannot be a key"
            self._problem("E101", message, span.place(), "if it is meant as text, quote it")
        elif _is_empty(key):
            self._problem("E101", "a key is missing before the ':'", span.place())
        elif key.text in entries:
            self._twice(key.text, span, entries[key.text].key)
        else:
            return key.text
        return None

    def _twice(self, key: str, again: Span, first: Span) -> None:
        note = Note("the first one", first.place())
        message = f"the key '{shortened(key)}' occurs twice"
        self.problems.append(Problem("E102", message, again.place(), notes=(note,)))

    def _tag(self, event: yaml.ScalarEvent | _Begin, *, of_text: bool) -> None:
        place = tag_at(self._file, event.start_mark)
        self.problems.append(tag_problem(place, of_text=of_text))

    def _count(self, span: Span) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise self._error("E105", f"more than {MAX_NODES:,} keys and values", span.place())

    def _span(self, event: yaml.Event) -> Span:
        start, end = event.start_mark, event.end_mark
        return Span(self._file, start.line + 1, start.column + 1, end.line + 1, end.column + 1)

    def _block_span(self, event: yaml.ScalarEvent) -> Span:
        """PyYAML lets a block scalar reach to the next token; it ends with its last word."""
        span = self._span(event)
        line, text = span.end_line, self._file.line(span.end_line)[: span.end_column - 1]
        while line > span.line and not text.strip():
            line -= 1
            text = self._file.line(line)
        return Span(self._file, span.line, span.column, line, len(text.rstrip()) + 1)

    def _problem(self, code: str, message: str, place: Place, hint: str = "") -> None:
        self.problems.append(Problem(code, message, place, hint))

    def _error(self, code: str, message: str, place: Place, hint: str = "") -> SpecError:
        return SpecError(in_order([*self.problems, Problem(code, message, place, hint)]))


def _is_empty(node: Node) -> bool:
    return isinstance(node, Scalar) and node.plain and not node.text


def _behind(key: Span, value: Node) -> Node:
    """The value; one that is left out stands right behind its key."""
    if not _is_empty(value):
        return value
    span = Span(key.file, key.end_line, key.end_column, key.end_line, key.end_column)
    return Scalar(None, "", True, span)


def in_order(problems: list[Problem]) -> list[Problem]:
    return sorted(problems, key=lambda p: (p.place.line, p.place.column) if p.place else (0, 0))
