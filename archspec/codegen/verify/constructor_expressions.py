"""The expressions of an ``__init__``: values, classes, and modules, which calls make."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from archspec.codegen.verify.expressions import Expressions, targets_of
from archspec.codegen.verify.kinds import (
    FOREIGN,
    VALUE,
    Block,
    Class,
    Container,
    Fields,
    Kind,
    LayerKind,
    Layers,
    union,
)
from archspec.codegen.verify.refusal import Refusal, is_plain
from archspec.codegen.verify.trusted import TrustedName
from archspec.lang.registry.layers import CONTAINERS, Layer

_CONTAINERS = {f"nn.{name}": name for name in CONTAINERS}


class ConstructorExpressions(Expressions):
    """Values, classes and modules, in the scope of one ``__init__``."""

    def attribute(self, node: ast.Attribute) -> Kind:
        """Of the config and of imported classes; a module that was just made has not been asked."""
        if not isinstance(node.value, ast.Name | ast.Attribute):  # finfo is known before
            raise Refusal(node, f"the attribute '{node.attr}' is not printed here")
        return super().attribute(node)

    def call(self, node: ast.Call) -> Kind:
        dotted = self.dotted(node.func)
        if dotted in _CONTAINERS:
            return self.container(node, _CONTAINERS[dotted])
        if isinstance(node.func, ast.Name) and node.func.id not in self.scope:
            return super().call(node)
        match self.kind(node.func):
            case TrustedName(is_layer=True) as name:
                self.arguments(node, name.accepts, self._module_or_value)
                return FOREIGN
            case Class(made=LayerKind(layer=layer) as made):
                self.arguments(node, lambda n: _has(layer, n), self._module_or_value)
                return made
            case Class(made=Block(arguments=arguments) as made):
                self._call_class(node, arguments)
                return made
            case Class(made=made):
                self._call_class(node, None)
                return made
            case _:
                raise Refusal(node, "this is no class")

    def _call_class(self, node: ast.Call, known: frozenset[str] | None) -> None:
        """A block's arguments are given by name, but for the config."""
        match node.args:
            case []:
                pass
            case [ast.Name(id="config") as config]:
                self.name(config)
            case _:
                raise Refusal(node, "a block takes nothing but the config by position")
        accepts = is_plain if known is None else known.__contains__
        self.arguments(node, accepts, self.class_or_value, node.args)

    def _module_or_value(self, node: ast.expr) -> None:
        kind = self.kind(node)
        if not (kind.is_value or kind.is_callable):
            raise Refusal(node, "neither a module nor a value")

    def class_or_value(self, node: ast.expr) -> None:
        """What a block can be given, and what can be a default."""
        kind = self.kind(node)
        is_class = kind.is_class or (isinstance(kind, TrustedName) and kind.is_layer)
        if not (kind.is_value or is_class):
            raise Refusal(node, "neither a class nor a value")

    def module(self, node: ast.expr) -> Kind:
        """Something that is a child: made by a call, or a choice between such."""
        kind = self.kind(node)
        if kind.is_value or kind.is_class or isinstance(kind, TrustedName | Fields | Layers):
            raise Refusal(node, "no module stands here")
        return kind

    def container(self, node: ast.Call, name: str) -> Container:
        """``Sequential``, ``ModuleList`` or ``ModuleDict`` with its items."""
        items = Items(self)
        match name, node:
            case ("Sequential" | "ModuleList", ast.Call(args=[ast.Name() as layers], keywords=[])):
                items.take(layers, is_dict=name == "Sequential")
            case _, ast.Call(args=[], keywords=[]):
                pass
            case "ModuleDict", ast.Call(args=[ast.Dict() as named], keywords=[]):
                items.named_in(named)
            case "ModuleList", ast.Call(args=[ast.List(elts=listed)], keywords=[]):
                items.listed_in(listed)
            case "ModuleList", ast.Call(args=[ast.ListComp() as repeated], keywords=[]):
                items.repeated_in(repeated)
            case (
                "Sequential",
                ast.Call(
                    args=[
                        ast.Call(
                            func=ast.Name(id="OrderedDict"),
                            args=[ast.Dict() as named],
                            keywords=[],
                        )
                    ],
                    keywords=[],
                ),
            ) if "OrderedDict" in self.imported:
                items.named_in(named)
            case "Sequential", ast.Call(args=listed, keywords=[]):
                items.listed_in(listed)
            case _:
                raise Refusal(node, f"a {name} is not made so")
        return Container(name, items.named, items.computed, items.listed)


