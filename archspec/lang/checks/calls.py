"""Calls of blocks: the inputs that they take, and the values that they give."""

from __future__ import annotations

from collections.abc import Mapping

from archspec.lang.expr.nodes import Call, Sequence
from archspec.lang.tree import BlockNode, ContractNode, ReturnNode


def count_complaint(name: str, given: int, targets: int) -> str:
    """That a number of values and one of targets differ."""
    values = "value" if given == 1 else "values"
    are = "there is 1 target" if targets == 1 else f"there are {targets} targets"
    return f"{name} gives {given} {values}, but {are}"


def values_returned(block: BlockNode) -> int | None:
    """How many values a call of a block gives; None if that cannot be seen."""
    if block.outputs:
        return len(block.outputs)
    last = block.forward[-1] if block.forward else None
    if isinstance(last, ReturnNode) and isinstance(last.value, Sequence):
        return len(last.value.items)
    return None


def _inputs(number: int) -> str:
    return "1 input" if number == 1 else f"{number} inputs"


def call_complaint(name: str, inputs: Mapping[str, ContractNode], call: Call) -> str:
    """What is wrong with a call of a block, or ""."""
    if not inputs:
        few = len(call.arguments) <= 1 and not call.keywords
        return "" if few else f"{name} declares no inputs"
    if len(call.arguments) > len(inputs):
        return f"{name} takes {_inputs(len(inputs))}, got {len(call.arguments)}"
    given = list(inputs)[: len(call.arguments)]
    for keyword in call.keywords:
        if keyword.name not in inputs:
            return f"{name} has no input '{keyword.name}'"
        if keyword.name in given:
            return f"input '{keyword.name}' is given twice"
        given.append(keyword.name)
    missing = [n for n, c in inputs.items() if n not in given and not c.declared.optional]
    return f"{name} needs the input '{missing[0]}'" if missing else ""
