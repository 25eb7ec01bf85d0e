"""One module or tensor frozen or thawed: the patterns that say so."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from archspec.errors import Problem, UsageError, did_you_mean
from archspec.freezing.plans import Chosen
from archspec.freezing.selection import Selection
from archspec.schema import FreezePlan


def toggle(model: nn.Module, patterns: Sequence[str], path: str, *, frozen: bool) -> list[str]:
    """The patterns of a plan, changed so that everything at and below a path is frozen, or thawed.

    Patterns that speak of nothing else are dropped; one is added at the end if the others
    do not say so already. Whatever is elsewhere stays as it is.

    Args:
        model: which the patterns are of; on any device.
        patterns: of the plan so far.
        path: of a module, a parameter or a buffer.
        frozen: what it shall be.

    Raises:
        UsageError: E801, there is no such path.
        FreezeError: E701, E702, one of the patterns does not work.

    Example:
        >>> import archspec
        >>> model = archspec.build("resnet18", device="meta")
        >>> toggle(model, ["**", "!fc"], "layer4", frozen=False)
        ['**', '!fc', '!layer4']
        >>> toggle(model, ["**", "!fc", "!layer4"], "layer4", frozen=True)
        ['**', '!fc']
    """
    before = _selection(model, patterns)
    paths = [entry.path for entry in before.tree.entries]
    if path not in paths or not path:
        hint = did_you_mean(path, paths)
        raise UsageError(Problem("E801", f"there is no '{path}' in the model", hint=hint))
    kept = [text for text in patterns if not _is_within(text.removeprefix("!").strip(), path)]
    found = _selection(model, kept)
    below = [one for one in paths if _is_within(one, path)]
    if all(found.freezes(one) == frozen for one in below):
        return kept
    return [*kept, path if frozen else f"!{path}"]


def _selection(model: nn.Module, patterns: Sequence[str]) -> Selection:
    plan = FreezePlan(patterns=list(patterns))
    return Selection(model, Chosen(None, plan, (None,) * len(plan.patterns)))


def _is_within(path: str, top: str) -> bool:
    """Whether a path, or all that a pattern selects, is at ``top`` or below."""
    return path.startswith(top) and path[len(top) :][:1] in ("", ".", "[")
