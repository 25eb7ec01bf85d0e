"""What is wrong with an expression, and where."""

from __future__ import annotations

from archspec.lang.expr.nodes import Node, Span


class ExpressionError(Exception):
    """One mistake: its code, what is wrong, the stretch of the document, and what to do."""

    def __init__(self, code: str, message: str, at: Span | Node, hint: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.hint = code, message, hint
        self.span = at.span if isinstance(at, Node) else at
