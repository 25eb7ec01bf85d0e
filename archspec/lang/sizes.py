"""Symbolic dimensions of contracts: their names, and equations such as ``$past + seq``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from archspec.errors import shown
from archspec.lang.expr import ExpressionError, Node, Value, evaluate
from archspec.lang.expr.evaluate import Budget
from archspec.lang.expr.nodes import Binary, Constant, Name, is_literal, names
from archspec.lang.tree import ContractNode

ANY = "_"
"""The name of a dimension that may have another size each time."""


def symbol(size: Node) -> str:
    """The name of a symbolic dimension; "" for any other size."""
    value = size.value if isinstance(size, Constant) and is_literal(size) else None
    return value if isinstance(value, str) else ""


def symbols_in(size: Node) -> list[str]:
    """The symbolic dimensions that a size is, or is computed from."""
    if name := symbol(size):
        return [name]
    return [n.id for n in names(size) if n.symbol is not None and n.symbol.kind == "size"]


def symbols_of(contracts: Iterable[ContractNode]) -> list[str]:
    """All symbolic dimensions of some contracts, each once."""
    sizes = [size for contract in contracts for size in contract.shape]
    return list(dict.fromkeys(name for size in sizes for name in symbols_in(size)))


def size_of(
    size: Node,
    values: Mapping[str, Value],
    sizes: Mapping[str, int],
    budget: Budget | None = None,
) -> int | None:
    """The size of a dimension; None if a symbol in it has no size.

    Raises:
        ExpressionError: it cannot be computed.
    """
    if name := symbol(size):
        return sizes.get(name)
    if any(name not in sizes for name in symbols_in(size)):
        return None
    found = evaluate(size, {**sizes, **values}, budget)
    if not isinstance(found, int | float):
        raise ExpressionError("E306", f"a size is an integer, not {shown(found)}", size.span)
    return int(found)


def bind(
    shapes: Iterable[tuple[Iterable[Node], Iterable[int]]],
    values: Mapping[str, Value],
    sizes: dict[str, int],
    budget: Budget | None = None,
) -> None:
    """Give each symbol without a size one, so that the contracts fit these shapes.

    A symbol that stands alone has the size that is there. One in a sum or product is solved for,
    if all others are known.
    """
    pairs = [
        (node, size)
        for nodes, actual in shapes
        for node, size in zip(nodes, actual, strict=False)
        if ANY not in symbols_in(node)
    ]
    for node, actual in pairs:
        if name := symbol(node):
            sizes.setdefault(name, actual)
    waiting = [(node, actual) for node, actual in pairs if not symbol(node)]
    while waiting:
        left: list[tuple[Node, int]] = []
        for node, actual in waiting:
            unknown = [name for name in symbols_in(node) if name not in sizes]
            if len(unknown) > 1:
                left.append((node, actual))
            elif unknown:
                found = _solved(node, unknown[0], actual, {**sizes, **values}, budget)
                if found is not None:
                    sizes[unknown[0]] = max(found, 0)
        if len(left) == len(waiting):
            return
        waiting = left


def _solved(
    node: Node,
    unknown: str,
    wanted: int,
    known: Mapping[str, Value],
    budget: Budget | None = None,
) -> int | None:
    """The size of ``unknown`` with which ``node`` is ``wanted``; None if it cannot be solved for.

    Where no whole number fits, it is one that is near: ``node`` has another size then.

    >>> from archspec.lang.expr import parse
    >>> _solved(parse("2 * (past + 3)"), "past", 10, {})
    2
    """
    while not isinstance(node, Name):
        if not isinstance(node, Binary) or node.operator not in ("+", "-", "*"):
            return None
        in_left = any(name.id == unknown for name in names(node.left))
        try:
            other = evaluate(node.right if in_left else node.left, known, budget)
        except ExpressionError:
            return None
        if not isinstance(other, int):
            return None
        match node.operator:
            case "+":
                wanted -= other
            case "-":
                wanted = wanted + other if in_left else other - wanted
            case _:
                wanted = wanted // other if other else 0
        node = node.left if in_left else node.right
    return wanted
