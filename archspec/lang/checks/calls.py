"""Calls of blocks: the inputs that they take, and the values that they give."""

from __future__ import annotations

import ast
from contextlib import suppress

from archspec.lang.expr.expressions import ExpressionError, parse
from archspec.lang.schema import Block, Contract, Return


def count_complaint(name: str, given: int, targets: int) -> str:
    values = "value" if given == 1 else "values"
    are = "there is 1 target" if targets == 1 else f"there are {targets} targets"
    return f"{name} gives {given} {values}, but {are}"


def values_returned(block: Block) -> int | None:
    """How many values a call of a block gives; None if that cannot be seen."""
    if block.outputs:
        return len(block.outputs)
    last = block.forward[-1] if block.forward else None
    with suppress(ExpressionError):
        if isinstance(last, Return) and isinstance(tree := parse(last.value).tree, ast.Tuple):
            return len(tree.elts)
    return None


def _inputs(number: int) -> str:
    return "1 input" if number == 1 else f"{number} inputs"


def call_complaint(name: str, inputs: dict[str, Contract], call: ast.Call) -> str:
    """What is wrong with a call of a block, or ""."""
    if not inputs:
        return "" if len(call.args) <= 1 and not call.keywords else f"{name} declares no inputs"
    if len(call.args) > len(inputs):
        return f"{name} takes {_inputs(len(inputs))}, got {len(call.args)}"
    given = list(inputs)[: len(call.args)]
    for keyword in call.keywords:
        if keyword.arg not in inputs:
            return f"{name} has no input '{keyword.arg}'"
        if keyword.arg in given:
            return f"input '{keyword.arg}' is given twice"
        given.append(keyword.arg)
    missing = [n for n, contract in inputs.items() if n not in given and not contract.optional]
    return f"{name} needs the input '{missing[0]}'" if missing else ""
