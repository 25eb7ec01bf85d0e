"""Expressions as the generated Python writes them: what each name becomes, where it stands."""

from __future__ import annotations

from collections.abc import Mapping

from archspec.lang.expr import Node, Symbol, Value, evaluate
from archspec.lang.expr.nodes import (
    Call,
    Compare,
    Comprehension,
    Conditional,
    Constant,
    Name,
    Sequence,
    names,
)
from archspec.lang.expr.numeric import WRITTEN
from archspec.lang.expr.printing import (
    ATOM,
    Printed,
    Printer,
    constant,
    identifier,
    tuple_text,
)
from archspec.lang.registry import functions

__all__ = ["ArgumentPrinter", "ForwardPrinter", "comment", "constant", "docstring", "identifier"]


class _WithClasses(Printer):
    """Knows the global parameters that hold classes when code is made: a choice of code."""

    classes: Mapping[str, Value]

    def visit_compare(self, node: Compare) -> Printed:
        used = list(names(node))
        is_known = all(n.symbol and n.symbol.kind == "global" for n in used) and used
        if is_known and all(name.id in self.classes for name in used):
            return constant(evaluate(node, self.classes)), ATOM
        return super().visit_compare(node)

    def visit_conditional(self, node: Conditional) -> Printed:
        test = self.text(node.test)
        if test in ("True", "False"):
            return self.visit(node.yes if test == "True" else node.no)
        return super().visit_conditional(node)


class ArgumentPrinter(_WithClasses):
    """Expressions in constructors, in ``Config`` and in ``initialize``."""

    def __init__(
        self,
        classes: Mapping[str, Value],
        owner: str = "config",
        attributes: Mapping[str, str] | None = None,
    ) -> None:
        """
        Args:
            classes: the global parameters that hold classes, which are known when code is made.
            owner: what holds the other global parameters.
            attributes: in a method of a module, each parameter and local value that it reads → its
                name there; then the owner holds those of the block, too.
        """
        self.classes, self.owner, self.attributes = classes, owner, attributes or {}
        self.kept = ("global", "param", "let") if attributes is not None else ("global",)

    def visit_name(self, node: Name) -> Printed:
        if node.symbol is not None and node.symbol.kind == "constant":
            return functions.CONSTANTS[node.id], ATOM
        if node.symbol is None or node.symbol.kind not in self.kept:
            return identifier(node.id), ATOM
        if node.id in self.classes:
            return constant(self.classes[node.id]), ATOM
        return f"{self.owner}.{identifier(self.attributes.get(node.id, node.id))}", ATOM

    def visit_sequence(self, node: Sequence) -> Printed:
        """Values are tuples, a list too."""
        return tuple_text([self.text(item, 1) for item in node.items]), ATOM

    def visit_comprehension(self, node: Comprehension) -> Printed:
        return f"tuple({super().visit_comprehension(node)[0][1:-1]})", ATOM

    def visit_call(self, node: Call) -> Printed:
        return _numeric_call(self, node), ATOM


class ForwardPrinter(_WithClasses):
    """Expressions in ``forward``."""

    def __init__(self, classes: Mapping[str, Value], attributes: Mapping[str, str]) -> None:
        """``attributes``: each parameter and local value that is read → its name in the module."""
        self.classes, self.attributes = classes, attributes

    def visit_name(self, node: Name) -> Printed:
        match node.symbol:
            case Symbol(kind="input" | "local" | "function"):
                return identifier(node.id), ATOM
            case Symbol(kind="constant"):
                return functions.CONSTANTS[node.id], ATOM
            case Symbol(kind="global") if node.id in self.classes:
                return constant(self.classes[node.id]), ATOM
            case _:
                name = self.attributes[node.id] if node.is_param else node.id
                return f"self.{identifier(name)}", ATOM

    def visit_call(self, node: Call) -> Printed:
        if _is_numeric(node.function) or node.name == "finfo":
            return _numeric_call(self, node), ATOM
        function = functions.find(node.name) if _is_function(node.function) else None
        if function is None:
            return super().visit_call(node)
        arguments = self.arguments(node)
        if not function.is_method:
            return f"{function.target}({', '.join(arguments)})", ATOM
        owner = self.text(node.arguments[0], ATOM)
        if isinstance(node.arguments[0], Constant | Sequence):
            owner = f"({owner})"
        return f"{owner}{function.target}({', '.join(arguments[1:])})", ATOM


def _numeric_call(printer: Printer, node: Call) -> str:
    """A call of a function of plain numbers."""
    target = {**WRITTEN, "finfo": "torch.finfo"}.get(node.name, node.name)
    return f"{target}({', '.join(printer.arguments(node))})"


def _is_numeric(node: Node) -> bool:
    return isinstance(node, Name) and node.symbol is not None and node.symbol.kind == "numeric"


def _is_function(node: Node) -> bool:
    return isinstance(node, Name) and node.symbol is not None and node.symbol.kind == "function"


def docstring(text: str) -> str:
    """``text`` as a one-line docstring, whatever it holds."""
    flat = " ".join(text.split())
    safe = "".join(c for c in flat if c.isprintable())
    escaped = safe.replace("\\", "\\\\").replace('"', '\\"')
    return f'"""{escaped}"""'


def comment(text: str) -> str:
    """``text`` as a comment on one line, whatever it holds."""
    return "# " + "".join(c for c in " ".join(text.split()) if c.isprintable())
