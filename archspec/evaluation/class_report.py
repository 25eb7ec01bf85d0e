"""The report on a trained classifier: each class, mistakes, calibration, thresholds; as data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from archspec.data.report import Data, Rows
from archspec.data.thumbnail import thumbnail
from archspec.evaluation.calibration import (
    best_thresholds,
    calibration_error,
    fit_temperature,
    given_labels,
)
from archspec.evaluation.outcomes import Outcome
from archspec.report.text import printable, shortened
from archspec.tasks.objective import Scores

MAX_MISTAKES = 20
_MAX_TEXT = 300  # characters of an input


def class_report(
    data: Data, scores: Mapping[str, Scores], outcomes: Mapping[str, Outcome]
) -> dict[str, Any]:
    """What the best weights do on each split, as plain data.

    Args:
        data: that the outcomes are of.
        scores: of each split.
        outcomes: of the same splits; temperature and thresholds are fitted on ``validation``,
            and left out without it.
    """
    fitted: Outcome | None = outcomes.get("validation")
    if fitted is not None and not len(fitted.rows):
        fitted = None
    temperature = fit_temperature(fitted) if fitted is not None else None
    thresholds = best_thresholds(fitted) if fitted is not None else None
    names = data.labels if data.multi_label else data.labels[1:]
    return {
        "labels": list(data.labels),
        "temperature": temperature,
        "thresholds": None if thresholds is None else dict(zip(names, thresholds, strict=True)),
        "splits": {
            name: {
                "count": scores[name].count,
                **scores[name].numbers,
                **{k: v for k, v in scores[name].details.items() if k == "confusion"},
                "classes": _classes(data, outcome),
                "calibration_error": calibration_error(outcome) if len(outcome.rows) else None,
                **_fitted(outcome, temperature, thresholds),
                "not_finite": outcome.left_out,
                "mistakes": _mistakes(data, data.splits[name], outcome),
            }
            for name, outcome in outcomes.items()
        },
    }


def _fitted(
    outcome: Outcome, temperature: float | None, thresholds: list[float] | None
) -> dict[str, Any]:
    """What calibration and the best thresholds change."""
    if temperature is None or not len(outcome.rows):
        return {"calibrated_error": None, "f1_at": None}
    found: dict[str, Any] = {"calibrated_error": calibration_error(outcome, temperature)}
    if thresholds is None:
        return {**found, "f1_at": None}
    half = [0.5] * len(thresholds)
    found["f1_at"] = {"0.5": _f1_at(outcome, half), "best": _f1_at(outcome, thresholds)}
    return found


def _f1_at(outcome: Outcome, thresholds: list[float]) -> float:
    """F1 of the second of two labels, or the mean over those that occur or are predicted."""
    from torchmetrics.functional.classification import binary_f1_score, multilabel_f1_score

    given, targets = given_labels(outcome, thresholds), outcome.targets
    if outcome.activation == "softmax":
        return float(binary_f1_score(given, targets))
    f1 = multilabel_f1_score(given, targets, len(thresholds), average="none")
    is_seen = (given | targets).any(0)
    return float(f1[is_seen].mean()) if is_seen.any() else 0.0


def _classes(data: Data, outcome: Outcome) -> list[dict[str, Any]]:
    """Precision, recall, F1 and support of each class."""
    from torchmetrics.functional import classification as functions

    classes = len(data.labels)
    if outcome.activation == "sigmoid":
        predicted, kind, given = (outcome.logits > 0).long(), "multilabel", {"num_labels": classes}
        support = outcome.targets.sum(0)
    else:
        predicted, kind, given = outcome.logits.argmax(1), "multiclass", {"num_classes": classes}
        support = outcome.targets.bincount(minlength=classes)
    columns = {
        name: getattr(functions, f"{kind}_{function}")(
            predicted, outcome.targets, average="none", **given
        ).tolist()
        for name, function in (("precision", "precision"), ("recall", "recall"), ("f1", "f1_score"))
    }
    return [
        {"label": label, **{name: column[i] for name, column in columns.items()}, "support": count}
        for i, (label, count) in enumerate(zip(data.labels, support.tolist(), strict=True))
    ]


def _mistakes(data: Data, rows: Rows, outcome: Outcome) -> list[dict[str, Any]]:
    """The rows that the model is wrong about and most sure of, the surest first."""
    shares = outcome.probabilities()
    if outcome.activation == "softmax":
        sure, predicted = shares.max(1)
        wrong = predicted != outcome.targets
        chosen = _surest(sure, wrong)
        return [
            {
                "row": int(rows.numbers[outcome.rows[i]]),
                **_input(data, rows, int(outcome.rows[i])),
                "label": data.labels[outcome.targets[i]],
                "predicted": data.labels[predicted[i]],
                "probability": round(float(sure[i]), 6),
            }
            for i in chosen
        ]
    sure, wrong = (shares - 0.5).abs(), (shares > 0.5) != outcome.targets.bool()
    classes = len(data.labels)
    found: list[dict[str, Any]] = []
    for cell in _surest(sure.flatten(), wrong.flatten()):
        i, label = divmod(cell, classes)
        found.append(
            {
                "row": int(rows.numbers[outcome.rows[i]]),
                **_input(data, rows, int(outcome.rows[i])),
                "label": data.labels[label],
                "has_it": bool(outcome.targets[i, label]),
                "probability": round(float(shares[i, label]), 6),
            }
        )
    return found


def _surest(sure: Tensor, wrong: Tensor) -> list[int]:
    """The positions of what is wrong, the surest first; of equals the first."""
    positions = torch.nonzero(wrong)[:, 0]
    order = sure[positions].argsort(descending=True, stable=True)[:MAX_MISTAKES]
    return positions[order].tolist()


def _input(data: Data, rows: Rows, row: int) -> dict[str, Any]:
    """What is shown of a row.

    Returns:
        ``input``: a text or a pair of texts, shortened; of an image the path below the data's
        folder. An image in a table has no path, but a ``picture``: a small one in base64.
    """
    if data.columns.image is not None:
        path, base = rows.cells.path(int(rows.positions[row])), rows.cells.base
        if path is None or base is None:
            content = rows[row]
            picture = thumbnail(content) if isinstance(content, bytes) else None
            return {"input": "", **({"picture": picture} if picture else {})}
        return {"input": printable(path.relative_to(base.resolve()).as_posix())}
    content = rows[row]
    texts = content if isinstance(content, tuple) else (str(content),)
    short = [printable(shortened(" ".join(text.split()), _MAX_TEXT)) for text in texts]
    return {"input": short if len(short) > 1 else short[0]}
