"""Changes the patterns of a plan to freeze or unfreeze one module or tensor."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from archspec.errors import Problem, UsageError, did_you_mean
from archspec.freezing.plans import ResolvedPlan
from archspec.freezing.selection import Selection
from archspec.lang.schema import FreezePlan


def toggle(
    model: nn.Module, patterns: Sequence[str], path: str, *, frozen: bool, count: int = 1
) -> list[str]:
    """Change the patterns of a plan so that everything at and below a path is frozen or trained.

    Patterns that select nothing else are removed; one is added at the end if the others do not have
    this effect already. Everything elsewhere stays as it is.

    Args:
        model: the model of the plan, on any device.
        patterns: of the plan so far.
        path: of a module, a parameter or a buffer; "" is the whole model.
        frozen: whether to freeze or to train it.
        count: number of siblings, from ``path`` on in the order of the model.

    Raises:
        UsageError: E801, there is no such path, or there are too few siblings.
        FreezeError: E701, E702, one of the patterns is invalid.

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
    selection = _selection(model, patterns)
    if not path:
        return ["**"] if frozen else []
    paths = [entry.path for entry in selection.tree.entries]
    if path not in paths:
        hint = did_you_mean(path, paths)
        raise UsageError(Problem("E801", f"there is no '{path}' in the model", hint=hint))
    roots, root_patterns = _find_roots(model, path, count)
    entries = enumerate(selection.tree.entries)
    below = {i for i, entry in entries if any(_is_within(entry.path, root) for root in roots)}
    kept = [
        text
        for text, pattern in zip(patterns, selection.patterns, strict=True)
        if not selection.tree.select(pattern) <= below
    ]
    remaining = _selection(model, kept)
    if all(remaining.freezes(selection.tree.entries[i].path) == frozen for i in below):
        return kept
    return [*kept, *(name if frozen else f"!{name}" for name in root_patterns)]


def _find_roots(model: nn.Module, path: str, count: int) -> tuple[list[str], list[str]]:
    """The paths of the siblings, and the shortest patterns that select exactly these."""
    if count == 1:
        return [path], [path]
    parent, _, name = path.rpartition(".")
    siblings = [child for child, _ in model.get_submodule(parent).named_children()]
    start = siblings.index(name) if name in siblings else len(siblings)
    if count < 1 or start + count > len(siblings):
        raise UsageError(Problem("E801", f"there are no {count} modules from '{path}' on"))
    roots = [
        f"{parent}.{sibling}" if parent else sibling for sibling in siblings[start : start + count]
    ]
    if not parent:
        return roots, roots
    if count == len(siblings):
        return [parent], [parent]
    return roots, [f"{parent}[{start}:{start + count}]"]


def _selection(model: nn.Module, patterns: Sequence[str]) -> Selection:
    plan = FreezePlan(patterns=list(patterns))
    return Selection(model, ResolvedPlan(None, plan, (None,) * len(plan.patterns)))


def _is_within(path: str, root: str) -> bool:
    return path == root or path.startswith(f"{root}.")
