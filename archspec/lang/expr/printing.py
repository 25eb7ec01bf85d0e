"""Expressions as text: the one printer, of messages and of generated Python."""

from __future__ import annotations

import keyword
import math
import unicodedata
from collections.abc import Sequence
from typing import Any, cast

from archspec.lang.expr import nodes
from archspec.lang.expr.nodes import Node

# How tightly each kind of text binds.
TERNARY, OR, AND, NOT, COMPARISON, SIGN, POWER, ATOM = 1, 2, 3, 4, 5, 12, 13, 15
_BINARY = {
    "|": 6, "^": 7, "&": 8, "<<": 9, ">>": 9, "+": 10, "-": 10, "*": 11, "/": 11, "//": 11,
    "%": 11, "@": 11, "**": POWER,
}  # fmt: skip
SUM = _BINARY["+"]
Printed = tuple[str, int]  # the text, and how tightly it binds


class Printer(nodes.Visitor[Printed]):
    """Prints expressions as Python; a subclass says what names and calls become."""

    def text(self, node: Node, level: int = 0) -> str:
        """``node`` as Python, in parentheses if it binds less tightly than ``level``."""
        text, own = self.visit(node)
        return f"({text})" if own < level else text

    def visit_constant(self, node: nodes.Constant) -> Printed:
        text = constant(node.value)
        return text, SIGN if text.startswith("-") else ATOM

    def visit_name(self, node: nodes.Name) -> Printed:
        return identifier(node.id), ATOM

    def visit_sequence(self, node: nodes.Sequence) -> Printed:
        items = [self.text(item, TERNARY) for item in node.items]
        return (f"[{', '.join(items)}]" if node.is_list else tuple_text(items)), ATOM

    def visit_unary(self, node: nodes.Unary) -> Printed:
        if node.operator == "not":
            return f"not {self.text(node.operand, NOT)}", NOT
        return f"{node.operator}{self.text(node.operand, ATOM)}", SIGN

    def visit_binary(self, node: nodes.Binary) -> Printed:
        sign, own = node.operator, _BINARY[node.operator]
        if sign == "**":  # binds to the right, and tighter than a sign on its left
            base, exponent = self.text(node.left, own + 1), self.text(node.right, SIGN)
            tight = _is_simple(node.left) and _is_simple(node.right)
            return f"{base}**{exponent}" if tight else f"{base} ** {exponent}", own
        return f"{self.text(node.left, own)} {sign} {self.text(node.right, own + 1)}", own

    def visit_boolean(self, node: nodes.Boolean) -> Printed:
        own = AND if node.operator == "and" else OR
        return f" {node.operator} ".join(self.text(value, own + 1) for value in node.values), own

    def visit_compare(self, node: nodes.Compare) -> Printed:
        words = [self.text(node.left, COMPARISON + 1)]
        for word, other in zip(node.operators, node.others, strict=True):
            words += [word, self.text(other, COMPARISON + 1)]
        return " ".join(words), COMPARISON

    def visit_conditional(self, node: nodes.Conditional) -> Printed:
        yes, no = self.text(node.yes, OR), self.text(node.no, TERNARY)
        return f"{yes} if {self.text(node.test, OR)} else {no}", TERNARY

    def visit_subscript(self, node: nodes.Subscript) -> Printed:
        return f"{self.text(node.value, ATOM)}[{self._index(node.index)}]", ATOM

    def _index(self, node: Node) -> str:
        if isinstance(node, nodes.Sequence) and node.items and not node.is_list:
            items = [self.text(item) for item in node.items]
            return ", ".join(items) if len(items) > 1 else f"{items[0]},"
        return self.text(node)

    def visit_slice(self, node: nodes.Slice) -> Printed:
        bounds = [node.lower, node.upper, *([node.step] if node.step else [])]
        texts = ["" if bound is None else self.text(bound) for bound in bounds]
        pairs = zip(bounds, texts, strict=True)
        # A name may be printed as an attribute, such as self.size, which stands apart.
        if all(bound is None or (_is_bound(bound) and "." not in text) for bound, text in pairs):
            return ":".join(texts), TERNARY
        return " : ".join(texts).strip().replace("  ", " "), TERNARY

    def visit_call(self, node: nodes.Call) -> Printed:
        return f"{self.text(node.function, ATOM)}({', '.join(self.arguments(node))})", ATOM

    def arguments(self, node: nodes.Call) -> list[str]:
        """What a call hands over, each as Python."""
        by_name = [f"{identifier(k.name)}={self.text(k.value, TERNARY)}" for k in node.keywords]
        return [self.text(argument, TERNARY) for argument in node.arguments] + by_name

    def visit_attribute(self, node: nodes.Attribute) -> Printed:
        return f"{self.text(node.value, ATOM)}.{identifier(node.name)}", ATOM

    def visit_comprehension(self, node: nodes.Comprehension) -> Printed:
        pieces = [self.text(node.element, TERNARY)]
        for clause in node.clauses:
            targets = ", ".join(map(identifier, clause.targets))
            pieces.append(f"for {targets} in {self.text(clause.iterable, OR)}")
            pieces += [f"if {self.text(condition, OR)}" for condition in clause.conditions]
        return f"[{' '.join(pieces)}]", ATOM

    def visit_template(self, node: nodes.Template) -> Printed:
        """An f-string where Python 3.11 allows one, else a sum of texts."""
        if all(isinstance(piece, nodes.Constant) for piece in node.pieces):
            values = [cast(nodes.Constant, piece).value for piece in node.pieces]
            return constant("".join(map(str, values))), ATOM
        pieces = [(self.text(piece), _is_text(piece)) for piece in node.pieces]
        inner = [text[1:-1] if is_text else f"{{{text}}}" for text, is_text in pieces]
        if not set("\"'\\") & set("".join(inner)):
            return f'f"{"".join(inner)}"', ATOM
        return " + ".join(text if is_text else f"str({text})" for text, is_text in pieces), SUM


