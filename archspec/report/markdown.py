"""Markdown in which nothing of a spec or of data becomes markup."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from archspec.report.text import printable


def table(head: Sequence[str], rows: Iterable[Sequence[str]], align: str = "---") -> Iterator[str]:
    """The lines of a table, and an empty one.

    Args:
        head: the titles of the columns, and
        rows: the cells, which ``code`` or ``plain`` made safe.
        align: of all columns but the first, ``---`` or ``---:``.
    """
    yield _row(head)
    yield _row(["---", *[align] * (len(head) - 1)])
    yield from map(_row, rows)
    yield ""


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def code(text: str) -> str:
    """In backticks; a bar would end the cell, a run of backticks the code."""
    if not text:
        return ""
    safe = printable(text).replace("|", "\\|")
    max_ticks = max(map(len, re.findall("`+", safe)), default=0)
    ticks = "`" * (max_ticks + 1)
    space = " " if safe.startswith("`") or safe.endswith("`") else ""
    return f"{ticks}{space}{safe}{space}{ticks}"


def plain(text: str) -> str:
    """With everything escaped that Markdown or HTML would take for its own."""
    return re.sub(r"([\\`*_\[\]<>#|~&@$])", r"\\\1", printable(text)) if text else ""
