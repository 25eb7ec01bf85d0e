"""What opened data is: its splits, classes, bad rows, and a fingerprint of its content.

Names come from files of strangers: control characters are removed before they are printed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from archspec.report.display import Displayed, printable

if TYPE_CHECKING:
    from datasets import Dataset
    from rich.console import RenderableType
    from rich.table import Table

    from archspec.data.tables import Cells

Integers = NDArray[np.int64]
Kind = Literal["text-classification", "image-classification", "text-embedding"]
_MAX_CLASSES = 30  # shown
_MAX_BAD = 10


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns are used; None for one that is not there or not asked for."""

    text: str | None = None
    image: str | None = None
    label: str | None = None

    @property
    def input(self) -> str:
        return self.text or self.image or ""


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used.

    Attributes:
        split: the split that it would be in, before one is cut from it.
        file: the name of its file, below the data's folder.
        row: its number in that file, from 1, header lines not counted.
        line: the line of a text file on which it begins, from 1; None for other files.
        reason: a short phrase that is the same for all rows of its kind.
        detail: what exactly is there; may be empty.
    """

    split: str
    file: str
    row: int
    line: int | None
    reason: str
    detail: str = ""

    def __str__(self) -> str:
        line = f" (line {self.line})" if self.line is not None else ""
        detail = f": {self.detail}" if self.detail else ""
        return printable(f"{self.file}, row {self.row}{line}: {self.reason}{detail}")


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Rows:
    """The good rows of a split. ``rows[i]`` is a text, or the bytes of an image file.

    Attributes:
        split: ``train``, ``validation``, ``test``, or ``all`` where no label was asked for.
        cells: the column that goes into the model, of all rows of the files.
        positions: [n] which of them these are.
        labels: [n] class numbers; None where no label was asked for.
        names: the classes.
        numbers: [n] the rows' numbers in their files, from 1.
    """

    split: str
    cells: Cells
    positions: Integers
    labels: Integers | None
    names: tuple[str, ...]
    numbers: Integers

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, i: int) -> str | bytes:
        return self.cells.read(int(self.positions[i]))

    def texts(self) -> list[str]:
        """The texts of all rows, in order."""
        return self.cells.texts(self.positions)

    @property
    def counts(self) -> dict[str, int]:
        """How many rows each class has; empty where there are no labels."""
        if self.labels is None:
            return {}
        found = np.bincount(self.labels, minlength=len(self.names))
        return {name: int(n) for name, n in zip(self.names, found, strict=True)}

    def select(self, rows: Sequence[int] | Integers, split: str | None = None) -> Rows:
        """Some of these rows, as a split of their own."""
        at = np.asarray(rows, dtype=np.int64)
        labels = None if self.labels is None else self.labels[at]
        return replace(
            self,
            split=split or self.split,
            positions=self.positions[at],
            labels=labels,
            numbers=self.numbers[at],
        )

    def table(self) -> Dataset:
        """These rows with every column of the files."""
        return self.cells.dataset.select(self.positions)


@dataclass(frozen=True, slots=True, eq=False)
class Data(Displayed):
    """Data that a model can learn from: every row is good, the bad ones are listed.

    Attributes:
        task_kind: what the data is for, as in a spec's ``task``.
        splits: split → its good rows.
        labels: the classes' names; a label is a place in them.
        columns: which columns are used.
        bad: the rows that are left out.
        unused: names of splits or files in the data's folder that no split was made of.
        rule: how the splits came about, in words.
        fingerprint: SHA-256 of content, classes, columns and splits; wherever the files lie.
        notes: what else is worth knowing, a line each.
    """

    task_kind: Kind
    splits: Mapping[str, Rows]
    labels: tuple[str, ...]
    columns: Columns
    bad: tuple[BadRow, ...]
    unused: tuple[str, ...]
    rule: str
    fingerprint: str
    notes: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Split → class → number of rows."""
        return {name: rows.counts for name, rows in self.splits.items()}

    def to_dict(self) -> dict[str, Any]:
        """The data as plain data: everything but the rows themselves."""
        return {
            "task": self.task_kind,
            "splits": {
                name: {"rows": len(rows), "counts": rows.counts}
                for name, rows in self.splits.items()
            },
            "labels": list(self.labels),
            "columns": asdict(self.columns),
            "bad": [asdict(row) for row in self.bad],
            "unused": list(self.unused),
            "rule": self.rule,
            "fingerprint": self.fingerprint,
            "notes": list(self.notes),
        }

    def __rich__(self) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        used = [f"{role}: {name}" for role, name in asdict(self.columns).items() if name]
        lines = [f"{self.task_kind}, {', '.join(used)}", self.rule, *self.notes]
        if self.unused:
            lines.append(f"not used: {', '.join(self.unused)}")
        lines.append(f"fingerprint {self.fingerprint[:16]}")
        lines = [*map(printable, lines), *self._bad_lines()]
        return Group(self._class_table(), *map(Text, lines))

    def _class_table(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("class")
        for split in self.splits:
            table.add_column(Text(printable(split)), justify="right")
        for name in self.labels[:_MAX_CLASSES]:
            cells = [f"{counts[name]:,}" for counts in self.counts.values()]
            table.add_row(Text(printable(name)), *cells)
        if len(self.labels) > _MAX_CLASSES:
            table.add_row(f"… ({len(self.labels) - _MAX_CLASSES:,} more)")
        table.add_row("rows", *(f"{len(rows):,}" for rows in self.splits.values()), style="bold")
        return table

    def _bad_lines(self) -> list[str]:
        if not self.bad:
            return []
        reasons = Counter(row.reason for row in self.bad)
        counted = ", ".join(f"{printable(reason)} {n:,}" for reason, n in reasons.most_common())
        shown = [f"  {row}" for row in self.bad[:_MAX_BAD]]
        more = len(self.bad) - len(shown)
        rest = [f"  … ({more:,} more)"] if more else []
        return [f"left out {len(self.bad):,} bad rows: {counted}", *shown, *rest]
