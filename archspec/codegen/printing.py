"""Expressions as Python text."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Sequence
from typing import Any, cast

_BINARY: dict[type[ast.operator], tuple[str, int]] = {
    ast.BitOr: ("|", 6), ast.BitXor: ("^", 7), ast.BitAnd: ("&", 8), ast.LShift: ("<<", 9),
    ast.RShift: (">>", 9), ast.Add: ("+", 10), ast.Sub: ("-", 10), ast.Mult: ("*", 11),
    ast.Div: ("/", 11), ast.FloorDiv: ("//", 11), ast.Mod: ("%", 11), ast.MatMult: ("@", 11),
    ast.Pow: ("**", 13),
}  # fmt: skip
_COMPARE: dict[type[ast.cmpop], str] = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
    ast.Is: "is", ast.IsNot: "is not", ast.In: "in", ast.NotIn: "not in",
}  # fmt: skip
_UNARY: dict[type[ast.unaryop], str] = {ast.USub: "-", ast.UAdd: "+", ast.Invert: "~"}
_TERNARY, _OR, _AND, _NOT, _COMPARISON, _SIGN, _ATOM = 1, 2, 3, 4, 5, 12, 15


class Printer:
    """Prints checked expression trees.

    Args:
        name: the Python text of a name that stands for a value or a module.
        call: the Python text of a call whose function is a plain name, from that name and the
            printed arguments; None to print it as it is.
    """

    def __init__(
        self,
        name: Callable[[str], str],
        call: Callable[[str, list[str]], str | None] = lambda name, arguments: None,
    ) -> None:
        self.name, self.call = name, call

    def text(self, node: ast.AST, level: int = 0) -> str:
        """``node`` as Python, in parentheses if it binds less tightly than ``level``."""
        text, own = self._print(node)
        return f"({text})" if own < level else text

    def _print(self, node: ast.AST) -> tuple[str, int]:
        match node:
            case ast.Constant(value=value):
                return constant(value), _ATOM
            case ast.Name(id=name):
                return self.name(name), _ATOM
            case ast.List(elts=items):
                return f"[{self._list(items)}]", _ATOM
            case ast.Tuple(elts=items):
                return tuple_text([self.text(item, _TERNARY) for item in items]), _ATOM
            case ast.BinOp(left=left, op=op, right=right):
                return self._binary(left, op, right)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return f"not {self.text(operand, _NOT)}", _NOT
            case ast.UnaryOp(op=op, operand=operand):
                return f"{_UNARY[type(op)]}{self.text(operand, _ATOM)}", _SIGN
            case ast.BoolOp(op=op, values=values):
                word, own = (" and ", _AND) if isinstance(op, ast.And) else (" or ", _OR)
                return word.join(self.text(value, own + 1) for value in values), own
            case ast.Compare(left=left, ops=ops, comparators=others):
                parts = [self.text(left, _COMPARISON + 1)]
                for op, other in zip(ops, others, strict=True):
                    parts += [_COMPARE[type(op)], self.text(other, _COMPARISON + 1)]
                return " ".join(parts), _COMPARISON
            case ast.IfExp(test=test, body=body, orelse=orelse):
                yes, no = self.text(body, _OR), self.text(orelse, _TERNARY)
                return f"{yes} if {self.text(test, _OR)} else {no}", _TERNARY
            case ast.Subscript(value=value, slice=index):
                return f"{self.text(value, _ATOM)}[{self._index(index)}]", _ATOM
            case ast.Attribute(value=value, attr=name):
                return f"{self.text(value, _ATOM)}.{name}", _ATOM
            case ast.Call():
                return self._call(node), _ATOM
            case _:
                raise AssertionError(f"not part of the language: {ast.dump(node)}")

    def _list(self, items: Sequence[ast.expr]) -> str:
        return ", ".join(self.text(item, _TERNARY) for item in items)

    def _binary(self, left: ast.expr, op: ast.operator, right: ast.expr) -> tuple[str, int]:
        sign, own = _BINARY[type(op)]
        if isinstance(op, ast.Pow):  # binds to the right, and tighter than a sign on its left
            base, exponent = self.text(left, own + 1), self.text(right, _SIGN)
            tight = _is_simple(left) and _is_simple(right)
            return f"{base}**{exponent}" if tight else f"{base} ** {exponent}", own
        return f"{self.text(left, own)} {sign} {self.text(right, own + 1)}", own

    def _index(self, node: ast.expr) -> str:
        if isinstance(node, ast.Tuple) and node.elts:
            parts = [self._index(part) for part in node.elts]
            return ", ".join(parts) if len(parts) > 1 else f"{parts[0]},"
        if not isinstance(node, ast.Slice):
            return self.text(node)
        bounds = [node.lower, node.upper] + ([node.step] if node.step else [])
        texts = ["" if bound is None else self.text(bound) for bound in bounds]
        plain = all(
            bound is None
            or isinstance(bound, ast.Constant | ast.Name)
            or (isinstance(bound, ast.UnaryOp) and isinstance(bound.operand, ast.Constant))
            for bound in bounds
        )
        return ":".join(texts) if plain else " : ".join(texts).strip().replace("  ", " ")

    def _call(self, call: ast.Call) -> str:
        arguments = [self.text(argument, _TERNARY) for argument in call.args]
        arguments += [f"{k.arg}={self.text(k.value, _TERNARY)}" for k in call.keywords]
        if isinstance(call.func, ast.Name):
            special = self.call(call.func.id, arguments)
            if special is not None:
                return special
        return f"{self.text(call.func, _ATOM)}({', '.join(arguments)})"


def _is_simple(node: ast.expr) -> bool:
    """An operand that formatters write close to ``**``."""
    match node:
        case ast.UnaryOp(operand=ast.Constant()) | ast.Name() | ast.Constant():
            return True
        case ast.Attribute(value=value):
            return isinstance(value, ast.Name | ast.Attribute) and _is_simple(value)
        case _:
            return False


def tuple_text(items: Sequence[str]) -> str:
    return f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"


def constant(value: Any) -> str:
    """A literal as formatted Python; lists and tuples of literals become tuples."""
    match value:
        case str():
            return _string(value)
        case float() if not math.isfinite(value):
            return f'float("{value}")'
        case list() | tuple():
            return tuple_text([constant(item) for item in cast("tuple[Any, ...]", value)])
        case _ if value is ...:
            return "..."
        case _:
            return repr(value)


def _string(text: str) -> str:
    """In the quotes that need fewer escapes, double ones if in doubt."""
    quote = "'" if text.count('"') > text.count("'") else '"'
    pieces = [(f"\\{c}" if c == quote else c) if c in "'\"" else repr(c)[1:-1] for c in text]
    return f"{quote}{''.join(pieces)}{quote}"


def docstring(text: str) -> str:
    """``text`` as a one-line docstring, whatever it holds."""
    flat = " ".join(text.split())
    safe = "".join(c for c in flat if c.isprintable())
    escaped = safe.replace("\\", "\\\\").replace('"', '\\"')
    return f'"""{escaped}"""'


def comment(text: str) -> str:
    """``text`` as a comment on one line, whatever it holds."""
    return "# " + "".join(c for c in " ".join(text.split()) if c.isprintable())
