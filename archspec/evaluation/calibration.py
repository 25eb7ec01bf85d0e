"""Temperature and thresholds of a classifier, fitted on validation data."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from archspec.evaluation.outcomes import Outcome

BINS = 15  # of the calibration error
_MAX_TEMPERATURE = 100.0
_STEPS = 40  # of a bisection: to nine digits


def fit_temperature(outcome: Outcome) -> float:
    """What logits are divided by to give the lowest cross entropy, from 0.01 to 100.

    Guo et al. 2017, On Calibration of Modern Neural Networks, arXiv:1706.04599. The cross entropy
    is convex in 1 / temperature, so that its lowest point is where its slope is 0.

    >>> logits = torch.tensor([[4.0, 0.0], [4.0, 0.0], [4.0, 0.0], [4.0, 0.0]])
    >>> data = Outcome("softmax", logits, torch.tensor([0, 0, 0, 1]), torch.arange(4), 0)
    >>> round(fit_temperature(data), 4)  # 0.75 are right
    3.641
    """
    if not _slope(outcome, 1.0):  # no other is better
        return 1.0
    low, high = -math.log(_MAX_TEMPERATURE), math.log(_MAX_TEMPERATURE)  # of 1 / temperature
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if _slope(outcome, math.exp(middle)) <= 0:
            low = middle
        else:
            high = middle
    return math.exp(-(low + high) / 2)


def _slope(outcome: Outcome, factor: float) -> float:
    """Of the cross entropy, over the factor that logits are multiplied by."""
    errors = outcome.probabilities(1 / factor) - _targets(outcome)
    return float((errors * outcome.logits).sum())


def _targets(outcome: Outcome) -> Tensor:
    if outcome.activation == "sigmoid":
        return outcome.targets.double()
    return F.one_hot(outcome.targets, outcome.logits.shape[1]).double()


def calibration_error(outcome: Outcome, temperature: float = 1.0) -> float:
    """The expected calibration error: how far probabilities are from how often they are right.

    The mean over 15 bins of the distance between the two, weighted by the rows in each. Where a row
    may have several labels, every label of every row counts for itself.
    """
    from torchmetrics.functional.classification import (
        binary_calibration_error,
        multiclass_calibration_error,
    )

    shares = outcome.probabilities(temperature)
    if outcome.activation == "sigmoid":
        error = binary_calibration_error(shares.flatten(), outcome.targets.flatten(), BINS)
    else:
        error = multiclass_calibration_error(shares, outcome.targets, shares.shape[1], BINS)
    return float(error)


def best_thresholds(outcome: Outcome) -> list[float] | None:
    """The probability from which on each label is best given: where its F1 is highest.

    Of two labels of which a row has one, there is one threshold: for the second label. Halfway to
    the next lower probability, so that a row that is nearly the same is treated alike. A label that
    no row has gets 0.5.

    Returns:
        None where a row has one of more than two labels.
    """
    shares = outcome.probabilities()
    if outcome.activation == "sigmoid":
        columns = zip(shares.T, outcome.targets.T, strict=True)
        return [_best_threshold(share, target) for share, target in columns]
    if shares.shape[1] == 2:
        return [_best_threshold(shares[:, 1], outcome.targets)]
    return None


def _best_threshold(shares: Tensor, targets: Tensor) -> float:
    from torchmetrics.functional.classification import binary_precision_recall_curve

    if not targets.any():
        return 0.5
    precision, recall, thresholds = binary_precision_recall_curve(shares, targets)
    f1 = 2 * precision * recall / (precision + recall).clamp(min=1e-12)
    best = int(f1[:-1].argmax())  # the last point is that of no threshold
    below = float(thresholds[best - 1]) if best else 0.0
    return (float(thresholds[best]) + below) / 2


def calibrated_threshold(threshold: float, temperature: float) -> float:
    """The threshold for calibrated probabilities that chooses the same rows.

    >>> round(calibrated_threshold(0.9, 2.0), 4), calibrated_threshold(0.5, 2.0)
    (0.75, 0.5)
    """
    if not 0 < threshold < 1:
        return threshold
    return 1 / (1 + (1 / threshold - 1) ** (1 / temperature))


def given_labels(outcome: Outcome, thresholds: Sequence[float]) -> Tensor:
    """Which labels each row gets: as the targets are."""
    shares = outcome.probabilities()
    if outcome.activation == "sigmoid":
        return (shares >= torch.tensor(thresholds, dtype=torch.float64)).long()
    return (shares[:, 1] >= thresholds[0]).long() if thresholds else shares.argmax(1)
