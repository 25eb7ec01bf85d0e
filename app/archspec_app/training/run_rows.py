"""A run in the list: its status, its progress and the time that is left."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal, TypeGuard

from archspec.tasks.figures import FIGURES, figure_name
from archspec_app.training.metric_points import Summary, number
from archspec_app.training.short_run import short_steps

JobStatus = Literal["starting", "running", "stopping", "finished", "stopped", "failed", "killed"]


@dataclass(frozen=True, slots=True)
class JobRow:
    """A run, or an attempt to start one.

    Attributes:
        key: the name of its folder in ``runs``.
        spec: the name of its spec.
        plan: its freeze plans.
        status: ``failed``, ``stopped`` and ``killed`` runs can be resumed.
        epoch: number of complete epochs, of ``epochs``.
        step: the last one in the metrics, of ``steps``; None if that number is unknown.
        share: of the steps that are done, 0 to 1; None if it is unknown.
        seconds: that all its processes together have taken.
        seconds_left: estimated from the latest steps, until the last epoch ends, without the test;
            None if it is unknown, as before the last of several phases.
        samples_per_second: of training, by the latest steps, while the run is active.
        tokens_per_second: likewise; None of images.
        computing: while the frozen part is computed, how far: ``samples``, ``of`` how many, their
            ``share``, and ``seconds_left`` for it, None before the first.
        evaluating: while a split is evaluated, how far: its name as ``split``, and the same.
        short_steps: steps that take half a minute, of an active run that takes long; else None.
        ended_by: the option that ended the run before its epochs were over.
        best: the monitored score of the best epoch: ``name``, as people say it, and ``value``.
        test: the scores on the test split, as ``FIGURES`` names them.
        started: time in ISO 8601.
        error: why it failed.
        note: what a visitor has written about it.
        can_repeat: whether the options are known as they were entered on the page.
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
    samples_per_second: float | None = None
    tokens_per_second: float | None = None
    computing: Mapping[str, Any] | None = None
    evaluating: Mapping[str, Any] | None = None
    short_steps: int | None = None
    ended_by: str | None = None
    best: Mapping[str, Any] | None = None
    test: Mapping[str, Any] | None = None
    started: str | None = None
    error: str | None = None
    note: str = ""
    can_repeat: bool = False

    @property
    def can_stop(self) -> bool:
        return self.status in ("starting", "running")

    @property
    def is_active(self) -> bool:
        return self.status in ("starting", "running", "stopping")

    @property
    def can_resume(self) -> bool:
        return self.status in ("stopped", "failed", "killed")

    def to_dict(self) -> dict[str, Any]:
        """The row as plain data."""
        return {
            **asdict(self),
            "can_stop": self.can_stop,
            "can_resume": self.can_resume,
            "can_delete": not self.is_active,
        }


def progress(facts: Mapping[str, Any], summary: Summary, status: JobStatus) -> dict[str, Any]:
    """The fields of a row that show the progress of a run.

    Args:
        facts: of its ``run.json``, checked.
        summary: of its metrics.
        status: of the row.
    """
    options: Mapping[str, Any] = facts.get("options", {})
    epochs, steps = facts.get("epochs"), _steps_per_epoch(facts, options)
    total = epochs * steps if epochs and steps else None
    limit = options.get("max_steps")
    if total is not None and _is_count(limit):
        total = min(total, limit)
    share = None if total is None else min(1.0, summary.step / total)
    is_active = status in ("running", "stopping")
    computing = _done_of(facts.get("computing")) if is_active else None
    left = _seconds_left(options, summary, epochs, steps, total) if is_active else None
    ended_by = facts.get("ended_by")
    return {
        "epoch": summary.epochs,
        "epochs": epochs,
        "step": summary.step,
        "steps": total,
        "share": 1.0 if status == "finished" else share,
        "seconds": _seconds(facts, is_active),
        "seconds_left": left,
        "computing": computing,
        "evaluating": _evaluating(facts.get("evaluating")) if is_active else None,
        "short_steps": _short_steps(options, summary, left, computing) if is_active else None,
        "ended_by": ended_by if ended_by in options else None,
        "samples_per_second": summary.per_second("samples") if is_active else None,
        "tokens_per_second": summary.per_second("tokens") if is_active else None,
        "best": _best(options, summary),
        "test": summary.test,
    }


