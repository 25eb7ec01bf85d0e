"""Changes as data: of the spec, the tree, the tensors, the cost and the freeze plans."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from archspec.differences.deltas import Delta
from archspec.differences.outline import Tensor
from archspec.errors import Place, place_fields
from archspec.lang.yaml import Path

if TYPE_CHECKING:
    from archspec.inspection.figures import Figure

ChangeKind = Literal["added", "removed", "changed", "moved"]
Status = Literal["same", "renamed", "resized", "tied", "untied", "new", "lost"]


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a change in a spec.

    Attributes:
        path: keys and indices from the top of the spec.
        value: plain data, as YAML has it.
        place: where it stands; None if an override sets it.
        origin: the place as ``file:line``, or the override.
    """

    path: Path
    value: Any
    place: Place | None
    origin: str

    def to_dict(self) -> dict[str, Any]:
        return {"path": list(self.path), "value": self.value, "origin": self.origin}


@dataclass(frozen=True, slots=True)
class SpecChange:
    """A change in the content of the spec: a parameter, a module, a forward step, a pattern.

    ``moved`` is a change of order alone: among inputs, modules, renames.
    """

    kind: ChangeKind
    old: Side | None
    new: Side | None

    @property
    def path(self) -> Path:
        return cast("Side", self.new or self.old).path

    def to_dict(self) -> dict[str, Any]:
        sides = {"old": self.old, "new": self.new}
        return {"kind": self.kind, **{k: s.to_dict() if s else None for k, s in sides.items()}}


@dataclass(frozen=True, slots=True)
class TreeChange:
    """A change of the module tree; an added or removed module stands for all below it.

    Attributes:
        kind: ``moved`` is in the tree as it was, at another path or another place in the order.
        old, new: the paths on either side; None where there is no such module.
        old_type, new_type: class names.
        arguments: name → both values, as Python writes them; None on one side if not given there.
        modules: how many modules are added or removed.
        wraps: modules below it that were there before and have not changed much.
        old_place, new_place: where it is declared.
    """

    kind: ChangeKind
    old: str | None
    new: str | None
    old_type: str = ""
    new_type: str = ""
    arguments: Mapping[str, tuple[str | None, str | None]] = field(
        default_factory=dict[str, tuple[str | None, str | None]]
    )
    modules: int = 1
    wraps: tuple[str, ...] = ()
    old_place: Place | None = None
    new_place: Place | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "old": _side(self.old, self.old_type, self.old_place),
            "new": _side(self.new, self.new_type, self.new_place),
            "arguments": {name: list(pair) for name, pair in self.arguments.items()},
            "modules": self.modules,
            "wraps": list(self.wraps),
        }


@dataclass(frozen=True, slots=True)
class TensorChange:
    """What becomes of one tensor of a ``state_dict``.

    Attributes:
        status: ``same`` loads as it is; ``renamed`` has another name, ``resized`` another shape or
            dtype (and perhaps another name); ``tied`` is now the same tensor as another, ``untied``
            was; ``new`` is in the second model alone, ``lost`` in the first.
        old_name, new_name: the names on either side.
        old, new: shape and dtype on either side.
        rule: the ``renamed_from`` by which a checkpoint of the first model loads all the same.
    """

    status: Status
    old_name: str | None
    new_name: str | None
    old: Tensor | None
    new: Tensor | None
    rule: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {
            "status": self.status,
            "old": _tensor(self.old_name, self.old),
            "new": _tensor(self.new_name, self.new),
            "rule": self.rule,
        }


@dataclass(frozen=True, slots=True)
class CostChange:
    """A figure of both models; a side that cannot be measured is None."""

    name: str
    old: Figure | None
    new: Figure | None

    def to_dict(self) -> dict[str, Any]:
        figure = cast("Figure", self.old or self.new)
        return {
            "name": self.name,
            "unit": figure.unit,
            "exact": all(f.exact for f in (self.old, self.new) if f),
            "old": self.old.value if self.old else None,
            "new": self.new.value if self.new else None,
        }


@dataclass(frozen=True, slots=True)
class PlanChange:
    """A freeze plan of either spec: how many parameters it leaves trainable; None: no such plan."""

    name: str
    old: int | None
    new: int | None


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """What differs between two specs, as data; false if nothing does.

    Attributes:
        old, new: the names of the specs.
        levels: what was compared: ``spec``, ``tree``, ``tensors``, ``cost``.
        spec, tree: the changes, in order.
        tensors: every tensor of either model.
        cost: figures of both models, whether they differ or not.
        plans: the freeze plans of both specs.
        notes: what could not be measured, and why.
        delta: the changes of the spec as a patch.
    """

    old: str
    new: str
    levels: tuple[str, ...]
    spec: tuple[SpecChange, ...] = ()
    tree: tuple[TreeChange, ...] = ()
    tensors: tuple[TensorChange, ...] = ()
    cost: tuple[CostChange, ...] = ()
    plans: tuple[PlanChange, ...] = ()
    notes: tuple[str, ...] = ()
    delta: Delta | None = None

    def __bool__(self) -> bool:
        tensors = any(tensor.status != "same" for tensor in self.tensors)
        figures = any(row.old != row.new for row in (*self.cost, *self.plans))
        return bool(self.spec or self.tree or tensors or figures)

    def tensor_counts(self) -> dict[Status, tuple[int, int]]:
        """Status → how many tensors there are of it, and how many elements these have."""
        numbers: Counter[Status] = Counter()
        elements: Counter[Status] = Counter()
        for tensor in self.tensors:
            numbers[tensor.status] += 1
            elements[tensor.status] += cast("Tensor", tensor.new or tensor.old).elements
        order: Sequence[Status] = get_args(Status)
        return {status: (numbers[status], elements[status]) for status in order}


def _side(path: str | None, kind: str, place: Place | None) -> dict[str, Any] | None:
    if path is None:
        return None
    return {"path": path, "type": kind, **place_fields(place, "file", "line")}


def _tensor(name: str | None, tensor: Tensor | None) -> dict[str, Any] | None:
    if tensor is None:
        return None
    shape, shared = list(tensor.shape), tensor.shared or None
    return {"name": name, "shape": shape, "dtype": tensor.dtype, "shared": shared}
