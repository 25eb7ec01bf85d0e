"""What a classifier says of every row of a split, over all processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from archspec.tasks.classification import Classification
from archspec.tasks.objective import Activation, Batch, RowMetrics, Scores

MAX_NUMBERS = 50_000_000  # of the logits of a split that are kept: 200 MB


@dataclass(frozen=True, slots=True)
class Outcome:
    """The rows of a split whose logits are finite.

    Attributes:
        activation: ``softmax`` where each row has one label, ``sigmoid`` where it may have several.
        logits: float64 [rows, labels].
        targets: int64, class numbers [rows], or 0 and 1 [rows, labels].
        rows: [rows] their positions in the split.
        left_out: how many rows have logits that are not finite.
    """

    activation: Activation
    logits: Tensor
    targets: Tensor
    rows: Tensor
    left_out: int

    def probabilities(self, temperature: float = 1.0) -> Tensor:
        """Of each label: float64 [rows, labels]."""
        scaled = self.logits / temperature
        return scaled.softmax(1) if self.activation == "softmax" else scaled.sigmoid()


class OutcomeMetrics(RowMetrics):
    """The metrics of a classification, which keep all logits and targets as well."""

    def __init__(self, objective: Classification, device: torch.device) -> None:
        super().__init__(0, device)
        self.objective, self.inner = objective, objective.metrics(device)

    def add(self, outputs: Any, batch: Batch, rows: int) -> None:
        self.inner.add(outputs, batch, rows)
        logits = self.objective.logits(outputs, len(batch["labels"]))[:rows]
        self.keep(logits, batch["labels"][:rows], batch["rows"][:rows])

    def reduce(self) -> None:
        self.inner.reduce()
        super().reduce()

    def scores(self) -> Scores:
        return self.inner.scores()

    def outcome(self) -> Outcome:
        """What was added, in the order of the rows."""
        logits, targets, rows = self.kept()
        logits, targets = logits.double(), targets.long()
        order = rows.argsort()
        order = order[logits[order].isfinite().all(1)]
        left_out = len(rows) - len(order)
        activation = self.objective.activation
        return Outcome(activation, logits[order], targets[order], rows[order], left_out)
