"""What became of every tensor, of the file's and of the model's, as data and on terminals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from archspec.errors import Place
from archspec.report.display import Displayed
from archspec.report.text import printable
from archspec.weights.folding import Line, folded, rules_of
from archspec.weights.rows import Kind, Other, Row

_COUNTER = "num_batches_tracked"
_STYLES = {"unexpected": "red", "unfit": "red", "resized": "yellow", "ignored": "dim"}
_MOST_OTHERS = 20
_MOST_LINES = 2_000


@dataclass(frozen=True, slots=True)
class WeightsReport(Displayed):
    """What a file's tensors and a model's have to do with each other; each occurs exactly once.

    Attributes:
        files: the files that were read.
        model: the class of the model.
        layout: the layout that the names follow; ``archspec`` for the model's own names.
        place: where the spec declares that layout.
        prefix: the prefix that was found to be added or missing, as a sentence, else "".
        wrapper: the key under which a PyTorch file holds the weights, else "".
        rows: the model's tensors in its order, then those that only the file has.
        others: what else is in a PyTorch file; it is left unread.
    """

    files: tuple[str, ...]
    model: str
    layout: str
    place: Place | None
    prefix: str
    wrapper: str
    rows: tuple[Row, ...]
    others: tuple[Other, ...] = ()

    @property
    def counts(self) -> Mapping[Kind, int]:
        """How many rows there are of each kind."""
        return Counter(row.kind for row in self.rows)

    @property
    def complete(self) -> bool:
        """Whether every tensor is explained."""
        return all(row.explained for row in self.rows)

    @property
    def fresh(self) -> tuple[str, ...]:
        """Parameters of the model that the file lacks, on purpose: they keep first values."""
        return tuple(
            row.ours.name
            for row in self.rows
            if row.ours and row.kind == "missing" and not row.ours.name.endswith(_COUNTER)
        )

    @property
    def bytes(self) -> int:
        """The size of the file's tensors that have a place in the model."""
        return sum(row.theirs.bytes for row in self.rows if row.theirs and row.ours)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data, for ``--json``; every tensor has its row."""
        return {
            "files": list(self.files),
            "model": self.model,
            "layout": self.layout,
            "prefix": self.prefix or None,
            "wrapper": self.wrapper or None,
            "complete": self.complete,
            "bytes": self.bytes,
            "counts": dict(self.counts),
            "tensors": [row.to_dict() for row in self.rows],
            "others": [{"name": other.name, "about": other.about} for other in self.others],
        }

    def __rich__(self) -> RenderableType:
        return _renderable(self)


def _renderable(report: WeightsReport) -> RenderableType:
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
