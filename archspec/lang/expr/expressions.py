"""The expression language: a small, safe subset of Python's syntax.

``parse`` turns text into a checked ``Expression``; ``evaluate`` computes one from named values, as
module arguments need it. Nothing here runs Python code: the tree is walked, node by node, and every
operation that could hang or fill memory is bounded. What the names in a forward step stand for is
decided by the layers above.

>>> evaluate(parse("64 * expansion"), {"expansion": 4})
256
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import EllipsisType
from typing import Any, cast

from archspec.errors import did_you_mean

MAX_TEXT = 1_000  # characters of one expression
MAX_DEPTH = 40  # nesting of one expression
MAX_INTEGER = 2**63 - 1  # sizes are 64-bit in PyTorch
MAX_LENGTH = 10_000  # elements of a list, characters of a string

ATTRIBUTES = frozenset({"shape", "ndim", "dtype", "device", "weight", "bias"})

Value = Any  # None, bool, int, float, str, or a tuple of these


class ExpressionError(Exception):
    """What is wrong with an expression, and in which stretch ``[start, end)`` of its text."""

    def __init__(
        self, code: str, message: str, start: int = 0, end: int = 0, hint: str = ""
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.start, self.end, self.hint = code, message, start, end, hint


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression: its text as written and its checked syntax tree."""

    text: str
    tree: ast.expr

    def stretch(self, node: ast.AST) -> tuple[int, int]:
        """Where ``node`` stands in the text, as ``[start, end)`` in characters."""
        start, end = getattr(node, "col_offset", 0), getattr(node, "end_col_offset", len(self.text))
        if self.text.isascii():
            return start, end
        raw = self.text.encode()
        return len(raw[:start].decode(errors="ignore")), len(raw[:end].decode(errors="ignore"))

    def written(self, node: ast.AST) -> str:
        """The text of a node, if it is ASCII."""
        start, end = self.stretch(node)
        text = self.text[start:end]
        return text if text.isascii() else ""

    def error(self, node: ast.AST, code: str, message: str, hint: str = "") -> ExpressionError:
        return ExpressionError(code, message, *self.stretch(node), hint)

    def names(self) -> set[str]:
        """The names of the values that it is computed from."""
        return {node.id for node in self.free_names()}

    def free_names(self) -> list[ast.Name]:
        """Every name but those of the functions called."""
        nodes = list(ast.walk(self.tree))
        called = {id(n.func) for n in nodes if isinstance(n, ast.Call)}
        return [n for n in nodes if isinstance(n, ast.Name) and id(n) not in called]


def outcomes(node: ast.expr) -> list[ast.expr]:
    """The expressions that a conditional can come to: A and B of ``A if c else B``."""
    if isinstance(node, ast.IfExp):
        return [*outcomes(node.body), *outcomes(node.orelse)]
    return [node]


# ---------------------------------------------------------------------------------------- parsing


@lru_cache(maxsize=4096)
def parse(text: str) -> Expression:
    """Parse and check ``text``.

    Raises:
        ExpressionError: E301 for text that is no expression, E302 for Python that is not part of
            the language, E307 beyond the limits.
    """
    if len(text) > MAX_TEXT:
        raise ExpressionError("E307", f"the expression is longer than {MAX_TEXT} characters")
    # YAML may fold an expression over lines; a newline means no more than a space.
    flat = text.replace("\n", " ")
    if not flat.strip():
        raise ExpressionError("E301", "an expression is missing here")
    if "\\" in flat:
        at = flat.index("\\")
        raise ExpressionError("E302", "backslashes are not part of expressions", at, at + 1)
    body = flat.lstrip()
    indent = len(flat) - len(body)
    try:
        tree = ast.parse(body, mode="eval").body
    except SyntaxError as error:
        # Where the text ends too soon, Python gives no offset: the last character is the place.
        last = len(flat.rstrip()) - 1
        start = min(indent + error.offset - 1, last) if error.offset else last
        stop = (error.end_offset or 0) - 1 + indent
        raise ExpressionError(
            "E301",
            f"not an expression: {error.msg}",
            start,
            max(stop, start + 1),
            _syntax_hint(body),
        ) from None
    except UnicodeEncodeError:
        raise ExpressionError("E301", "not an expression: half a character") from None
    except (RecursionError, MemoryError, ValueError):
        raise ExpressionError("E307", "the expression is nested too deeply", 0, len(text)) from None
    if indent:
        tree = ast.fix_missing_locations(_shift(tree, len(flat[:indent].encode())))
    expression = Expression(flat, tree)
    _check(expression, tree, 0)
    _refuse_comments(expression)
    return expression


