"""A delta of two specs as single changes, and an alignment of two trees as changes of modules."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from typing import Any

from archspec.differences.alignment import Alignment
from archspec.differences.content import is_ordered, origin, place
from archspec.differences.deltas import Added, Delta, Listed, Mapped, Removed
from archspec.differences.outline import Outline, join
from archspec.differences.report import Side, SpecChange, TensorChange, TreeChange
from archspec.source import Path
from archspec.spec import Spec

# ------------------------------------------------------------------------------------------- specs


def spec_changes(delta: Delta | None, old: Spec, new: Spec) -> Iterator[SpecChange]:
    """Every change of ``delta``, with its places in both specs."""
    if delta is not None:
        yield from _Flattener(old, new).changes(delta, (), ())


class _Flattener:
    def __init__(self, old: Spec, new: Spec) -> None:
        self.old, self.new = old, new

    def changes(self, delta: Delta, before: Path, after: Path) -> Iterator[SpecChange]:
        match delta:
            case Added():
                yield SpecChange("added", None, self._side(self.new, after, delta.value))
            case Removed():
                yield SpecChange("removed", self._side(self.old, before, delta.value), None)
            case Mapped():
                yield from self._of_mapping(delta, before, after)
            case Listed():
                yield from self._of_list(delta, before, after)
            case _:
                old = self._side(self.old, before, delta.old)
                yield SpecChange("changed", old, self._side(self.new, after, delta.new))

    def _of_mapping(self, delta: Mapped, before: Path, after: Path) -> Iterator[SpecChange]:
        for key, change in delta.entries.items():
            yield from self.changes(change, (*before, key), (*after, key))
        if delta.order:
            added = {key for key, change in delta.entries.items() if isinstance(change, Added)}
            if is_ordered(after, delta.order) and not added:
                order = list(delta.order)
                old = self._side(self.old, before, None)
                yield SpecChange("moved", old, self._side(self.new, after, order))

    def _of_list(self, delta: Listed, before: Path, after: Path) -> Iterator[SpecChange]:
        i = j = 0
        for edit in delta.edits:
            if edit is not None:
                yield from self.changes(edit, (*before, i), (*after, j))
            i += not isinstance(edit, Added)
            j += not isinstance(edit, Removed)

    def _side(self, spec: Spec, path: Path, value: Any) -> Side:
        return Side(path, value, place(spec, path), origin(spec, path))


# -------------------------------------------------------------------------------------------- tree


def tree_changes(found: Alignment) -> Iterator[TreeChange]:
    """What is removed, in the order of the old tree; then the rest, in that of the new one."""
    for module in found.old.walk():
        if _is_top(module, found.successor):
            yield TreeChange(
                kind="removed",
                old=module.path,
                new=None,
                old_type=module.type,
                arguments={name: (text, None) for name, text in module.arguments.items()},
                **_extent(module, found.successor),
                old_place=module.place,
            )
    out_of_order = _out_of_order(found)
    for module in found.new.walk():
        if _is_top(module, found.partner):
            yield TreeChange(
                kind="added",
                old=None,
                new=module.path,
                new_type=module.type,
                arguments={name: (None, text) for name, text in module.arguments.items()},
                **_extent(module, found.partner),
                new_place=module.place,
            )
        elif module.path in found.partner:
            yield from _change(found, module, module.path in out_of_order)


def _is_top(module: Outline, paired: Mapping[str, Outline]) -> bool:
    """Whether a module has no counterpart, but what holds it has one."""
    parent = module.path.rpartition(".")[0]
    return module.path not in paired and (not module.path or parent in paired)


def _extent(module: Outline, paired: Mapping[str, Outline]) -> dict[str, Any]:
    """How many modules have no counterpart either, and which of those below have one."""
    alone = [found for found in module.walk() if found.path not in paired]
    children = [child for found in alone for child in found.children]
    wraps = tuple(child.path for child in children if child.path in paired)
    return {"modules": len(alone), "wraps": wraps}


def _change(found: Alignment, new: Outline, out_of_order: bool) -> Iterator[TreeChange]:
    old = found.partner[new.path]
    names = dict.fromkeys([*old.arguments, *new.arguments])
    pairs = {name: (old.arguments.get(name), new.arguments.get(name)) for name in names}
    arguments = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    differs = bool(arguments) or old.type != new.type
    if differs or out_of_order or _has_moved(found, old, new):
        yield TreeChange(
            kind="changed" if differs else "moved",
            old=old.path,
            new=new.path,
            old_type=old.type,
            new_type=new.type,
            arguments=arguments,
            old_place=old.place,
            new_place=new.place,
        )


def _has_moved(found: Alignment, old: Outline, new: Outline) -> bool:
    """Whether it has another parent or name; another number in a container is no move."""
    if not old.path or not new.path:
        return old.path != new.path
    (before, _, old_name), (after, _, new_name) = (m.path.rpartition(".") for m in (old, new))
    parent = found.partner.get(after)
    numbered = old_name.isdecimal() and new_name.isdecimal()
    return parent is None or parent.path != before or (old_name != new_name and not numbered)


def _out_of_order(found: Alignment) -> set[str]:
    """Children that are registered in another order than they were: as few as explain it."""
    moved: set[str] = set()
    for parent in found.new.walk():
        old = found.partner.get(parent.path)
        if old is None or found.is_same(old, parent):
            continue
        position = {child.path: i for i, child in enumerate(old.children)}
        partners = [(child, found.partner.get(child.path)) for child in parent.children]
        there = [(c.path, position[p.path]) for c, p in partners if p and p.path in position]
        staying = _longest_rise([place for _, place in there])
        moved |= {path for path, place in there if place not in staying}
    return moved


def _longest_rise(values: list[int]) -> set[int]:
    """The members of a longest increasing subsequence."""
    tails: list[int] = []  # the smallest last value of a rise of each length
    before: dict[int, int | None] = {}
    for value in values:
        at = bisect_left(tails, value)
        before[value] = tails[at - 1] if at else None
        tails[at : at + 1] = [value]
    found: set[int] = set()
    last = tails[-1] if tails else None
    while last is not None:
        found.add(last)
        last = before[last]
    return found


# ----------------------------------------------------------------------------------------- tensors


def tensor_changes(found: Alignment) -> Iterator[TensorChange]:
    """Every tensor of either model: those of the new one in order, then those that are lost."""
    taken: set[str] = set()
    older = {"": ""}
    for module in found.new.walk():
        if module.path:
            parent = older[module.path.rpartition(".")[0]]
            older[module.path] = join(parent, module.renamed_from or module.name)
        old = found.partner.get(module.path)
        for name, tensor in module.tensors.items():
            new_name = join(module.path, name)
            before = old.tensors.get(name) if old else None
            if old is None or before is None:
                yield TensorChange("new", None, new_name, None, tensor)
                continue
            old_name = join(old.path, name)
            taken.add(old_name)
            renamed = old_name != new_name
            status = "resized" if before != tensor else "renamed" if renamed else "same"
            known = renamed and join(older[module.path], name) == old_name
            rule = "renamed_from" if known else ""
            yield TensorChange(status, old_name, new_name, before, tensor, rule)
    for name, tensor in found.old.state().items():
        if name not in taken:
            yield TensorChange("lost", name, None, tensor, None)
