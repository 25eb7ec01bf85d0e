"""Matching in one pass: patterns as bit-parallel machines over the nodes of a tree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from archspec.lang.patterns.grammar import AnyDepth, Named, Pick, Segment, Segments, Typed


@dataclass(slots=True, eq=False, repr=False)
class Node:
    """A path of a tree; ``items`` are the children that positions count.

    ``entry`` is the index of the module or tensor that is there; None if only others' paths
    lead through it.
    """

    path: str
    name: str
    type: str | None = None
    entry: int | None = None
    children: list[Node] = field(default_factory=list["Node"])
    items: list[Node] = field(default_factory=list["Node"])
    position: int = -1
    siblings: int = 0


class Automaton:
    """A pattern as a machine: bit i of a node's state says that the first i steps lead there.

    A node's state follows from its parent's by a few masks and one shift, so that one pass over
    the tree is enough. Nothing is tried twice, whatever the pattern.
    """

    def __init__(self, segments: Segments) -> None:
        self.steps = [step for segment in segments for step in steps_of(segment)]
        self.final = 1 << len(self.steps)
        self._loops = self._globbing = self._picking = 0
        self._names: defaultdict[str, int] = defaultdict(int)
        self._types: defaultdict[str | None, int] = defaultdict(int)
        self._globs: list[tuple[int, str]] = []
        self._picks: list[tuple[int, Pick]] = []
        self._seen: dict[tuple[int, str], int] = {}
        for index, step in enumerate(self.steps):
            self._add(1 << index, step)

    def _add(self, bit: int, step: Segment | Pick) -> None:
        match step:
            case AnyDepth():
                self._loops |= bit
            case Typed(type):
                self._types[type] |= bit
            case Pick():
                self._picks.append((bit, step))
                self._picking |= bit
            case Named(glob) if "*" in glob:
                self._globs.append((bit, glob))
                self._globbing |= bit
            case Named(name):
                self._names[name] |= bit

    @property
    def by_position(self) -> bool:
        """Whether a state depends on a node's position, beside its name and type."""
        return bool(self._picks)

    def start(self, root_type: str | None) -> int:
        """The root's state; it has no name to match, yet a leading ``**.@Type`` may mean it."""
        state = self._closed(1)
        return state | self._closed((state & self._types.get(root_type, 0)) << 1)

    def candidates(self, state: int, node: Node) -> list[Node]:
        """The children of a node with ``state`` that a step can lead to."""
        if state & ~self._picking:
            return node.children
        picks = (pick for bit, pick in self._picks if state & bit)
        return [node.items[i] for i in {i: None for p in picks for i in p.of(len(node.items))}]

    def next(self, state: int, node: Node) -> int:
        """The state of a node whose parent has ``state``."""
        hits = self._names.get(node.name, 0) | self._types.get(node.type, 0)
        if active := state & self._globbing:
            hits |= self._globs_matching(active, node.name)
        if active := state & self._picking:
            for bit, pick in self._picks:
                if active & bit and node.position in pick.of(node.siblings):
                    hits |= bit
        return self._closed(state & (self._loops | self.final) | (state & hits) << 1)

    def _closed(self, state: int) -> int:
        """The state, and what ``**`` reaches for free: one shift, as no two are adjacent."""
        return state | (state & self._loops) << 1

    def _globs_matching(self, active: int, name: str) -> int:
        key = (active, name)
        if key not in self._seen:
            matching = (
                b for b, glob in self._globs if b & active and stars(glob, name) is not None
            )
            self._seen[key] = sum(matching)
        return self._seen[key]


def steps_of(segment: Segment) -> Iterator[Segment | Pick]:
    """The segment, and its pick as a step of its own: one step leads one level down."""
    yield segment
    if isinstance(segment, Named) and segment.pick:
        yield segment.pick


def stars(glob: str, name: str) -> list[str] | None:
    """What each ``*`` of the glob stands for, shortest first; None if the name does not match.

    >>> stars("*a*", "banana")
    ['b', 'nana']
    """
    head, *middle = glob.split("*")
    if not middle or not name:
        return [] if glob == name else None
    tail = middle.pop()
    at, end = len(head), len(name) - len(tail)
    if end < at or not name.startswith(head) or not name.endswith(tail):
        return None
    caught: list[str] = []
    for part in middle:
        found = name.find(part, at, end)
        if found < 0:
            return None
        caught.append(name[at:found])
        at = found + len(part)
    return [*caught, name[at:end]]