def _shift(tree: ast.expr, by: int) -> ast.expr:
    for node in ast.walk(tree):
        if isinstance(node, ast.expr | ast.keyword):
            node.col_offset += by
            node.end_col_offset = (node.end_col_offset or 0) + by
    return tree


def _syntax_hint(text: str) -> str:
    if text.startswith("$"):
        return "this is always an expression: leave out the $"
    if "=" in text and not any(op in text for op in ("==", "<=", ">=", "!=")) and "(" not in text:
        return "an expression computes a value; write {name: expression} to give it a name"
    return ""


def _refuse_comments(expression: Expression) -> None:
    if "#" not in expression.text:
        return
    inside = sum(
        n.value.count("#")
        for n in ast.walk(expression.tree)
        if isinstance(n, ast.Constant) and isinstance(n.value, str)
    )
    if expression.text.count("#") > inside:
        at = expression.text.rindex("#")
        raise ExpressionError("E302", "comments are not part of expressions", at, at + 1)


_BINARY: dict[type[ast.operator], str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%",
    ast.Pow: "**", ast.MatMult: "@", ast.LShift: "<<", ast.RShift: ">>", ast.BitAnd: "&",
    ast.BitOr: "|", ast.BitXor: "^",
}  # fmt: skip
_NODES: tuple[type[ast.AST], ...] = (
    ast.Name, ast.Constant, ast.List, ast.Tuple, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare,
    ast.IfExp, ast.Subscript, ast.Slice, ast.Call, ast.keyword, ast.Attribute,
    *_BINARY, ast.operator, ast.unaryop, ast.boolop, ast.cmpop, ast.expr_context,
)  # fmt: skip
_OUTSIDE: dict[type[ast.AST], str] = {
    ast.Lambda: "lambda", ast.NamedExpr: "assignment (:=)", ast.JoinedStr: "an f-string",
    ast.Starred: "unpacking with *", ast.Dict: "a dict", ast.Set: "a set", ast.Await: "await",
    ast.Yield: "yield", ast.YieldFrom: "yield", ast.ListComp: "a comprehension",
    ast.SetComp: "a comprehension", ast.DictComp: "a comprehension",
    ast.GeneratorExp: "a comprehension",
}  # fmt: skip


def _check(expression: Expression, node: ast.AST, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ExpressionError("E307", f"nested more than {MAX_DEPTH} deep", 0, len(expression.text))
    if not isinstance(node, _NODES):
        what = _OUTSIDE.get(type(node), type(node).__name__)
        raise expression.error(node, "E302", f"{what} is not part of the language")
    match node:
        case ast.Constant(value=value) if not isinstance(value, int | float | str | None):
            if value is not ...:
                raise expression.error(node, "E302", f"{value!r} is not part of the language")
        case ast.Constant(value=int(value)) if value > MAX_INTEGER:
            raise expression.error(node, "E307", "the integer does not fit into 64 bits")
        # Python reads look-alike letters as the plain ones: what is written is what counts.
        case ast.Name(id=name) if expression.written(node) != name or "__" in name:
            raise expression.error(node, "E302", f"'{name}' is not a name of the language")
        case ast.Attribute(attr=name) if name.startswith("_") or not expression.written(
            node
        ).endswith(name):
            hint = "shape, ndim, dtype, device, or a child or parameter of a module"
            raise expression.error(node, "E302", f"no attribute '{name}'", hint)
        case ast.Call(keywords=keywords) if any(k.arg is None for k in keywords):
            raise expression.error(node, "E302", "unpacking with ** is not part of the language")
        case ast.Compare(ops=ops, comparators=right):
            for op, other in zip(ops, right, strict=True):
                none = isinstance(other, ast.Constant) and other.value is None
                if isinstance(op, ast.Is | ast.IsNot) and not none:
                    raise expression.error(node, "E302", "'is' compares with None only", "use ==")
        case _:
            pass
    for child in ast.iter_child_nodes(node):
        _check(expression, child, depth + 1)


# ------------------------------------------------------------------------------------- evaluation


def _round(number: float, digits: int | None = None) -> float | int:
    if digits is not None and abs(digits) > 30:
        raise ValueError("round takes at most 30 digits")
    return round(number, digits)


def _sum(values: Any, start: int | float = 0) -> int | float:
    items = (start, *cast("tuple[Any, ...]", values)) if isinstance(values, tuple) else ("",)
    if not all(isinstance(item, int | float) for item in items):
        raise TypeError("sum takes a list of numbers")
    return sum(items)


def _number(kind: type[int] | type[float]) -> Callable[[Any], int | float]:
    def convert(value: Any) -> int | float:
        if not isinstance(value, int | float):
            raise TypeError(f"{kind.__name__} takes a number, not {value!r}")
        return kind(value)

    return convert


# Functions for module arguments, where sizes are computed. Forward steps have PyTorch's instead.
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs, "float": _number(float), "int": _number(int), "len": len, "max": max, "min": min,
    "round": _round, "sum": _sum,
}  # fmt: skip

