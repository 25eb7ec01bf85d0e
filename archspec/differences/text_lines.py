"""Changes in words: the lines that the terminal, Markdown and HTML show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePath

from archspec.differences.change_set import (
    ChangeSet,
    CostChange,
    PlanChange,
    Side,
    SpecChange,
    TensorChange,
    TreeChange,
)
from archspec.differences.patching import dotted
from archspec.errors import Place
from archspec.lang.yaml import flow
from archspec.report.folding import fold_paths
from archspec.report.text import shortened

MAX_VALUE = 100  # characters of one value
ROOT = "(the root)"
KINDS = {
    "same": "kept",
    "added": "added",
    "removed": "removed",
    "changed": "changed",
    "moved": "moved",
    "renamed": "moved",
    "resized": "changed",
    "tied": "changed",
    "untied": "changed",
    "new": "added",
    "lost": "removed",
}
"""Kind of change or status of a tensor → how it is marked."""

_MEANING = {
    "same": "the same",
    "renamed": "under another name",
    "resized": "of another shape or dtype",
    "tied": "now shared with another name",
    "untied": "no longer shared with another name",
    "new": "new",
    "lost": "lost",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One change: its kind, what changed, how, and where, in words and as places."""

    kind: str
    what: str
    how: str = ""
    where: str = ""
    old: Place | None = None
    new: Place | None = None


@dataclass(frozen=True, slots=True)
class Figures:
    """A table of numbers: name, both sides, difference."""

    title: str
    rows: tuple[tuple[str, str, str, str], ...]


def title(change_set: ChangeSet) -> str:
    return f"{change_set.old} → {change_set.new}"


def verdict(change_set: ChangeSet) -> str:
    """The message if nothing differs."""
    compared = {
        "spec": "say the same",
        "tree": "have the same tree of modules",
        "tensors": "hold the same tensors",
    }
    same = [words for level, words in compared.items() if level in change_set.levels]
    return f"No difference: both {' and '.join(same or ['cost the same'])}."


def sections(change_set: ChangeSet) -> Iterator[tuple[str, list[Line]]]:
    """Title and lines of each level that has changes."""
    if change_set.spec:
        yield "Spec", [_spec_line(change) for change in change_set.spec]
    if change_set.tree:
        yield "Tree", list(_tree_lines(change_set.tree))
    if any(tensor.status != "same" for tensor in change_set.tensors):
        yield "Tensors", list(_tensor_lines(change_set))


def figures(change_set: ChangeSet) -> Iterator[Figures]:
    """The tables of numbers."""
    if change_set.cost:
        yield Figures("Cost", tuple(map(_cost_row, change_set.cost)))
    if change_set.plans:
        rows = tuple(map(_plan_row, change_set.plans))
        yield Figures("Trainable parameters under each freeze plan", rows)


# ------------------------------------------------------------------------------------------- spec


def _spec_line(change: SpecChange) -> Line:
    old, new = change.old, change.new
    path = change.path[:-1] if change.path[-1] == "default" else change.path
    if change.kind == "moved":
        how = f"now in the order {_short(new.value)}" if new else ""
    elif old and new:
        how = f"{_short(old.value)} → {_short(new.value)}"
    else:
        how = _short((new.value if new else None) if not old else old.value)
    where = _both(_origin(old), _origin(new))
    sides = (side.place if side else None for side in (old, new))
    return Line(change.kind, dotted(path), how, where, *sides)


def _short(value: object) -> str:
    return shortened(flow(value), MAX_VALUE)


def _origin(side: Side | None) -> str:
    if side is None:
        return ""
    return PurePath(side.origin).name if side.place else side.origin


# ------------------------------------------------------------------------------------------- tree


def _tree_lines(changes: Iterable[TreeChange]) -> Iterator[Line]:
    def paths(change: TreeChange) -> list[str]:
        return [path for path in (change.old, change.new) if path is not None]

    def rest(change: TreeChange) -> object:
        types, places = (change.old_type, change.new_type), (change.old_place, change.new_place)
        differ = tuple(change.arguments.items())
        return change.kind, types, differ, change.modules, len(change.wraps), places

    for written, group in fold_paths(changes, paths, rest):
        change = group[0]
        what = _both(*(path or ROOT for path in written))
        times = f"{len(group)} × " if len(group) > 1 else ""
        kind = _both(change.old_type, change.new_type)
        where = _both(_line(change.old_place), _line(change.new_place))
        how = f"{times}{kind}{_details(change, each=len(group) > 1)}"
        how = shortened(how, 2 * MAX_VALUE)
        yield Line(change.kind, what, how, where, change.old_place, change.new_place)


def _details(change: TreeChange, each: bool) -> str:
    pairs = change.arguments.items()
    if change.kind not in ("added", "removed"):
        return "".join(f", {name} {_value(old)} → {_value(new)}" for name, (old, new) in pairs)
    arguments = ", ".join(f"{name}={old if new is None else new}" for name, (old, new) in pairs)
    modules = f", {change.modules:,} modules{' each' * each}" if change.modules > 1 else ""
    more = "…" if len(change.wraps) > 3 else ""
    wraps = f", around {', '.join(change.wraps[:3])}{more}" if change.wraps else ""
    return f"{f'({arguments})' if arguments else ''}{modules}{wraps}"


def _value(value: str | None) -> str:
    return "not given" if value is None else value


def _line(place: Place | None) -> str:
    return f"{PurePath(place.file).name}:{place.line}" if place else ""


# ---------------------------------------------------------------------------------------- tensors


@dataclass(frozen=True, slots=True)
class _Group:
    """Tensors with the same status for the same reason: all below one module, or a single one."""

    status: str
    old: str | None
    new: str | None
    shapes: str
    rule: str
    tensors: int
    elements: int


