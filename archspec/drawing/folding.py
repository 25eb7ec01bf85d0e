"""Equal modules in a row as one box: ``layer[0-11]``, 12 × BertLayer; and no more than fit.

One module that is called several times in a row is one box as well, and so is a row of equal ones.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import takewhile

from archspec.drawing.diagram import Arrow, Box

MOST = 300
"""Boxes of one drawing."""

_NUMBER = re.compile(r"\d+")
Graph = tuple[list[Box], list[Arrow]]


def folded(nodes: Sequence[Box], edges: Sequence[Arrow], kind: Callable[[str], object]) -> Graph:
    """The same flow, with each chain of equal modules as one box.

    Args:
        kind: path → what is equal for equal modules.
    """
    into: dict[str, list[Arrow]] = defaultdict(list)
    out: dict[str, list[Arrow]] = defaultdict(list)
    for edge in edges:
        into[edge.target].append(edge)
        out[edge.source].append(edge)
    boxes = {node.id: node for node in nodes}

    def following(box: Box) -> Box | None:
        """The equal module that takes everything this one gives, and all else as this one does."""
        targets = {edge.target for edge in out[box.id]}
        other = boxes[min(targets)] if len(targets) == 1 else None
        if other is None or box.kind != "module" or other.kind != "module":
            return None
        if box.path != other.path and not (
            _container(box) == _container(other) and in_line(box.name, other.name)
        ):
            return None
        if kind(box.path) != kind(other.path) or len(into[box.id]) != len(into[other.id]):
            return None
        alike = all(
            one.argument == two.argument
            and (two.source == box.id or (one.source, one.output) == (two.source, two.output))
            for one, two in zip(into[box.id], into[other.id], strict=True)
        )
        return other if alike else None

    stands_for: dict[str, str] = {}  # a box → the one that it is folded into
    lasts: dict[str, str] = {}  # the last of a chain → the first
    made: list[Box] = []
    for node in nodes:
        if node.id in stands_for:
            continue
        chain = [node]
        while (other := following(chain[-1])) and other.id not in stands_for:
            chain.append(other)
        chain = _even(chain)
        for one in chain[1:]:
            stands_for[one.id] = node.id
        if len(chain) > 1:
            lasts[chain[-1].id] = node.id
            names = list(dict.fromkeys(one.name for one in chain))
            name, times = spanning(names[0], names[-1]), len(names)
            node = replace(node, name=name, times=times, calls=len(chain) // times)
        made.append(node)
    kept = [
        replace(edge, source=lasts.get(edge.source, edge.source))
        for edge in edges
        if edge.target not in stands_for
    ]
    return made, kept


def _even(chain: list[Box]) -> list[Box]:
    """The chain, if it calls each module as often; else what comes before any is called again."""
    times = Counter(box.path for box in chain)
    if len(set(times.values())) == 1:
        return chain
    seen: set[str] = set()
    return list(takewhile(lambda box: box.path not in seen and not seen.add(box.path), chain))


def _container(box: Box) -> str:
    return box.path.rpartition(".")[0]


def in_line(first: str, other: str) -> bool:
    """Whether two names differ in one number only, as those of repeated modules do.

    >>> in_line("layer[3]", "layer[4]"), in_line("up", "down"), in_line("a[0].b[0]", "a[1].b[1]")
    (True, False, False)
    """
    one, two = _NUMBER.split(first), _NUMBER.split(other)
    numbers = zip(_NUMBER.findall(first), _NUMBER.findall(other), strict=False)
    return one == two and sum(a != b for a, b in numbers) == 1


def spanning(first: str, last: str) -> str:
    """The names from one to another that is in line with it.

    >>> spanning("encoder.layer[0]", "encoder.layer[11]")
    'encoder.layer[0-11]'
    """
    for one, two in zip(_NUMBER.finditer(first), _NUMBER.finditer(last), strict=False):
        if one[0] != two[0]:
            return f"{first[: one.start()]}{one[0]}-{two[0]}{first[one.end() :]}"
    return first


def bounded(nodes: Sequence[Box], edges: Sequence[Arrow], most: int = MOST) -> Graph:
    """The first ``most`` boxes and the outputs; one box stands for all others."""
    inner = [node for node in nodes if node.kind != "output"]
    if len(inner) <= most:
        return list(nodes), list(edges)
    gone = {node.id for node in inner[most:]}
    rest = Box(inner[most].id, "more", f"… and {len(gone):,} more")
    moved = [
        replace(
            edge,
            source=rest.id if edge.source in gone else edge.source,
            target=rest.id if edge.target in gone else edge.target,
            argument="" if edge.target in gone else edge.argument,
        )
        for edge in edges
    ]
    outputs = [node for node in nodes if node.kind == "output"]
    between = (edge for edge in moved if edge.source != edge.target)
    return [*inner[:most], rest, *outputs], list(dict.fromkeys(between))


def numbered(nodes: Sequence[Box], edges: Sequence[Arrow]) -> Graph:
    """The same with ``n0``, ``n1``, … as ids."""
    ids = {node.id: f"n{i}" for i, node in enumerate(nodes)}
    return (
        [replace(node, id=ids[node.id]) for node in nodes],
        [replace(edge, source=ids[edge.source], target=ids[edge.target]) for edge in edges],
    )
