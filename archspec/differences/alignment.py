"""Which modules of two trees correspond, so that an inserted layer is one insertion.

Children with names correspond by name, then by ``renamed_from``, then by similarity; the items of a
container as the cheapest way to edit one list into the other. Equal modules that are left over on
both sides have moved.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from archspec.differences.outline import Outline, subtree_numbers
from archspec.differences.sequences import aligned

MIN_SIMILARITY = 0.3
_MIN_RENAMED_SIMILARITY = 0.9
"""From here on, two modules of different classes are one whose class was renamed."""
_MIN_ROOT_SIMILARITY = 0.6
"""From here on, a part of one model is taken for the whole of the other."""
_MAX_ROOT_DEPTH = 4  # levels of one tree that are searched for the root of the other


class Alignment:
    """The modules of ``old`` and ``new`` in pairs.

    Attributes:
        partner: path in the new tree → the module of the old tree that it was.
        successor: path in the old tree → the module of the new tree that it became.
    """

    def __init__(self, old: Outline, new: Outline) -> None:
        self.old, self.new = old, new
        self.partner: dict[str, Outline] = {}
        self.successor: dict[str, Outline] = {}
        self._numbers = subtree_numbers()
        self._features: dict[int, Counter[tuple[str, str, str]]] = {}
        self._similarities: dict[tuple[int, int], float] = {}
        self._pair(*self._roots())
        self._pair_moved()

    def is_same(self, old: Outline, new: Outline) -> bool:
        """Whether two modules, with all below them, are equal but for their paths."""
        return self._numbers.number(old) == self._numbers.number(new)

    def _roots(self) -> tuple[Outline, Outline]:
        """The first pair: a model may have become a part of a larger one, or the reverse."""
        old, new = self.old, self.new
        if old.type == new.type:
            return old, new
        candidates = [(old, module) for module in _top(new) if module.type == old.type]
        candidates += [(module, new) for module in _top(old) if module.type == new.type]
        best = max(candidates, key=lambda pair: self._similarity(*pair), default=(old, new))
        return best if self._similarity(*best) > _MIN_ROOT_SIMILARITY else (old, new)

    def _pair(self, old: Outline, new: Outline) -> None:
        stack = [(old, new)]
        while stack:
            first, second = self._unwrapped(*stack.pop())
            self.partner[second.path] = first
            self.successor[first.path] = second
            stack += self._children(first, second)

    def _unwrapped(self, old: Outline, new: Outline) -> tuple[Outline, Outline]:
        """A module may have moved into a container that took over its name, or the reverse."""
        if old.type == new.type or not (old.children or new.children):
            return old, new
        candidates = [(old, child) for child in new.children if child.type == old.type]
        candidates += [(child, new) for child in old.children if child.type == new.type]
        best = max(candidates, key=lambda pair: self._similarity(*pair), default=(old, new))
        return best if self._similarity(*best) > _MIN_ROOT_SIMILARITY else (old, new)

    def _children(self, old: Outline, new: Outline) -> list[tuple[Outline, Outline]]:
        if self.is_same(old, new):
            return list(zip(old.children, new.children, strict=True))
        if _are_numbered(old.children) and _are_numbered(new.children):
            return self._items(old.children, new.children)
        return self._named(old.children, new.children)

    def _items(
        self, old: Sequence[Outline], new: Sequence[Outline]
    ) -> list[tuple[Outline, Outline]]:
        before, after = [[self._numbers.number(item) for item in items] for items in (old, new)]
        matches = aligned(
            before, after, lambda i, j: self._similarity(old[i], new[j]), MIN_SIMILARITY
        )
        return [(old[i], new[j]) for i, j in matches if i is not None and j is not None]

    def _named(
        self, old: Sequence[Outline], new: Sequence[Outline]
    ) -> list[tuple[Outline, Outline]]:
        left = {module.name: module for module in old}
        pairs: list[tuple[Outline, Outline]] = []

        def take(modules: Sequence[Outline], before: Callable[[Outline], str]) -> list[Outline]:
            matching = [m for m in modules if before(m) in left]
            pairs.extend((left.pop(before(m)), m) for m in matching if before(m) in left)
            paired = {new.path for _, new in pairs}
            return [m for m in modules if m.path not in paired]

        rest = take(new, lambda module: module.name)
        rest = take(rest, lambda module: module.renamed_from)
        for module in rest:
            alike = [candidate for candidate in left.values() if candidate.type == module.type]
            best = max(alike, key=lambda other: self._similarity(other, module), default=None)
            if best is not None and self._similarity(best, module) > 0.5:
                pairs.append((left.pop(best.name), module))
        return pairs

    def _pair_moved(self) -> None:
        """Pair what was removed in one place and added in another, where it is unambiguous."""
        removed = self._unpaired(self.old, self.successor)
        added = self._unpaired(self.new, self.partner)
        for number, candidates in added.items():
            if len(candidates) == 1 and len(removed.get(number, ())) == 1:
                (old, was_there), (new, is_there) = removed[number][0], candidates[0]
                if was_there or is_there:
                    self._pair(old, new)

    def _unpaired(
        self, root: Outline, paired: Mapping[str, Outline]
    ) -> dict[int, list[tuple[Outline, bool]]]:
        """Number → the unpaired modules of that number, and whether their parents are paired."""
        unpaired: dict[int, list[tuple[Outline, bool]]] = {}
        for module in root.walk():
            if module.path not in paired and (module.children or module.holds):
                parent = module.path.rpartition(".")[0]
                number = self._numbers.number(module)
                unpaired.setdefault(number, []).append((module, parent in paired))
        return unpaired

    # ---------------------------------------------------------------------------------- similarity

    def _similarity(self, old: Outline, new: Outline) -> float:
        """From 0 for nothing in common to 1, which only equal modules have."""
        if self.is_same(old, new):
            return 1.0
        key = self._numbers.number(old), self._numbers.number(new)
        if key not in self._similarities:
            first, second = self._describe(old), self._describe(new)
            common = (first & second).total()
            share = 2 * common / max(first.total() + second.total(), 1)
            same_type = old.type == new.type
            renamed = 0.49 * share if share > _MIN_RENAMED_SIMILARITY else 0.0
            self._similarities[key] = 0.5 + 0.49 * share if same_type else renamed
        return self._similarities[key]

    def _describe(self, module: Outline) -> Counter[tuple[str, str, str]]:
        """Every argument below a module, with its place among the names."""
        number = self._numbers.number(module)
        if number not in self._features:
            start = len(module.path) + 1 if module.path else 0
            self._features[number] = Counter(
                (part.path[start:] if part is not module else "", name, value)
                for part in module.walk()
                for name, value in _facts(part, is_root=part is module)
            )
        return self._features[number]


def _facts(module: Outline, *, is_root: bool) -> list[tuple[str, str]]:
    return [*([] if is_root else [("type", module.type)]), *module.arguments.items()]


def _top(root: Outline, depth: int = _MAX_ROOT_DEPTH) -> Iterator[Outline]:
    for child in root.children:
        yield child
        if depth > 1:
            yield from _top(child, depth - 1)


def _are_numbered(children: Sequence[Outline]) -> bool:
    return all(child.name == str(i) for i, child in enumerate(children))
