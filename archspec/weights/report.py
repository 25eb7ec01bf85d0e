"""The report of a checkpoint: what became of every tensor, as data and on terminals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from archspec.errors import Place
from archspec.report.display import Displayed
from archspec.report.tables import headed_table, plain_grid, safe_text
from archspec.weights.folding import Line, fold_rows, rules_of
from archspec.weights.rows import Kind, Other, Row

if TYPE_CHECKING:  # rich is imported when a report is shown
    from rich.console import RenderableType
    from rich.table import Table

_COUNTER = "num_batches_tracked"
_STYLES = {"unexpected": "red", "unfit": "red", "resized": "yellow", "ignored": "dim"}
_MAX_OTHERS = 20
_MAX_LINES = 2_000


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
        """Parameters that take nothing of the file, on purpose: they keep first values."""
        return tuple(
            row.ours.name
            for row in self.rows
            if row.ours
            and (row.kind == "missing" or row.kept)
            and not row.ours.name.endswith(_COUNTER)
        )

    @property
    def unasked(self) -> tuple[str, ...]:
        """Those of ``fresh`` that only the spec's layout allows: the call does not name them."""
        by_spec = {
            row.ours.name for row in self.rows if row.ours and any(rule.place for rule in row.rules)
        }
        return tuple(name for name in self.fresh if name in by_spec)

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
    """Heading, a line for each tensor or fold of them, rules, and what else is in the file."""
    from rich.console import Group

    lines = fold_rows(report.rows)
    parts: list[RenderableType] = [
        safe_text(_heading(report), "bold"),
        safe_text(_layout(report)),
        safe_text(_totals(report)),
        "",
        _table(lines[:_MAX_LINES]),
    ]
    if len(lines) > _MAX_LINES:
        parts.append(f"… {len(lines) - _MAX_LINES:,} more lines")
    if rules := rules_of(report.rows):
        counts = [(f"{rule.text}{_at(rule.place)}", f"{n:,} ×") for rule, n in rules]
        parts += ["", safe_text("Rules", "bold"), _pairs(counts)]
    if report.others:
        others = [(other.name, other.about) for other in report.others[:_MAX_OTHERS]]
        if (more := len(report.others) - _MAX_OTHERS) > 0:
            others.append((f"… {more:,} more", ""))
        parts += ["", safe_text("Also in the file, left unread", "bold"), _pairs(others)]
    return Group(*parts)


def _heading(report: WeightsReport) -> str:
    first = PurePath(report.files[0]).name if report.files else "nothing"
    more = f" and {len(report.files) - 1} more" if len(report.files) > 1 else ""
    return f"{first}{more} → {report.model}"


def _layout(report: WeightsReport) -> str:
    own = report.place is None
    layout = "the model's own names" if own else f"layout {report.layout}{_at(report.place)}"
    wrapper = f"inside '{report.wrapper}'" if report.wrapper else ""
    return "; ".join(filter(None, [layout, report.prefix, wrapper]))


def _totals(report: WeightsReport) -> str:
    counts = ", ".join(f"{number:,} {kind}" for kind, number in report.counts.items())
    ours = sum(row.ours is not None for row in report.rows)
    theirs = sum(row.theirs is not None for row in report.rows)
    sides = f"{theirs:,} tensors in the file, {ours:,} in the model"
    return f"{sides}: {counts or 'nothing'}; {report.bytes:,} bytes"


def _table(lines: list[Line]) -> Table:
    renamed = any(line.ours and line.theirs and line.ours != line.theirs for line in lines)
    table = headed_table()
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
        table.add_row(*map(safe_text, [kind, *names, _shape(line)]), style=style)
    return table


def _shape(line: Line) -> str:
    row = line.row
    sizes = f"{line.tensors} tensors" if line.tensors > 1 else _sizes(row)
    times = f" × {line.times}" if line.times > 1 else ""
    shares = f" is {row.shares}" if row.shares else ""
    return f"{sizes}{times}{_cast(row)}{shares}"


def _sizes(row: Row) -> str:
    ours, theirs = row.ours, row.theirs
    if ours and theirs and ours.shape != theirs.shape:
        return f"{list(theirs.shape)} → {list(ours.shape)}"
    tensor = ours or theirs
    return str(list(tensor.shape)) if tensor else ""


def _cast(row: Row) -> str:
    if row.ours and row.theirs and row.ours.dtype != row.theirs.dtype:
        return f" {row.theirs.dtype} → {row.ours.dtype}"
    return ""


def _at(place: Place | None) -> str:
    return f", {PurePath(place.file).name}:{place.line}" if place else ""


def _pairs(rows: list[tuple[str, str]]) -> Table:
    grid = plain_grid()
    for first, second in rows:
        grid.add_row(safe_text(f"  {first}"), safe_text(second))
    return grid
