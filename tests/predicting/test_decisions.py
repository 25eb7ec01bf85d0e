"""Which labels probabilities lead to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from archspec.errors import UsageError
from archspec.predicting.decisions import Decision, decision
from archspec.tasks.objective import Activation
from tests.tables import every

REPORT = {"temperature": 2.0, "thresholds": {"yes": 0.9}}
SEVERAL = {"temperature": 2.0, "thresholds": {"no": 0.2, "yes": 0.9}}
SCORES = np.array([[0.3, 0.7], [0.2, 0.8]])


@every(
    "activation, threshold, calibrate, report, expected",
    [
        ("softmax", None, False, None, Decision(False)),
        ("softmax", 0.75, False, None, Decision(False, (0.75,))),
        ("softmax", "best", False, REPORT, Decision(False, (0.9,))),
        ("softmax", "best", True, REPORT, Decision(False, (0.75,), 2.0)),  # 0.9 with half the logit
        ("softmax", None, True, REPORT, Decision(False, (), 2.0)),
        ("sigmoid", None, False, None, Decision(True, (0.5, 0.5))),
        ("sigmoid", 0.1, True, SEVERAL, Decision(True, (0.1, 0.1), 2.0)),
        ("sigmoid", "best", False, SEVERAL, Decision(True, (0.2, 0.9))),
    ],
)
def test_decisions(
    activation: Activation, threshold: Any, calibrate: bool, report: Any, expected: Decision
) -> None:
    found = decision(["no", "yes"], activation, threshold, calibrate, report)
    assert found.thresholds == pytest.approx(expected.thresholds)
    assert (found.several, found.temperature) == (expected.several, expected.temperature)
    if not expected.several:
        cut = expected.thresholds[0] if expected.thresholds else 0.5
        assert found.best(SCORES).tolist() == [int(p >= cut) for p in (0.7, 0.8)]


@every(
    "labels, activation, threshold, calibrate, report, message",
    [
        ("ab", "softmax", 2, False, None, "threshold must be a number from 0 to 1, or best"),
        ("ab", "softmax", True, False, None, "threshold must be a number from 0 to 1, or best"),
        ("abc", "softmax", 0.5, False, None, "several labels, or one of two"),
        ("ab", "softmax", "best", False, None, "no report.json that has a threshold"),
        ("ab", "softmax", "best", False, REPORT, "the thresholds are for other labels: yes"),
        ("ab", "softmax", None, True, {"temperature": None}, "that has a temperature"),
        ("", "", 0.5, False, None, "are for models that give labels"),
        ("", "", None, True, REPORT, "are for models that give labels"),
    ],
)
def test_what_is_refused(
    labels: str, activation: Any, threshold: Any, calibrate: bool, report: Any, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        decision(list(labels), activation, threshold, calibrate, report)
