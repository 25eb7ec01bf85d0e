"""From the text of an expression to its nodes.

Python's own parser reads the text; whatever is not part of the language is refused while its tree
is translated. Nothing here runs code.

>>> parse("2 * width").right.id
'width'
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from archspec.lang.expr import nodes
from archspec.lang.expr.errors import ExpressionError
from archspec.lang.expr.nodes import Constant, Node, Span
from archspec.lang.yaml import Path

MAX_TEXT = 1_000  # characters of one expression
MAX_DEPTH = 40  # nesting of one expression
MAX_INTEGER = 2**63 - 1  # sizes are 64-bit in PyTorch

_BINARY: dict[type[ast.operator], str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%",
    ast.Pow: "**", ast.MatMult: "@", ast.LShift: "<<", ast.RShift: ">>", ast.BitAnd: "&",
    ast.BitOr: "|", ast.BitXor: "^",
}  # fmt: skip
_UNARY: dict[type[ast.unaryop], str] = {
    ast.Not: "not", ast.USub: "-", ast.UAdd: "+", ast.Invert: "~",
}  # fmt: skip
_COMPARE: dict[type[ast.cmpop], str] = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
    ast.Is: "is", ast.IsNot: "is not", ast.In: "in", ast.NotIn: "not in",
}  # fmt: skip
_COMPREHENSION = "write [… for x in xs], or among steps {for: x in xs, do: […]}"
_OUTSIDE: dict[type[ast.AST], tuple[str, str]] = {
    ast.Lambda: ("lambda", ""), ast.NamedExpr: ("assignment (:=)", ""),
    ast.JoinedStr: ("an f-string", ""), ast.Starred: ("unpacking with *", ""),
    ast.Dict: ("a dict", "a return gives names to values: {return: {out: y, aux: a}}"),
    ast.Set: ("a set", "write a name without braces"),
    ast.Await: ("await", ""), ast.Yield: ("yield", ""), ast.YieldFrom: ("yield", ""),
    ast.SetComp: ("a set", _COMPREHENSION), ast.DictComp: ("a dict", ""),
    ast.GeneratorExp: ("a generator", _COMPREHENSION),
}  # fmt: skip


def parse(text: str, path: Path = (), offset: int = 0) -> Node:
    """Parse and check ``text``.

    Args:
        path: where the scalar that holds the text stands in the document.
        offset: how many characters of that scalar come before the text.

    Raises:
        ExpressionError: E301 for text that is no expression, E302 for Python that is not part of
            the language, E307 beyond the limits.
    """
    flat = text.replace("\n", " ")  # YAML may fold an expression over lines
    return _Translator(flat, path, offset).node(_python_tree(flat, path, offset), 0)


def value_node(value: Any, path: Path) -> Node:
    """A value of the document: an expression if it is a text that begins with one ``$``.

    Raises:
        ExpressionError: as ``parse``, for a list the first of its items that is wrong.
    """
    if isinstance(value, str) and value.startswith("$"):
        whole = Span(path)
        if value.startswith("${") and value.endswith("}"):
            message = "${…} is not part of the language"
            raise ExpressionError("E302", message, Span(path, 0, len(value)), _interpolated(value))
        return Constant(whole, value[1:]) if value[1:2] == "$" else parse(value[1:], path, 1)
    if isinstance(value, list):
        items = [value_node(v, (*path, i)) for i, v in enumerate(cast("list[Any]", value))]
        return nodes.Sequence(Span(path), tuple(items), is_list=True)
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise ExpressionError("E307", "the integer does not fit into 64 bits", Span(path))
    return Constant(Span(path), value)


def _interpolated(text: str) -> str:
    """What to write for ``${params.width}``."""
    name = text[2:-1].strip().rpartition(".")[2]
    if re.fullmatch(r"[\w.\s]+", text[2:-1], re.ASCII) and name.isidentifier():
        return f"write ${name}"
    return "write an expression, such as $2 * width; what comes from outside is a parameter"


def template(text: str, path: Path) -> nodes.Template:
    """A name with expressions in braces, such as ``layer_{i + 1}``.

    Raises:
        ExpressionError: E301 for unbalanced braces, else as ``parse``.
    """
    return nodes.Template(Span(path), tuple(_pieces(text, path)))


def _pieces(text: str, path: Path) -> Iterator[Node]:
    rest, at = text, 0
    while rest:
        plain, brace, rest = rest.partition("{")
        if "}" in plain:
            raise ExpressionError("E301", "unbalanced }", Span(path, at, at + len(plain)))
        if plain:
            yield Constant(Span(path, at, at + len(plain)), plain)
        if not brace:
            return
        at += len(plain) + 1
        inner, closing, rest = rest.partition("}")
        if not closing:
            raise ExpressionError("E301", "unbalanced {", Span(path, at - 1, len(text)))
        yield parse(inner, path, at)
        at += len(inner) + 1


# --------------------------------------------------------------------------------- Python's parser


def _python_tree(text: str, path: Path, offset: int) -> ast.expr:
    def refused(code: str, message: str, start: int, end: int, hint: str = "") -> ExpressionError:
        return ExpressionError(code, message, Span(path, start + offset, end + offset), hint)

    if len(text) > MAX_TEXT:
        message = f"the expression is longer than {MAX_TEXT} characters"
        raise ExpressionError("E307", message, Span(path))
    if not text.strip():
        raise ExpressionError("E301", "an expression is missing here", Span(path))
    if "\\" in text:
        at = text.index("\\")
        raise refused("E302", "backslashes are not part of expressions", at, at + 1)
    try:
        return _parsed(text)
    except SyntaxError as error:
        # Where the text ends too soon, Python gives no offset: the last character is the place.
        indent, last = len(text) - len(text.lstrip()), len(text.rstrip()) - 1
        start = min(indent + error.offset - 1, last) if error.offset else last
        end = max((error.end_offset or 0) - 1 + indent, start + 1)
        message = f"not an expression: {error.msg}"
        raise refused("E301", message, start, end, _syntax_hint(text.lstrip())) from None
    except UnicodeEncodeError:
        raise ExpressionError("E301", "not an expression: half a character", Span(path)) from None
    except (RecursionError, MemoryError, ValueError):
        raise refused("E307", "the expression is nested too deeply", 0, len(text)) from None


@lru_cache(maxsize=4096)
def _parsed(text: str) -> ast.expr:
    """Python's tree; nobody changes it, so that equal texts share one."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", SyntaxWarning)  # "1if x": what Python doubts is refused
        return ast.parse(text.lstrip(), mode="eval").body


