"""The result of ``diff``: shown on terminals, as Markdown and as HTML, and applied as a patch."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from archspec.differences import markup, patching, text_lines
from archspec.differences.change_set import ChangeSet
from archspec.differences.deltas import to_data
from archspec.lang.spec import Spec
from archspec.report.display import Displayed
from archspec.report.tables import headed_table, plain_grid, safe_text

if TYPE_CHECKING:  # rich is imported when a diff is shown
    from rich.console import RenderableType
    from rich.table import Table

_SIGNS = {"kept": "=", "added": "+", "removed": "-", "changed": "~", "moved": ">"}
_STYLES = {"kept": "", "added": "green", "removed": "red", "changed": "yellow", "moved": "cyan"}


@dataclass(frozen=True, slots=True)
class Diff(ChangeSet, Displayed):
    """What differs between two specs, and what it means; false if nothing does."""

    def apply(self, source: str | os.PathLike[str] | Spec) -> Spec:
        """Apply the changes to the first spec, which makes it equivalent to the second.

        Args:
            source: the first spec, or another one to which the changes apply: a path, a packaged
                spec's name or a Spec.

        Raises:
            SpecError: E112 if the changes do not apply to it; and as ``loads``.
            UsageError: E801 if the level ``spec`` was not compared.
        """
        return patching.patched(self, source)

    def to_dict(self) -> dict[str, Any]:
        """The difference as plain data; a level that was not compared is left out."""
        levels = {
            "spec": [change.to_dict() for change in self.spec],
            "tree": [change.to_dict() for change in self.tree],
            "tensors": [change.to_dict() for change in self.tensors],
            "cost": [change.to_dict() for change in self.cost],
        }
        data: dict[str, Any] = {"old": self.old, "new": self.new, "different": bool(self)}
        data.update({name: part for name, part in levels.items() if part or name in self.levels})
        if "cost" in self.levels:
            data["plans"] = [
                {"name": plan.name, "old": plan.old, "new": plan.new} for plan in self.plans
            ]
        data["notes"] = list(self.notes)
        if "spec" in self.levels:
            data["patch"] = to_data(self.delta)
        return data

    def to_markdown(self) -> str:
        """The difference as Markdown, for a pull request."""
        return markup.markdown(self)

    def to_html(self) -> str:
        """The difference as a page of HTML, without scripts."""
        return markup.page(self)

    def __rich__(self) -> RenderableType:
        return _renderable(self)

    def _repr_html_(self) -> str:
        return markup.fragment(self)


def _renderable(diff: Diff) -> RenderableType:
    """The changes in colours, with their places on both sides; tables of figures; notes."""
    from rich.console import Group

    parts: list[RenderableType] = [safe_text(text_lines.title(diff), "bold")]
    if not diff:
        parts.append(safe_text(text_lines.verdict(diff)))
    for title, lines in text_lines.sections(diff):
        parts += _part(title, _changes(lines))
    for table in text_lines.figures(diff):
        parts += _part(table.title, _figures(diff, table))
    if diff.notes:
        parts += ["", *(safe_text(note, "dim") for note in diff.notes)]
    return Group(*parts)


def _part(title: str, content: RenderableType) -> list[RenderableType]:
    from rich.padding import Padding

    return ["", safe_text(title, "bold"), Padding(content, (0, 0, 0, 2))]


def _changes(lines: Iterable[text_lines.Line]) -> Table:
    grid = plain_grid()
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_column(overflow="fold")
    grid.add_column(style="dim", overflow="fold")
    for line in lines:
        style = _STYLES[line.kind]
        cells = safe_text(line.what, style), safe_text(line.how, style), safe_text(line.where)
        grid.add_row(safe_text(_SIGNS[line.kind], style), *cells)
    return grid


def _figures(diff: Diff, figures: text_lines.Figures) -> Table:
    table = headed_table()
    table.add_column("")
    for name in (diff.old, diff.new, ""):
        table.add_column(safe_text(name), justify="right")
    for row in figures.rows:
        table.add_row(*map(safe_text, row))
    return table
