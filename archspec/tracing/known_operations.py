"""Results of PyTorch's own operations on ``meta``, kept from one run to the next.

On ``meta``, a result is made of the metadata of the arguments alone, which are its key, so that an
entry never grows old: an edit of a spec computes only the operations that it has changed. Many of
them are Python functions of PyTorch, and take a hundred times as long as making their result anew.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any, cast

Factory = Callable[[Any, Any], Any]
"""Makes a result, given the operation's arguments, by position and by name."""

MAX_PARTS = 600_000
"""Of all keys together: numbers, dtypes and other values. With what they lead to, some 40 MB: the
operations of four models of 2,000 layers that are all different."""


class KnownOperations:
    """Factories of results by key; beyond ``MAX_PARTS``, those used longest ago are dropped."""

    def __init__(self, max_parts: int = MAX_PARTS) -> None:
        self.max_parts, self.parts = max_parts, 0
        self._factories: OrderedDict[Hashable, tuple[Factory, int]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable) -> Factory | None:
        """The factory of an operation; None if it is not known."""
        with self._lock:
            found = self._factories.get(key)
            if found is None:
                return None
            self._factories.move_to_end(key)
            return found[0]

    def add(self, key: Hashable, factory: Factory) -> None:
        """Keep the factory of an operation."""
        count = _count(key)
        with self._lock:
            if key not in self._factories:
                self._factories[key] = factory, count
                self.parts += count
            while self.parts > self.max_parts:
                _, (_, dropped) = self._factories.popitem(last=False)
                self.parts -= dropped


def _count(key: Hashable) -> int:
    """How many values a key is made of."""
    if not isinstance(key, tuple):
        return len(key) if isinstance(key, str) else 1
    return 1 + sum(map(_count, cast("tuple[Hashable, ...]", key)))