def _evaluating(record: Mapping[str, Any] | None) -> dict[str, Any] | None:
    done = _done_of(record)
    return {**done, "split": record["split"]} if done and record else None


def _done_of(record: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """How many samples are computed or evaluated, and the seconds left for the others."""
    record = record or {}
    done, total, seconds = (number(record.get(name)) for name in ("samples", "of", "seconds"))
    if done is None or total is None or seconds is None or not 0 < total >= done:
        return None
    left = number(seconds / done * (total - done)) if done else None
    return {"samples": done, "of": total, "share": done / total, "seconds_left": left}


def _short_steps(
    options: Mapping[str, Any],
    summary: Summary,
    left: float | None,
    computing: Mapping[str, Any] | None,
) -> int | None:
    """By the latest steps, or by the samples whose frozen part is computed."""
    if options.get("max_steps") is not None:
        return None
    if computing is None:
        return short_steps(left, summary.seconds_per_step)
    batch, accumulate = options.get("batch_size"), options.get("accumulate_grad_batches")
    seconds, samples = computing["seconds_left"], computing["of"] - computing["samples"]
    if not (seconds and samples and _is_count(batch) and _is_count(accumulate)):
        return None
    return short_steps(seconds, seconds / samples * batch * accumulate)


def _steps_per_epoch(facts: Mapping[str, Any], options: Mapping[str, Any]) -> int | None:
    rows = facts.get("data", {}).get("counts", {}).get("train")
    batch, accumulate = options.get("batch_size"), options.get("accumulate_grad_batches")
    if not (_is_count(rows) and _is_count(batch) and _is_count(accumulate)):
        return None
    return math.ceil(math.ceil(rows / batch) / accumulate)


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**53


def _seconds(facts: Mapping[str, Any], is_active: bool) -> float | None:
    """Of all earlier processes, and of the current one."""
    before = number(facts.get("seconds")) or 0.0
    if not is_active:
        return float(before) if facts.get("ended") else None
    since = timestamp([facts.get("started"), *facts.get("resumed", [])][-1])
    return None if since is None else before + max(0.0, time.time() - since)


def timestamp(text: object) -> float | None:
    """Seconds since 1970 of a time in ISO 8601; None if it is not one."""
    try:
        return datetime.fromisoformat(text).timestamp() if isinstance(text, str) else None
    except (ValueError, OverflowError, OSError):
        return None


def _seconds_left(
    options: Mapping[str, Any],
    summary: Summary,
    epochs: int | None,
    steps: int | None,
    total: int | None,
) -> float | None:
    rate, phases = summary.seconds_per_step, options.get("phases")
    if rate is None or epochs is None or not steps or total is None:
        return None
    if not isinstance(phases, list):
        return None
    last = phases[-1].get("epochs") if phases and isinstance(phases[-1], Mapping) else None
    current = summary.last_steps[-1]["epoch"]
    if last is None or not (_is_count(last) and _is_count(current)) or current <= epochs - last:
        return None  # a step of a later plan takes another time
    validation = 0.0
    if summary.last_epoch is not None and summary.last_epoch["seconds"] is not None:
        validation = max(0.0, summary.last_epoch["seconds"] - steps * rate)
    steps_left = max(0, total - summary.step)
    return steps_left * rate + max(0, math.ceil(total / steps) - summary.epochs) * validation


def _best(options: Mapping[str, Any], summary: Summary) -> dict[str, Any] | None:
    name = options.get("monitor")
    if summary.best is None or name not in FIGURES:
        return None
    value = summary.best.get(name)
    return None if value is None else {"name": figure_name(name), "value": value}
