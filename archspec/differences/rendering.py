"""A difference for a terminal: what changed, in colours, with its places on both sides."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from archspec.differences import text_lines
from archspec.differences.report import Diff
from archspec.report.text import printable

_SIGNS = {"kept": "=", "added": "+", "removed": "-", "changed": "~", "moved": ">"}
_STYLES = {"kept": "", "added": "green", "removed": "red", "changed": "yellow", "moved": "cyan"}


def drawn(found: Diff) -> RenderableType:
    """Everything that rich has to print."""
    parts: list[RenderableType] = [_text(text_lines.title(found), "bold")]
    if not found:
        parts.append(_text(text_lines.verdict(found)))
    for title, lines in text_lines.sections(found):
        parts += _part(title, _changes(lines))
    for table in text_lines.figures(found):
        parts += _part(table.title, _figures(found, table))
    if found.notes:
        parts += [Text(), *(_text(note, "dim") for note in found.notes)]
    return Group(*parts)


def _part(title: str, content: RenderableType) -> list[RenderableType]:
    return [Text(), _text(title, "bold"), Padding(content, (0, 0, 0, 2))]


def _changes(lines: Iterable[text_lines.Line]) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_column(overflow="fold")
    grid.add_column(style="dim", overflow="fold")
    for line in lines:
        style = _STYLES[line.kind]
        cells = _text(line.what, style), _text(line.how, style), _text(line.where)
        grid.add_row(_text(_SIGNS[line.kind], style), *cells)
    return grid


def _figures(found: Diff, figures: text_lines.Figures) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("")
    for name in (found.old, found.new, ""):
        table.add_column(_text(name), justify="right")
    for row in figures.rows:
        table.add_row(*map(_text, row))
    return table


def _text(text: str, style: str = "") -> Text:
    return Text(printable(text), style=style)
