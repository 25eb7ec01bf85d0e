"""Resolves a freeze plan: one of the spec's by its name, or patterns given directly."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from torch import nn

from archspec.building.built_specs import spec_of
from archspec.errors import FreezeError, Place, Problem, UsageError, did_you_mean, listing
from archspec.lang.layer_parts import entries
from archspec.lang.patterns import Pattern, Tree
from archspec.lang.schema import FreezePlan
from archspec.lang.spec import Spec, as_spec

Plan = str | Sequence[str]
Source = str | os.PathLike[str] | Spec


@dataclass(frozen=True, slots=True)
class ResolvedPlan:
    """A plan with its name (None for patterns) and the places of its patterns, if known.

    Attributes:
        spec: that of a named plan, of which the model may lack what a ``when`` leaves out.
    """

    name: str | None
    plan: FreezePlan
    places: tuple[Place | None, ...]
    spec: Spec | None = None

    def is_of_left_out(self, pattern: Pattern) -> bool:
        """Whether a pattern selects something with other values of the spec's parameters alone."""
        if self.spec is None or (tree := self.spec.everything) is None:
            return False
        # What these values have, a model without it lacks for another reason: it is not the spec's.
        here = Tree(entries(self.spec.plain.root))
        return bool(tree.select(pattern)) and not here.select(pattern)


def resolve(
    model: nn.Module, plan: Plan, spec: Source | None, switches: Mapping[str, bool | None]
) -> ResolvedPlan:
    """The plan, with the switches that are not None instead of its own.

    Raises:
        FreezeError: E703 for an unknown name, or a name without a spec.
        UsageError: E801 for anything but a name or patterns, or a switch that is not a bool.
    """
    overrides = {name: value for name, value in switches.items() if value is not None}
    for name, value in overrides.items():
        if not isinstance(value, bool):
            raise _usage(f"{name} is True, False or None, not {value!r}")
    resolved = _by_name(model, plan, spec) if isinstance(plan, str) else _from_patterns(plan)
    return replace(resolved, plan=resolved.plan.model_copy(update=overrides))


def _from_patterns(plan: object) -> ResolvedPlan:
    if not isinstance(plan, Sequence) or not all(isinstance(text, str) for text in plan):
        raise _usage("freeze takes a plan's name or a list of patterns")
    return ResolvedPlan(None, FreezePlan(patterns=list(plan)), (None,) * len(plan))


def _by_name(model: nn.Module, name: str, source: Source | None) -> ResolvedPlan:
    spec = as_spec(source, {}) if source is not None else spec_of(model)
    if spec is None:
        message = f"no spec is known in which to look up the freeze plan '{name}'"
        hint = "the model is a copy or was built elsewhere: give spec=…, or a list of patterns"
        raise FreezeError(Problem("E703", message, hint=hint))
    plans = spec.architecture.freeze
    if name not in plans:
        hint = did_you_mean(name, plans) or f"plans: {listing(list(plans)) or 'none'}"
        raise FreezeError(Problem("E703", f"{spec.name} has no freeze plan '{name}'", hint=hint))
    plan, document = plans[name], spec.document
    if spec.adapter is not None and name == spec.adapter.name:  # the adapter's own
        at = ("adapters", name)
        place = document.place(at, key=True) if document.has(at) else None
        return ResolvedPlan(name, plan, (place,) * len(plan.patterns), spec)
    long_form = document.has(("freeze", name, "patterns"))
    path = ("freeze", name, "patterns") if long_form else ("freeze", name)
    places = tuple(document.place((*path, i)) for i in range(len(plan.patterns)))
    return ResolvedPlan(name, plan, places, spec)


def _usage(message: str) -> UsageError:
    return UsageError(Problem("E801", message))
