"""Expressions as Python text, and long lines folded the way formatters do."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

LINE_LENGTH = 88

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
                return f"{_UNARY[type(op)]}{self.text(operand, _SIGN)}", _SIGN
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
            simple = all(
                isinstance(x, ast.Name | ast.Constant | ast.Attribute) for x in (left, right)
            )
            return (f"{base}**{exponent}" if simple else f"{base} ** {exponent}"), own
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


def tuple_text(items: Sequence[str]) -> str:
    return f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"


def constant(value: Any) -> str:
    """A literal as formatted Python; lists and tuples of literals become tuples."""
    match value:
        case str():
            text = repr(value)
            return f'"{text[1:-1]}"' if text[0] == "'" and '"' not in text else text
        case float() if not math.isfinite(value):
            return f'float("{value}")'
        case list() | tuple():
            return tuple_text([constant(item) for item in cast("tuple[Any, ...]", value)])
        case _ if value is ...:
            return "..."
        case _:
            return repr(value)


def docstring(text: str) -> str:
    """``text`` as a one-line docstring, whatever it holds."""
    flat = " ".join(text.split())
    safe = "".join(c for c in flat if c.isprintable())
    escaped = safe.replace("\\", "\\\\").replace('"', '\\"')
    return f'"""{escaped}"""'


def comment(text: str) -> str:
    """``text`` as a comment on one line, whatever it holds."""
    return "# " + "".join(c for c in " ".join(text.split()) if c.isprintable())


# ---------------------------------------------------------------------------------------- folding


def fold(text: str, indent: int) -> list[str]:
    """One statement or element as lines of at most ``LINE_LENGTH``, if brackets allow it."""
    pad = " " * indent
    if len(pad) + len(text) <= LINE_LENGTH:
        return [pad + text]
    end = len(text)
    while end and text[end - 1] in ":,":
        end -= 1
    start = _opening(text, end)
    value = text.removeprefix("return ") if text.startswith("return ") else text.partition(" = ")[2]
    if start is None or (value and len(_clauses(value)) > 1):
        return _in_parentheses(text, indent)
    head, body, tail = text[: start + 1], text[start + 1 : end - 1], text[end - 1 :]
    lines = [pad + head]
    if indent + 4 + len(body) <= LINE_LENGTH:
        lines.append(f"{pad}    {body}")
    else:
        parts = split(body, ", ")
        if len(parts) > 1 or body.startswith("*"):
            for part in parts:
                lines += fold(f"{part.rstrip(',')},", indent + 4)
        else:
            for part in _clauses(body):
                lines += fold(part, indent + 4)
    return [*lines, pad + tail]


def _in_parentheses(text: str, indent: int) -> list[str]:
    """``return a if c else b`` has no bracket to fold at: formatters add one."""
    pad = " " * indent
    for lead in ("return ", *(f"{name} = " for name in [text.partition(" = ")[0]])):
        body = text.removeprefix(lead)
        if body != text and body:
            lines = [f"{pad}{lead}("]
            if indent + 4 + len(body) <= LINE_LENGTH:
                return [*lines, f"{pad}    {body}", f"{pad})"]
            for part in _clauses(body):
                lines += fold(part, indent + 4)
            return [*lines, f"{pad})"]
    return [pad + text]


def _clauses(body: str) -> list[str]:
    """A comprehension or a conditional, one clause each; else an operation at its operators."""
    for words in ((" for ", " if "), (" if ", " else "), (" or ",), (" and ",), (" + ", " - ")):
        if len(split(body, words[0])) == 1 and words[0] != " + ":
            continue
        parts = [body]
        for word in words:
            cut: list[str] = []
            for part in parts:
                first, *rest = split(part, word)
                cut += [first, *(word.lstrip() + piece for piece in rest)]
            parts = cut
        if len(parts) > 1:
            return parts
    return [body]


def split(text: str, separator: str) -> list[str]:
    """``text`` cut at each ``separator`` outside brackets and strings."""
    parts: list[str] = []
    start = 0
    for at, depth in _depths(text):
        if depth == 0 and at >= start and text.startswith(separator, at):
            parts.append(text[start:at])
            start = at + len(separator)
    return [*parts, text[start:]]


def _opening(text: str, end: int) -> int | None:
    """Where the bracket opens that closes at ``end``, the end of the text."""
    if not end or text[end - 1] not in ")]}":
        return None
    return max(
        (at for at, depth in _depths(text[:end]) if depth == 0 and text[at] in "([{"), default=None
    )


def _depths(text: str) -> Iterator[tuple[int, int]]:
    """Each position outside strings with the number of brackets open around it."""
    depth, quote, at = 0, "", 0
    while at < len(text):
        c = text[at]
        if quote:
            if c == "\\":
                at += 1
            elif c == quote:
                quote = ""
        else:
            depth -= c in ")]}"
            yield at, depth
            depth += c in "([{"
            quote = c if c in "\"'" else ""
        at += 1
