"""``freeze``: resolves the plan first, then sets gradients and modes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from torch import nn

from archspec.freezing.modes import (
    depends_on_mode,
    has_statistics,
    keep_in_eval,
    mode_of,
    release,
    stays_in_inference,
)
from archspec.freezing.plans import Plan, ResolvedPlan, Source, resolve
from archspec.freezing.report import FreezeReport, PatternFound, SharedFrozen
from archspec.freezing.selection import Selection, check_module
from archspec.lang.schema import FreezePlan


def freeze(
    model: nn.Module,
    plan: Plan,
    *,
    spec: Source | None = None,
    gradients: bool | None = None,
    statistics: bool | None = None,
    dropout: bool | None = None,
) -> FreezeReport:
    """Freeze what a plan selects and unfreeze everything else; the last call wins.

    A frozen parameter has ``requires_grad=False`` and no gradient, not even an old one. A module
    whose content is completely frozen stays in inference mode: the running statistics of BatchNorm
    do not change and dropout is off even after ``model.train()``. A parameter with several names is
    frozen if one of them is. On an error the model is not changed.

    Args:
        model: any module; what no pattern selects is trained.
        plan: the name of one of the spec's plans, or patterns: ``["**", "!classifier"]``.
        spec: the spec with the plan, if the model was not built here: a path, the name of a
            packaged spec, or a Spec.
        gradients: whether frozen parameters get no gradient. Default: as in the plan.
        statistics: whether running statistics of frozen norms are constant. Default: as in the
            plan.
        dropout: whether frozen modules other than norms stay in inference mode, with dropout off.
            Default: as in the plan.

    Returns:
        What each pattern selects and decides, with exact counts of parameters (elements).

    Raises:
        FreezeError: E701 for patterns that select nothing, E702 for invalid patterns, E703 for an
            unknown plan.
        UsageError: E801 for invalid arguments.

    Example:
        >>> import archspec
        >>> model = archspec.build("bert", device="meta")
        >>> freeze(model, "last-2-and-head").trainable
        14177282
        >>> freeze(model, ["**", "!classifier"]).trainable
        1538
    """
    check_module(model)
    switches = {"gradients": gradients, "statistics": statistics, "dropout": dropout}
    resolved = resolve(model, plan, spec, switches)
    selection = Selection(model, resolved)
    _set_gradients(selection, resolved.plan)
    _set_modes(model, selection, resolved.plan)
    return _report(model, selection, resolved)


def _set_gradients(selection: Selection, plan: FreezePlan) -> None:
    for parameter in selection.parameters:
        tensor = parameter.tensor
        if plan.gradients and selection.is_frozen(parameter):
            tensor.requires_grad_(False)
            tensor.grad = None  # with an old one, even of zeros, weight decay would change it
        elif tensor.is_floating_point() or tensor.is_complex():
            tensor.requires_grad_(True)


def _set_modes(model: nn.Module, selection: Selection, plan: FreezePlan) -> None:
    mode = mode_of(model)
    for module in selection.modules.values():
        release(module, mode)
    for module in selection.fully_frozen:
        # Any module may call dropout as a function; only norms keep statistics.
        if plan.statistics if has_statistics(module) else plan.dropout:
            keep_in_eval(module, mode)


# ------------------------------------------------------------------------------------------ report


def _report(model: nn.Module, selection: Selection, resolved: ResolvedPlan) -> FreezeReport:
    modules = [m for m in dict.fromkeys(selection.modules.values()) if depends_on_mode(m)]
    plan, tensors = resolved.plan, [one.tensor for one in selection.parameters]
    return FreezeReport(
        model=type(model).__name__,
        plan=resolved.name,
        gradients=plan.gradients,
        statistics=plan.statistics,
        dropout=plan.dropout,
        patterns=tuple(_patterns(selection, resolved)),
        parameters=sum(t.numel() for t in tensors),
        trainable=sum(t.numel() for t in tensors if t.requires_grad),
        inference=_by_type(m for m in modules if stays_in_inference(m)),
        training=_by_type(m for m in modules if not stays_in_inference(m)),
        ties=tuple(_ties(selection)) if plan.gradients else (),
    )


def _patterns(selection: Selection, plan: ResolvedPlan) -> Iterable[PatternFound]:
    decided: Counter[int | None] = Counter()
    for parameter in selection.parameters:
        decided[selection.decider(parameter)] += parameter.tensor.numel()
    deciding = set(selection.decided_by.values())
    for i, pattern in enumerate(selection.patterns):
        selected = [selection.tree.entries[index] for index in selection.tree.select(pattern)]
        modules = sum(entry.type is not None for entry in selected)
        yield PatternFound(
            text=pattern.text,
            freezes=not pattern.negated,
            modules=modules,
            tensors=len(selected) - modules,
            parameters=decided[i],
            overruled=bool(selected) and i not in deciding,
            place=plan.places[i],
        )


def _by_type(modules: Iterable[nn.Module]) -> dict[str, int]:
    return dict(Counter(type(module).__name__ for module in modules).most_common())


def _ties(selection: Selection) -> Iterable[SharedFrozen]:
    """The shared parameters that the plan freezes under only some of their names."""
    for parameter in selection.parameters:
        frozen = tuple(name for name in parameter.names if selection.freezes(name))
        if frozen and len(frozen) < len(parameter.names):
            yield SharedFrozen(parameter.names, frozen)