_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le,
    ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Is: operator.is_, ast.IsNot: operator.is_not,
    ast.In: lambda a, b: a in b, ast.NotIn: lambda a, b: a not in b,
}  # fmt: skip
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.Not: operator.not_, ast.USub: operator.neg, ast.UAdd: operator.pos,
    ast.Invert: operator.invert,
}  # fmt: skip
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: lambda a, b: a + b, ast.Sub: lambda a, b: a - b, ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b, ast.FloorDiv: lambda a, b: a // b, ast.Mod: lambda a, b: a % b,
    ast.Pow: lambda a, b: a**b, ast.LShift: lambda a, b: a << b, ast.RShift: lambda a, b: a >> b,
    ast.BitAnd: lambda a, b: a & b, ast.BitOr: lambda a, b: a | b, ast.BitXor: lambda a, b: a ^ b,
}  # fmt: skip


def evaluate(expression: Expression, names: Mapping[str, Value]) -> Value:
    """The value of an expression whose names are all in ``names``; lists become tuples.

    Raises:
        ExpressionError: E303 for an unknown name, E304 for a function or attribute, E306 for an
            operation that has no value (division by zero, an index out of range), E307 beyond the
            limits.
    """
    return _Evaluator(expression, names).value(expression.tree)


def evaluate_part(expression: Expression, node: ast.expr, names: Mapping[str, Value]) -> Value:
    """As ``evaluate``, for one node of the expression."""
    return _Evaluator(expression, names).value(node)


def misplaced(expression: Expression) -> Iterator[ExpressionError]:
    """What a forward step may hold and an argument may not: its functions, attributes, ``@``."""
    for node in ast.walk(expression.tree):
        match node:
            case ast.Call(func=ast.Name(id=name), keywords=[]) if name in FUNCTIONS:
                pass
            case ast.Call(func=ast.Name(id=name)) if name not in FUNCTIONS:
                hint = did_you_mean(name, FUNCTIONS) or f"arguments know {', '.join(FUNCTIONS)}"
                yield expression.error(node.func, "E304", f"unknown function '{name}'", hint)
            case ast.BinOp(op=ast.MatMult()):
                yield expression.error(node, "E304", "@ has no meaning in an argument")
            case ast.Call() | ast.Attribute() | ast.Constant(value=EllipsisType()):
                yield expression.error(node, "E304", "this has no meaning in an argument")
            case _:
                pass


