"""``like: Encoder`` among inputs or outputs: the contracts of another block, in its place.

What is taken over keeps the places where it is written.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace

from archspec.errors import Problem, SpecError, did_you_mean, listing
from archspec.lang.schema import PYTHON_TYPES
from archspec.lang.yaml import Entry, Listing, Mapping, Node, Scalar

MAX_CHAIN = 100  # blocks, one like another
MAX_TAKEN = 20_000  # contracts that are taken over, those on the way included
GROUPS = ("inputs", "outputs")
_NAME = re.compile(r"[A-Za-z_]\w*")


def with_likes(root: Mapping, problems: list[Problem]) -> Mapping:
    """The document with every ``like`` replaced by what it stands for."""
    blocks = _below(root, "blocks")
    if blocks is None:
        return root
    expander = _Expander(blocks, problems)
    entries = {
        name: replace(e, value=expander.block(name, e.value)) for name, e in blocks.entries.items()
    }
    entry = root.entries["blocks"]
    made = replace(entry, value=replace(blocks, entries=entries))
    return replace(root, entries={**root.entries, "blocks": made})


class _Expander:
    def __init__(self, blocks: Mapping, problems: list[Problem]) -> None:
        self.blocks, self.problems, self.taken = blocks, problems, 0

    def block(self, name: str, node: Node) -> Node:
        """A block whose groups are written out."""
        if not isinstance(node, Mapping):
            return node
        entries = dict(self._expanded(name, node, node).entries)
        if methods := _below(node, "methods"):
            made = {
                key: replace(e, value=self._expanded(name, node, e.value))
                for key, e in methods.entries.items()
                if isinstance(e.value, Mapping)
            }
            written_out = replace(methods, entries={**methods.entries, **made})
            entries["methods"] = replace(entries["methods"], value=written_out)
        return replace(node, entries=entries)

    def _expanded(self, name: str, block: Mapping, node: Mapping) -> Mapping:
        """A block, or a method of one, whose groups are written out."""
        entries = dict(node.entries)
        for group in GROUPS:
            if (entry := entries.get(group)) and _like_of(entry.value):
                stack = (name,) if node is block else ()
                written_out = self._group(name, block, node, group, stack)
                entries[group] = replace(entry, value=written_out)
        return replace(node, entries=entries)

    def _group(
        self, name: str, block: Mapping, owner: Mapping, group: str, stack: tuple[str, ...]
    ) -> Mapping:
        """The contracts of one group; those of its own replace what is taken over.

        Args:
            owner: what has the group: the block, or a method of it.
            stack: the blocks that are like one another.
        """
        node = _below(owner, group)
        if node is None:
            return Mapping({}, block.span)
        like = _like_of(node)
        if like is None:
            return node
        own = {key: entry for key, entry in node.entries.items() if entry.value is not like}
        taken = self._taken(name, block, group, like, stack, own)
        entries: dict[str, Entry] = {}
        for key, entry in node.entries.items():
            is_own = entry.value is not like
            entries |= {key: entry} if is_own else {**taken, **_same_keys(entries, taken)}
        left_out = {key for key, entry in own.items() if _is_null(entry.value)}
        for key in left_out - taken.keys() if taken else ():
            hint = did_you_mean(key, taken) or f"{like.value} has {listing(list(taken))}"
            message = f"'{key}' is left out, and {like.value} has none in its {group}"
            self.problems.append(Problem("E202", message, own[key].key.place(), hint))
        kept = {key: entry for key, entry in entries.items() if key not in left_out}
        return replace(node, entries=kept)

    def _taken(
        self,
        name: str,
        block: Mapping,
        group: str,
        like: Scalar,
        stack: tuple[str, ...],
        own: Collection[str],
    ) -> dict[str, Entry]:
        """The contracts of the other block; those that the block has of its own go unchecked."""
        other = str(like.value)
        found = _below(self.blocks, other)
        if found is None:
            hint = did_you_mean(other, self.blocks.entries)
            hint = hint or f"blocks: {listing(list(self.blocks.entries))}"
            self.problems.append(
                Problem("E206", f"no block is called '{other}'", like.place(), hint)
            )
            return {}
        if len(stack) > MAX_CHAIN:
            message = f"like leads through more than {MAX_CHAIN} blocks"
            self.problems.append(Problem("E202", message, like.place()))
            return {}
        if other in stack:
            circle = " → ".join([*stack, other])
            self.problems.append(
                Problem("E202", f"like goes round in a circle: {circle}", like.place())
            )
            return {}
        taken = self._group(other, found, found, group, (*stack, other)).entries
        self.taken += len(taken)
        if self.taken > MAX_TAKEN:
            message = f"like takes over more than {MAX_TAKEN:,} contracts"
            raise SpecError(Problem("E202", message, like.place()))
        strangers = _params(found) - _params(block)
        return {
            key: entry
            if key in own
            else replace(entry, value=self._known(entry.value, strangers, name, other, key, like))
            for key, entry in taken.items()
        }

    def _known(
        self, node: Node, strangers: set[str], name: str, other: str, key: str, like: Scalar
    ) -> Node:
        """A contract that uses no parameter of the other block; each that it does is reported."""
        match node:
            case Mapping():
                entries = {
                    k: replace(e, value=self._known(e.value, strangers, name, other, key, like))
                    for k, e in node.entries.items()
                }
                return replace(node, entries=entries)
            case Listing():
                items = (self._known(i, strangers, name, other, key, like) for i in node.items)
                return replace(node, items=tuple(items))
            case Scalar(value=str(text)) if text.startswith("$"):
                used = [word for word in _NAME.findall(text) if word in strangers]
                for word in used:
                    message = f"'{key}' of {other} uses its parameter '{word}', which {name} lacks"
                    hint = f"write the contract of '{key}' here, or give {name} that parameter"
                    self.problems.append(Problem("E303", message, like.place(), hint))
                return replace(node, value=used[0], text=used[0]) if used else node
            case _:
                return node


def _below(node: Node, key: str) -> Mapping | None:
    entry = node.entries.get(key) if isinstance(node, Mapping) else None
    return entry.value if entry and isinstance(entry.value, Mapping) else None


def _like_of(node: Node) -> Scalar | None:
    """The block that a group takes its contracts from; ``like: bool`` is an input of that name."""
    entry = node.entries.get("like") if isinstance(node, Mapping) else None
    value = entry.value if entry else None
    if isinstance(value, Scalar) and isinstance(value.value, str):
        return None if value.value in PYTHON_TYPES else value
    return None


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.value is None


def _same_keys(own: dict[str, Entry], taken: dict[str, Entry]) -> dict[str, Entry]:
    return {key: entry for key, entry in own.items() if key in taken}


def _params(block: Mapping) -> set[str]:
    found = _below(block, "params")
    return {*found.entries} if found else set()
