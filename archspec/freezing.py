"""Freeze plans: no gradient, and inference mode that outlasts ``model.train()``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import nn

from archspec import patterns
from archspec.errors import FreezeError, Problem, UsageError, did_you_mean, listing
from archspec.patterns import Entry, PatternError, Tree
from archspec.schema import FreezePlan
from archspec.spec import Spec


def freeze_module(model: nn.Module, plan: str | Sequence[str], spec: Spec) -> None:
    """Freeze what a plan selects.

    A frozen parameter has ``requires_grad=False`` and no gradient. A module all of whose content
    is frozen stays in inference mode, so that BatchNorm's statistics stand still and dropout is off
    even after ``model.train()``, unless the plan says otherwise.

    Raises:
        FreezeError: E703 for an unknown plan, E701 for a pattern that selects nothing.
        UsageError: E801 for anything but a name or patterns.
    """
    chosen = _plan(plan, spec)
    entries = [Entry(path, type(module).__name__) for path, module in model.named_modules()]
    parameters = dict(model.named_parameters(remove_duplicate=False))
    entries += [Entry(path, None) for path in (*parameters, *dict(model.named_buffers()))]
    tree = Tree(entries)
    parsed = [_parse(text, tree) for text in chosen.patterns]
    last = tree.last_match(parsed)
    frozen = {
        entry.path
        for entry, match in zip(entries, last, strict=True)
        if match is not None and not parsed[match].negated
    }
    for path, parameter in parameters.items():
        if path in frozen:
            parameter.requires_grad_(False)
            parameter.grad = None
    thawed = {entry.path for entry in entries} - frozen
    moving = {ancestor for path in thawed for ancestor in _ancestors(path)}
    for path, module in model.named_modules():
        if path in frozen and path not in moving and _stays(module, chosen):
            # An attribute of the instance is pickled and copied with it; torch looks it up first.
            module.__dict__["train"] = partial(_train_frozen, module)
            module.training = False


def _train_frozen(module: nn.Module, mode: bool = True) -> nn.Module:
    """``nn.Module.train`` of a frozen module: its children decide for themselves, it stays."""
    for child in module.children():
        child.train(mode)
    module.training = False
    return module


def _stays(module: nn.Module, plan: FreezePlan) -> bool:
    # Other modules may call dropout as a function; only norms keep statistics.
    is_norm = isinstance(module, nn.modules.batchnorm._NormBase)
    return plan.statistics if is_norm else plan.dropout


def _ancestors(path: str) -> list[str]:
    names = path.split(".") if path else []
    return [".".join(names[:i]) for i in range(len(names))]


def _plan(plan: str | Sequence[str], spec: Spec) -> FreezePlan:
    if not isinstance(plan, str):
        if not isinstance(plan, Sequence) or not all(isinstance(text, str) for text in plan):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise UsageError(Problem("E801", "freeze takes a plan's name or a list of patterns"))
        return FreezePlan(patterns=list(plan))
    plans = spec.architecture.freeze
    if plan not in plans:
        hint = did_you_mean(plan, plans) or f"plans: {listing(list(plans)) or 'none'}"
        raise FreezeError(Problem("E703", f"{spec.name} has no freeze plan '{plan}'", hint=hint))
    return plans[plan]


def _parse(text: str, tree: Tree) -> patterns.Pattern:
    try:
        pattern = patterns.parse(text)
    except PatternError as error:
        raise FreezeError(Problem("E702", f"'{text}': {error.message}")) from None
    if not tree.select(pattern):
        near = tree.near_misses(pattern)
        hint = f"did you mean {', '.join(repr(n) for n in near)}?" if near else ""
        raise FreezeError(Problem("E701", f"the pattern '{text}' selects nothing", hint=hint))
    return pattern
