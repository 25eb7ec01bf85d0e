"""Expressions: from text to nodes, and the passes that every other module builds on."""

from archspec.lang.expr.errors import ExpressionError
from archspec.lang.expr.evaluate import evaluate
from archspec.lang.expr.nodes import Node, Span, Symbol, Value
from archspec.lang.expr.parse import parse

__all__ = ["ExpressionError", "Node", "Span", "Symbol", "Value", "evaluate", "parse"]
