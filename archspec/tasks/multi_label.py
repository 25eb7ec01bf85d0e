"""Several labels for each row, or none: a sigmoid for each, binary cross entropy, F1."""

from __future__ import annotations

from typing import Any

import torch

from archspec.tasks.classification import Classification
from archspec.tasks.objective import Batch, Loss, Metrics, Scores


class MultiLabel(Classification):
    """Mean binary cross entropy of ``labels``: float32 [batch, labels], 0 or 1.

    The model gives logits [batch, labels].
    """

    monitors = ("micro_f1", "macro_f1", "accuracy", "loss")
    activation = "sigmoid"

    def loss(self, outputs: Any, batch: Batch, rows: int) -> Loss:
        logits = self.logits(outputs, len(batch["labels"]))[:rows]
        return self.criterion.several(logits, batch["labels"][:rows])

    def metrics(self, device: torch.device) -> MultiLabelMetrics:
        return MultiLabelMetrics(self, device)


class MultiLabelMetrics(Metrics):
    """Counts for each label, at the threshold 0.5, what torchmetrics makes F1 of.

    ``accuracy`` is the share of rows whose labels are all right; ``macro_f1`` the mean over the
    labels that occur or are predicted.
    """

    def __init__(self, objective: MultiLabel, device: torch.device) -> None:
        self.objective, self.classes = objective, len(objective.labels)
        # True and false positives, true and false negatives, support; then rows, right rows, loss.
        super().__init__(5 * self.classes + 3, device)

    def add(self, outputs: Any, batch: Batch, rows: int) -> None:
        from torchmetrics.functional.classification import multilabel_stat_scores

        logits = self.objective.logits(outputs, len(batch["labels"]))[:rows]
        labels = batch["labels"][:rows].long()
        predicted = (logits > 0).long()
        stats = multilabel_stat_scores(
            predicted, labels, num_labels=self.classes, average=None, validate_args=False
        )
        self.sums[:-3] += stats.flatten()
        right = (predicted == labels).all(1).sum()
        loss = self.objective.loss(outputs, batch, rows).sum.detach()
        self.sums[-3:] += torch.stack([torch.full_like(loss, rows), right.to(loss.dtype), loss])

    def scores(self) -> Scores:
        sums = self.sums.cpu()
        stats = sums[:-3].view(self.classes, 5)
        count, right, loss = sums[-3:].tolist()
        hits, false, _, missed, support = stats.unbind(1)
        seen = hits + false + missed > 0
        f1 = 2 * hits / (2 * hits + false + missed).clamp(min=1)
        wrong = float(false.sum() + missed.sum())
        figures = {
            "accuracy": right / max(count, 1),
            "micro_f1": 2 * float(hits.sum()) / max(2 * float(hits.sum()) + wrong, 1),
            "macro_f1": float(f1[seen].mean()) if seen.any() else 0.0,
        }
        of_labels = {
            name: {"f1": value, "support": int(n)}
            for name, value, n in zip(self.objective.labels, f1.tolist(), support, strict=True)
        }
        return Scores(int(count), loss / max(count, 1), figures, {"labels": of_labels})
