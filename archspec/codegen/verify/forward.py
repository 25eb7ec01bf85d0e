"""``forward`` of a block: steps, which compute with tensors and call what the block holds."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from archspec.codegen.verify.expressions import FUNCTIONS, NAMESPACES, Expressions
from archspec.codegen.verify.kinds import VALUE, Block, Container, Kind, union
from archspec.codegen.verify.refusal import Refusal, check_name, is_plain
from archspec.codegen.verify.trusted import TrustedName
from archspec.lang.registry import functions
from archspec.lang.registry.functions import Function

_NOT_BOUND = frozenset({"self", "len", "range", "enumerate", "zip", *NAMESPACES})
_MAX_LOOPS = 40  # one inside the other; documents nest 64 levels


class ForwardExpressions(Expressions):
    """Expressions of steps: functions are those of the table, or registered."""

    def call(self, node: ast.Call) -> Kind:
        match node.func:
            case ast.Name(id="len") if "len" not in self.scope:
                self._len(node)
            case ast.Name(id="float") if "float" not in self.scope and _is_text(node):
                self._infinity(node)
            case ast.Name(id=name) if name in FUNCTIONS and name not in self.scope:
                self.arguments(node, lambda _: False, self.value)
            case ast.Name(id="route") if "route" in self.imported and "route" not in self.scope:
                self._route(node)
            case ast.Name(id="self"):
                raise Refusal(node, "a block does not call itself")
            case ast.Attribute() as function:
                self._call_attribute(node, function)
            case function:
                self._call_kind(node, self.kind(function))
        return VALUE

    def _route(self, node: ast.Call) -> None:
        """``route(x, self.experts, chosen, weights)``"""
        names = ("x", "experts", "chosen", "weights")
        given = [*zip(names, node.args, strict=False), *((k.arg, k.value) for k in node.keywords)]
        if len(node.args) > len(names) or sorted(str(name) for name, _ in given) != sorted(names):
            raise Refusal(node, "route takes x, experts, chosen and weights")
        for name, value in given:
            if name != "experts":
                self.value(value)
                continue
            kind = self.kind(value)
            item = kind.item()
            if not isinstance(kind, Container) or item is None or not item.is_callable:
                raise Refusal(value, "route takes a list of experts")

    def _len(self, node: ast.Call) -> None:
        if len(node.args) != 1 or node.keywords:
            raise Refusal(node, "len takes one argument")
        if self.kind(node.args[0]).item() is None:
            raise Refusal(node, "this has no length")

    def _infinity(self, node: ast.Call) -> None:
        match node:
            case ast.Call(args=[ast.Constant(value=str())], keywords=[]):
                pass
            case _:
                raise Refusal(node, 'float is called as float("inf")')

    def _call_attribute(self, node: ast.Call, function: ast.Attribute) -> None:
        if dotted := self.dotted(function):
            entry = functions.find(function.attr)
            if entry is None or entry.registered or entry.target != dotted:
                raise Refusal(node, f"'{dotted}' is not in the table of functions")
            self._call_function(node, entry, entry.arguments)
            return
        owner = self.kind(function.value)
        if owner.is_value and not owner.is_callable:
            self._method(node, function)
        elif called := owner.attribute(function.attr):
            self._call_kind(node, called)
        else:
            raise Refusal(node, f"'{function.attr}' is not called here")

    def _method(self, node: ast.Call, function: ast.Attribute) -> None:
        name = function.attr
        entry = functions.find(name)
        if entry is None or entry.registered or not entry.is_method:
            raise Refusal(node, f"the method '{name}' is not in the table of functions")
        match function:
            case ast.Attribute(value=ast.Attribute(value=ast.Name(id="self"))):
                pass
            case ast.Attribute(attr="copy_"):
                raise Refusal(node, "copy_ writes into a buffer of self")
            case _:
                pass
        self._call_function(node, entry, entry.arguments[1:])

    def _call_function(self, node: ast.Call, entry: Function, known: Sequence[str]) -> None:
        self.arguments(node, lambda name: entry.keywords_any or name in known, self.value)

    def _call_kind(self, node: ast.Call, kind: Kind) -> None:
        """A module, or what trusted Python registered."""
        if isinstance(kind, TrustedName) and kind.is_function:
            self.arguments(node, kind.accepts, self.value)
        elif kind.is_callable:
            self.arguments(node, is_plain, self.value)
        else:
            raise Refusal(node, "this is not called here")


def _is_text(node: ast.Call) -> bool:
    return any(isinstance(part, ast.Constant) and isinstance(part.value, str) for part in node.args)


class Steps:
    """Checks the statements of one ``forward``.

    Args:
        block: what ``self`` is.
        expressions: of the scope that holds the arguments.
    """

    def __init__(self, block: Block, expressions: ForwardExpressions) -> None:
        self.block, self.expressions = block, expressions
        self.scope = expressions.scope

    def check(self, body: Sequence[ast.stmt], loops: int = 0) -> None:
        for statement in body:
            match statement:
                case ast.Assign(targets=[target], value=value):
                    self.expressions.value(value)
                    self._bind(target, VALUE)
                case ast.Return(value=ast.Dict() as value) if not loops:
                    self._dict(value)
                case ast.Return(value=ast.expr() as value) if not loops:
                    self.expressions.value(value)
                case ast.For(orelse=[]) if loops < _MAX_LOOPS:
                    self._loop(statement, loops)
                case _:
                    raise Refusal(statement, f"{type(statement).__name__} is no step")

    def _dict(self, node: ast.Dict) -> None:
        """``{"out": y, **({"aux": a} if self.training else {})}``."""
        for key, value in zip(node.keys, node.values, strict=True):
            match key, value:
                case ast.Constant(value=str()), _:
                    self.expressions.value(value)
                case None, ast.IfExp(
                    test=test, body=ast.Dict(keys=[_]) as body, orelse=ast.Dict(keys=[])
                ):
                    self.expressions.value(test)
                    self._dict(body)
                case _:
                    raise Refusal(node, "this is not returned")

    def _loop(self, loop: ast.For, loops: int) -> None:
        kinds = self._rounds(loop.iter)
        targets = loop.target.elts if isinstance(loop.target, ast.Tuple) else [loop.target]
        if kinds == [VALUE]:  # each value may be unpacked
            kinds *= len(targets)
        if len(kinds) != len(targets):
            raise Refusal(loop, "the targets are not as many as what the loop gives")
        for target, kind in zip(targets, kinds, strict=True):
            self._bind(target, kind)
        self.check(loop.body, loops + 1)

    def _rounds(self, node: ast.expr) -> list[Kind]:
        """What each round of a loop gives."""
        match node:
            case ast.Call(func=ast.Name(id="range"), args=[_, *_] as arguments, keywords=[]):
                for argument in arguments:
                    self.expressions.value(argument)
                return [VALUE]
            case ast.Call(func=ast.Name(id="enumerate"), args=[argument], keywords=[]):
                return [VALUE, self._item(argument)]
            case ast.Call(func=ast.Name(id="zip"), args=[_, *_] as arguments, keywords=[]):
                return [self._item(argument) for argument in arguments]
            case _:
                return [self._item(node)]

    def _item(self, node: ast.expr) -> Kind:
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="self"), attr="children"), args=[], keywords=[]
            ):
                members = self.block.members.values()
                return union(kind for kind in members if kind.is_callable)
            case ast.Call(func=ast.Attribute(value=owner, attr="values"), args=[], keywords=[]):
                kind = self.expressions.kind(owner)
                item = kind.item() if kind.has_values else None
            case _:
                item = self.expressions.kind(node).item()
        if item is None:
            raise Refusal(node, "no loop runs over this")
        return item

    def _bind(self, target: ast.expr, kind: Kind) -> None:
        """A variable, or several that take a value apart."""
        for part in target.elts if isinstance(target, ast.Tuple) and kind is VALUE else [target]:
            if not isinstance(part, ast.Name) or part.id in _NOT_BOUND:
                raise Refusal(target, "this is not assigned to")
            check_name(part, part.id)
            self.scope[part.id] = kind