class Items:
    """The items of one container, by how they get their names."""

    def __init__(self, expressions: ConstructorExpressions) -> None:
        self.expressions = expressions
        self.named: dict[str, Kind] = {}
        self.computed: list[Kind] = []
        self.listed: list[Kind] = []

    def listed_in(self, nodes: Sequence[ast.expr]) -> None:
        """``a, *[b for _ in range(n)], *([c] if there else [])``."""
        for node in nodes:
            match node:
                case ast.Starred(value=ast.ListComp() as repeated):
                    self.repeated_in(repeated)
                case ast.Starred(value=ast.Name() as layers):
                    self.take(layers, is_dict=False)
                case ast.Starred(
                    value=ast.IfExp(test=test, body=ast.List(elts=[item]), orelse=ast.List(elts=[]))
                ):
                    self.expressions.value(test)
                    self.listed.append(self.expressions.module(item))
                case _:
                    self.listed.append(self.expressions.module(node))

    def take(self, node: ast.Name, *, is_dict: bool) -> None:
        """What a loop has put into a list or a dict."""
        kind = self.expressions.name(node)
        if not isinstance(kind, Layers) or kind.is_dict is not is_dict:
            raise Refusal(node, "these are no layers")
        self.named |= kind.named
        self.computed += kind.computed
        self.listed += kind.listed

    def named_in(self, node: ast.Dict) -> None:
        """``{"a": a, **{f"b_{i}": b for i in range(n)}, **({"c": c} if there else {})}``."""
        for key, value in zip(node.keys, node.values, strict=True):
            match key, value:
                case None, ast.DictComp():
                    self.repeated_in(value)
                case None, ast.IfExp(
                    test=test,
                    body=ast.Dict(keys=[ast.expr() as name], values=[item]),
                    orelse=ast.Dict(keys=[]),
                ):
                    self.expressions.value(test)
                    self.add(name, self.expressions.module(item))
                case ast.expr(), _:
                    self.add(key, self.expressions.module(value))
                case _:
                    raise Refusal(value, "items are not given so")

    def add(self, key: ast.expr, kind: Kind) -> None:
        match key:
            case ast.Constant(value=str(name)):
                self.named[name] = union([kind, self.named.get(name, kind)])
            case ast.JoinedStr(values=parts):
                for part in parts:
                    self._part(part)
                self.computed.append(kind)
            case ast.BinOp(op=ast.Add()):
                self._sum(key)
                self.computed.append(kind)
            case _:
                raise Refusal(key, "this is no name of an item")

    def _sum(self, node: ast.expr) -> None:
        """``"layer_" + str(i)``: what an f-string of Python 3.11 cannot hold."""
        match node:
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                self._sum(left)
                self._sum(right)
            case ast.Constant(value=str()):
                pass
            case ast.Call(func=ast.Name(id="str"), args=[value], keywords=[]):
                self.expressions.value(value)
            case _:
                raise Refusal(node, "this is no part of a name")

    def _part(self, node: ast.expr) -> None:
        match node:
            case ast.Constant(value=str()):
                pass
            case ast.FormattedValue(value=value, conversion=-1, format_spec=None):
                self.expressions.value(value)
            case _:
                raise Refusal(node, "this is no part of a name")

    def repeated_in(self, node: ast.ListComp | ast.DictComp) -> None:
        """``item for i in range(n) if there``."""
        match node.generators:
            case [ast.comprehension(target=target, iter=iterable, ifs=conditions, is_async=0)] if (
                len(conditions) < 2
            ):
                self.expressions.looped(iterable)
            case _:
                raise Refusal(node, "items are not repeated so")
        outside = self.expressions.scope
        self.expressions.scope = {**outside, **dict.fromkeys(targets_of(target), VALUE)}
        for condition in conditions:
            self.expressions.value(condition)
        if isinstance(node, ast.ListComp):
            self.listed.append(self.expressions.module(node.elt))
        else:
            self.add(node.key, self.expressions.module(node.value))
        self.expressions.scope = outside


def _has(layer: Layer, argument: str) -> bool:
    return is_plain(argument) and layer.argument(argument) is not None
