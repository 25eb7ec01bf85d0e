"""Tables for terminals, by rich. Every text from a spec or a file is made safe to print."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from archspec.report.display import styled_text
from archspec.report.text import printable, printable_lines

if TYPE_CHECKING:  # rich is imported when something is shown
    from rich.table import Table
    from rich.text import Text


def safe_text(text: str, style: str = "") -> Text:
    """Text in one style, without control characters."""
    from rich.text import Text

    return Text(printable(text), style=style)


def safe_html(text: str) -> str:
    """Text within HTML: escaped, without control characters."""
    return escape(printable(text))


def headed_table() -> Table:
    """An empty table with dim headings and no lines."""
    from rich.table import Table

    return Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")


def plain_grid() -> Table:
    """An empty table without headings and lines."""
    from rich.table import Table

    return Table.grid(padding=(0, 2, 0, 0))


def format_rows(rows: Sequence[Sequence[str]], width: int | None = None) -> str:
    """Rows in columns, the third and later ones dim, without the last line break.

    Args:
        rows: cells; lines within a cell stay lines.
        width: columns of the terminal; nothing is wrapped without it.
    """
    from rich.text import Text

    grid = plain_grid()
    for i in range(max(map(len, rows), default=0)):
        grid.add_column(style="dim" if i > 1 else "", overflow="fold")
    for row in rows:
        grid.add_row(*(Text(printable_lines(cell)) for cell in row))
    return styled_text(grid, width)
