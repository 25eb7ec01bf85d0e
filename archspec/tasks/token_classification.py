"""``token-classification``: a tag for each word; entity-level F1 where tags mark entities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from archspec.tasks import IGNORED
from archspec.tasks.entities import TagScheme
from archspec.tasks.objective import (
    Batch,
    Loss,
    Metrics,
    Objective,
    Scores,
    first_rows,
    output_of_shape,
)


class TokenClassification(Objective):
    """Cross entropy of ``labels``: int64 [batch, seq]; the model gives logits [batch, seq, labels].

    The first token of a word has the tag of the word. All other tokens have ``IGNORED``, and are
    neither trained on nor scored.
    """

    kind = "token-classification"
    monitors = ("entity_f1", "accuracy", "macro_f1", "loss")
    activation = "softmax"
    per_token = True

    def __init__(self, labels: Sequence[str]) -> None:
        super().__init__(labels)
        self.scheme = TagScheme(self.labels)
        if self.labels and not self.scheme.types:
            self.monitors = ("accuracy", "macro_f1", "loss")

    def logits(self, outputs: Any, labels: Tensor) -> Tensor:
        """The logits among a model's outputs for a batch; raises as ``loss``."""
        classes = len(self.labels)
        why = f"the data has {classes} tags for each word"
        return output_of_shape(outputs, (*labels.shape, classes), why)

    def loss(self, outputs: Any, batch: Batch, rows: int) -> Loss:
        labels = batch["labels"]
        logits, labels = first_rows(self.logits(outputs, labels), rows), labels[:rows]
        each = F.cross_entropy(
            logits.flatten(0, 1), labels.flatten(), reduction="sum", ignore_index=IGNORED
        )
        return Loss(each, int((labels != IGNORED).sum()))

    def metrics(self, device: torch.device) -> TagMetrics:
        return TagMetrics(self, device)


class TagMetrics(Metrics):
    """Counts words by tag, with torchmetrics, and entities by type.

    ``accuracy`` is the share of words with the right tag, ``macro_f1`` the mean over the tags that
    occur or are predicted. An entity is right if its type and all its words are, and ``entity_f1``
    is over the entities of all types together.
    """

    def __init__(self, objective: TokenClassification, device: torch.device) -> None:
        self.objective, self.types = objective, objective.scheme.types
        self.tags = len(objective.labels)
        # True and false positives, true and false negatives, support of each tag; then right,
        # predicted and true entities of each type; then items of the loss, and the loss.
        super().__init__(5 * self.tags + 3 * len(self.types) + 2, device)

    def add(self, outputs: Any, batch: Batch, rows: int) -> None:
        from torchmetrics.functional.classification import multiclass_stat_scores

        labels = batch["labels"][:rows]
        predicted = self.objective.logits(outputs, batch["labels"])[:rows].argmax(-1)
        scored = labels != IGNORED
        if scored.any():
            stats = multiclass_stat_scores(
                predicted[scored],
                labels[scored],
                num_classes=self.tags,
                average=None,
                validate_args=False,
            )
            self.sums[: 5 * self.tags] += stats.flatten()
        if self.types:
            counts = torch.tensor(self._entities(predicted, labels), dtype=self.sums.dtype)
            self.sums[5 * self.tags : -2] += counts.to(self.sums.device)
        loss = self.objective.loss(outputs, batch, rows)
        self.sums[-2] += loss.items
        self.sums[-1] += loss.sum.detach()

    def _entities(self, predicted: Tensor, labels: Tensor) -> list[int]:
        """How many entities of each type are right, predicted, and there, in this order."""
        counts = {(kind, i): 0 for kind in self.types for i in range(3)}
        names, scheme = self.objective.labels, self.objective.scheme
        for ours, theirs in zip(predicted.tolist(), labels.tolist(), strict=True):
            words = [(a, b) for a, b in zip(ours, theirs, strict=True) if b != IGNORED]
            found, there = (
                {*scheme.entities([names[pair[i]] for pair in words])} for i in range(2)
            )
            for i, entities in enumerate((found & there, found, there)):
                for entity in entities:
                    counts[entity.type, i] += 1
        return [*counts.values()]

    def scores(self) -> Scores:
        sums = self.sums.cpu()
        hits, false, _, missed, support = sums[: 5 * self.tags].view(self.tags, 5).unbind(1)
        items, loss = sums[-2:].tolist()
        words = int(support.sum())
        seen = hits + false + missed > 0
        f1 = 2 * hits / (2 * hits + false + missed).clamp(min=1)
        figures = {
            "accuracy": float(hits.sum()) / max(words, 1),
            "macro_f1": float(f1[seen].mean()) if seen.any() else 0.0,
        }
        details = {
            "labels": _table(self.objective.labels, torch.stack([hits, hits + false, support], 1))
        }
        if self.types:
            entities = sums[5 * self.tags : -2].view(-1, 3)
            every = _table(("all",), entities.sum(0, keepdim=True))["all"]
            figures = {"entity_f1": every["f1"], **figures}
            details["entities"] = {**_table(self.types, entities), "all": every}
        return Scores(words, loss / max(items, 1), figures, details)


def _table(names: Sequence[str], counts: Tensor) -> dict[str, dict[str, float]]:
    """Precision, recall, F1 and support of what is right, predicted and there: [names, 3]."""
    return {
        name: {
            "precision": right / max(predicted, 1),
            "recall": right / max(there, 1),
            "f1": 2 * right / max(predicted + there, 1),
            "support": int(there),
        }
        for name, (right, predicted, there) in zip(names, counts.tolist(), strict=True)
    }
