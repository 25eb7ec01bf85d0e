"""A generated module as a whole: its imports, its ``Config``, its classes and functions."""

from __future__ import annotations

import ast
import re

from archspec.codegen.verify.block import BlockClass
from archspec.codegen.verify.expressions import Expressions
from archspec.codegen.verify.file import (
    RESERVED,
    VALUE_TYPE,
    File,
    annotation,
    signature,
    without_docstring,
)
from archspec.codegen.verify.initial_values import Initialize
from archspec.codegen.verify.kinds import Fields
from archspec.codegen.verify.refusal import Refusal, check_name
from archspec.codegen.verify.trusted import Known, Trusted

MAX_TEXT = 8_000_000  # characters; the text of a spec has 1 MB
_STANDARD = {
    "collections": frozenset({"OrderedDict"}),
    "dataclasses": frozenset({"dataclass"}),
    "functools": frozenset({"cached_property"}),
    "torch": frozenset({"Tensor", "nn"}),
}
_IMPORTS: dict[tuple[str, str | None], str] = {
    ("math", None): "math",
    ("torch", None): "torch",
    ("torch.nn.functional", "F"): "F",
}
# The functions that a source may bring along, each with this text.
_HELPERS = {
    function.name: ast.dump(function)
    for function in ast.parse("""
def make_divisible(value: float, divisor: int) -> int:
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded

def make_pair(value: float | tuple) -> tuple:
    return value if isinstance(value, tuple) else (value, value)

def route(x: Tensor, experts: nn.ModuleList, chosen: Tensor, weights: Tensor) -> Tensor:
    total = torch.zeros_like(x)
    for i, expert in enumerate(experts):
        rows, ranks = torch.where(chosen == i)
        given = expert(x[rows]) * weights[rows, ranks, None]
        total.index_add_(0, rows, given.to(total.dtype))
    return total
""").body
    if isinstance(function, ast.FunctionDef)
}
_ENCODING = re.compile(r"[ \t\f]*#.*coding[:=]")  # would change how a file is read


def check_source(text: str, known: Known) -> None:
    """Raise a ``Refusal`` unless everything in ``text`` is what the generator prints."""
    if len(text) > MAX_TEXT:
        raise Refusal(None, f"the text is longer than {MAX_TEXT:,} characters")
    for line in text.split("\n", 2)[:2]:
        if _ENCODING.match(line):
            raise Refusal(None, "a line names an encoding")
    _Source(File(Trusted.of(known))).check(_parsed(text))


def _parsed(text: str) -> ast.Module:
    try:
        return ast.parse(text)
    except SyntaxError as error:
        refusal = Refusal(None, f"not Python: {error.msg}")
        refusal.line = error.lineno or 1
        raise refusal from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise Refusal(None, f"not Python: {error}") from None


