"""Chains of equal modules as one box, ``layer[0-11]``; and no more boxes than fit.

A module that is called several times in a row is one box, too.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import takewhile

from archspec.drawing.diagram import Arrow, Box

MAX_BOXES = 300
"""Boxes in one drawing."""

_NUMBER = re.compile(r"\d+")
Graph = tuple[list[Box], list[Arrow]]


def find_chains(
    nodes: Sequence[Box], edges: Sequence[Arrow], kind: Callable[[str], object]
) -> list[list[Box]]:
    """The boxes of a data flow as chains of equal modules; what is in no chain is one by itself.

    Args:
        kind: path → a value that is equal for equal modules.
    """
    into: dict[str, list[Arrow]] = defaultdict(list)
    out: dict[str, list[Arrow]] = defaultdict(list)
    for edge in edges:
        into[edge.target].append(edge)
        out[edge.source].append(edge)
    boxes = {node.id: node for node in nodes}

    def following(box: Box) -> Box | None:
        """The equal module that takes all outputs of this one, and all other inputs as it does."""
        targets = {edge.target for edge in out[box.id]}
        other = boxes[min(targets)] if len(targets) == 1 else None
        if other is None or box.kind != "module" or other.kind != "module":
            return None
        if box.path != other.path and not (
            _container(box) == _container(other) and differ_in_one_number(box.name, other.name)
        ):
            return None
        if kind(box.path) != kind(other.path) or len(into[box.id]) != len(into[other.id]):
            return None
        alike = all(
            before.argument == after.argument
            and (
                after.source == box.id
                or (before.source, before.output) == (after.source, after.output)
            )
            for before, after in zip(into[box.id], into[other.id], strict=True)
        )
        return other if alike else None

    chained: set[str] = set()
    chains: list[list[Box]] = []
    for node in nodes:
        if node.id in chained:
            continue
        chain = [node]
        while (other := following(chain[-1])) and other.id not in chained:
            chain.append(other)
        chain = _equally_often(chain)
        chained |= {member.id for member in chain}
        chains.append(chain)
    return chains


def fold_chains(
    nodes: Sequence[Box], edges: Sequence[Arrow], kind: Callable[[str], object]
) -> Graph:
    """A data flow with each chain of equal modules as one box; takes what ``find_chains`` takes."""
    stands_for: dict[str, str] = {}  # a box → the first box of its chain
    lasts: dict[str, str] = {}  # the last of a chain → the first
    folded: list[Box] = []
    for chain in find_chains(nodes, edges, kind):
        node = chain[0]
        for member in chain[1:]:
            stands_for[member.id] = node.id
        if len(chain) > 1:
            lasts[chain[-1].id] = node.id
            names = list(dict.fromkeys(member.name for member in chain))
            name, times = name_range(names[0], names[-1]), len(names)
            node = replace(node, name=name, times=times, calls=len(chain) // times)
        folded.append(node)
    arrows = [
        replace(edge, source=lasts.get(edge.source, edge.source))
        for edge in edges
        if edge.target not in stands_for
    ]
    return folded, arrows


def _equally_often(chain: list[Box]) -> list[Box]:
    """The chain, if it calls each module as often; else what comes before any is called again."""
    times = Counter(box.path for box in chain)
    if len(set(times.values())) == 1:
        return chain
    seen: set[str] = set()
    return list(takewhile(lambda box: box.path not in seen and not seen.add(box.path), chain))


def _container(box: Box) -> str:
    return box.path.rpartition(".")[0]


def differ_in_one_number(first: str, other: str) -> bool:
    """Whether two names differ in one number only, as those of repeated modules do.

    >>> differ_in_one_number("layer[3]", "layer[4]"), differ_in_one_number("up", "down")
    (True, False)
    >>> differ_in_one_number("a[0].b[0]", "a[1].b[1]")
    False
    """
    words, other_words = _NUMBER.split(first), _NUMBER.split(other)
    numbers = zip(_NUMBER.findall(first), _NUMBER.findall(other), strict=False)
    return words == other_words and sum(a != b for a, b in numbers) == 1


def name_range(first: str, last: str) -> str:
    """The names from one to another that differs in one number.

    >>> name_range("encoder.layer[0]", "encoder.layer[11]")
    'encoder.layer[0-11]'
    """
    numbers = zip(_NUMBER.finditer(first), _NUMBER.finditer(last), strict=False)
    for start, end in numbers:
        if start[0] != end[0]:
            return f"{first[: start.start()]}{start[0]}-{end[0]}{first[start.end() :]}"
    return first


def limit_boxes(nodes: Sequence[Box], edges: Sequence[Arrow], max_boxes: int = MAX_BOXES) -> Graph:
    """The first ``max_boxes`` boxes and the outputs; one more stands for all others."""
    inner = [node for node in nodes if node.kind != "output"]
    if len(inner) <= max_boxes:
        return list(nodes), list(edges)
    left_out = {node.id for node in inner[max_boxes:]}
    rest = Box(inner[max_boxes].id, "more", f"… and {len(left_out):,} more")
    moved = [
        replace(
            edge,
            source=rest.id if edge.source in left_out else edge.source,
            target=rest.id if edge.target in left_out else edge.target,
            argument="" if edge.target in left_out else edge.argument,
        )
        for edge in edges
    ]
    outputs = [node for node in nodes if node.kind == "output"]
    between = (edge for edge in moved if edge.source != edge.target)
    return [*inner[:max_boxes], rest, *outputs], list(dict.fromkeys(between))


def with_ids(nodes: Sequence[Box], edges: Sequence[Arrow]) -> Graph:
    """The same with ``n0``, ``n1``, … as ids."""
    ids = {node.id: f"n{i}" for i, node in enumerate(nodes)}
    return (
        [replace(node, id=ids[node.id]) for node in nodes],
        [replace(edge, source=ids[edge.source], target=ids[edge.target]) for edge in edges],
    )