class _Evaluator:
    def __init__(self, expression: Expression, names: Mapping[str, Value]) -> None:
        self.expression, self.names = expression, names

    def value(self, node: ast.AST) -> Value:
        try:
            result = self._value(node)
        except ExpressionError:
            raise
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise self.expression.error(node, "E306", f"cannot be evaluated: {error}") from None
        if isinstance(result, int) and not -MAX_INTEGER <= result <= MAX_INTEGER:
            raise self.expression.error(node, "E307", "the result does not fit into 64 bits")
        if isinstance(result, complex):
            raise self.expression.error(node, "E306", "the result is not a real number")
        return result

    def _value(self, node: ast.AST) -> Value:
        match node:
            case ast.Constant(value=value) if value is not ...:
                return value
            case ast.Name(id=name):
                if name not in self.names:
                    raise self.expression.error(node, "E303", f"unknown name '{name}'")
                return self.names[name]
            case ast.List(elts=items) | ast.Tuple(elts=items):
                made = tuple(self.value(item) for item in items)
                if problem := _too_long(_elements(made)):
                    raise self.expression.error(node, "E307", problem)
                return made
            case ast.BinOp(left=left, op=op, right=right):
                return self._binary(node, op, self.value(left), self.value(right))
            case ast.UnaryOp(op=op, operand=operand):
                return _UNARY[type(op)](self.value(operand))
            case ast.BoolOp(op=op, values=values):
                return self._bool(isinstance(op, ast.And), values)
            case ast.Compare():
                return self._compare(node)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return self.value(body if self.value(test) else orelse)
            case ast.Subscript(value=value, slice=index):
                return self.value(value)[self._index(index)]
            case ast.Call(func=func, args=args, keywords=[]):
                return self._function(func)(*map(self.value, args))
            case _:
                raise self.expression.error(node, "E304", "this has no meaning in an argument")

    def _function(self, node: ast.expr) -> Callable[..., Any]:
        if not isinstance(node, ast.Name):
            raise self.expression.error(node, "E304", "this has no meaning in an argument")
        if node.id not in FUNCTIONS:
            raise self.expression.error(node, "E304", f"unknown function '{node.id}'")
        return FUNCTIONS[node.id]

    def _binary(self, node: ast.AST, op: ast.operator, left: Value, right: Value) -> Value:
        if type(op) not in _ARITHMETIC:
            raise self.expression.error(node, "E304", "@ has no meaning in an argument")
        if problem := _too_large(op, left, right):
            raise self.expression.error(node, "E307", problem)
        return _ARITHMETIC[type(op)](left, right)

    def _bool(self, is_and: bool, values: list[ast.expr]) -> Value:
        result: Value = is_and
        for value in values:
            result = self.value(value)
            if bool(result) is not is_and:
                break
        return result

    def _compare(self, node: ast.Compare) -> bool:
        left = self.value(node.left)
        for op, other in zip(node.ops, node.comparators, strict=True):
            right = self.value(other)
            if not _COMPARE[type(op)](left, right):
                return False
            left = right
        return True

    def _index(self, node: ast.expr) -> Any:
        if not isinstance(node, ast.Slice):
            return self.value(node)
        parts = (node.lower, node.upper, node.step)
        return slice(*(None if part is None else self.value(part) for part in parts))


def _too_large(op: ast.operator, left: Value, right: Value) -> str:
    """Why an operation may not be carried out, before it is: afterwards is too late."""
    match op:
        case ast.Pow() if isinstance(left, int) and isinstance(right, int):
            if (abs(left).bit_length() - 1) * right > 63:
                return "the power does not fit into 64 bits"
        case ast.LShift() if isinstance(right, int) and right > 64:
            return "a shift by more than 64 bits"
        case ast.Mod() if isinstance(left, str):
            return "text cannot be formatted in an expression"
        case ast.Mult():
            for sequence, count in ((left, right), (right, left)):
                if isinstance(sequence, str | tuple) and isinstance(count, int):
                    return _too_long(_elements(sequence) * count)  # pyright: ignore[reportUnknownArgumentType]
        case ast.Add() if isinstance(left, str | tuple) and isinstance(right, str | tuple):
            return _too_long(_elements(left) + _elements(right))  # pyright: ignore[reportUnknownArgumentType]
        case _:
            pass
    return ""


def _elements(value: Value) -> int:
    """How much a value holds, lists in lists included: sharing makes small ones of huge trees."""
    if isinstance(value, tuple):
        return sum(1 + _elements(item) for item in cast("tuple[Any, ...]", value))
    return len(value) if isinstance(value, str) else 0


def _too_long(length: int) -> str:
    return f"longer than {MAX_LENGTH} elements" if length > MAX_LENGTH else ""


# -------------------------------------------------------------------------------------- templates


def template(text: str) -> Iterator[str | Expression]:
    """The parts of a name such as ``layer_{i + 1}``: plain text and parsed expressions.

    Raises:
        ExpressionError: E301 for unbalanced braces, else as ``parse``.
    """
    rest, at = text, 0
    while rest:
        plain, brace, rest = rest.partition("{")
        if "}" in plain:
            raise ExpressionError("E301", "unbalanced }", at, at + len(plain))
        if plain:
            yield plain
        if not brace:
            return
        inner, closing, rest = rest.partition("}")
        if not closing:
            raise ExpressionError("E301", "unbalanced {", at + len(plain), len(text))
        yield parse(inner)
        at = len(text) - len(rest)
