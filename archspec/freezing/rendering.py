"""A freeze report for people, drawn with rich."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePath

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from archspec.freezing.report import FreezeReport, PatternFound
from archspec.report.text import printable

_HEADINGS = ("pattern", "", "modules", "tensors", "parameters decided", "declared")
_NUMBERS = ("modules", "tensors", "parameters decided")


def drawn(report: FreezeReport) -> RenderableType:
    """The plan's patterns, the totals, the modes, and notes."""
    parts: list[RenderableType] = [Text(printable(_title(report)), style="bold"), Text()]
    if report.patterns:
        parts += [_patterns(report), Text()]
    parts += [_totals(report), Text(), _modes(report)]
    notes = [Text(printable(note)) for note in _notes(report)]
    return Group(*parts, *([Text(), *notes] if notes else []))


def _title(report: FreezeReport) -> str:
    count = len(report.patterns)
    patterns = f"{count} pattern{'s' * (count != 1)}"
    return f"{report.model}, {f'freeze plan {report.plan}' if report.plan else patterns}"


def _patterns(report: FreezeReport) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for heading in _HEADINGS:
        table.add_column(
            heading, justify="right" if heading in _NUMBERS else "left", overflow="fold"
        )
    for found in report.patterns:
        what = Text("freezes", style="cyan") if found.freezes else Text("trains", style="green")
        counts = (f"{n:,}" for n in (found.modules, found.tensors, found.parameters))
        table.add_row(Text(printable(found.text)), what, *counts, Text(printable(_place(found))))
    if rest := report.parameters - sum(found.parameters for found in report.patterns):
        table.add_row(Text("all else"), Text("trains", style="green"), "", "", f"{rest:,}", "")
    return table


def _place(found: PatternFound) -> str:
    return f"{PurePath(found.place.file).name}:{found.place.line}" if found.place else ""


def _totals(report: FreezeReport) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column()
    grid.add_column(justify="right")
    grid.add_column()
    grid.add_column(justify="right")
    for name in ("frozen", "trainable"):
        value: int = getattr(report, name)
        grid.add_row(name, f"{value:,}", "parameters", _share(value, report.parameters))
    return grid


def _share(part: int, whole: int) -> str:
    """Never 0 % of something, nor 100 % but for something."""
    if 0 < part < whole / 20_000:
        return "< 0.01 %"
    if whole - whole / 20_000 < part < whole:
        return "> 99.99 %"
    return f"{part / whole:.2%}".replace("%", " %") if whole else ""


def _modes(report: FreezeReport) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_row("stay in inference mode", Text(printable(_counts(report.inference))))
    grid.add_row("follow model.train()", Text(printable(_counts(report.training))))
    return grid


def _counts(types: Mapping[str, int]) -> str:
    return ", ".join(f"{times:,} × {name}" for name, times in types.items()) or "none"


def _notes(report: FreezeReport) -> Iterator[str]:
    moving = {
        "what is frozen gets gradients all the same": not report.gradients,
        "statistics of frozen norms move": not report.statistics,
        "frozen dropout stays on": not report.dropout,
    }
    said = [text for text, holds in moving.items() if holds]
    if said:
        yield f"By its switches: {', '.join(said)}."
    overruled = [found.text for found in report.patterns if found.overruled]
    if overruled:
        yield f"Decided by later patterns alone: {', '.join(overruled)}."
    yield from (f"Shared: {tie}." for tie in report.ties)
