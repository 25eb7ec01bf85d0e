"""``text-regression``: a number for each text or pair of texts."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from archspec.tasks.objective import (
    Batch,
    Loss,
    Objective,
    RowMetrics,
    Scores,
    correlations,
    output_of_shape,
)


class TextRegression(Objective):
    """Squared error of ``labels``: float32 [batch]; the model gives numbers [batch, 1]."""

    kind = "text-regression"
    monitors = ("pearson", "spearman", "mse", "loss")
    takes_pairs = True

    @property
    def outputs(self) -> int:
        return 1

    def numbers(self, outputs: Any, rows: int) -> Tensor:
        """The number of each of ``rows`` rows among a model's outputs; raises as ``loss``."""
        return output_of_shape(outputs, (rows, 1), "the task is a number for each row").squeeze(1)

    def loss(self, outputs: Any, batch: Batch, rows: int) -> Loss:
        numbers = self.numbers(outputs, len(batch["labels"]))[:rows]
        return Loss(F.mse_loss(numbers, batch["labels"][:rows], reduction="sum"), rows)

    def metrics(self, device: torch.device) -> RegressionMetrics:
        return RegressionMetrics(self, device)


class RegressionMetrics(RowMetrics):
    """Keeps all predictions and targets: ranks need them. Scores are those of torchmetrics."""

    def __init__(self, objective: TextRegression, device: torch.device) -> None:
        super().__init__(2, device)  # rows, loss
        self.objective = objective

    def add(self, outputs: Any, batch: Batch, rows: int) -> None:
        numbers = self.objective.numbers(outputs, len(batch["labels"]))[:rows]
        self.keep(numbers, batch["labels"][:rows])
        loss = self.objective.loss(outputs, batch, rows).sum.detach()
        self.sums += torch.stack([torch.full_like(loss, rows), loss])

    def scores(self) -> Scores:
        count, loss = self.sums.cpu().tolist()
        numbers, targets = (one.double() for one in self.kept())
        squares = float(((numbers - targets) ** 2).sum())  # the loss may be another function
        mse = squares / max(count, 1)
        figures = {**correlations(numbers, targets), "mse": mse if math.isfinite(mse) else 0.0}
        return Scores(int(count), loss / max(count, 1), figures)