def _tensor_lines(change_set: ChangeSet) -> Iterator[Line]:
    """The number of tensors of each status, then those that are not the same."""
    for status, (count, elements) in change_set.tensor_counts().items():
        if count:
            how = _elements(elements)
            tensors = "1 tensor" if count == 1 else f"{count:,} tensors"
            yield Line(KINDS[status], f"{tensors}: {_MEANING[status]}", how)

    def paths(head: _Group) -> list[str]:
        return [path for path in (head.old, head.new) if path is not None]

    def rest(head: _Group) -> object:
        return head.status, head.shapes, head.rule, head.tensors, head.elements

    for written, group in fold_paths(_grouped(change_set), paths, rest):
        head, times = group[0], len(group)
        count, elements = times * head.tensors, times * head.elements
        tensors = f"{count:,} tensors, " if count > 1 else ""
        shapes = f"{head.shapes}, " if head.shapes else ""
        how = f"{head.status}: {shapes}{tensors}{_elements(elements)}"
        where = f"by {head.rule}" if head.rule else ""
        yield Line(KINDS[head.status], _both(*written), how, where)


def _grouped(change_set: ChangeSet) -> list[_Group]:
    """The tensors that are not the same, grouped by the module that explains the change."""
    lost_modules = _uniform_modules(change_set, "lost")
    new_modules = _uniform_modules(change_set, "new")
    groups: dict[tuple[object, ...], list[TensorChange]] = {}
    for tensor in change_set.tensors:
        old, new, shapes = tensor.old_name, tensor.new_name, ""
        match tensor.status:
            case "same":
                continue
            case "lost":
                old = _below(lost_modules, old or "")
            case "new":
                new = _below(new_modules, new or "")
            case "renamed":
                old, new = _common_end(old or "", new or "")
            case "tied" | "untied":
                side = tensor.new if tensor.status == "tied" else tensor.old
                shapes = f"{_shapes(tensor)} with {side.shared}" if side else ""
            case _:
                shapes = _shapes(tensor)
        groups.setdefault((tensor.status, old, new, shapes, tensor.rule), []).append(tensor)
    return [_group(key, members) for key, members in groups.items()]


def _group(key: tuple[object, ...], members: list[TensorChange]) -> _Group:
    status, old, new, shapes, rule = key
    first = members[0]
    if len(members) == 1 and not shapes:  # as it is called, with its shape
        old, new, shapes = first.old_name, first.new_name, _shapes(first)
    elements = sum(side.elements for m in members if (side := m.new or m.old))
    return _Group(str(status), old, new, str(shapes), str(rule), len(members), elements)  # pyright: ignore[reportArgumentType]


def _uniform_modules(change_set: ChangeSet, status: str) -> set[str]:
    """Paths of modules all of whose tensors have this status."""
    names = [
        (tensor.old_name if status == "lost" else tensor.new_name, tensor.status == status)
        for tensor in change_set.tensors
    ]
    all_of, of_status = Counter[str](), Counter[str]()
    for name, has_it in names:
        for path in _above(name) if name else ():
            all_of[path] += 1
            of_status[path] += has_it
    return {path for path, count in all_of.items() if of_status[path] == count}


def _above(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:i]) for i in range(len(parts))]


def _below(modules: set[str], name: str) -> str:
    """The topmost of these modules around a tensor, as a pattern; else the tensor's name."""
    path = next((path for path in _above(name) if path in modules), None)
    if path is None:
        return name
    return f"{path}.**" if path else "**"


def _common_end(old: str, new: str) -> tuple[str, str]:
    """``a.0.x``, ``a.1.x`` as ``a.0.**``, ``a.1.**``: the rename of a module."""
    first, second = old.split("."), new.split(".")
    same = 0
    while same < min(len(first), len(second)) and first[-1 - same] == second[-1 - same]:
        same += 1
    if not same:
        return old, new
    heads = first[: len(first) - same], second[: len(second) - same]
    return ".".join([*heads[0], "**"]), ".".join([*heads[1], "**"])


def _elements(count: int) -> str:
    return "1 element" if count == 1 else f"{count:,} elements"


def _shapes(tensor: TensorChange) -> str:
    sides = [side for side in (tensor.old, tensor.new) if side]
    with_dtype = len({side.dtype for side in sides}) > 1
    return _both(*(f"{list(s.shape)}{f' {s.dtype}' if with_dtype else ''}" for s in sides))


# ------------------------------------------------------------------------------------------- cost


def _cost_row(row: CostChange) -> tuple[str, str, str, str]:
    sides = [side for side in (row.old, row.new) if side]
    unit = "" if row.name.endswith(sides[0].unit) else f", {sides[0].unit}"
    estimated = "" if all(side.exact for side in sides) else " (estimated)"
    name = f"{row.name}{unit}{estimated}"
    values = [f"{side.value:,}" if side else "not measured" for side in (row.old, row.new)]
    change = _signed(row.old.value, row.new.value) if row.old and row.new else ""
    return name, values[0], values[1], change


def _plan_row(plan: PlanChange) -> tuple[str, str, str, str]:
    old, new = plan.old, plan.new
    values = ["no such plan" if side is None else f"{side:,}" for side in (old, new)]
    change = "" if old is None or new is None else _signed(old, new)
    return plan.name, values[0], values[1], change


def _signed(old: int, new: int) -> str:
    if old == new:
        return "="
    share = (new - old) / old if old else 0.0
    return f"{new - old:+,}{f' ({share:+.1%})' if abs(share) >= 0.0005 else ''}"


def _both(*sides: str) -> str:
    return " → ".join(dict.fromkeys(filter(None, sides)))
