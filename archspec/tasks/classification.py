"""What classifications share: cross entropy, with weights of labels, smoothed, or focal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from archspec.tasks import IGNORED
from archspec.tasks.objective import Loss, Objective, output_of_shape


class Criterion:
    """The loss of logits, summed over rows.

    Args:
        weights: of each label, above 0; left out: 1. A row counts as much as its label; of several
            labels only what a label says where it is right is weighted, as by PyTorch's
            ``pos_weight``.
        smoothing: the share of each target that is spread over all labels evenly, from 0 to below 1
            (Szegedy et al. 2015, arXiv:1512.00567); of several labels, over its two answers.
        gamma: of the focal loss ``-(1 - p)^gamma log p`` (Lin et al. 2017, arXiv:1708.02002), p
            being the probability of the right answer; 0 is cross entropy.

    >>> criterion = Criterion([1.0, 3.0])
    >>> criterion.single(torch.zeros(3, 2), torch.tensor([0, 1, 1])).items
    tensor(7.)
    """

    def __init__(
        self, weights: Sequence[float] | None = None, smoothing: float = 0.0, gamma: float = 0.0
    ) -> None:
        self.weights, self.smoothing, self.gamma = weights, smoothing, gamma
        self._on = dict[torch.device, Tensor]()

    def single(self, logits: Tensor, labels: Tensor) -> Loss:
        """Of logits [rows, labels] and class numbers [rows]; ``items`` is the sum of weights."""
        weights = self._weights(logits.device)
        if self.gamma:
            each = F.cross_entropy(logits, labels, reduction="none")
            each = each * self._focus(each)
            total = (each if weights is None else each * weights[labels]).sum()
        else:
            total = F.cross_entropy(
                logits, labels, weights, reduction="sum", label_smoothing=self.smoothing
            )
        return Loss(total, len(labels) if weights is None else weights[labels].sum())

    def dense(self, logits: Tensor, labels: Tensor) -> Loss:
        """Of logits [rows, labels, …] and class numbers [rows, …], some of which are ``IGNORED``.

        The mean over what has a label in each row, so that no row counts for more than another;
        weights multiply it.
        """
        weights = self._weights(logits.device)
        each = F.cross_entropy(
            logits,
            labels,
            None if self.gamma else weights,
            reduction="none",
            ignore_index=IGNORED,
            label_smoothing=self.smoothing,
        )
        if self.gamma:
            each = each * self._focus(each)
            each = each if weights is None else each * weights[labels.clamp(min=0)]
        counts = (labels != IGNORED).flatten(1).sum(1).clamp(min=1)
        return Loss((each.flatten(1).sum(1) / counts).sum(), len(labels))

    def several(self, logits: Tensor, targets: Tensor) -> Loss:
        """Of logits and targets of 0 and 1 [rows, labels]: the mean over the labels of each row."""
        if self.smoothing:
            targets = targets * (1 - self.smoothing) + self.smoothing / 2
        each = F.binary_cross_entropy_with_logits(
            logits, targets, pos_weight=self._weights(logits.device), reduction="none"
        )
        if self.gamma:
            plain = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
            each = each * self._focus(plain)
        return Loss(each.mean(1).sum(), len(logits))

    def items(self, labels: Any) -> float:
        """The sum of the weights of class numbers [rows]."""
        if self.weights is None:
            return len(labels)
        return float(np.asarray(self.weights)[labels].sum())

    def _focus(self, cross_entropy: Tensor) -> Tensor:
        """``(1 - p)^gamma`` of ``-log p``; never 0, where the power may have no derivative."""
        return (-(-cross_entropy).expm1()).clamp(min=1e-12) ** self.gamma

    def _weights(self, device: torch.device) -> Tensor | None:
        if self.weights is None:
            return None
        if device not in self._on:
            with torch.inference_mode(False):  # it is used in training, too
                self._on[device] = torch.tensor(self.weights, dtype=torch.float32, device=device)
        return self._on[device]


class WeightedObjective(Objective):
    """An objective whose loss is that of logits, and takes weights of classes.

    Attributes:
        criterion: the loss; cross entropy where nothing else is set.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        super().__init__(labels)
        self.criterion = Criterion()


class Classification(WeightedObjective):
    """An objective whose model gives logits [batch, labels]."""

    def logits(self, outputs: Any, rows: int) -> Tensor:
        """The logits among a model's outputs for ``rows`` rows; raises as ``loss``."""
        classes = len(self.labels)
        return output_of_shape(outputs, (rows, classes), f"the data has {classes} labels")
