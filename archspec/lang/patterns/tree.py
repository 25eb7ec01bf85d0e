"""The paths of a model: selections, and advice where a pattern selects nothing."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice

from archspec.lang.patterns.automaton import Automaton, Node, steps_of
from archspec.lang.patterns.grammar import AnyDepth, Named, Pattern, Pick, Segment, Segments, Typed


@dataclass(frozen=True, slots=True)
class Entry:
    """A module (``type`` is its class name) or a parameter or buffer (``type`` is None)."""

    path: str
    type: str | None


class Tree:
    """The paths of a model, ready for selections.

    Args:
        entries: modules and tensors in their order. Children count in the order in which they
            first appear; a parent may be left out, as in the keys of a ``state_dict``.

    Raises:
        ValueError: if a path occurs twice.

    >>> from archspec.lang.patterns import parse
    >>> tree = Tree([Entry("", "Net"), Entry("fc", "Linear"), Entry("fc.weight", None)])
    >>> sorted(tree.select(parse("fc")))
    [1, 2]
    """

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = tuple(entries)
        self.nodes = [Node("", "")]
        self._nodes = {"": self.nodes[0]}
        for index, entry in enumerate(self.entries):
            node = self._add(entry.path)
            if node.entry is not None:
                raise ValueError(f"'{entry.path}' occurs twice")
            node.entry, node.type = index, entry.type
        for node in self.nodes:
            if not node.children:  # as most have none
                continue
            node.items = [c for c in node.children if c.type or c.children] or node.children
            for position, child in enumerate(node.items):
                child.position, child.siblings = position, len(node.items)

    def _add(self, path: str) -> Node:
        """The node of a path, made with those above it where they are missing."""
        missing: list[tuple[str, str]] = []
        while (node := self._nodes.get(path)) is None:
            above, _, name = path.rpartition(".")
            missing.append((path, name))
            path = above
        for path, name in reversed(missing):
            child = self._nodes[path] = Node(path, name)
            node.children.append(child)
            self.nodes.append(child)
            node = child
        return node

    def select(self, pattern: Pattern) -> frozenset[int]:
        """The indices of the entries that the pattern selects; a leading ``!`` is ignored."""
        return self._selected(pattern.segments)

    def last_match(self, patterns: Sequence[Pattern]) -> list[int | None]:
        """For each entry the index of the last pattern that selects it, or None."""
        last: list[int | None] = [None] * len(self.entries)
        for index, pattern in enumerate(patterns):
            for entry in self.select(pattern):
                last[entry] = index
        return last

    def near_misses(self, pattern: Pattern) -> list[str]:
        """Up to three patterns close to one that selects nothing, all of which select something.

        Where a position leads nowhere, the number of children follows in brackets.

        >>> from archspec.lang.patterns import parse
        >>> Tree([Entry("", "Net"), Entry("head.fc", "Linear")]).near_misses(parse("fc"))
        ['**.fc']
        """
        tries = [_Repair(pattern.segments)]
        for _ in range(_GENERATIONS):
            repairs = chain.from_iterable(self._repairs(one.segments) for one in tries)
            tries = list(islice(repairs, _MOST_TRIES))
            if found := [one for one in tries if self._selected(one.segments)]:
                texts = dict.fromkeys("!" * pattern.negated + str(one) for one in found)
                return list(texts)[:3]
        return []

    def selects(self, pattern: Pattern) -> bool:
        """Whether the pattern selects an entry; a leading ``!`` is ignored."""
        automaton = Automaton(pattern.segments)
        final = automaton.final
        reached = self._reached(automaton)  # no further than to the first
        return any(state & final and node.entry is not None for node, state in reached)

    def states(self, automaton: Automaton) -> dict[Node, int]:
        """The automaton's state at each node that a part of its pattern leads to."""
        return dict(self._reached(automaton))

    def _reached(self, automaton: Automaton) -> Iterator[tuple[Node, int]]:
        known: dict[tuple[int, str, str | None], int] = {}
        root = self.nodes[0]
        open = [(root, automaton.start(root.type))]
        while open:
            node, above = pair = open.pop()
            yield pair
            for child in automaton.candidates(above, node):
                if automaton.by_position:
                    state = automaton.next(above, child)
                else:
                    key = (above, child.name, child.type)
                    if key not in known:
                        known[key] = automaton.next(above, child)
                    state = known[key]
                if state:
                    open.append((child, state))

    def _selected(self, segments: Segments) -> frozenset[int]:
        automaton = Automaton(segments)
        final = automaton.final
        return frozenset(
            node.entry
            for node, state in self.states(automaton).items()
            if state & final and node.entry is not None
        )

    def _repairs(self, segments: Segments) -> Iterator[_Repair]:
        """Changes to the first segment that leads nowhere; nothing if all lead somewhere."""
        automaton = Automaton(segments)
        states = self.states(automaton)
        reached = max(states.values()).bit_length() - 1
        if 1 << reached == automaton.final:
            return
        ends = [node for node in self.nodes if states.get(node, 0) >> reached & 1]
        at = [i for i, segment in enumerate(segments) for _ in steps_of(segment)][reached]
        head, wrong, rest = segments[:at], segments[at], segments[at + 1 :]
        if isinstance(automaton.steps[reached], Pick):
            assert isinstance(wrong, Named)
            repair, note = _pick_repair(wrong, max(len(node.items) for node in ends))
            yield _Repair((*head, repair, *rest), note)
            return
        anywhere = head if head[-1:] == (_ANY,) else (*head, _ANY)
        if anywhere != head:
            yield _Repair((*anywhere, wrong, *rest))
        for repair in _near_segments(wrong, [child for node in ends for child in node.children]):
            yield _Repair((*head, repair, *rest))
        for repair in self._of_other_kind(wrong):
            yield _Repair((*anywhere, repair, *rest))

    def _of_other_kind(self, wrong: Segment) -> Iterator[Segment]:
        """``@Linear`` for ``Linear``, ``fc`` for ``@fc``."""
        if isinstance(wrong, Named) and wrong.pick is None:
            types = dict.fromkeys(node.type for node in self.nodes if node.type)
            yield from (Typed(t) for t in types if t.casefold() == wrong.glob.casefold())
        if isinstance(wrong, Typed):
            yield Named(wrong.type)


