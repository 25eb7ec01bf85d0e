"""What each name of an expression means.

A name means one thing in a whole block, so that a scope is a plain mapping. Resolving gives a new
tree, whose names carry their ``Symbol``; what cannot be resolved is reported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import EllipsisType

from archspec.errors import did_you_mean, listing
from archspec.lang.expr import ExpressionError, Node, Symbol
from archspec.lang.expr.nodes import (
    LOOPS,
    Attribute,
    Binary,
    Call,
    Clause,
    Compare,
    Comprehension,
    Constant,
    Name,
    names,
    rebuilt,
    walk,
)
from archspec.lang.expr.numeric import FINFO, FINFO_ATTRIBUTES, FUNCTIONS
from archspec.lang.registry import functions

Scope = Mapping[str, Symbol]
_DTYPES = {name: Symbol("constant", name) for name in FINFO}


def resolved(node: Node, scope: Scope) -> Node:
    """``node`` with the symbols of its names; a called name outside the scope is a function."""
    if isinstance(node, Constant):
        return node
    if isinstance(node, Name):
        return Name(node.span, node.id, scope.get(node.id))
    if isinstance(node, Comprehension):
        return _comprehension(node, scope)
    if isinstance(node, Clause):  # of a group
        return replace(node, iterable=resolved(node.iterable, scope))
    if isinstance(node, Call) and node.name and _is_function(node.name, scope):
        function = Name(node.function.span, node.name, Symbol("function", node.name))
        called = node.function
        if node.name == "finfo":
            scope = {**_DTYPES, **scope}
        return rebuilt(node, lambda n: function if n is called else resolved(n, scope))
    return rebuilt(node, lambda n: resolved(n, scope))


def _comprehension(node: Comprehension, scope: Scope) -> Comprehension:
    """Each clause sees the targets of those before it, the element sees all."""
    clauses: list[Clause] = []
    for clause in node.clauses:
        iterable = resolved(clause.iterable, scope)
        targets = {name: Symbol("counter", name) for name in clause.targets}
        scope = {**scope, **targets}
        conditions = tuple(resolved(condition, scope) for condition in clause.conditions)
        clauses.append(Clause(clause.span, clause.targets, iterable, conditions))
    return Comprehension(node.span, resolved(node.element, scope), tuple(clauses))


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
    expected = set[int]()  # calls and names that stand where they may
    asked = set[int]()  # classes of which only is asked whether they are there
    compared = set[int]()  # names beside == and !=
    for part in walk(node):
        match part:
            case _ if id(part) in expected:
                pass
            case Clause(iterable=iterable):
                expected |= {id(call) for call in loop_calls(iterable)}
            case Attribute(
                value=Call(function=Name(id="finfo", symbol=Symbol(kind="function"))) as call
            ):
                expected.add(id(call))
                yield from _finfo_errors(part, call)
            case Call(function=Name(symbol=Symbol(kind="function"))):
                yield from _function_errors(part)
            case Call(function=Name(id=name) as called):
                message = f"'{name}' is a value and cannot be called"
                yield ExpressionError("E304", message, called)
            case Compare(left=Name() as name, operators=("is" | "is not",)):
                asked.add(id(name))
            case Compare(operators=("==" | "!=",)):
                compared |= {id(part.left), *map(id, part.others)}
            case Attribute(value=Name(symbol=None) as owner, name=name):
                expected.add(id(owner))
                hint = f"write {name}" if name in scope else "each parameter has a plain name"
                message = f"'{owner.id}.{name}': values have no parts"
                yield ExpressionError("E304", message, part, hint)
            case Binary(operator="@"):
                yield ExpressionError("E304", "@ has no meaning in an argument", part)
            case Call() | Attribute() | Constant(value=EllipsisType()):
                yield ExpressionError("E304", "this has no meaning in an argument", part)
            case _:
                pass
    for name in names(node):
        if name.symbol is None and id(name) not in expected:
            known = [k for k, symbol in scope.items() if symbol.kind != "broken"]
            hint = constant_hint(name.id) or did_you_mean(name.id, known)
            hint = hint or (f"a text has quotes: '{name.id}'" if id(name) in compared else "")
            hint = hint or f"names here: {listing(known) or 'none'}"
            yield ExpressionError("E303", f"unknown name '{name.id}'", name, hint)
        elif name.symbol and name.symbol.kind == "param" and name.symbol.is_class:
            if classes or id(name) in asked:
                continue
            message = f"'{name.id}' is a class, not a value"
            hint = f"use it as type:, pass it on, or ask whether it is there: {name.id} is not None"
            yield ExpressionError("E303", message, name, hint)


_CONSTANTS = {
    **dict.fromkeys(("true", "yes", "on"), "True"),
    **dict.fromkeys(("false", "no", "off"), "False"),
    **dict.fromkeys(("null", "none", "nil", "nullptr", "undefined"), "None"),
}


def constant_hint(name: str) -> str:
    """What to write for a constant of another language; "" for any other name.

    >>> constant_hint("null")
    'write None'
    """
    found = _CONSTANTS.get(name.lower())
    return f"write {found}" if found else ""


def _function_errors(call: Call) -> Iterator[ExpressionError]:
    if call.name not in FUNCTIONS:
        hint = did_you_mean(call.name, FUNCTIONS)
        hint = "it stands in a comprehension: [… for x in …]" if call.name in LOOPS else hint
        hint = "write finfo(float16).min" if call.name == "finfo" else hint
        hint = f"{hint}; " if hint else ""
        hint = f"{hint}arguments know {', '.join(FUNCTIONS)}"
        yield ExpressionError("E304", f"unknown function '{call.name}'", call.function, hint)
    elif call.keywords:
        yield ExpressionError("E304", "this has no meaning in an argument", call)


def _finfo_errors(node: Attribute, call: Call) -> Iterator[ExpressionError]:
    match call.arguments:
        case (Name(id=dtype),) if dtype in FINFO and not call.keywords:
            if node.name not in FINFO_ATTRIBUTES:
                hint = f"finfo has {', '.join(FINFO_ATTRIBUTES)}"
                yield ExpressionError("E304", f"no attribute '{node.name}'", node, hint)
        case _:
            hint = f"write finfo({'), finfo('.join(FINFO)})"
            yield ExpressionError("E304", "finfo takes a dtype here", call, hint)


def loop_calls(node: Node) -> Iterator[Call]:
    """``range(…)``, ``zip(…)`` and ``enumerate(…)``, as far as a loop may run over them."""
    if isinstance(node, Call) and node.name in LOOPS and not node.keywords:
        yield node
        for argument in node.arguments if node.name != "range" else ():
            yield from loop_calls(argument)
