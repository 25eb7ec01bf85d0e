"""Equal subtrees by number: what is shown once, folded or aligned is found to be equal by it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class SubtreeNumbers(Generic[T]):
    """Numbers the nodes of trees so that equal subtrees have equal numbers.

    Args:
        key: what equal nodes have in common, besides their children.
        children: name and node of each child, in order.
        identity: of a node, to number it once.

    Attributes:
        firsts: the first node of each number.
    """

    def __init__(
        self,
        key: Callable[[T], Hashable],
        children: Callable[[T], Iterable[tuple[str, T]]],
        identity: Callable[[T], Hashable] = id,
    ) -> None:
        self.firsts: list[T] = []
        self._key, self._children, self._identity = key, children, identity
        self._by_key: dict[Hashable, int] = {}
        self._by_node: dict[Hashable, tuple[int, T]] = {}  # while a node lives, its id is its own

    def number(self, node: T) -> int:
        """The number of a node and all below it."""
        identity = self._identity(node)
        if identity not in self._by_node:
            below = tuple((name, self.number(child)) for name, child in self._children(node))
            number = self._by_key.setdefault((self._key(node), below), len(self.firsts))
            if number == len(self.firsts):
                self.firsts.append(node)
            self._by_node[identity] = number, node
        return self._by_node[identity][0]
