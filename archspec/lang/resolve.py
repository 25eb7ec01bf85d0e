"""What each name of an expression means.

A name means one thing in a whole block, so that a scope is a plain mapping. Resolving gives a new
tree, whose names carry their ``Symbol``; what cannot be resolved is reported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import EllipsisType

from archspec.errors import did_you_mean, listing
from archspec.lang.expr import ExpressionError, Node, Symbol
from archspec.lang.expr.evaluate import FUNCTIONS
from archspec.lang.expr.nodes import Attribute, Binary, Call, Constant, Name, names, rebuilt, walk
from archspec.lang.registry import functions

Scope = Mapping[str, Symbol]


def resolved(node: Node, scope: Scope) -> Node:
    """``node`` with the symbols of its names; a called name outside the scope is a function."""
    if isinstance(node, Constant):
        return node
    if isinstance(node, Name):
        return Name(node.span, node.id, scope.get(node.id))
    if isinstance(node, Call) and node.name and _is_function(node.name, scope):
        function = Name(node.function.span, node.name, Symbol("function", node.name))
        called = node.function
        return rebuilt(node, lambda n: function if n is called else resolved(n, scope))
    return rebuilt(node, lambda n: resolved(n, scope))


def _is_function(name: str, scope: Scope) -> bool:
    """Whether a called name is a function; dtypes such as ``bool`` have the names of some."""
    return name not in scope or (scope[name].kind == "constant" and bool(functions.find(name)))


def argument_errors(node: Node, scope: Scope, *, classes: bool) -> Iterator[ExpressionError]:
    """What is wrong with the names and functions of a resolved expression outside a forward.

    Args:
        classes: whether a parameter of the block that holds a class may be named here.
    """
    if isinstance(node, Constant):
        return
    for part in walk(node):
        match part:
            case Call(function=Name(symbol=Symbol(kind="function"))):
                yield from _function_errors(part)
            case Call(function=Name(id=name) as called):
                message = f"'{name}' is a value and cannot be called"
                yield ExpressionError("E304", message, called)
            case Binary(operator="@"):
                yield ExpressionError("E304", "@ has no meaning in an argument", part)
            case Call() | Attribute() | Constant(value=EllipsisType()):
                yield ExpressionError("E304", "this has no meaning in an argument", part)
            case _:
                pass
    for name in names(node):
        if name.symbol is None:
            known = [k for k, symbol in scope.items() if symbol.kind not in ("broken", "sibling")]
            hint = did_you_mean(name.id, known) or f"names here: {listing(known) or 'none'}"
            yield ExpressionError("E303", f"unknown name '{name.id}'", name, hint)
        elif name.symbol.kind == "sibling":
            message = f"'{name.id}' is a parameter of the same block: a default cannot use it"
            hint = (
                "a default sees the parameters of the spec; give the value where the block is used"
            )
            yield ExpressionError("E303", message, name, hint)
        elif name.symbol.kind == "param" and name.symbol.is_class and not classes:
            message = f"'{name.id}' is a class, not a value"
            yield ExpressionError("E303", message, name, "use it as type: or pass it on")


def _function_errors(call: Call) -> Iterator[ExpressionError]:
    if call.name not in FUNCTIONS:
        hint = _INSTEAD.get(call.name) or did_you_mean(call.name, FUNCTIONS)
        hint = f"{hint}; " if hint else ""
        hint = f"{hint}arguments know {', '.join(FUNCTIONS)}"
        yield ExpressionError("E304", f"unknown function '{call.name}'", call.function, hint)
    elif call.keywords:
        yield ExpressionError("E304", "this has no meaning in an argument", call)


_INSTEAD = {
    "ceil": "for a / b rounded up write -(-a // b)",
    "floor": "for a / b rounded down write a // b",
    "sqrt": "write x ** 0.5",
}
