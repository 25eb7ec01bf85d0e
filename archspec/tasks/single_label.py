"""One label for each row: cross entropy, accuracy and macro F1."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from archspec.tasks.classification import Classification
from archspec.tasks.objective import Batch, Loss, RowMetrics, Scores


class SingleLabel(Classification):
    """Cross entropy of ``labels``: int64 [batch]; the model gives logits [batch, labels]."""

    monitors = ("accuracy", "macro_f1", "loss")
    activation = "softmax"

    def loss(self, outputs: Any, batch: Batch, rows: int) -> Loss:
        logits = self.logits(outputs, len(batch["labels"]))[:rows]
        return self.criterion.single(logits, batch["labels"][:rows])

    def items(self, labels: Any) -> float:
        return self.criterion.items(labels)

    def metrics(self, device: torch.device) -> SingleLabelMetrics:
        return SingleLabelMetrics(self, device)


class SingleLabelMetrics(RowMetrics):
    """Keeps the labels of all rows, true and predicted. Scores are those of torchmetrics.

    ``details`` has the confusion matrix: rows are true labels, columns predicted ones. ``macro_f1``
    is the mean over the labels that occur or are predicted.
    """

    def __init__(self, objective: SingleLabel, device: torch.device) -> None:
        super().__init__(2, device)  # loss, its items
        self.objective, self.classes = objective, len(objective.labels)

    def add(self, outputs: Any, batch: Batch, rows: int) -> None:
        logits = self.objective.logits(outputs, len(batch["labels"]))[:rows]
        self.keep(logits.argmax(1), batch["labels"][:rows])
        loss = self.objective.loss(outputs, batch, rows)
        self.sums[0] += loss.sum.detach()
        self.sums[1] += loss.items

    def scores(self) -> Scores:
        from torchmetrics.functional import classification

        predicted, labels = self.kept()
        given: dict[str, Any] = {"num_classes": self.classes, "validate_args": False}
        functions = {
            "accuracy": partial(classification.multiclass_accuracy, average="micro"),
            "macro_f1": partial(classification.multiclass_f1_score, average="macro"),
        }
        figures = {name: float(f(predicted, labels, **given)) for name, f in functions.items()}
        confusion = classification.multiclass_confusion_matrix(predicted, labels, **given)
        loss, items = self.sums.tolist()
        details = {"confusion": confusion.tolist()}
        return Scores(len(labels), loss / items if items else 0.0, figures, details)