_ANY = AnyDepth()
_GENERATIONS = 3  # as many mistakes in one pattern are repaired
_MOST_TRIES = 8
_MOST_NAMES = 2000  # difflib is slow; more names than these, or longer ones, are not compared
_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class _Repair:
    segments: Segments
    note: str = ""

    def __str__(self) -> str:
        short = self.segments[0] == _ANY and isinstance(self.segments[1], Typed)
        return ".".join(map(str, self.segments[short:])) + self.note


def _near_segments(wrong: Segment, nodes: Iterable[Node]) -> Iterator[Segment]:
    if isinstance(wrong, Typed):
        yield from map(Typed, _near(wrong.type, (node.type for node in nodes if node.type)))
    if isinstance(wrong, Named):
        for name in _near(wrong.glob, (node.name for node in nodes)):
            yield replace(wrong, glob=name)


def _near(word: str, names: Iterable[str]) -> list[str]:
    """The three nearest names, equally near ones in their order."""
    short = (name for name in dict.fromkeys(names) if len(name) <= _LONGEST_NAME)
    known = list(islice(short, _MOST_NAMES))
    if same := [name for name in known if name.casefold() == word.casefold()]:
        return same[:3]
    near = difflib.get_close_matches(word[:_LONGEST_NAME], known, n=len(known) + 1)
    near.sort(key=known.index)
    near.sort(key=lambda name: -difflib.SequenceMatcher(None, name, word).ratio())
    return near[:3]


def _pick_repair(wrong: Named, size: int) -> tuple[Named, str]:
    """The nearest positions that ``size`` children have."""
    assert wrong.pick
    if not size:
        return Named(wrong.glob), " (no children)"
    first, *others = wrong.pick.parts
    nearest = Pick((min(max(first or 0, -size), size - 1), *others))
    if not nearest.of(size):
        nearest = Pick((None, None))
    return replace(wrong, pick=nearest), f" ({size} child{'ren' if size > 1 else ''})"
