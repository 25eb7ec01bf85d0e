"""What all checks of a spec share: the document, and where problems go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from archspec.errors import Findings, Place, Problem
from archspec.lang.expr import ExpressionError, Node, Span, Value, evaluate
from archspec.lang.expr.evaluate import Budget
from archspec.lang.inherit import Document
from archspec.lang.schema import Architecture
from archspec.lang.yaml import Path


@dataclass(frozen=True)
class Checker:
    """Collects the problems of one spec."""

    architecture: Architecture
    document: Document
    findings: Findings
    budget: Budget = field(default_factory=Budget)

    def add(
        self,
        code: str,
        message: str,
        path: Path,
        *,
        key: bool = False,
        hint: str = "",
        cause: Path = (),
    ) -> None:
        """A problem with what stands at ``path``, or with its key; ``cause`` as in a document's."""
        problem = self.document.problem(code, message, path, key=key, hint=hint, cause=cause)
        self.findings.add(problem)

    def refuse(
        self, node: Node, code: str, message: str, hint: str = "", *, cause: Path = ()
    ) -> None:
        """A problem with an expression, or with a part of one."""
        place = self.place(node.span)
        notes = self.document.elsewhere(cause, place)
        self.findings.add(Problem(code, message, place, hint, notes))

    def report(self, error: ExpressionError, *, key: bool = False) -> None:
        """A problem with an expression; with ``key``, one that stands in a key."""
        place = self.document.place(error.span.path, key=True) if key else self.place(error.span)
        self.findings.add(Problem(error.code, error.message, place, error.hint))

    def place(self, span: Span) -> Place:
        return self.document.stretch(span.path, span.start, span.end)

    def evaluated(
        self, node: Node, names: Mapping[str, Value], *, key: bool = False
    ) -> tuple[Value] | None:
        """The value of an expression; None if a problem, which is reported, prevents one."""
        try:
            return (evaluate(node, names, self.budget),)
        except ExpressionError as error:
            if error.code in ("E306", "E307"):  # the others have been reported
                self.report(error, key=key)
            return None

    def is_broken(self, path: Path) -> bool:
        """Whether the declaration at ``path`` has a problem, so that nothing is known of it."""
        return self.findings.is_broken(path)
