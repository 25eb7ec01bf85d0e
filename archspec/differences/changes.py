"""A delta of two specs as single changes; an alignment of two trees as changes of modules."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from typing import Any

from archspec.differences.alignment import Alignment
from archspec.differences.change_set import Side, SpecChange, Status, TensorChange, TreeChange
from archspec.differences.deltas import Added, Delta, Listed, Mapped, Removed
from archspec.differences.normal_form import content, origin, place
from archspec.differences.outline import Outline, join
from archspec.lang.spec import Spec
from archspec.lang.yaml import Path

# ------------------------------------------------------------------------------------------- specs


def spec_changes(delta: Delta | None, old: Spec, new: Spec) -> Iterator[SpecChange]:
    """Every change of ``delta``, with its places in both specs."""
    if delta is not None:
        yield from _Flattener(old, new).changes(delta, (), ())


class _Flattener:
    def __init__(self, old: Spec, new: Spec) -> None:
        self.old, self.new = old, new
        self.old_content = content(old)

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
            before_order = [key for key in self._at(before) if key in delta.order]
            if before_order != [key for key in delta.order if key in before_order]:
                old = self._side(self.old, before, before_order)
                yield SpecChange("moved", old, self._side(self.new, after, list(delta.order)))

    def _at(self, path: Path) -> Any:
        value: Any = self.old_content
        for step in path:
            value = value[step]
        return value

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


def tree_changes(alignment: Alignment) -> Iterator[TreeChange]:
    """What is removed, in the order of the old tree; then the rest, in that of the new one."""
    for module in alignment.old.walk():
        if _is_top(module, alignment.successor):
            yield TreeChange(
                kind="removed",
                old=module.path,
                new=None,
                old_type=module.type,
                arguments={name: (text, None) for name, text in module.arguments.items()},
                **_extent(module, alignment.successor),
                old_place=module.place,
            )
    out_of_order = _out_of_order(alignment)
    for module in alignment.new.walk():
        if _is_top(module, alignment.partner):
            yield TreeChange(
                kind="added",
                old=None,
                new=module.path,
                new_type=module.type,
                arguments={name: (None, text) for name, text in module.arguments.items()},
                **_extent(module, alignment.partner),
                new_place=module.place,
            )
        elif module.path in alignment.partner:
            yield from _change(alignment, module, module.path in out_of_order)


def _is_top(module: Outline, paired: Mapping[str, Outline]) -> bool:
    """Whether a module has no counterpart, but its parent has one."""
    parent = module.path.rpartition(".")[0]
    return module.path not in paired and (not module.path or parent in paired)


def _extent(module: Outline, paired: Mapping[str, Outline]) -> dict[str, Any]:
    """How many modules below have no counterpart, and which of their children have one."""
    unpaired = [part for part in module.walk() if part.path not in paired]
    children = [child for part in unpaired for child in part.children]
    wraps = tuple(child.path for child in children if child.path in paired)
    return {"modules": len(unpaired), "wraps": wraps}


def _change(alignment: Alignment, new: Outline, out_of_order: bool) -> Iterator[TreeChange]:
    old = alignment.partner[new.path]
    names = dict.fromkeys([*old.arguments, *new.arguments])
    pairs = {name: (old.arguments.get(name), new.arguments.get(name)) for name in names}
    arguments = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    differs = bool(arguments) or old.type != new.type
    if differs or out_of_order or _has_moved(alignment, old, new):
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


def _has_moved(alignment: Alignment, old: Outline, new: Outline) -> bool:
    """Whether it has another parent or name; another number in a container is no move."""
    if not old.path or not new.path:
        return old.path != new.path
    (before, _, old_name), (after, _, new_name) = (m.path.rpartition(".") for m in (old, new))
    parent = alignment.partner.get(after)
    numbered = old_name.isdecimal() and new_name.isdecimal()
    return parent is None or parent.path != before or (old_name != new_name and not numbered)


def _out_of_order(alignment: Alignment) -> set[str]:
    """The smallest set of children whose moves explain the new order of registration."""
    moved: set[str] = set()
    for parent in alignment.new.walk():
        old = alignment.partner.get(parent.path)
        if old is None or alignment.is_same(old, parent):
            continue
        position = {child.path: i for i, child in enumerate(old.children)}
        partners = [(child, alignment.partner.get(child.path)) for child in parent.children]
        there = [(c.path, position[p.path]) for c, p in partners if p and p.path in position]
        staying = _longest_increasing([place for _, place in there])
        moved |= {path for path, place in there if place not in staying}
    return moved


def _longest_increasing(values: list[int]) -> set[int]:
    """The members of a longest increasing subsequence."""
    tails: list[int] = []  # the smallest last value of a subsequence of each length
    before: dict[int, int | None] = {}
    for value in values:
        position = bisect_left(tails, value)
        before[value] = tails[position - 1] if position else None
        tails[position : position + 1] = [value]
    members: set[int] = set()
    last = tails[-1] if tails else None
    while last is not None:
        members.add(last)
        last = before[last]
    return members


# ----------------------------------------------------------------------------------------- tensors


def tensor_changes(alignment: Alignment) -> Iterator[TensorChange]:
    """Every tensor of either model: those of the new one in order, then those that are lost."""
    return iter(_Tensors(alignment).changes())


class _Tensors:
    def __init__(self, alignment: Alignment) -> None:
        self.alignment = alignment
        self.before = alignment.old.state()
        self.now = alignment.new.state()
        self.older = {"": ""}  # what modules were called, where renamed_from says so
        for module in alignment.new.walk():
            if module.path:
                parent = self.older[module.path.rpartition(".")[0]]
                self.older[module.path] = join(parent, module.renamed_from or module.name)
        self.sources = self._sources()

    def _sources(self) -> dict[str, str]:
        """New name → old name: by module, else by equal name, shape and dtype."""
        sources: dict[str, str] = {}
        for module in self.alignment.new.walk():
            old = self.alignment.partner.get(module.path)
            for name in module.tensors if old else ():
                if old and name in old.tensors:
                    sources[join(module.path, name)] = join(old.path, name)
        left = self.before.keys() - sources.values()
        for name, tensor in self.now.items():
            if name not in sources and name in left and self.before[name] == tensor:
                sources[name] = name
        return sources

    def changes(self) -> Iterator[TensorChange]:
        for name, tensor in self.now.items():
            old_name = self.sources.get(name)
            if old_name is None:
                yield TensorChange("new", None, name, None, tensor)
                continue
            before = self.before[old_name]
            rule = "renamed_from" if old_name != name and self._older(name) == old_name else ""
            status = self._status(old_name, name)
            yield TensorChange(status, old_name, name, before, tensor, rule)
        taken = set(self.sources.values())
        for name, tensor in self.before.items():
            if name not in taken:
                yield TensorChange("lost", name, None, tensor, None)

    def _status(self, old_name: str, name: str) -> Status:
        before, tensor = self.before[old_name], self.now[name]
        if before != tensor:
            return "resized"
        if bool(before.shared) != bool(tensor.shared):
            return "tied" if tensor.shared else "untied"
        if tensor.shared and self.sources.get(tensor.shared) != before.shared:
            return "tied"
        return "same" if old_name == name else "renamed"

    def _older(self, name: str) -> str:
        """What a tensor was called before its modules were renamed."""
        module = name.rpartition(".")[0]
        while module not in self.older:
            module = module.rpartition(".")[0]
        return join(self.older[module], name[len(module) :].removeprefix("."))
