"""Which calls of a forward compute with plain numbers: ``sqrt(head_dim)`` beside ``sqrt(x)``.

PyTorch's functions take tensors, Python's take numbers, and a spec has one name for both. A value
is a plain number here if nothing that it is computed from is a tensor; a name is one if all that it
is ever given is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from archspec.lang.expr import Node, Symbol
from archspec.lang.expr.nodes import (
    LOOPS,
    Attribute,
    Call,
    Compare,
    Conditional,
    Constant,
    Name,
    Sequence,
    Subscript,
    children,
    rebuilt,
)
from archspec.lang.expr.numeric import FUNCTIONS
from archspec.lang.tree import AssignNode, ContractNode, ForNode, StepNode, steps_below

_OF_TENSORS = frozenset({"len", "numel"})  # they give a number, whatever they are given
_NUMBERS = frozenset({"global", "param", "let", "counter", "constant", "training"})


def with_numeric_calls(
    steps: tuple[StepNode, ...], inputs: Mapping[str, ContractNode]
) -> tuple[StepNode, ...]:
    """The steps, whose calls of functions of plain numbers are known as such."""
    tensors = {name for name, contract in inputs.items() if contract.declared.shape is not None}
    names = _plain_names(steps, inputs.keys() - tensors) - tensors
    return tuple(_step(step, names) for step in steps)


def _step(step: StepNode, names: frozenset[str]) -> StepNode:
    value = _numeric(step.value, names)
    if isinstance(step, ForNode):
        return replace(step, value=value, body=tuple(_step(one, names) for one in step.body))
    return replace(step, value=value)


def _numeric(node: Node, names: frozenset[str]) -> Node:
    if isinstance(node, Call) and node.name != "len" and _computes(node, names):
        called = node.function
        function = Name(called.span, node.name, Symbol("numeric", node.name))
        return rebuilt(node, lambda n: function if n is called else _numeric(n, names))
    return rebuilt(node, lambda n: _numeric(n, names))


def _plain_names(steps: tuple[StepNode, ...], inputs: Collection[str]) -> frozenset[str]:
    """The inputs and targets that are plain numbers: all, until one turns out to be none."""
    given = [pair for step in steps_below(steps) for pair in _given(step)]
    names = frozenset(inputs) | {name for name, _ in given}
    while True:
        tensors = {name for name, value in given if value is None or not _is_plain(value, names)}
        if names.isdisjoint(tensors):
            return names
        names -= tensors


def _given(step: StepNode) -> Iterator[tuple[str, Node | None]]:
    """Each target of a step with a value that it is like; None for a module."""
    match step:
        case AssignNode(targets=targets, value=Sequence(items=items)) if len(targets) == len(items):
            yield from zip(targets, items, strict=True)
        case AssignNode(targets=targets, value=value):
            yield from ((target, value) for target in targets)
        case ForNode(targets=targets, value=Call(name=name) as call) if name in LOOPS:
            counted = (Constant(call.span, 0),)
            parts = counted if name == "range" else call.arguments
            parts = (*counted, *parts) if name == "enumerate" else parts
            yield from zip(targets, (*parts, *[None] * len(targets)), strict=False)
        case ForNode(targets=targets, value=value):
            yield from ((target, value) for target in targets)
        case _:
            pass


def _computes(call: Call, names: frozenset[str]) -> bool:
    """Whether a call is one of a function of plain numbers."""
    symbol = call.function.symbol if isinstance(call.function, Name) else None
    is_function = symbol is not None and symbol.kind == "function" and call.name in FUNCTIONS
    return is_function and not call.keywords and all(_is_plain(n, names) for n in call.arguments)


def _is_plain(node: Node, names: frozenset[str]) -> bool:
    match node:
        case Name(symbol=Symbol(kind="local" | "input")):
            return node.id in names
        case Name(symbol=symbol):
            return symbol is not None and symbol.kind in _NUMBERS
        case Attribute(name="shape" | "ndim") | Attribute(value=Call(name="finfo")):
            return True
        case Attribute():
            return False
        case Call(name=name):
            return name in _OF_TENSORS or _computes(node, names)
        case Compare(operators=("is" | "is not",)):
            return True
        case Conditional(yes=yes, no=no):
            return _is_plain(yes, names) and _is_plain(no, names)
        case Subscript(value=value):
            return _is_plain(value, names)
        case _:
            return all(_is_plain(part, names) for part in children(node))
