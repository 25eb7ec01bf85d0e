"""One label for each row: cross entropy, accuracy and macro F1, from a confusion matrix."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from archspec.tasks.objective import Batch, Loss, Metrics, Objective, Scores, output_of_shape


class SingleLabel(Objective):
    """Cross entropy of ``labels``: int64 [batch]; the model gives logits [batch, labels]."""

    monitors = ("accuracy", "macro_f1", "loss")
    activation = "softmax"

    def logits(self, outputs: Any, rows: int) -> Tensor:
        """The logits among a model's outputs for ``rows`` rows; raises as ``loss``."""
        classes = len(self.labels)
        return output_of_shape(outputs, (rows, classes), f"the data has {classes} labels")

    def loss(self, outputs: Any, batch: Batch, rows: int) -> Loss:
        logits = self.logits(outputs, len(batch["labels"]))[:rows]
        return Loss(F.cross_entropy(logits, batch["labels"][:rows], reduction="sum"), rows)

    def metrics(self, device: torch.device) -> ConfusionMetrics:
        return ConfusionMetrics(self, device)


class ConfusionMetrics(Metrics):
    """Counts predictions; all scores follow from a confusion matrix and a sum of losses.

    ``details`` has it as ``confusion``: rows are true labels, columns predicted ones. ``macro_f1``
    is the mean over the labels that occur or are predicted.

    >>> from archspec.tasks import find
    >>> metrics = find("text-classification")(["no", "yes"]).metrics(torch.device("cpu"))
    >>> metrics.add(torch.tensor([[2.0, 0.0], [0.0, 2.0]]), {"labels": torch.tensor([0, 0])}, 2)
    >>> metrics.scores().figures["accuracy"], metrics.scores().details["confusion"]
    (0.5, [[1, 1], [0, 0]])
    """

    def __init__(self, objective: SingleLabel, device: torch.device) -> None:
        self.objective, self.classes = objective, len(objective.labels)
        super().__init__(self.classes**2 + 1, device)  # the last is the sum of the losses

    def add(self, outputs: Any, batch: Batch, rows: int) -> None:
        logits = self.objective.logits(outputs, len(batch["labels"]))[:rows]
        labels = batch["labels"][:rows]
        cells = labels * self.classes + logits.argmax(1)
        self.sums[:-1] += torch.bincount(cells, minlength=self.classes**2)
        self.sums[-1] += self.objective.loss(outputs, batch, rows).sum.detach()

    def scores(self) -> Scores:
        sums = self.sums.cpu()
        confusion = sums[:-1].long().view(self.classes, self.classes)
        count, right = int(confusion.sum()), confusion.diagonal()
        seen = confusion.sum(0) + confusion.sum(1)
        f1 = 2 * right[seen > 0].double() / seen[seen > 0]
        figures = {
            "accuracy": int(right.sum()) / max(count, 1),
            "macro_f1": float(f1.mean()) if len(f1) else 0.0,
        }
        loss = float(sums[-1]) / max(count, 1)
        return Scores(count, loss, figures, {"confusion": confusion.tolist()})
