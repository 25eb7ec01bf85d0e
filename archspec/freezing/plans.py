"""Which plan is meant: one of the spec's by its name, or patterns given directly."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from archspec.building.origins import spec_of
from archspec.errors import FreezeError, Place, Problem, UsageError, did_you_mean, listing
from archspec.lang.schema import FreezePlan
from archspec.lang.spec import Spec, as_spec

Plan = str | Sequence[str]
Source = str | os.PathLike[str] | Spec


@dataclass(frozen=True, slots=True)
class ChosenPlan:
    """A plan with its name, None for patterns, and the places of its patterns, if they have any."""

    name: str | None
    plan: FreezePlan
    places: tuple[Place | None, ...]


def choose(
    model: nn.Module, plan: Plan, spec: Source | None, switches: Mapping[str, bool | None]
) -> ChosenPlan:
    """The plan, with the switches that are not None in place of its own.

    Raises:
        FreezeError: E703 for an unknown name, or a name where no spec is known.
        UsageError: E801 for anything but a name or patterns, or a switch that is no bool.
    """
    given = {name: value for name, value in switches.items() if value is not None}
    for name, value in given.items():
        if not isinstance(value, bool):
            raise _usage(f"{name} is True, False or None, not {value!r}")
    found = _named(model, plan, spec) if isinstance(plan, str) else _of_patterns(plan)
    return ChosenPlan(found.name, found.plan.model_copy(update=given), found.places)


def _of_patterns(plan: object) -> ChosenPlan:
    if not isinstance(plan, Sequence) or not all(isinstance(text, str) for text in plan):
        raise _usage("freeze takes a plan's name or a list of patterns")
    return ChosenPlan(None, FreezePlan(patterns=list(plan)), (None,) * len(plan))


def _named(model: nn.Module, name: str, source: Source | None) -> ChosenPlan:
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
    long_form = document.has(("freeze", name, "patterns"))
    at = ("freeze", name, "patterns") if long_form else ("freeze", name)
    places = tuple(document.place((*at, i)) for i in range(len(plan.patterns)))
    return ChosenPlan(name, plan, places)


def _usage(message: str) -> UsageError:
    return UsageError(Problem("E801", message))