def _is_text(node: Node) -> bool:
    return isinstance(node, nodes.Constant) and isinstance(node.value, str)


def written(node: Node) -> str:
    """An expression as a spec writes it, in messages.

    >>> from archspec.lang.expr.parse import parse
    >>> written(parse("a.b( x,1 )"))
    'a.b(x, 1)'
    """
    return Printer().text(node)


def _is_bound(node: Node) -> bool:
    """A bound that formatters write close to the colon."""
    if isinstance(node, nodes.Unary) and node.operator != "not":
        node = node.operand
    return isinstance(node, nodes.Constant | nodes.Name)


def _is_simple(node: Node) -> bool:
    """An operand that formatters write close to ``**``."""
    match node:
        case nodes.Unary(operand=nodes.Constant()) | nodes.Name() | nodes.Constant():
            return True
        case nodes.Attribute(value=value):
            return isinstance(value, nodes.Name | nodes.Attribute) and _is_simple(value)
        case _:
            return False


# ------------------------------------------------------------------------------ texts of the data


def identifier(name: str) -> str:
    """A name of the document, as generated Python may use it.

    Raises:
        ValueError: it is none; checks have let pass what they should have refused.
    """
    plain = name.isidentifier() and unicodedata.normalize("NFKC", name) == name
    if not plain or keyword.iskeyword(name) or name.startswith("__"):
        raise ValueError(f"{name!r} is no identifier")
    return name


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
        case None | bool() | int() | float():
            return repr(value)
        case _:
            raise ValueError(f"{value!r} is no constant")


def _string(text: str) -> str:
    """In the quotes that need fewer escapes, double ones if in doubt."""
    quote = "'" if text.count('"') > text.count("'") else '"'
    pieces = [(f"\\{c}" if c == quote else c) if c in "'\"" else repr(c)[1:-1] for c in text]
    return f"{quote}{''.join(pieces)}{quote}"
