"""``freeze``: everything is found out first, then gradients and modes are set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from torch import nn

from archspec.freezing.modes import heeds_mode, hold, keeps_statistics, mode_of, release, stays
from archspec.freezing.plans import ChosenPlan, Plan, Source, choose
from archspec.freezing.report import FreezeReport, PatternFound, Tie
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
    """Freeze what a plan selects, and thaw everything else: the last call wins.

    A frozen parameter has ``requires_grad=False`` and no gradient, not even an old one. A module
    all of whose content is frozen stays in inference mode, so that the running statistics of
    BatchNorm stand still and dropout is off even after ``model.train()``. A parameter with several
    names is frozen if one of them is. On an error the model is left as it was.

    Args:
        model: any module; what no pattern selects is trained.
        plan: the name of one of the spec's plans, or patterns: ``["**", "!classifier"]``.
        spec: where the name is looked up, if the model was not built here: a path, a packaged
            spec's name, or a Spec.
        gradients: whether frozen parameters get no gradient; as the plan has it if None.
        statistics: whether running statistics of frozen norms stand still; likewise.
        dropout: whether frozen modules but norms stay in inference mode, and with them every
            dropout; likewise.

    Returns:
        What each pattern selected and decided; exact counts of parameters (elements).

    Raises:
        FreezeError: E701 for patterns that select nothing, E702 for what is no pattern, E703 for
            an unknown plan.
        UsageError: E801 for a call that makes no sense.

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
    chosen = choose(model, plan, spec, switches)
    selection = Selection(model, chosen)
    _set_gradients(selection, chosen.plan)
    _set_modes(model, selection, chosen.plan)
    return _report(model, selection, chosen)


def _set_gradients(selection: Selection, plan: FreezePlan) -> None:
    for parameter in selection.parameters:
        tensor = parameter.tensor
        if plan.gradients and selection.is_frozen(parameter):
            tensor.requires_grad_(False)
            tensor.grad = None  # an old one, even of zeros, would let weight decay move it
        elif tensor.is_floating_point() or tensor.is_complex():
            tensor.requires_grad_(True)


def _set_modes(model: nn.Module, selection: Selection, plan: FreezePlan) -> None:
    mode = mode_of(model)
    for module in selection.modules.values():
        release(module, mode)
    for module in selection.whole:
        # Any module may call dropout as a function; only norms keep statistics.
        if plan.statistics if keeps_statistics(module) else plan.dropout:
            hold(module, mode)


# ------------------------------------------------------------------------------------------ report


def _report(model: nn.Module, selection: Selection, chosen: ChosenPlan) -> FreezeReport:
    modules = [m for m in dict.fromkeys(selection.modules.values()) if heeds_mode(m)]
    plan, tensors = chosen.plan, [one.tensor for one in selection.parameters]
    return FreezeReport(
        model=type(model).__name__,
        plan=chosen.name,
        gradients=plan.gradients,
        statistics=plan.statistics,
        dropout=plan.dropout,
        patterns=tuple(_patterns(selection, chosen)),
        parameters=sum(t.numel() for t in tensors),
        trainable=sum(t.numel() for t in tensors if t.requires_grad),
        inference=_by_type(m for m in modules if stays(m)),
        training=_by_type(m for m in modules if not stays(m)),
        ties=tuple(_ties(selection)) if plan.gradients else (),
    )


def _patterns(selection: Selection, chosen: ChosenPlan) -> Iterable[PatternFound]:
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
            overruled=i not in deciding,
            place=chosen.places[i],
        )


def _by_type(modules: Iterable[nn.Module]) -> dict[str, int]:
    return dict(Counter(type(module).__name__ for module in modules).most_common())


def _ties(selection: Selection) -> Iterable[Tie]:
    """The shared parameters of which the plan says that they are frozen and that they are not."""
    for parameter in selection.parameters:
        frozen = tuple(name for name in parameter.names if selection.freezes(name))
        if frozen and len(frozen) < len(parameter.names):
            yield Tie(parameter.names, frozen)
