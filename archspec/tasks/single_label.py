"""One label for each row: cross entropy, accuracy and macro F1, from a confusion matrix."""

from __future__ import annotations

from typing import Any

import torch

from archspec.tasks.classification import Classification
from archspec.tasks.objective import Batch, Loss, Metrics, Scores


class SingleLabel(Classification):
    """Cross entropy of ``labels``: int64 [batch]; the model gives logits [batch, labels]."""

    monitors = ("accuracy", "macro_f1", "loss")
    activation = "softmax"

    def loss(self, outputs: Any, batch: Batch, rows: int) -> Loss:
        logits = self.logits(outputs, len(batch["labels"]))[:rows]
        return self.criterion.single(logits, batch["labels"][:rows])

    def items(self, labels: Any) -> float:
        return self.criterion.items(labels)

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
        super().__init__(self.classes**2 + 2, device)  # the last ones are loss and its items

    def add(self, outputs: Any, batch: Batch, rows: int) -> None:
        logits = self.objective.logits(outputs, len(batch["labels"]))[:rows]
        labels = batch["labels"][:rows]
        cells = labels * self.classes + logits.argmax(1)
        self.sums[:-2] += torch.bincount(cells, minlength=self.classes**2)
        loss = self.objective.loss(outputs, batch, rows)
        self.sums[-2] += loss.sum.detach()
        self.sums[-1] += loss.items

    def scores(self) -> Scores:
        sums = self.sums.cpu()
        confusion = sums[:-2].long().view(self.classes, self.classes)
        count, right = int(confusion.sum()), confusion.diagonal()
        seen = confusion.sum(0) + confusion.sum(1)
        f1 = 2 * right[seen > 0].double() / seen[seen > 0]
        figures = {
            "accuracy": int(right.sum()) / max(count, 1),
            "macro_f1": float(f1.mean()) if len(f1) else 0.0,
        }
        loss, items = sums[-2:].tolist()
        return Scores(
            count, loss / items if items else 0.0, figures, {"confusion": confusion.tolist()}
        )
