"""Lines of Python with the place in the spec that each was made from."""

from __future__ import annotations

from archspec.codegen.line_breaks import fold
from archspec.lang.yaml import Path


class Writer:
    """Collects the lines of the module.

    Attributes:
        lines: the text so far.
        paths: line number, counted from 1, → path in the document.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.paths: dict[int, Path] = {}

    def add(self, text: str = "", indent: int = 0, path: Path | None = None) -> None:
        """One statement, folded if it is long."""
        new = fold(text, indent) if text else [""]
        if path is not None:
            start = len(self.lines) + 1
            self.paths |= dict.fromkeys(range(start, start + len(new)), path)
        self.lines += new

    def text(self) -> str:
        return "\n".join(self.lines).rstrip("\n") + "\n"
