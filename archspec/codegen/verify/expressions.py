"""Expressions that are computed from values: the part that all places of a source share."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence

from archspec.codegen.verify.kinds import VALUE, Class, Kind, LayerKind, union
from archspec.codegen.verify.refusal import Refusal, check_name
from archspec.lang.registry import functions, layers

MAX_DEPTH = 300  # nesting of one expression; documents nest 64 levels, expressions 40
NAMESPACES = ("nn", "torch", "F", "math")
FUNCTIONS = frozenset({"abs", "float", "int", "len", "max", "min", "round", "sum"})
MATH = frozenset(f"math.{name}" for name in ("ceil", "exp", "floor", "log", "log2", "sqrt"))
_CONSTANTS = frozenset(functions.CONSTANTS.values())
_PLAIN = (str, int, float, type(None), type(...))  # bool is an int


class Expressions:
    """Checks expressions in one scope.

    Args:
        scope: the names that are defined here, and what each stands for.
        imported: the names that the module imports.
    """

    def __init__(self, scope: Mapping[str, Kind], imported: frozenset[str]) -> None:
        self.scope, self.imported = dict(scope), imported
        self._depth = 0

    def value(self, node: ast.expr) -> None:
        """Something that is computed with."""
        if not self.kind(node).is_value:
            raise Refusal(node, "no value stands here")

    def kind(self, node: ast.expr) -> Kind:
        """What an expression stands for."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise Refusal(node, f"nested more than {MAX_DEPTH} deep")
        kind = self._kind(node)
        self._depth -= 1
        return kind

    def _kind(self, node: ast.expr) -> Kind:
        match node:
            case ast.Name():
                return self.name(node)
            case ast.Constant(value=value):
                if not isinstance(value, _PLAIN):
                    raise Refusal(node, f"{value!r} is no constant that is printed")
            case ast.Call(
                func=ast.Name(id="tuple"),
                args=[ast.GeneratorExp(elt=element, generators=clauses)],
                keywords=[],
            ):
                self._comprehension(element, clauses)
            case ast.Call() if self.numeric(node):
                pass
            case ast.Attribute(value=ast.Call() as call, attr="min" | "max" | "eps" | "tiny") if (
                self.dotted(call.func) == "torch.finfo" and len(call.args) == 1
            ):
                self.arguments(call, lambda _: False, self.value)
            case ast.Call():
                return self.call(node)
            case ast.Attribute():
                return self.attribute(node)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                self.value(test)
                return union([self.kind(body), self.kind(orelse)])
            case ast.Subscript():
                return self._subscript(node)
            case ast.Compare():
                self._compare(node)
            case ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.BoolOp(values=parts):
                for part in parts:
                    self.value(part)
            case ast.BinOp(left=left, right=right):
                self.value(left)
                self.value(right)
            case ast.UnaryOp(operand=operand):
                self.value(operand)
            case _:
                raise Refusal(node, f"{type(node).__name__} is not printed here")
        return VALUE

    def name(self, node: ast.Name) -> Kind:
        if node.id not in self.scope:
            raise Refusal(node, f"the name '{node.id}' is not defined here")
        return self.scope[node.id]

    def attribute(self, node: ast.Attribute) -> Kind:
        dotted = self.dotted(node)
        if dotted in _CONSTANTS:
            return VALUE
        if dotted:
            return Class(LayerKind(self._layer(node, dotted)))
        kind = self.kind(node.value).attribute(node.attr)
        if kind is None:
            raise Refusal(node, f"the attribute '{node.attr}' is not printed here")
        return kind

    def _layer(self, node: ast.AST, dotted: str) -> layers.Layer:
        layer = layers.find(dotted.removeprefix("nn."))
        if layer is None or layer.registered or not dotted.startswith("nn."):
            raise Refusal(node, f"'{dotted}' is not in the table of layers")
        return layer

    def dotted(self, node: ast.expr) -> str:
        """``torch.linalg.norm`` of the three namespaces; "" for what is rooted elsewhere."""
        names: list[str] = []
        while isinstance(node, ast.Attribute):
            names.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name) or node.id not in NAMESPACES or not names:
            return ""
        if node.id not in self.imported:
            raise Refusal(node, f"the name '{node.id}' is not imported")
        return ".".join([node.id, *reversed(names)])

    def numeric(self, node: ast.Call) -> bool:
        """Whether a call is one of a function of plain numbers that is no builtin; its check."""
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        is_ours = name in ("make_divisible", "make_pair") and name in self.imported
        if not is_ours and self.dotted(node.func) not in MATH:
            return False
        self.arguments(node, lambda _: False, self.value)
        return True

    def _comprehension(self, element: ast.expr, clauses: Sequence[ast.comprehension]) -> None:
        """``tuple(a for a, b in pairs if b)``"""
        outside = self.scope
        self.scope = dict(outside)
        for clause in clauses:
            self.looped(clause.iter)
            if clause.is_async:
                raise Refusal(element, "this is not awaited")
            self.scope.update(dict.fromkeys(targets_of(clause.target), VALUE))
            for condition in clause.ifs:
                self.value(condition)
        self.value(element)
        self.scope = outside

    def looped(self, node: ast.expr) -> None:
        """What a loop over values runs over."""
        match node:
            case ast.Call(func=ast.Name(id="range"), args=[_, *_] as arguments, keywords=[]):
                for argument in arguments:
                    self.value(argument)
            case ast.Call(
                func=ast.Name(id="zip" | "enumerate"), args=[_, *_] as arguments, keywords=[]
            ):
                for argument in arguments:
                    self.looped(argument)
            case _:
                self.value(node)

    # ----------------------------------------------------------------------------------- parts

    def _compare(self, node: ast.Compare) -> None:
        """``x is None`` may ask of anything that is passed on; all else compares values."""
        is_none = [isinstance(op, ast.Is | ast.IsNot) for op in node.ops]
        operands = [node.left, *node.comparators]
        for other, identity in zip(node.comparators, is_none, strict=True):
            if identity and not (isinstance(other, ast.Constant) and other.value is None):
                raise Refusal(node, "'is' compares with None only")
        if is_none == [True]:
            self.kind(node.left)
            return
        for operand in operands:
            self.value(operand)

    def _subscript(self, node: ast.Subscript) -> Kind:
        self.index(node.slice)
        owner = self.kind(node.value)
        item = owner.item(text_of(node.slice))
        if item is None:
            raise Refusal(node, "this is not indexed")
        return owner if isinstance(node.slice, ast.Slice) else item

    def index(self, node: ast.expr) -> None:
        for part in node.elts if isinstance(node, ast.Tuple) else [node]:
            if isinstance(part, ast.Slice):
                for bound in filter(None, (part.lower, part.upper, part.step)):
                    self.value(bound)
            else:
                self.value(part)

    def call(self, node: ast.Call) -> Kind:
        """Functions of values: what arguments know, and ``float("inf")``."""
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name not in FUNCTIONS or name in self.scope:
            raise Refusal(node, "this is not called here")
        self.arguments(node, lambda _: False, self.value)
        return VALUE

    def arguments(
        self,
        node: ast.Call,
        accepts: Callable[[str], bool],
        check: Callable[[ast.expr], object],
        checked: Sequence[ast.expr] = (),
    ) -> None:
        """All arguments of a call, but for those that are checked already.

        Args:
            accepts: says which names they may have.
            check: raises if an argument is not printed there.
        """
        seen: set[str] = set()
        for argument in node.args[len(checked) :]:
            check(argument)
        for keyword in node.keywords:
            name = keyword.arg or "**"
            if name == "**" or name in seen or not accepts(name):
                raise Refusal(keyword, f"the argument '{name}' is not printed here")
            seen.add(name)
            check(keyword.value)


def targets_of(node: ast.expr) -> list[str]:
    """The names in ``i, (a, b)``, to which a loop gives its values."""
    match node:
        case ast.Name(id=name):
            check_name(node, name)
            return [name]
        case ast.Tuple(elts=parts):
            return [name for part in parts for name in targets_of(part)]
        case _:
            raise Refusal(node, "a loop does not give its values to this")


def text_of(node: ast.expr) -> str | None:
    """The text that a node is, if it is a constant one."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
