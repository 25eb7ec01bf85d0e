"""What predicting gives: labels with their probabilities, and an account of a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archspec.data.report import BadRow
from archspec.display import Displayed

if TYPE_CHECKING:
    from rich.console import RenderableType


@dataclass(frozen=True, slots=True)
class Prediction(Displayed):
    """What a classifier says of one text or image.

    Attributes:
        label: the most probable one.
        probability: of this label, 0 to 1.
        probabilities: label → probability, in the order of the model's outputs; they add up to 1.
    """

    label: str
    probability: float
    probabilities: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """The prediction as plain data."""
        return {
            "label": self.label,
            "probability": self.probability,
            "probabilities": dict(self.probabilities),
        }

    def __rich__(self) -> RenderableType:
        from archspec.predicting.rendering import drawn

        return drawn(self)


@dataclass(frozen=True, slots=True)
class PredictedFile(Displayed):
    """What became of a file.

    Attributes:
        source: the file that was read.
        out: the file that was written.
        rows: how many there are, bad ones included.
        bad_rows: how many could not be predicted on.
        bad: the first of them, no more than 100.
        counts: label → how many rows have it; empty for embeddings.
        columns: the names of the columns that were added.
        left_out: columns of bytes, which the output's format cannot hold.
        optimizations: what was done to be faster, in words.
        seconds: from the first row to the last.
    """

    source: Path
    out: Path
    rows: int
    bad_rows: int
    bad: tuple[BadRow, ...]
    counts: Mapping[str, int]
    columns: tuple[str, ...]
    left_out: tuple[str, ...]
    optimizations: tuple[str, ...]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """The account as plain data, for ``--json``."""
        return {
            "source": str(self.source),
            "out": str(self.out),
            "rows": self.rows,
            "bad_rows": self.bad_rows,
            "bad": [asdict(row) for row in self.bad],
            "counts": dict(self.counts),
            "columns": list(self.columns),
            "left_out": list(self.left_out),
            "optimizations": list(self.optimizations),
            "seconds": round(self.seconds, 3),
        }

    def __rich__(self) -> RenderableType:
        from archspec.predicting.rendering import told

        return told(self)
