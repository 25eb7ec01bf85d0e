"""Which labels probabilities lead to: the most probable one, or those from a threshold on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from archspec.errors import Problem, UsageError, shown
from archspec.evaluation.calibration import calibrated_threshold
from archspec.tasks.objective import Activation

Threshold = float | Literal["best"]


@dataclass(frozen=True, slots=True)
class Decision:
    """What a classifier's probabilities mean.

    Attributes:
        several: whether an input may have several labels, or none.
        thresholds: from which probability on a label is given: of each of several labels, or of the
            second of two. Empty: the most probable label is given.
        temperature: what logits are divided by.

    >>> Decision(False, (0.2,)).best(np.array([[0.7, 0.3], [0.9, 0.1]])).tolist()
    [1, 0]
    """

    several: bool
    thresholds: tuple[float, ...] = ()
    temperature: float = 1.0

    def given(self, scores: NDArray[Any]) -> NDArray[np.bool_]:
        """Which of several labels are given: [inputs, labels]."""
        return scores >= np.array(self.thresholds)

    def best(self, scores: NDArray[Any]) -> NDArray[np.int64]:
        """The number of the one label: [inputs]."""
        if self.thresholds:
            return (scores[:, 1] >= self.thresholds[0]).astype(np.int64)
        return scores.argmax(axis=1)


def decision(
    labels: Sequence[str],
    activation: Activation,
    threshold: Threshold | None,
    calibrate: bool,
    report: Mapping[str, Any] | None,
) -> Decision:
    """What is asked for, with what the report of a run says.

    Raises:
        UsageError: E801, the labels have no threshold, or there is no report that has what is asked
            for.
    """
    several, temperature = activation == "sigmoid", 1.0
    if (threshold is not None or calibrate) and not activation:
        raise _usage("a threshold and calibration are for models that give labels")
    if threshold is not None and not several and len(labels) != 2:
        message = "a threshold is for models that give several labels, or one of two"
        raise _usage(message)
    if calibrate:
        temperature = float(_fitted(report, "temperature"))
    if threshold == "best":
        known: Mapping[str, float] = _fitted(report, "thresholds")
        names = labels if several else labels[1:]
        if list(known) != list(names):
            raise _usage(f"the thresholds are for other labels: {', '.join(known)}")
        same = (calibrated_threshold(one, temperature) for one in known.values())
        return Decision(several, tuple(same), temperature)
    if threshold is not None:
        if isinstance(threshold, bool) or not isinstance(threshold, int | float):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise _usage(f"threshold must be a number from 0 to 1, or best, not {shown(threshold)}")
        if not 0 <= threshold <= 1:
            raise _usage(f"threshold must be a number from 0 to 1, or best, not {threshold!r}")
    if several:
        value = 0.5 if threshold is None else float(threshold)
        return Decision(True, (value,) * len(labels), temperature)
    return Decision(False, () if threshold is None else (float(threshold),), temperature)


def _fitted(report: Mapping[str, Any] | None, name: str) -> Any:
    """What was fitted on the validation split of a run."""
    value = None if report is None else report.get(name)
    if value is None:
        hint = "take the best weights of a run of a classification that had a validation split"
        raise _usage(f"there is no report.json that has a {name.removesuffix('s')}", hint)
    return value


def _usage(message: str, hint: str = "") -> UsageError:
    return UsageError(Problem("E801", message, hint=hint))
