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

from archspec.lang.schema import TaskKind
from archspec.report.display import Displayed
from archspec.report.text import printable

if TYPE_CHECKING:
    from datasets import Dataset
    from rich.console import RenderableType
    from rich.table import Table

    from archspec.data.tables import Cells

Integers = NDArray[np.int64]
Targets = NDArray[Any]  # of rows, or for each an array of those of its words or answers
_MAX_CLASSES = 30  # shown
_MAX_BAD = 10


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns are used; None for a role without a column."""

    text: str | None = None
    image: str | None = None
    label: str | None = None
    text_pair: str | None = None
    negative: str | None = None
    answer_start: str | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns that a model reads."""
        names = (self.text, self.text_pair, self.negative, self.image)
        return tuple(name for name in names if name is not None)


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used.

    Attributes:
        split: the split it would be in, before validation rows are taken from it.
        file: name of its file, relative to the data's folder.
        row: its number in that file, from 1, without header lines.
        line: line of a text file on which it begins, from 1; None for other files.
        reason: a short phrase, the same for all rows with this fault.
        detail: what exactly is wrong; may be empty.
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
    """The good rows of a split. ``rows[i]`` is a text, several texts, or an image file's bytes.

    Attributes:
        split: ``train``, ``validation``, ``test``, or ``all`` if labels were not read.
        cells: the input column, with all rows of the files.
        pair: the column of second texts; None if the input is no pair.
        positions: [n] positions of these rows in ``cells``.
        labels: [n] class numbers (int64) or numbers (float64), or [n, classes] 0 and 1 (uint8);
            of masks [n, classes] the pixels of each class in the file (int64);
            for embeddings without a score [n] int64, equal where second texts are; for each row an
            array (object) of its words' tags, or of the places of its answers in the second text,
            [answers, 2]; None if labels were not read.
        names: the classes.
        numbers: [n] numbers of the rows in their files, from 1.
        language: the kind of the task, where tokens of the texts are what is predicted; else "".
        masks: the column of masks, from which the labels of pixels are read; None for other tasks.
        others: the columns of texts that belong together with the first, and of which each is an
            input of its own, as embeddings are learned; none for other tasks.
    """

    split: str
    cells: Cells
    positions: Integers
    labels: Targets | None
    names: tuple[str, ...]
    numbers: Integers
    pair: Cells | None = None
    others: tuple[Cells, ...] = ()
    language: Literal["", "masked-lm", "causal-lm"] = ""
    masks: Cells | None = None

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, i: int) -> str | bytes | tuple[str, ...]:
        first = self.cells.read(int(self.positions[i]))
        beside = self.others if self.pair is None else (self.pair,)
        if not beside:
            return first
        return str(first), *(str(cells.read(int(self.positions[i]))) for cells in beside)

    def mask(self, i: int) -> bytes:
        """The bytes of the file of a row's mask."""
        assert self.masks is not None
        data = self.masks.read(int(self.positions[i]))
        assert isinstance(data, bytes)
        return data

    @property
    def columns(self) -> tuple[Rows, ...]:
        """These rows, once for each text that is an input of its own."""
        return tuple(replace(self, cells=one, others=()) for one in (self.cells, *self.others))

    def texts(self) -> list[str] | list[tuple[str, str]]:
        """The texts of all rows, or their pairs of texts, in order."""
        texts = self.cells.texts(self.positions)
        if self.pair is None:
            return texts
        return [*zip(texts, self.pair.texts(self.positions), strict=True)]

    def words(self) -> list[list[str]]:
        """The words of all rows, in order."""
        return self.cells.words(self.positions)

    @property
    def has_tags(self) -> bool:
        """Whether each word of a row has a label."""
        return self._has_arrays(1)

    @property
    def has_answers(self) -> bool:
        """Whether a row has places in its second text."""
        return self._has_arrays(2)

    def _has_arrays(self, axes: int) -> bool:
        labels = self.labels
        return (
            labels is not None
            and labels.dtype == object
            and len(labels) > 0
            and labels[0].ndim == axes
        )

    @property
    def counts(self) -> dict[str, int]:
        """Number of rows, words or pixels of each class; empty without labels, and for numbers."""
        if self.labels is None or not self.names:
            return {}
        if self.has_tags:
            tags = np.concatenate([np.array([], np.int64), *self.labels])
            return self._named(np.bincount(tags, None, len(self.names)))
        is_table = self.labels.ndim == 2
        counts = self.labels.sum(0) if is_table else np.bincount(self.labels, None, len(self.names))
        return self._named(counts)

    def _named(self, counts: Integers) -> dict[str, int]:
        return {name: int(n) for name, n in zip(self.names, counts, strict=True)}

    def select(self, rows: Sequence[int] | Integers, split: str | None = None) -> Rows:
        """Some of these rows as a new split."""
        indices = np.asarray(rows, dtype=np.int64)
        labels = None if self.labels is None else self.labels[indices]
        return replace(
            self,
            split=split or self.split,
            positions=self.positions[indices],
            labels=labels,
            numbers=self.numbers[indices],
        )

    def table(self) -> Dataset:
        """These rows with all columns of the files."""
        return self.cells.dataset.select(self.positions)


@dataclass(frozen=True, slots=True, eq=False)
class Data(Displayed):
    """Data to train on: its splits have only good rows, the bad ones are listed.

    Attributes:
        task_kind: kind of task, as in a spec's ``task``.
        splits: split → its good rows.
        labels: names of the classes; a label is an index into them.
        columns: which columns are used.
        bad: the rows that are left out.
        unused: names of the data's splits or files that are not used.
        rule: how the splits were made, in words.
        fingerprint: SHA-256 of content, classes, columns and splits, independent of paths.
        notes: what else is worth knowing, a line each.
        multi_label: whether a row may have several labels.
    """

    task_kind: TaskKind
    splits: Mapping[str, Rows]
    labels: tuple[str, ...]
    columns: Columns
    bad: tuple[BadRow, ...]
    unused: tuple[str, ...]
    rule: str
    fingerprint: str
    notes: tuple[str, ...] = ()
    multi_label: bool = False

    @property
    def scored(self) -> bool:
        """Whether pairs of texts, of which embeddings are learned, have a similarity."""
        return self.task_kind == "text-embedding" and self.columns.label is not None

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Split → class → number of rows, words or pixels."""
        return {name: rows.counts for name, rows in self.splits.items()}

    def to_dict(self) -> dict[str, Any]:
        """Everything but the rows themselves as plain data."""
        return {
            "task": self.task_kind,
            "splits": {
                name: {"rows": len(rows), "counts": rows.counts}
                for name, rows in self.splits.items()
            },
            "labels": list(self.labels),
            "multi_label": self.multi_label,
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
        units = {"token-classification": "words of tag", "image-segmentation": "pixels of class"}
        table.add_column(units.get(self.task_kind, "class"))
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
