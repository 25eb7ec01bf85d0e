"""What all checks of a spec share: the document, and where problems go."""

from __future__ import annotations

from dataclasses import dataclass

from archspec.errors import Findings, Problem
from archspec.lang.expr import ExpressionError
from archspec.lang.inherit import Document
from archspec.lang.schema import Architecture
from archspec.lang.yaml import Path


@dataclass(frozen=True)
class Checker:
    """Collects the problems of one spec."""

    architecture: Architecture
    document: Document
    findings: Findings

    def add(
        self, code: str, message: str, path: Path, *, key: bool = False, hint: str = ""
    ) -> None:
        """A problem with what stands at ``path``, or with its key."""
        self.findings.add(self.document.problem(code, message, path, key=key, hint=hint))

    def report(self, error: ExpressionError, *, key: bool = False) -> None:
        """A problem with an expression; with ``key``, one that stands in a key."""
        span = error.span
        place = (
            self.document.place(span.path, key=True)
            if key
            else self.document.stretch(span.path, span.start, span.end)
        )
        self.findings.add(Problem(error.code, error.message, place, error.hint))

    def is_broken(self, path: Path) -> bool:
        """Whether the declaration at ``path`` has a problem, so that nothing is known of it."""
        return self.findings.is_broken(path)
