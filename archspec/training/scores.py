"""How good predictions are: everything follows from a confusion matrix and a sum of losses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Scores:
    """What a classifier does on one split.

    Attributes:
        count: samples.
        loss: mean cross entropy, in nats.
        accuracy: share of samples whose label is predicted.
        macro_f1: mean F1 of the classes that occur or are predicted.
        confusion: rows are true classes, columns predicted ones; samples.
    """

    count: int
    loss: float
    accuracy: float
    macro_f1: float
    confusion: tuple[tuple[int, ...], ...]

    def to_dict(self) -> dict[str, Any]:
        """The scores as plain data."""
        return {
            "count": self.count,
            "loss": self.loss,
            "accuracy": self.accuracy,
            "macro_f1": self.macro_f1,
            "confusion": [list(row) for row in self.confusion],
        }


class ScoreCounter:
    """Counts predictions, batch by batch.

    >>> tally = ScoreCounter(2, torch.device("cpu"))
    >>> tally.add(torch.tensor([[2.0, 0.0], [0.0, 2.0]]), torch.tensor([0, 0]), torch.tensor(1.5))
    >>> tally.scores().accuracy, tally.scores().confusion
    (0.5, ((1, 1), (0, 0)))
    """

    def __init__(self, classes: int, device: torch.device) -> None:
        self.classes = classes
        # The last number is the sum of the losses; float64 counts exactly beyond 10^15.
        kind = torch.float32 if device.type == "mps" else torch.float64
        self.sums = torch.zeros(classes * classes + 1, dtype=kind, device=device)

    def add(self, logits: Tensor, labels: Tensor, loss: Tensor) -> None:
        """Count a batch: logits [batch, classes], labels [batch], the sum of its losses."""
        cells = labels * self.classes + logits.argmax(1)
        counts = torch.bincount(cells, minlength=self.classes**2)
        self.sums[:-1] += counts
        self.sums[-1] += loss.detach()

    def scores(self) -> Scores:
        """The scores of what has been counted."""
        sums = self.sums.cpu()
        confusion = sums[:-1].long().view(self.classes, self.classes)
        count = int(confusion.sum())
        right = confusion.diagonal()
        seen = confusion.sum(0) + confusion.sum(1)
        f1 = 2 * right[seen > 0].double() / seen[seen > 0]
        return Scores(
            count=count,
            loss=float(sums[-1]) / max(count, 1),
            accuracy=int(right.sum()) / max(count, 1),
            macro_f1=float(f1.mean()) if len(f1) else 0.0,
            confusion=tuple(tuple(map(int, row)) for row in confusion.tolist()),
        )