class _Source:
    def __init__(self, file: File) -> None:
        self.file = file
        self.classes: list[BlockClass] = []

    def check(self, tree: ast.Module) -> None:
        """The order is that of the text, but for methods: they know what all classes hold."""
        match tree.body:
            case [ast.Expr(value=ast.Constant(value=str())), *statements]:
                pass
            case _:
                raise Refusal(None, "a module begins with what it is")
        for statement in statements:
            self._statement(statement)
        for block in self.classes:
            block.check_methods()

    def _statement(self, statement: ast.stmt) -> None:
        match statement:
            case ast.Import() | ast.ImportFrom() if not self.classes:
                self._import(statement)
            case ast.ClassDef(name="Config") if self.file.fields is None and not self.classes:
                self._config(statement)
            case ast.ClassDef():
                self._block(statement)
            case ast.FunctionDef(name="initialize") if self.file.initialize is None:
                initialize = Initialize(self.file, statement)
                initialize.check()
                self.file.initialize = initialize.arguments
            case ast.FunctionDef(name=name) if name in _HELPERS and not self.classes:
                statement.body = [*without_docstring(statement.body)]
                if ast.dump(statement) != _HELPERS[name]:
                    raise Refusal(statement, f"{name} is not printed so")
                if name == "route":
                    self.file.must_import(statement, "torch", "Tensor", "nn")
                self.file.imported.add(name)
            case _:
                raise Refusal(statement, f"{type(statement).__name__} is not printed in a module")

    def _import(self, statement: ast.Import | ast.ImportFrom) -> None:
        for alias in statement.names:
            if isinstance(statement, ast.Import):
                name = _IMPORTS.get((alias.name, alias.asname))
                if name is None:
                    raise Refusal(statement, f"'{alias.name}' is not imported so")
                self.file.imported.add(name)
            else:
                self._import_from(statement, alias)

    def _import_from(self, statement: ast.ImportFrom, alias: ast.alias) -> None:
        module = statement.module or ""
        if statement.level or alias.asname is not None:
            raise Refusal(statement, "imports are absolute, and rename nothing")
        if alias.name in _STANDARD.get(module, ()):
            self.file.imported.add(alias.name)
        elif trusted := self.file.trusted.find(module, alias.name):
            if alias.name in RESERVED:
                raise Refusal(statement, f"'{alias.name}' already means something else")
            self.file.trusted.imported[alias.name] = trusted
        else:
            raise Refusal(statement, f"'{alias.name}' of '{module}' is not imported")

    # --------------------------------------------------------------------------------- classes

    def _block(self, node: ast.ClassDef) -> None:
        """``class X(nn.Module)``, or of ``nn.Sequential``, whose name is new."""
        match node:
            case ast.ClassDef(
                bases=[ast.Attribute(value=ast.Name(id="nn"), attr="Module" | "Sequential")],
                keywords=[],
                decorator_list=[],
            ):
                self.file.must_import(node, "nn")
            case _:
                raise Refusal(node, "a class is one of nn.Module")
        check_name(node, node.name)
        if node.name in RESERVED or node.name in self.file.scope:
            raise Refusal(node, f"'{node.name}' already means something else")
        block = BlockClass(self.file, node)
        self.classes.append(block)
        self.file.blocks[node.name] = block.check_constructor()

    def _config(self, node: ast.ClassDef) -> None:
        """``@dataclass(frozen=True) class Config``: constants, then properties."""
        match node:
            case ast.ClassDef(
                bases=[],
                keywords=[],
                decorator_list=[
                    ast.Call(
                        func=ast.Name(id="dataclass"),
                        args=[],
                        keywords=[ast.keyword(arg="frozen", value=ast.Constant(value=True))],
                    )
                ],
            ):
                self.file.must_import(node, "dataclass")
            case _:
                raise Refusal(node, "the config is a frozen dataclass")
        self.file.fields = Fields(self._field(part) for part in node.body)
        for part in node.body:
            if isinstance(part, ast.FunctionDef):
                self._property(part, self.file.fields)

    def _field(self, node: ast.stmt) -> str:
        match node:
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value, simple=1):
                self._check_type(node.annotation)
                Expressions({}, frozenset()).value(value)
            case ast.FunctionDef(name=name, decorator_list=[ast.Name(id="cached_property")]):
                self.file.must_import(node, "cached_property")
            case _:
                raise Refusal(node, f"{type(node).__name__} is not printed in a config")
        check_name(node, name)
        return name

    def _check_type(self, node: ast.expr | None) -> None:
        if not VALUE_TYPE.fullmatch(annotation(node)):
            raise Refusal(node, f"'{annotation(node)}' is no type that is printed")

    def _property(self, node: ast.FunctionDef, fields: Fields) -> None:
        self._check_type(node.returns)
        node.returns = None
        if signature(node, "self")[0]:
            raise Refusal(node, "a property takes no arguments")
        match node.body:
            case [ast.Return(value=ast.expr() as value)]:
                Expressions({"self": fields}, frozenset(self.file.imported)).value(value)
            case _:
                raise Refusal(node, "a property returns a value, nothing else")
