"""The tree of a model as widths, level by level: what the page's cards show of a packaged spec."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

UNITS = 160
"""Of the width of the whole model: a module has its share of the parameters."""

MAX_LEVELS = 5


def tree_levels(model: nn.Module) -> list[list[int]]:
    """Widths of modules from left to right, a level at a time; a negative one is a gap.

    Level 1 has the root's children. Modules of less than half a unit are left out. A shared
    parameter counts where it is first.
    """
    counts: dict[str, int] = {}
    for name, parameter in model.named_parameters():
        while name:
            name = name.rpartition(".")[0]
            counts[name] = counts.get(name, 0) + parameter.numel()
    scale = UNITS / max(1, counts.get("", 0))

    def children(path: str, module: nn.Module, start: int) -> Iterator[tuple[str, nn.Module, int]]:
        for name, child in module.named_children():
            below = f"{path}.{name}" if path else name
            yield below, child, start
            start += counts.get(below, 0)

    levels: list[list[int]] = []
    modules = [("", model, 0)]
    for _ in range(MAX_LEVELS):
        modules = [child for one in modules for child in children(*one)]
        at, widths = 0, list[int]()
        for path, _, start in modules:
            left, right = round(start * scale), round((start + counts.get(path, 0)) * scale)
            if right > left:
                widths += [at - left] * (left > at) + [right - left]
                at = right
        if widths:
            levels.append(widths)
    return levels
