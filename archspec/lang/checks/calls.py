"""Calls of blocks: the inputs that they take, and the values that they give."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from archspec.errors import listing
from archspec.lang.expr.nodes import Call, Name, Sequence
from archspec.lang.expr.printing import written
from archspec.lang.tree import BlockNode, ContractNode, ReturnNode


def count_complaint(name: str, given: int, targets: int) -> str:
    """That a number of values and one of targets differ."""
    values = "value" if given == 1 else "values"
    are = "there is 1 target" if targets == 1 else f"there are {targets} targets"
    return f"{name} gives {given} {values}, but {are}"


def values_returned(block: BlockNode) -> int | None:
    """How many values a call of a block gives; None if that cannot be seen, or changes."""
    if returns_names(block) or not all(output.always for output in block.outputs.values()):
        return None
    if block.outputs:
        return len(block.outputs)
    last = block.forward[-1] if block.forward else None
    if isinstance(last, ReturnNode) and isinstance(last.value, Sequence):
        return len(last.value.items)
    return None


def returns_names(block: BlockNode) -> tuple[str, ...]:
    """The keys of the dict that a block returns; () if it returns none."""
    last = block.forward[-1] if block.forward else None
    return last.names if isinstance(last, ReturnNode) else ()


def _inputs(number: int) -> str:
    return "1 input" if number == 1 else f"{number} inputs"


def inputs_text(inputs: Mapping[str, ContractNode]) -> str:
    """``x, mask=…``: the inputs as a call gives them."""
    shown = [f"{name}=…" if c.declared.keyword else name for name, c in inputs.items()]
    return listing(shown) or "x"


def call_complaint(name: str, inputs: Mapping[str, ContractNode], call: Call) -> str:
    """What is wrong with a call of a block, or ""."""
    if not inputs:
        few = len(call.arguments) <= 1 and not call.keywords
        return "" if few else f"{name} declares no inputs"
    if len(call.arguments) > len(inputs):
        return f"{name} takes {_inputs(len(inputs))}, got {len(call.arguments)}"
    given = _positional(inputs)[: len(call.arguments)]
    if len(call.arguments) > len(given):
        by_name = [n for n, c in inputs.items() if c.declared.keyword]
        return f"{name} takes {_quoted(by_name)} by name only"
    for keyword in call.keywords:
        if keyword.name not in inputs:
            return f"{name} has no input '{keyword.name}'"
        if keyword.name in given:
            return f"input '{keyword.name}' is given twice"
        given.append(keyword.name)
    missing = [n for n, c in inputs.items() if n not in given and not c.declared.may_be_left_out]
    return f"{name} needs the input '{missing[0]}'" if missing else ""


def in_order_complaint(name: str, inputs: Mapping[str, ContractNode]) -> str:
    """What keeps a block from a place where modules run in order, each on one value; or ""."""
    if not inputs:
        return ""
    if not _positional(inputs):
        return f"{name} takes {_quoted(inputs)} by name only"
    required = [n for n, c in inputs.items() if not c.declared.may_be_left_out]
    return f"{name} needs the input '{required[1]}'" if len(required) > 1 else ""


def corrected(inputs: Mapping[str, ContractNode], call: Call) -> str:
    """A call with names for the inputs that take no position; "" if that cannot be said.

    A value that is called as an input is that input; the others keep their order.
    """
    count = len(_positional(inputs))
    extra = call.arguments[count:]
    given = {keyword.name for keyword in call.keywords}
    free = [n for n, c in inputs.items() if c.declared.keyword and n not in given]
    if not extra or not given <= inputs.keys():
        return ""
    names: dict[int, str] = {
        i: node.id for i, node in enumerate(extra) if isinstance(node, Name) and node.id in free
    }
    rest = [name for name in free if name not in names.values()]
    unnamed = [i for i in range(len(extra)) if i not in names]
    if len(set(names.values())) < len(names) or (unnamed and len(unnamed) != len(rest)):
        return ""
    names |= dict(zip(unnamed, rest, strict=False))
    parts = [written(node) for node in call.arguments[:count]]
    parts += [f"{names[i]}={written(node)}" for i, node in enumerate(extra)]
    parts += [f"{keyword.name}={written(keyword.value)}" for keyword in call.keywords]
    return f"{written(call.function)}({', '.join(parts)})"


def _quoted(inputs: Iterable[str]) -> str:
    return listing([f"'{name}'" for name in inputs])


def _positional(inputs: Mapping[str, ContractNode]) -> list[str]:
    return [name for name, contract in inputs.items() if not contract.declared.keyword]
