"""``diff``: compares two specs as YAML, as trees of modules, as sets of tensors, and in cost."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from archspec.differences.alignment import Alignment
from archspec.differences.change_set import CostChange, PlanChange
from archspec.differences.changes import spec_changes, tensor_changes, tree_changes
from archspec.differences.deltas import compare
from archspec.differences.normal_form import content
from archspec.differences.outline import Tensor, outline
from archspec.differences.report import Diff
from archspec.errors import ArchspecError, FreezeError, Problem, UsageError, did_you_mean
from archspec.lang import adapters, roots
from archspec.lang.spec import Spec, as_spec
from archspec.lang.yaml import flow

if TYPE_CHECKING:
    from torch import nn

    from archspec.inspection import Figure, Inspection

LEVELS = ("spec", "tree", "tensors", "cost")

Source = str | os.PathLike[str] | Spec


def diff(
    a: Source,
    b: Source,
    *,
    levels: Sequence[str] = LEVELS,
    freeze: str | Sequence[str] | None = None,
) -> Diff:
    """The differences between two specs, and what becomes of a checkpoint of the first.

    Args:
        a: the spec before: a path, a packaged spec's name, or a Spec.
        b: the spec after.
        levels: what is compared. ``spec``: the content of the YAML with its parents merged in,
            whatever its layout. ``tree``: the modules, aligned so that an inserted module is one
            insertion. ``tensors``: which tensors of ``a`` load into ``b``. ``cost``: the figures
            of ``inspect`` side by side, and the trainable parameters under each freeze plan. The
            first two do not need torch.
        freeze: a plan or patterns under which the cost is measured.

    Returns:
        The changes, with their places on both sides; false if there are none. It is also a patch:
        ``diff(a, b).apply(a)`` is equivalent to ``b``.

    Raises:
        SpecError, ShapeError, BuildError: one of the specs is wrong.
        FreezeError: a spec has no such plan.
        UsageError: E801 for an unknown level.

    Example:
        >>> changes = diff("resnet18", "resnet34", levels=["spec"])
        >>> [change.new.value for change in changes.spec if change.path[0] == "params"]
        [[3, 4, 6, 3]]
    """
    chosen = _chosen(levels)
    old, new = as_spec(a, {}), as_spec(b, {})
    notes: list[str] = []
    result = Diff(_label(old), _label(new), chosen)
    if "spec" in chosen:
        delta = compare(content(old), content(new))
        result = replace(result, delta=delta, spec=tuple(spec_changes(delta, old, new)))
    models = [on_meta(spec) for spec in (old, new)] if set(chosen) & {"tensors", "cost"} else []
    if "tree" in chosen or "tensors" in chosen:
        states = [state_of(model) for model in models] or [None, None]
        aligned = Alignment(outline(old, states[0]), outline(new, states[1]))
        if "tree" in chosen:
            result = replace(result, tree=tuple(tree_changes(aligned)))
        if "tensors" in chosen:
            result = replace(result, tensors=tuple(tensor_changes(aligned)))
    if "cost" in chosen:
        cost = tuple(_cost(old, new, freeze, notes))
        plans = tuple(_plans(old, new, models))
        result = replace(result, cost=cost, plans=plans, notes=tuple(notes))
    return result


def _label(spec: Spec) -> str:
    """The spec's name, and the values that override its parameters."""
    adapter = spec.adapter.name if spec.adapter else None
    values = {roots.CHOICE: spec.root.type, adapters.CHOICE: adapter, **spec.values}
    overrides = [
        f"{name}={flow(_listed(values[name]))}" for name in spec.overrides if name in values
    ]
    return " ".join([spec.name, *overrides])


def _listed(value: object) -> object:
    return list(cast("tuple[object, ...]", value)) if isinstance(value, tuple) else value


def _chosen(levels: Sequence[str]) -> tuple[str, ...]:
    names = [levels] if isinstance(levels, str) else list(levels)
    for level in names:
        if level not in LEVELS:
            hint = did_you_mean(str(level), LEVELS) or f"levels: {', '.join(LEVELS)}"
            raise UsageError(Problem("E801", f"'{level}' is no level of a diff", hint=hint))
    return tuple(level for level in LEVELS if level in names)


# What follows imports torch: it is needed for tensors and cost only.


def on_meta(spec: Spec) -> nn.Module:
    """The model without memory."""
    from archspec.builder import build

    return build(spec, device="meta")


def state_of(model: nn.Module) -> dict[str, Tensor]:
    """What the model's ``state_dict`` holds: shapes and dtypes by name."""
    first: dict[int, str] = {}
    state: dict[str, Tensor] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        owner = first.setdefault(id(tensor), name)
        dtype = str(tensor.dtype).removeprefix("torch.")
        state[name] = Tensor(tuple(tensor.shape), dtype, "" if owner == name else owner)
    return state


def _cost(
    old: Spec, new: Spec, freeze: str | Sequence[str] | None, notes: list[str]
) -> Iterator[CostChange]:
    """Totals and memory of both specs; ``notes`` says what could not be run on ``meta``."""
    from archspec.inspection import inspect

    figures: list[dict[str, Figure]] = []
    measured: list[str] = []
    for spec in (old, new):
        try:
            inspection = inspect(spec, freeze=freeze)
        except FreezeError:
            raise
        except ArchspecError as error:
            notes.append(f"The cost of {spec.name} was not measured: {error.message}.")
            figures.append({})
            continue
        figures.append(_figures(inspection))
        measured.append(_conditions(inspection))
    notes += dict.fromkeys(measured)
    for name in figures[0] | figures[1]:
        yield CostChange(name, figures[0].get(name), figures[1].get(name))


def _figures(inspection: Inspection) -> dict[str, Figure]:
    return {
        "parameters": inspection.parameters,
        "trainable parameters": inspection.trainable,
        "buffers": inspection.buffers,
        "MACs": inspection.macs,
        "training memory": inspection.memory.training,
        "inference memory": inspection.memory.inference,
    }


def _conditions(inspection: Inspection) -> str:
    sizes = ", ".join(f"{name}={size}" for name, size in inspection.dims.items())
    plan = inspection.freeze
    plan = " ".join(plan) if isinstance(plan, tuple) else plan
    frozen = f"freeze plan {plan}" if plan else "nothing frozen"
    parts = filter(None, [sizes, inspection.precision, inspection.optimizer, frozen])
    return f"Cost at {', '.join(parts)}."


def _plans(old: Spec, new: Spec, models: Sequence[nn.Module]) -> Iterator[PlanChange]:
    """Trainable parameters under each plan."""
    from archspec.freezing import freeze

    counts = [
        {name: freeze(model, name, spec=spec).trainable for name in spec.architecture.freeze}
        for spec, model in zip((old, new), models, strict=True)
    ]
    for name in counts[0] | counts[1]:
        yield PlanChange(name, counts[0].get(name), counts[1].get(name))
