"""A block's class: its methods, but for what ``__init__`` does."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from archspec.codegen.verify.constructor import METHODS, Constructor, is_super
from archspec.codegen.verify.expressions import Expressions
from archspec.codegen.verify.file import (
    INPUT_TYPE,
    File,
    annotation,
    signature,
    without_docstring,
)
from archspec.codegen.verify.forward import ForwardExpressions, Steps
from archspec.codegen.verify.initial_values import check_fill, check_no_grad
from archspec.codegen.verify.kinds import VALUE, Block, Kind
from archspec.codegen.verify.refusal import Refusal, check_name, is_public


class BlockClass:
    """Checks ``class X(nn.Module)``: what it holds, and its steps once all classes are read."""

    def __init__(self, file: File, node: ast.ClassDef) -> None:
        self.file, self.node = file, node
        self.methods = self._methods()
        self.constructor = Constructor(file, self.methods)

    def _methods(self) -> dict[str, ast.FunctionDef]:
        methods: dict[str, ast.FunctionDef] = {}
        for part in self.node.body:
            if not isinstance(part, ast.FunctionDef):
                raise Refusal(part, f"{type(part).__name__} is not printed in a class")
            if part.decorator_list and part.name != "reset_parameters":
                raise Refusal(part, f"{part.name} is not decorated")
            known = part.name in METHODS or is_public(part.name)
            if not known or part.name in methods:
                raise Refusal(part, f"the method '{part.name}' is not printed here")
            methods[part.name] = part
        needed = {"__init__"} if self._is_sequential else {"__init__", "forward"}
        if not needed <= methods.keys():
            raise Refusal(self.node, "a block has __init__ and forward")
        if self._is_sequential and not methods.keys() <= {"__init__", "forward"}:
            raise Refusal(self.node, "a Sequential has no tensors of its own")
        return methods

    @property
    def _is_sequential(self) -> bool:
        match self.node.bases:
            case [ast.Attribute(attr="Sequential")]:
                return True
            case _:
                return False

    def check_constructor(self) -> Block:
        self.constructor.check(is_sequential=self._is_sequential)
        return self.constructor.block

    def check_methods(self) -> None:
        if reset := self.methods.get("reset_parameters"):
            self._check_reset(reset)
        for name, function in self.methods.items():
            if name == "forward" or name not in METHODS:
                self._check_forward(function)

    def _check_reset(self, function: ast.FunctionDef) -> None:
        if signature(function, "self")[0]:
            raise Refusal(function, "reset_parameters takes no arguments")
        for decorator in function.decorator_list:
            check_no_grad(decorator)
            self.file.must_import(function, "torch")
        self.file.must_import(function, "nn")
        scope: dict[str, Kind] = {"self": self.constructor.block}
        values = Expressions(scope, frozenset(self.file.imported))
        for statement in function.body:
            for fill in _if_there(statement):
                if not self._is_copy(fill):
                    check_fill(fill, "self", values)

    def _is_copy(self, statement: ast.stmt) -> bool:
        """Whether it is ``self.x.copy_(self.compute_x())``."""
        match statement:
            case ast.Expr(
                value=ast.Call(
                    func=ast.Attribute(
                        value=ast.Attribute(value=ast.Name(id="self"), attr=name), attr="copy_"
                    ),
                    args=[value],
                    keywords=[],
                )
            ):
                return self.constructor.is_computed(value, name)
            case _:
                return False

    def _check_forward(self, function: ast.FunctionDef) -> None:
        """``forward``, a further method, or one that computes what a tensor starts as."""
        if function.name in self.constructor.block.members:
            raise Refusal(function, f"'{function.name}' is stored, too")
        arguments, defaults = signature(function, "self")
        scope: dict[str, Kind] = {**self.file.trusted.imported, "self": self.constructor.block}
        for argument in arguments:
            check_name(argument, argument.arg)
            text = annotation(argument.annotation)
            if not INPUT_TYPE.fullmatch(text):
                raise Refusal(argument, "an input is a Tensor, a list of them, or a number")
            if "Tensor" in text:
                self.file.must_import(argument, "Tensor")
            scope[argument.arg] = VALUE
        for default in defaults.values():
            self._check_default(default)
        body = without_docstring(function.body)
        if self._is_sequential:
            self._check_inherited(body, arguments)
            return
        expressions = ForwardExpressions(scope, frozenset(self.file.imported))
        Steps(self.constructor.block, expressions).check(body)

    def _check_inherited(self, body: Sequence[ast.stmt], arguments: Sequence[ast.arg]) -> None:
        """``return super().forward(x)``."""
        match body:
            case [
                ast.Return(
                    value=ast.Call(
                        func=ast.Attribute(value=owner, attr="forward"),
                        args=[ast.Name(id=name)],
                        keywords=[],
                    )
                )
            ] if is_super(owner) and name in [argument.arg for argument in arguments]:
                pass
            case _:
                raise Refusal(self.node, "a Sequential runs its items in order, nothing else")

    def _check_default(self, node: ast.expr) -> None:
        """``None``, or a number."""
        match node:
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float())):
                pass
            case ast.Constant(value=None | int() | float()):
                pass
            case _:
                raise Refusal(node, "an input has no default but None or a number")


def _if_there(statement: ast.stmt) -> Sequence[ast.stmt]:
    """The statements under ``if self.x is not None:``; else the statement itself."""
    match statement:
        case ast.If(
            test=ast.Compare(
                left=ast.Attribute(value=ast.Name(id="self"), attr=name),
                ops=[ast.IsNot()],
                comparators=[ast.Constant(value=None)],
            ),
            body=body,
            orelse=[],
        ) if is_public(name):
            return body
        case _:
            return (statement,)
