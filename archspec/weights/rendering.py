"""A report for people, drawn by rich. Names come from strangers' files: they are made printable."""

from __future__ import annotations

from pathlib import PurePath

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from archspec.errors import Place
from archspec.report.text import printable
from archspec.weights.folding import Line, folded, rules_of
from archspec.weights.report import Row, WeightsReport

_STYLES = {"unexpected": "red", "unfit": "red", "resized": "yellow", "ignored": "dim"}
_MOST_OTHERS = 20
_MOST_LINES = 2_000


def renderable(report: WeightsReport) -> RenderableType:
    """Heading, one line a tensor or a fold of them, the rules, and what else is in the file."""
    lines = folded(report.rows)
    parts: list[RenderableType] = [
        Text(_heading(report), style="bold"),
        Text(_names_of(report)),
        Text(_totals(report)),
        Text(),
        _table(lines[:_MOST_LINES]),
    ]
    if len(lines) > _MOST_LINES:
        parts.append(Text(f"… {len(lines) - _MOST_LINES:,} more lines"))
    if rules := rules_of(report.rows):
        told = [(f"{printable(rule.text)}{_at(rule.place)}", f"{n:,} ×") for rule, n in rules]
        parts += [Text(), _grid("Rules", told)]
    if report.others:
        others = [(printable(o.name), printable(o.about)) for o in report.others[:_MOST_OTHERS]]
        if (more := len(report.others) - _MOST_OTHERS) > 0:
            others.append((f"… {more:,} more", ""))
        parts += [Text(), _grid("Also in the file, left unread", others)]
    return Group(*parts)


def _heading(report: WeightsReport) -> str:
    first = PurePath(report.files[0]).name if report.files else "nothing"
    more = f" and {len(report.files) - 1} more" if len(report.files) > 1 else ""
    return printable(f"{first}{more} → {report.model}")


def _names_of(report: WeightsReport) -> str:
    own = report.place is None
    told = ["the model's own names" if own else f"layout {report.layout}{_at(report.place)}"]
    told += [report.prefix] if report.prefix else []
    told += [f"inside '{report.wrapper}'"] if report.wrapper else []
    return printable("; ".join(told))


def _totals(report: WeightsReport) -> str:
    counts = ", ".join(f"{number:,} {kind}" for kind, number in report.counts.items())
    ours = sum(row.ours is not None for row in report.rows)
    theirs = sum(row.theirs is not None for row in report.rows)
    sides = f"{theirs:,} tensors in the file, {ours:,} in the model"
    return f"{sides}: {counts or 'nothing'}; {report.bytes:,} bytes"


def _table(lines: list[Line]) -> Table:
    renamed = any(line.ours and line.theirs and line.ours != line.theirs for line in lines)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("", no_wrap=True)
    table.add_column("model", overflow="fold")
    if renamed:
        table.add_column("file", overflow="fold")
    table.add_column("shape", no_wrap=True)
    for line in lines:
        kind = line.row.kind
        style = _STYLES.get(kind, "" if line.row.explained else "red")
        same = line.theirs == line.ours
        names = [line.ours or ("" if renamed else f"({line.theirs})")]
        names += [("" if same else line.theirs)] if renamed else []
        cells = [kind, *map(printable, names), printable(_shape(line))]
        table.add_row(*map(Text, cells), style=style)
    return table


def _shape(line: Line) -> str:
    row = line.row
    if line.tensors > 1 or line.times > 1:
        times = f" × {line.times}" if line.times > 1 else ""
        many = f"{line.tensors} tensors{times}" if line.tensors > 1 else f"{_sizes(row)}{times}"
    else:
        many = _sizes(row)
    shares = f" is {row.shares}" if row.shares else ""
    return many + _cast(row) + shares


def _sizes(row: Row) -> str:
    ours, theirs = row.ours, row.theirs
    if ours and theirs and ours.shape != theirs.shape:
        return f"{list(theirs.shape)} → {list(ours.shape)}"
    one = ours or theirs
    return str(list(one.shape)) if one else ""


def _cast(row: Row) -> str:
    if row.ours and row.theirs and row.ours.dtype != row.theirs.dtype:
        return f" {row.theirs.dtype} → {row.ours.dtype}"
    return ""


def _at(place: Place | None) -> str:
    return f", {PurePath(place.file).name}:{place.line}" if place else ""


def _grid(title: str, rows: list[tuple[str, str]]) -> RenderableType:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column()
    grid.add_column()
    for row in rows:
        grid.add_row(*(Text(f"  {row[0]}" if i == 0 else cell) for i, cell in enumerate(row)))
    return Group(Text(title, style="bold"), grid)
