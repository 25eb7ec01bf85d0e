"""What became of every tensor, of the file's and of the model's."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from archspec.errors import Place
from archspec.report.display import Displayed

_COUNTER = "num_batches_tracked"

if TYPE_CHECKING:
    from rich.console import RenderableType

Kind = Literal[
    "loaded", "renamed", "resized", "tied", "missing", "ignored", "unexpected", "unfit"
]  # fmt: skip
"""What becomes of a tensor.

    loaded      under the same name
    renamed     under another name: the row's rules say why
    resized     the shapes differ, and that was asked for
    tied        it shares the tensor of another row
    missing     not in the file; deliberately if the row has a rule, else an error
    ignored     left unread, on purpose
    unexpected  it has no place in the model: an error
    unfit       the names meet, but not the shapes, the dtypes or the tied values: an error
"""


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A tensor's name, shape and dtype, without its values.

    >>> TensorInfo("fc.weight", (2, 4), "bfloat16").bytes
    16
    """

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def bytes(self) -> int:
        """How much memory its values take."""
        bits = re.search(r"\d+", self.dtype)
        return math.prod(self.shape) * (int(bits[0]) if bits else 8) // 8

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, "shape": list(self.shape), "dtype": self.dtype}


@dataclass(frozen=True, slots=True)
class Rule:
    """Why names differ or a tensor is left out; ``place`` is the line of the spec that says so."""

    text: str
    place: Place | None = None

    def to_dict(self) -> dict[str, Any]:
        place = self.place
        return {
            "text": self.text,
            "file": place.file if place else None,
            "line": place.line if place else None,
        }


@dataclass(frozen=True, slots=True)
class Row:
    """A tensor of the model, of the file, or of both.

    Attributes:
        kind: what becomes of it.
        ours: the model's tensor; None for one that only the file has.
        theirs: the file's tensor; None for one that only the model has.
        rules: why the names differ, or the tensor is left out.
        shares: our name of the tensor that a tied one shares, else "".
    """

    kind: Kind
    ours: TensorInfo | None
    theirs: TensorInfo | None
    rules: tuple[Rule, ...] = ()
    shares: str = ""

    @property
    def cast(self) -> bool:
        """Whether the values change their dtype."""
        if self.ours is None or self.theirs is None or self.kind == "unfit":
            return False
        return self.ours.dtype != self.theirs.dtype

    @property
    def explained(self) -> bool:
        """Whether this is as the file, the spec and the call would have it."""
        return self.kind not in ("unexpected", "unfit") and not (
            self.kind == "missing" and not self.rules
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "ours": self.ours.to_dict() if self.ours else None,
            "theirs": self.theirs.to_dict() if self.theirs else None,
            "rules": [rule.to_dict() for rule in self.rules],
            "shares": self.shares or None,
            "cast": self.cast,
            "explained": self.explained,
        }


@dataclass(frozen=True, slots=True)
class Other:
    """Something in a PyTorch file that is no weight: an epoch, an optimizer's state."""

    name: str
    about: str


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
        from archspec.weights.rendering import renderable

        return renderable(self)
