"""``initialize`` and ``reset_parameters``: which tensors get which first values."""

from __future__ import annotations

import ast

from archspec.codegen.verify.expressions import Expressions
from archspec.codegen.verify.file import File, annotation, signature, without_docstring
from archspec.codegen.verify.kinds import Class, Kind
from archspec.codegen.verify.refusal import Refusal, is_public
from archspec.codegen.verify.trusted import TrustedName
from archspec.lang.registry.initializers import INITIALISERS

_ARGUMENTS = {"module": "nn.Module", "name": "str", "config": "Config"}
_SIGNATURES = [[*used, "generator"] for used in ([], ["name"], ["config"], ["name", "config"])]
_GENERATOR = "torch.Generator | None"


def check_fill(statement: ast.stmt, owner: str, values: Expressions) -> None:
    """``nn.init.normal_(module.weight[0], std=0.02, generator=generator)``.

    The tensor is any attribute of the owner that a module does not have by itself: PyTorch's
    functions write numbers into it, and take nothing but a tensor.
    """
    match statement:
        case ast.Expr(
            value=ast.Call(
                func=ast.Attribute(
                    value=ast.Attribute(value=ast.Name(id="nn"), attr="init"), attr=name
                ),
                args=[tensor],
            ) as call
        ) if name in INITIALISERS:
            _check_tensor(tensor, owner, values)
            _check_values(call, INITIALISERS[name], values)
        case _:
            raise Refusal(statement, "nothing but nn.init fills a tensor")


def check_no_grad(decorator: ast.expr) -> None:
    match decorator:
        case ast.Call(
            func=ast.Attribute(value=ast.Name(id="torch"), attr="no_grad"), args=[], keywords=[]
        ):
            pass
        case _:
            raise Refusal(decorator, "nothing decorates it but torch.no_grad()")


def _check_values(call: ast.Call, known: tuple[tuple[str, ...], bool], values: Expressions) -> None:
    names, is_random = known
    keywords = [keyword for keyword in call.keywords if not _is_generator(keyword)]
    if len(keywords) < len(call.keywords) - is_random:
        raise Refusal(call, "this initializer takes no generator")
    only_named = ast.Call(call.func, [], keywords)
    values.arguments(only_named, names.__contains__, values.value)


def _is_generator(keyword: ast.keyword) -> bool:
    match keyword:
        case ast.keyword(arg="generator", value=ast.Name(id="generator")):
            return True
        case _:
            return False


def _check_tensor(node: ast.expr, owner: str, values: Expressions) -> None:
    """``module.weight``, or a part of it."""
    if isinstance(node, ast.Subscript):
        values.index(node.slice)
        node = node.value
    match node:
        case ast.Attribute(value=ast.Name(id=name), attr=attribute) if name == owner:
            if not is_public(attribute):
                raise Refusal(node, f"'{attribute}' is no tensor's name")
        case _:
            raise Refusal(node, f"no tensor of {owner} stands here")


class Initialize:
    """Checks the function ``initialize``."""

    def __init__(self, file: File, function: ast.FunctionDef) -> None:
        self.file, self.function = file, function
        self.arguments = ("module", *self._signature())
        scope: dict[str, Kind] = {}
        if "config" in self.arguments and file.fields:
            scope["config"] = file.fields
        imported = frozenset(file.imported)
        self.values = Expressions(scope, imported)
        self.classes = Expressions(file.scope, imported)

    def _signature(self) -> list[str]:
        """``module``, then what the rules ask for, last the generator."""
        arguments, defaults = signature(self.function, "module")
        names = [argument.arg for argument in arguments]
        if names not in _SIGNATURES:
            raise Refusal(self.function, "the arguments of initialize are not printed so")
        for argument in self.function.args.args:
            wanted = _ARGUMENTS.get(argument.arg, _GENERATOR)
            if annotation(argument.annotation) != wanted:
                raise Refusal(argument, f"the type of '{argument.arg}' is {wanted}")
        match defaults:
            case {"generator": ast.Constant(value=None)} if len(defaults) == 1:
                pass
            case _:
                raise Refusal(self.function, "the defaults of initialize are not printed so")
        self.file.must_import(self.function, "nn", "torch")
        if "config" in names and self.file.fields is None:
            raise Refusal(self.function, "the name 'Config' is not defined here")
        return names[:-1]

    def check(self) -> None:
        if len(self.function.decorator_list) != 1:
            raise Refusal(self.function, "initialize is decorated with torch.no_grad()")
        check_no_grad(self.function.decorator_list[0])
        for statement in without_docstring(self.function.body):
            self._statement(statement, 0)

    def _statement(self, statement: ast.stmt, depth: int) -> None:
        match statement:
            case ast.If(test=test, body=body, orelse=[]) if depth < 2:
                self._condition(test, depth)
                for part in body:
                    self._statement(part, depth + 1)
            case _:
                check_fill(statement, "module", self.values)

    # ------------------------------------------------------------------------------ conditions

    def _condition(self, node: ast.expr, depth: int) -> None:
        """Which modules a rule selects, and whether they have the tensor."""
        match node:
            case ast.BoolOp(values=parts) if depth < 10:
                for part in parts:
                    self._condition(part, depth + 1)
            case ast.Compare(left=left, ops=[ast.IsNot()], comparators=[ast.Constant(value=None)]):
                self._check_held(left)
            case ast.Compare(
                left=ast.Name(id="name"),
                ops=[ast.Eq()],
                comparators=[ast.Constant(value=str())],
            ) if "name" in self.arguments:
                pass
            case ast.Compare(
                left=ast.Name(id="name"), ops=[ast.In()], comparators=[ast.Set(elts=names)]
            ) if "name" in self.arguments:
                _check_texts(names)
            case ast.Call(func=ast.Name(id="isinstance"), args=[ast.Name(id="module"), kinds]):
                if node.keywords:
                    raise Refusal(node, "isinstance takes no names")
                for kind in kinds.elts if isinstance(kinds, ast.Tuple) else [kinds]:
                    self._check_class(kind)
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="name"), attr="startswith" | "endswith"),
                args=[ends],
                keywords=[],
            ) if "name" in self.arguments:
                _check_texts(ends.elts if isinstance(ends, ast.Tuple) else [ends])
            case _:
                raise Refusal(node, "this is no condition of initialize")

    def _check_held(self, node: ast.expr) -> None:
        """``module.bias`` or ``getattr(module, "bias", None)``."""
        match node:
            case ast.Attribute(value=ast.Name(id="module"), attr=name):
                pass
            case ast.Call(
                func=ast.Name(id="getattr"),
                args=[
                    ast.Name(id="module"),
                    ast.Constant(value=str(name)),
                    ast.Constant(value=None),
                ],
                keywords=[],
            ):
                pass
            case _:
                raise Refusal(node, "no tensor of module stands here")
        if not is_public(name):
            raise Refusal(node, f"'{name}' is no tensor's name")

    def _check_class(self, node: ast.expr) -> None:
        kind = self.classes.kind(node)
        trusted = isinstance(kind, TrustedName) and kind.is_layer
        if not trusted and not isinstance(kind, Class):
            raise Refusal(node, "this is no class")


def _check_texts(nodes: list[ast.expr]) -> None:
    for node in nodes:
        if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
            raise Refusal(node, "names are compared with texts only")