_OPERATORS = {  # of other languages
    r"&&": "write and",
    r"\|\|": "write or",
    r"(^|[\s(])!(?!=)": "write not",
    r"\?[^:]*:": "write b if a else c for a ? b : c",
}


def _syntax_hint(text: str) -> str:
    quoted = re.sub(r"'[^']*'|\"[^\"]*\"", "", text)
    for pattern, hint in _OPERATORS.items():
        if re.search(pattern, quoted):
            return hint
    if text.startswith("$"):
        return "this is always an expression: leave out the $"
    if found := re.match(r"[A-Za-z_]\w*\.(\d+)", text):
        return f"write {found[0].replace(f'.{found[1]}', f'[{found[1]}]')}"
    if "=" in text and not any(op in text for op in ("==", "<=", ">=", "!=")) and "(" not in text:
        hint = "an expression computes a value; write {name: expression} to give it a name"
        return f"{hint}, == to compare"
    return ""


@dataclass(frozen=True, slots=True)
class _Translator:
    """Python's tree as nodes of the language."""

    text: str
    path: Path
    offset: int

    def node(self, tree: ast.AST, depth: int) -> Node:
        """The node of a tree that stands ``depth`` levels deep."""
        if depth > MAX_DEPTH:
            whole = Span(self.path, self.offset, self.offset + len(self.text))
            raise ExpressionError("E307", f"nested more than {MAX_DEPTH} deep", whole)
        made = self._node(tree, depth + 1)
        if depth == 0:
            self._refuse_comments(made)
        return made

    def _span(self, tree: ast.AST) -> Span:
        start, end = getattr(tree, "col_offset", 0), getattr(tree, "end_col_offset", 0)
        body = self.text.lstrip()
        if not body.isascii():  # Python counts bytes
            raw = body.encode()
            start, end = (len(raw[:n].decode(errors="ignore")) for n in (start, end))
        before = self.offset + len(self.text) - len(body)
        return Span(self.path, start + before, end + before)

    def _written(self, span: Span) -> str:
        return self.text[span.start - self.offset : span.end - self.offset]

    def _node(self, tree: ast.AST, depth: int) -> Node:
        span = self._span(tree)

        def below(part: ast.AST) -> Node:
            return self.node(part, depth)

        match tree:
            case ast.Constant(value=value):
                return self._constant(value, span)
            # Python reads look-alike letters as the plain ones: what is written is what counts.
            case ast.Name(id=name):
                return nodes.Name(span, self._name(name, span, self._written(span)))
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return nodes.Sequence(span, tuple(map(below, items)), isinstance(tree, ast.List))
            case ast.BinOp(left=left, op=op, right=right):
                return nodes.Binary(span, _BINARY[type(op)], below(left), below(right))
            case ast.UnaryOp(op=op, operand=operand):
                return nodes.Unary(span, _UNARY[type(op)], below(operand))
            case ast.BoolOp(op=op, values=values):
                word = "and" if isinstance(op, ast.And) else "or"
                return nodes.Boolean(span, word, tuple(map(below, values)))
            case ast.Compare(left=left, ops=ops, comparators=others):
                words = tuple(_COMPARE[type(op)] for op in ops)
                made = nodes.Compare(span, below(left), words, tuple(map(below, others)))
                return self._compared(made)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return nodes.Conditional(span, below(body), below(test), below(orelse))
            case ast.Subscript(value=value, slice=index):
                return nodes.Subscript(span, below(value), below(index))
            case ast.Slice(lower=lower, upper=upper, step=step):
                bounds = (None if part is None else below(part) for part in (lower, upper, step))
                return nodes.Slice(span, *bounds)
            case ast.Attribute(value=value, attr=name):
                self._check_attribute(name, span)
                return nodes.Attribute(span, below(value), name)
            case ast.Call(func=func, args=args, keywords=keywords):
                if any(keyword.arg is None for keyword in keywords):
                    message = "unpacking with ** is not part of the language"
                    raise ExpressionError("E302", message, span)
                by_name = tuple(
                    nodes.Keyword(self._span(k), self._keyword(k), below(k.value)) for k in keywords
                )
                return nodes.Call(span, below(func), tuple(map(below, args)), by_name)
            case ast.ListComp(elt=element, generators=generators):
                clauses = tuple(self._clause(one, span, depth) for one in generators)
                return nodes.Comprehension(span, below(element), clauses)
            case _:
                what, hint = _OUTSIDE.get(type(tree), (type(tree).__name__, ""))
                raise ExpressionError("E302", f"{what} is not part of the language", span, hint)

    def _clause(self, tree: ast.comprehension, span: Span, depth: int) -> nodes.Clause:
        elements = tree.target.elts if isinstance(tree.target, ast.Tuple) else [tree.target]
        targets: list[str] = []
        for element in elements:
            at = self._span(element)
            if not isinstance(element, ast.Name) or tree.is_async:
                message = "a comprehension's targets are names"
                raise ExpressionError("E302", message, at, "write [… for a, b in pairs]")
            targets.append(self._name(element.id, at, self._written(at)))
        conditions = tuple(self.node(condition, depth) for condition in tree.ifs)
        return nodes.Clause(span, tuple(targets), self.node(tree.iter, depth), conditions)

    def _constant(self, value: object, span: Span) -> Constant:
        if isinstance(value, int) and value > MAX_INTEGER:
            raise ExpressionError("E307", "the integer does not fit into 64 bits", span)
        if value is not ... and not isinstance(value, int | float | str | None):
            raise ExpressionError("E302", f"{value!r} is not part of the language", span)
        return Constant(span, value)

    def _keyword(self, keyword: ast.keyword) -> str:
        name, span = str(keyword.arg), self._span(keyword)
        return self._name(name, span, self._written(span)[: len(name)])

    def _name(self, name: str, span: Span, written: str) -> str:
        if "__" in name or not name.isascii() or written != name:
            raise ExpressionError("E302", f"'{name}' is not a name of the language", span)
        return name

    def _compared(self, made: nodes.Compare) -> nodes.Compare:
        for word, other in zip(made.operators, made.others, strict=True):
            none = isinstance(other, Constant) and other.value is None
            if word in ("is", "is not") and not none:
                raise ExpressionError("E302", "'is' compares with None only", made, "use ==")
        return made

    def _check_attribute(self, name: str, span: Span) -> None:
        plain = name.isascii() and self._written(span).endswith(name)
        if not plain or name.startswith("_") or "__" in name:
            hint = "shape, ndim, dtype, device, or a child or parameter of a module"
            raise ExpressionError("E302", f"no attribute '{name}'", span, hint)

    def _refuse_comments(self, made: Node) -> None:
        if "#" not in self.text:
            return
        constants = (n.value for n in nodes.walk(made) if isinstance(n, Constant))
        inside = sum(value.count("#") for value in constants if isinstance(value, str))
        if self.text.count("#") > inside:
            at = self.text.rindex("#") + self.offset
            message = "comments are not part of expressions"
            raise ExpressionError("E302", message, Span(self.path, at, at + 1))
