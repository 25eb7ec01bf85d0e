"""Tensors that each round of a loop makes longer: no two rounds are the same, and all are run."""

from __future__ import annotations

from collections.abc import Iterator

from archspec.lang.expr.nodes import Call, Constant, Name, Sequence, names
from archspec.lang.expr.printing import written
from archspec.lang.tree import AssignNode, BlockNode, ForNode, steps_below
from archspec.lang.yaml import Path


def growing_hint(block: BlockNode, at: Path) -> str:
    """What to write for a tensor that the loop around the step at ``at`` makes longer by ``cat``.

    "" if there is none, or if a round needs it for more than that.
    """
    entries = (entry.forward for entry in block.entries.values())
    loops = (step for forward in entries for step in steps_below(forward))
    for loop in loops:
        if isinstance(loop, ForNode) and at[: len(loop.path) - 1] == loop.path[:-1]:
            for hint in _hints(loop):
                return hint
    return ""


def _hints(loop: ForNode) -> Iterator[str]:
    used = [name.id for step in steps_below(loop.body) for name in names(step.value)]
    for step in steps_below(loop.body):
        match step:
            case AssignNode(
                targets=(target,),
                value=Call(
                    arguments=(Sequence(items=(Name(id=first), added)), *dim), keywords=()
                ) as call,
            ) if call.name == "cat" and first == target and used.count(target) == 1:
                axis = dim[0].value if dim and isinstance(dim[0], Constant) else 0
                yield (
                    f"make a list longer, not a tensor: {target} is a list before the loop, in it "
                    f"{target}: {target} + [{written(added)}], behind it cat({target}, {axis})"
                )
            case _:
                pass
