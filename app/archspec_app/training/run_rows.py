"""A run in a row of the list: how it stands, how far it is, how long it will take."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from archspec_app.training.metric_points import Summary, number

JobStatus = Literal["starting", "running", "stopping", "finished", "stopped", "failed", "killed"]


@dataclass(frozen=True, slots=True)
class JobRow:
    """A run, or a try to start one.

    Attributes:
        key: names it: that of its folder in ``runs``.
        spec: what its spec is called.
        plan: its freeze plans in a word.
        status: how it stands; ``failed``, ``stopped`` and ``killed`` can be resumed.
        epoch: how many are complete; of ``epochs``.
        step: the last that was written down; of ``steps``, None if that cannot be told.
        share: done, 0 to 1; None if that cannot be told.
        seconds: it has taken so far, all its processes together.
        seconds_left: estimated from its latest steps, until the last epoch ends, without the test;
            None if nothing tells, as before the last of several phases.
        best: the monitored score of the best epoch: ``name`` and ``value``.
        test: ``loss``, ``accuracy`` and ``macro_f1`` on the test split.
        started: when, as ISO 8601 has it.
        error: why it failed.
    """

    key: str
    spec: str
    plan: str
    status: JobStatus
    epoch: int = 0
    epochs: int | None = None
    step: int = 0
    steps: int | None = None
    share: float | None = None
    seconds: float | None = None
    seconds_left: float | None = None
    best: Mapping[str, Any] | None = None
    test: Mapping[str, Any] | None = None
    started: str | None = None
    error: str | None = None

    @property
    def can_stop(self) -> bool:
        return self.status in ("starting", "running")

    @property
    def can_resume(self) -> bool:
        return self.status in ("stopped", "failed", "killed")

    def to_dict(self) -> dict[str, Any]:
        """The row as plain data."""
        return {**asdict(self), "can_stop": self.can_stop, "can_resume": self.can_resume}


def progress(facts: Mapping[str, Any], summary: Summary, status: JobStatus) -> dict[str, Any]:
    """The fields of a row that tell how far a run is.

    Args:
        facts: what its ``run.json`` says, checked.
        summary: of its metrics.
        status: of its row.
    """
    options: Mapping[str, Any] = facts.get("options", {})
    epochs, steps = facts.get("epochs"), _steps(facts, options)
    total = epochs * steps if epochs and steps else None
    share = None if total is None else min(1.0, summary.step / total)
    is_on = status in ("running", "stopping")
    return {
        "epoch": summary.epochs,
        "epochs": epochs,
        "step": summary.step,
        "steps": total,
        "share": 1.0 if status == "finished" else share,
        "seconds": _seconds(facts, is_on),
        "seconds_left": _left(options, summary, epochs, steps) if is_on else None,
        "best": _best(options, summary),
        "test": summary.test,
    }


def _steps(facts: Mapping[str, Any], options: Mapping[str, Any]) -> int | None:
    """In an epoch."""
    rows = facts.get("data", {}).get("counts", {}).get("train")
    batch, accumulate = options.get("batch_size"), options.get("accumulate_grad_batches")
    if not (_is_count(rows) and _is_count(batch) and _is_count(accumulate)):
        return None
    return math.ceil(math.ceil(rows / batch) / accumulate)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**53


def _seconds(facts: Mapping[str, Any], is_on: bool) -> float | None:
    """Of all processes before, and of the one that is at it."""
    before = number(facts.get("seconds")) or 0.0
    if not is_on:
        return float(before) if facts.get("ended") else None
    since = moment([facts.get("started"), *facts.get("resumed", [])][-1])
    return None if since is None else before + max(0.0, time.time() - since)


def moment(text: object) -> float | None:
    """Seconds since 1970 of a time in ISO 8601."""
    try:
        return datetime.fromisoformat(text).timestamp() if isinstance(text, str) else None
    except (ValueError, OverflowError, OSError):
        return None


def _left(
    options: Mapping[str, Any], summary: Summary, epochs: int | None, steps: int | None
) -> float | None:
    rate, phases = summary.rate, options.get("phases")
    if rate is None or epochs is None or steps is None or not isinstance(phases, list):
        return None
    last = phases[-1].get("epochs") if phases and isinstance(phases[-1], Mapping) else None
    current = summary.last[-1]["epoch"]
    if last is None or not (_is_count(last) and _is_count(current)) or current <= epochs - last:
        return None  # a later plan takes another time
    validation = 0.0
    if summary.epoch is not None and summary.epoch["seconds"] is not None:
        validation = max(0.0, summary.epoch["seconds"] - steps * rate)
    to_do = max(0, epochs * steps - summary.step)
    return to_do * rate + max(0, epochs - summary.epochs) * validation


def _best(options: Mapping[str, Any], summary: Summary) -> dict[str, Any] | None:
    name = options.get("monitor")
    if summary.best is None or name not in ("accuracy", "loss", "macro_f1"):
        return None
    value = summary.best[name]
    return None if value is None else {"name": name, "value": value}
