"""One module or tensor frozen or thawed: the patterns that say so."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from archspec.errors import Problem, UsageError, did_you_mean
from archspec.freezing.plans import ChosenPlan
from archspec.freezing.selection import Selection
from archspec.lang.schema import FreezePlan


def toggle(
    model: nn.Module, patterns: Sequence[str], path: str, *, frozen: bool, count: int = 1
) -> list[str]:
    """The patterns of a plan, changed so that everything at and below a path is frozen, or thawed.

    Patterns that select nothing else are dropped; one is added at the end if the others
    do not say so already. Whatever is elsewhere stays as it is.

    Args:
        model: which the patterns are of; on any device.
        patterns: of the plan so far.
        path: of a module, a parameter or a buffer; "" is the whole model.
        frozen: what it shall be.
        count: how many neighbours, from ``path`` on in the order of the model.

    Raises:
        UsageError: E801, there is no such path, or there are not so many neighbours.
        FreezeError: E701, E702, one of the patterns does not work.

    Example:
        >>> import archspec
        >>> model = archspec.build("resnet18", device="meta")
        >>> toggle(model, ["**", "!fc"], "layer4", frozen=False)
        ['**', '!fc', '!layer4']
        >>> toggle(model, ["**", "!fc", "!layer4"], "layer4", frozen=True)
        ['**', '!fc']
        >>> toggle(model, [], "layer3.0", frozen=True, count=2)
        ['layer3']
    """
    before = _selection(model, patterns)
    if not path:
        return ["**"] if frozen else []
    paths = [entry.path for entry in before.tree.entries]
    if path not in paths:
        hint = did_you_mean(path, paths)
        raise UsageError(Problem("E801", f"there is no '{path}' in the model", hint=hint))
    tops, added = _tops(model, path, count)
    entries = enumerate(before.tree.entries)
    below = {i for i, one in entries if any(_is_within(one.path, top) for top in tops)}
    kept = [
        text
        for text, pattern in zip(patterns, before.patterns, strict=True)
        if not before.tree.select(pattern) <= below
    ]
    found = _selection(model, kept)
    if all(found.freezes(before.tree.entries[i].path) == frozen for i in below):
        return kept
    return [*kept, *(name if frozen else f"!{name}" for name in added)]


def _tops(model: nn.Module, path: str, count: int) -> tuple[list[str], list[str]]:
    """The paths that are meant, and the shortest patterns that select just these."""
    if count == 1:
        return [path], [path]
    above, _, name = path.rpartition(".")
    beside = [child for child, _ in model.get_submodule(above).named_children()]
    start = beside.index(name) if name in beside else len(beside)
    if count < 1 or start + count > len(beside):
        raise UsageError(Problem("E801", f"there are no {count} modules from '{path}' on"))
    tops = [f"{above}.{one}" if above else one for one in beside[start : start + count]]
    if not above:
        return tops, tops
    if count == len(beside):
        return [above], [above]
    return tops, [f"{above}[{start}:{start + count}]"]


def _selection(model: nn.Module, patterns: Sequence[str]) -> Selection:
    plan = FreezePlan(patterns=list(patterns))
    return Selection(model, ChosenPlan(None, plan, (None,) * len(plan.patterns)))


def _is_within(path: str, top: str) -> bool:
    return path == top or path.startswith(f"{top}.")
