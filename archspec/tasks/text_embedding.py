"""``text-embedding``: vectors of texts that belong together are near to each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from archspec.errors import DataError, Problem
from archspec.tasks.objective import (
    Batch,
    Loss,
    Metrics,
    Objective,
    RowMetrics,
    Scores,
    correlations,
)

SCALE = 20.0
"""What cosines are multiplied by, in place of dividing by a temperature of 0.05."""
_CHUNK = 1024  # texts that are ranked together


class TextEmbedding(Objective):
    """Cross entropy of the right text among all second texts of a batch, by their cosines.

    This is the multiple negatives ranking loss (Henderson et al. 2017, Efficient Natural Language
    Response Suggestion for Smart Reply, arXiv:1705.00652) with cosines times 20. Third texts are
    wrong for every row. ``labels`` are int64 [batch]: rows with the same number have the same
    second text, which then is no negative.

    The model gives vectors: of all first texts, then of all second ones, then of all third ones,
    [batch, size] each, in a list; or all of them together, [texts × batch, size].
    """

    kind = "text-embedding"
    monitors = ("mrr", "accuracy_at_1", "accuracy_at_10", "loss")

    def vectors(self, outputs: Any, batch: Batch, rows: int) -> Tensor:
        """Vectors of length 1 of the first rows: [texts, rows, size], float32."""
        size = len(batch["labels"])
        parts: Sequence[Any] = outputs if isinstance(outputs, list) else [outputs]
        found = torch.cat([_vectors(one) for one in parts])
        if not len(found) or len(found) % size:
            message = f"the model gives {len(found)} vectors for texts of {size} rows"
            raise DataError(Problem("E906", message))
        return F.normalize(found.float(), dim=-1).view(-1, size, found.shape[-1])[:, :rows]

    def loss(self, outputs: Any, batch: Batch, rows: int) -> Loss:
        first, second, *third = self.vectors(outputs, batch, rows)
        numbers = batch["labels"][:rows]
        cosines = first @ torch.cat([second, *third]).T * SCALE
        is_same = (numbers[:, None] == numbers).fill_diagonal_(False)
        cosines[:, :rows] = cosines[:, :rows].masked_fill(is_same, -torch.inf)
        right = torch.arange(rows, device=cosines.device)
        return Loss(F.cross_entropy(cosines, right, reduction="sum"), rows)

    def metrics(self, device: torch.device) -> Metrics:
        return RankingMetrics(self, device)


class ScoredTextEmbedding(TextEmbedding):
    """Squared error of a pair's cosine to ``labels``: float32 [batch], -1 to 1."""

    monitors = ("spearman", "pearson", "loss")

    def cosines(self, outputs: Any, batch: Batch, rows: int) -> Tensor:
        """The cosine of each of the first rows."""
        first, second = self.vectors(outputs, batch, rows)
        return (first * second).sum(-1)

    def loss(self, outputs: Any, batch: Batch, rows: int) -> Loss:
        cosines = self.cosines(outputs, batch, rows)
        return Loss(F.mse_loss(cosines, batch["labels"][:rows], reduction="sum"), rows)

    def metrics(self, device: torch.device) -> Metrics:
        return CosineMetrics(self, device)


class _VectorMetrics(RowMetrics):
    """Keeps what scores are made of once all rows are known."""

    def __init__(self, objective: TextEmbedding, device: torch.device) -> None:
        super().__init__(2, device)  # rows, loss
        self.objective = objective

    def keep_rows(self, values: Tensor, outputs: Any, batch: Batch, rows: int) -> None:
        """Keep values of the first rows, with their labels, and add up the loss."""
        self.keep(values, batch["labels"][:rows])
        loss = self.objective.loss(outputs, batch, rows).sum.detach()
        self.sums += torch.stack([torch.full_like(loss, rows), loss])


class RankingMetrics(_VectorMetrics):
    """Ranks the second text of each row among all second and third texts of the split.

    ``accuracy_at_1`` and ``accuracy_at_10`` are the shares of rows whose second text, or an equal
    one, is the nearest or among the ten nearest; ``mrr`` is the mean of 1 / rank.
    """

    def add(self, outputs: Any, batch: Batch, rows: int) -> None:
        vectors = self.objective.vectors(outputs, batch, rows)
        self.keep_rows(vectors.transpose(0, 1), outputs, batch, rows)

    def scores(self) -> Scores:
        count, loss = self.sums.cpu().tolist()
        figures = {"mrr": 0.0, "accuracy_at_1": 0.0, "accuracy_at_10": 0.0}
        if kept := self.kept():
            vectors, labels = kept
            ranks = _ranks(vectors.transpose(0, 1), labels)
            figures["mrr"] = float((1 / ranks).mean())
            for k in (1, 10):
                figures[f"accuracy_at_{k}"] = float((ranks <= k).double().mean())
        return Scores(int(count), loss / max(count, 1), figures)


class CosineMetrics(_VectorMetrics):
    """Correlations of cosines and similarities, as torchmetrics computes them."""

    objective: ScoredTextEmbedding

    def add(self, outputs: Any, batch: Batch, rows: int) -> None:
        self.keep_rows(self.objective.cosines(outputs, batch, rows), outputs, batch, rows)

    def scores(self) -> Scores:
        count, loss = self.sums.cpu().tolist()
        cosines, targets = self.kept() or (torch.empty(0), torch.empty(0))
        figures = correlations(cosines, targets)
        ordered = {key: figures[key] for key in ("spearman", "pearson")}
        return Scores(int(count), loss / max(count, 1), ordered)


def _vectors(outputs: Any) -> Tensor:
    """The one output that is a vector for each text.

    Raises:
        DataError: E906, there is none, or there are several.
    """
    several: Sequence[Any] = outputs if isinstance(outputs, tuple) else (outputs,)
    tensors = [one for one in several if isinstance(one, Tensor)]
    vectors = [one for one in tensors if one.ndim == 2]
    if len(vectors) != 1:
        shapes = ", ".join(str(list(tensor.shape)) for tensor in tensors)
        message = f"the model should give one output [batch, size], not {shapes}"
        raise DataError(Problem("E906", message))
    return vectors[0]


def _ranks(vectors: Tensor, numbers: Tensor) -> Tensor:
    """The rank of each first text's second one among all: 1 is the nearest, float64 [rows].

    Wrong texts that are as near come first: a model that says the same of all texts finds none.
    """
    first, others = vectors[0], vectors[1:].flatten(0, 1)
    others_numbers = torch.cat([numbers, numbers.new_full((len(others) - len(numbers),), -1)])
    ranks: list[Tensor] = []
    for part, own in zip(first.split(_CHUNK), numbers.split(_CHUNK), strict=True):
        cosines = part @ others.T
        is_right = own[:, None] == others_numbers
        best = cosines.masked_fill(~is_right, -torch.inf).amax(1, keepdim=True)
        ranks.append(1 + ((cosines >= best) & ~is_right).sum(1))
    return torch.cat(ranks).double()
