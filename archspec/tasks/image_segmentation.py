"""``image-segmentation``: a class for each pixel; mean intersection over union (IoU)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from archspec.tasks import IGNORED
from archspec.tasks.classification import WeightedObjective
from archspec.tasks.objective import (
    Batch,
    Loss,
    Metrics,
    Scores,
    first_rows,
    output_of_shape,
    tensors_of,
)


class ImageSegmentation(WeightedObjective):
    """Cross entropy of ``labels``: int64 [batch, height, width]; ``IGNORED`` where there is none.

    The model gives logits [batch, labels, height, width]. Of several outputs with four dimensions,
    the first is used.
    """

    kind = "image-segmentation"
    monitors = ("mean_iou", "pixel_accuracy", "loss")
    activation = "softmax"

    def logits(self, outputs: Any, labels: Tensor) -> Tensor:
        """The logits among a model's outputs for a batch; raises as ``loss``."""
        rows, *size = labels.shape
        classes = len(self.labels)
        why = f"the data has {classes} classes for each pixel"
        maps = tuple(one for one in tensors_of(outputs) if one.ndim == 4)
        return output_of_shape(maps[:1], (rows, classes, *size), why)

    def loss(self, outputs: Any, batch: Batch, rows: int) -> Loss:
        labels = batch["labels"]
        logits = first_rows(self.logits(outputs, labels), rows)
        return self.criterion.dense(logits, labels[:rows])

    def metrics(self, device: torch.device) -> PixelMetrics:
        return PixelMetrics(self, device)


class PixelMetrics(Metrics):
    """Counts pixels by true and predicted class, with torchmetrics, over all images.

    The IoU of a class is what is both true and predicted, divided by what is either. ``mean_iou``
    is the mean over the classes that occur or are predicted (Everingham et al. 2010, The Pascal
    Visual Object Classes Challenge). Pixels without a class count nowhere.
    """

    def __init__(self, objective: ImageSegmentation, device: torch.device) -> None:
        self.objective, self.classes = objective, len(objective.labels)
        # Pixels by true class, and by predicted class in each; then images, and the loss.
        super().__init__(self.classes**2 + 2, device)

    def add(self, outputs: Any, batch: Batch, rows: int) -> None:
        from torchmetrics.functional.classification import multiclass_confusion_matrix

        labels = batch["labels"]
        if rows:
            counts = multiclass_confusion_matrix(
                self.objective.logits(outputs, labels)[:rows].argmax(1),
                labels[:rows],
                num_classes=self.classes,
                ignore_index=IGNORED,
                validate_args=False,
            )
            self.sums[:-2] += counts.flatten()
        loss = self.objective.loss(outputs, batch, rows)
        self.sums[-2] += loss.items
        self.sums[-1] += loss.sum.detach()

    def scores(self) -> Scores:
        sums = self.sums.cpu()
        images, loss = sums[-2:].tolist()
        confusion = sums[:-2].view(self.classes, self.classes)
        right, true, predicted = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
        either = true + predicted - right
        iou, is_seen = right / either.clamp(min=1), either > 0
        figures = {
            "mean_iou": float(iou[is_seen].mean()) if is_seen.any() else 0.0,
            "pixel_accuracy": float(right.sum() / true.sum().clamp(min=1)),
        }
        columns = {
            "iou": iou,
            "precision": right / predicted.clamp(min=1),
            "recall": right / true.clamp(min=1),
        }
        classes = [
            {"label": label, **{name: float(of[i]) for name, of in columns.items()},
             "pixels": int(true[i])}
            for i, label in enumerate(self.objective.labels)
        ]  # fmt: skip
        details = {"classes": classes, "confusion": confusion.long().tolist()}
        return Scores(int(images), loss / max(images, 1), figures, details)
