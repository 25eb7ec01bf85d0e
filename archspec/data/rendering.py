"""Opened data for people: rows of each class and split, and what was left out.

Names come from files of strangers: control characters are taken out.
"""

from __future__ import annotations

from collections import Counter

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from archspec.data.report import Data
from archspec.report.text import printable

_MOST_CLASSES = 30
_MOST_BAD = 10


def drawn(data: Data) -> RenderableType:
    """A table of counts, a line for each fact, and the first bad rows."""
    used = [f"{role}: {name}" for role, name in _columns(data) if name]
    lines = [f"{data.task_kind}, {', '.join(used)}", data.rule, *data.notes]
    if data.unused:
        lines.append(f"not used: {', '.join(data.unused)}")
    lines.append(f"fingerprint {data.fingerprint[:16]}")
    parts = [Text(printable(line)) for line in lines]
    return Group(_counts(data), *parts, *map(Text, _bad(data)))


def _columns(data: Data) -> list[tuple[str, str | None]]:
    found = data.columns
    return [("text", found.text), ("image", found.image), ("label", found.label)]


def _counts(data: Data) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("class")
    for split in data.splits:
        table.add_column(Text(printable(split)), justify="right")
    for name in data.labels[:_MOST_CLASSES]:
        cells = [f"{counts[name]:,}" for counts in data.counts.values()]
        table.add_row(Text(printable(name)), *cells)
    if len(data.labels) > _MOST_CLASSES:
        table.add_row(f"… ({len(data.labels) - _MOST_CLASSES:,} more)")
    table.add_row("rows", *(f"{len(rows):,}" for rows in data.splits.values()), style="bold")
    return table


def _bad(data: Data) -> list[str]:
    if not data.bad:
        return []
    reasons = Counter(row.reason for row in data.bad)
    counted = ", ".join(f"{printable(reason)} {n:,}" for reason, n in reasons.most_common())
    shown = [f"  {row}" for row in data.bad[:_MOST_BAD]]
    more = len(data.bad) - len(shown)
    rest = [f"  … ({more:,} more)"] if more else []
    return [f"left out {len(data.bad):,} bad rows: {counted}", *shown, *rest]
