"""Reads what a run has written since the last read: points of its curves, and the end of its log.

The files may be truncated, half-written, of any size, or not written by a run at all.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from archspec.report.text import printable_lines
from archspec.tasks.figures import FIGURES

MAX_READ = 16_000_000  # bytes of metrics in one answer
MAX_STEPS = 2_000  # in one answer: a chart shows no more
MAX_LOG = 16_000  # bytes
_STEP = (
    "step", "epoch", "loss", "learning_rate", "grad_norm", "samples", "tokens", "seconds",
)  # fmt: skip
_EPOCH = ("epoch", "step", "train_loss", "seconds")
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])")

Number = int | float | None


@dataclass(frozen=True, slots=True)
class NewPoints:
    """Lines of ``metrics.jsonl`` from an offset on.

    Attributes:
        steps: ``step``, ``epoch``, ``loss``, ``learning_rate``, ``grad_norm``; ``samples``,
            ``tokens`` and ``seconds`` since the epoch began.
        epochs: ``epoch``, ``step``, ``train_loss``, ``seconds``, ``best``, and the scores that the
            task has, as ``FIGURES`` names them.
        test: the scores of the best weights, if they are known.
        offset: where to continue, in bytes.
        version: of the file; it changes when the run is resumed from an earlier step.
        restarted: what was read before is no longer valid.
        more: there is more to read.
    """

    steps: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    epochs: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    test: dict[str, Any] | None = None
    offset: int = 0
    version: int = 0
    restarted: bool = False
    more: bool = False


def new_points(
    file: Path, offset: int = 0, version: int = 0, *, max_bytes: int = MAX_READ
) -> NewPoints:
    """The complete lines from ``offset`` on; none if the file does not exist.

    Args:
        file: ``metrics.jsonl`` of a run.
        offset, version: of the last answer.
        max_bytes: to read.
    """
    with contextlib.suppress(OSError), open(file, "rb") as stream:
        stat = os.fstat(stream.fileno())
        # A run that is resumed replaces its file by a shorter one.
        restarted = offset > 0 and (version != stat.st_ino or offset > stat.st_size)
        start = 0 if restarted or offset < 0 else offset
        stream.seek(start)
        data = stream.read(max_bytes)
        complete = data.rfind(b"\n") + 1
        # A line longer than max_bytes was not written by a run: skip it.
        end = len(data) if not complete and len(data) == max_bytes else complete
        more = len(data) == max_bytes and start + end < stat.st_size
        points = _parse_lines(data[:end].splitlines())
        return NewPoints(*points, start + end, stat.st_ino, restarted, more)
    return NewPoints(restarted=offset > 0)


def _parse_lines(
    lines: Sequence[bytes],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, Any] | None]:
    steps = [line for line in lines if line.startswith(b'{"kind": "step"')]
    others = [line for line in lines if not line.startswith(b'{"kind": "step"')]
    stride = -(-len(steps) // MAX_STEPS) or 1
    thinned = steps[::-1][::stride][::-1]  # always with the last one
    points = [_numbers(line, _STEP) for line in _mappings(thinned)]
    epochs: list[dict[str, Any]] = []
    test: dict[str, Any] | None = None
    for line in _mappings(others):
        if line.get("kind") == "epoch":
            told = {**_numbers(line, _EPOCH), **_scores(line)}
            epochs.append({**told, "best": line.get("best") is True})
        elif line.get("kind") == "test":
            test = _scores(line)
    numbered = [point for point in points if point["step"] is not None]
    return numbered, [epoch for epoch in epochs if epoch["epoch"] is not None], test


def _scores(line: Mapping[str, Any]) -> dict[str, Any]:
    return _numbers(line, [name for name in FIGURES if name in line])


def _mappings(lines: Sequence[bytes]) -> Iterator[Mapping[str, Any]]:
    for line in lines:
        with contextlib.suppress(ValueError, RecursionError):
            data = json.loads(line)
            if isinstance(data, dict):
                yield data


def _numbers(line: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: number(line.get(name)) for name in names}


def number(value: object) -> Number:
    """``value`` if it is a number that JavaScript can represent, otherwise None."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    is_exact = math.isfinite(value) if isinstance(value, float) else abs(value) < 2**53
    return value if is_exact else None


@dataclass(slots=True)
class Summary:
    """A summary of a run's metrics, which ``read`` updates.

    Attributes:
        last_steps: the latest one last.
        epochs: the number of complete epochs.
        last_epoch: the line of the latest of them.
        best: the line of the best epoch.
        test: scores on the test split.
    """

    offset: int = 0
    version: int = 0
    last_steps: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    epochs: int = 0
    last_epoch: dict[str, Any] | None = None
    best: dict[str, Any] | None = None
    test: dict[str, Any] | None = None

    def read(self, file: Path) -> None:
        """Read new lines; at most so many that the page does not have to wait."""
        for _ in range(4):
            new = new_points(file, self.offset, self.version)
            if new.restarted:
                self.last_steps, self.epochs, self.best, self.test = [], 0, None, None
            self.offset, self.version = new.offset, new.version
            self.last_steps = [*self.last_steps, *new.steps][-100:]
            for line in new.epochs:
                self.epochs, self.last_epoch = max(self.epochs, int(line["epoch"])), line
                self.best = line if line["best"] else self.best
            self.test = new.test or self.test
            if not new.more:
                return

    @property
    def step(self) -> int:
        """The last step in the file."""
        return int(self.last_steps[-1]["step"]) if self.last_steps else 0

    @property
    def seconds_per_step(self) -> float | None:
        """By the latest steps of the current epoch; None before there are two."""
        rate = self.per_second("step")
        return 1 / rate if rate else None

    def per_second(self, name: str) -> float | None:
        """How fast ``samples``, ``tokens`` or the ``step`` rises, by the latest steps.

        None before there are two steps that have it, at different times.
        """
        steps = self._timed_steps(name)
        if not steps or steps[-1]["seconds"] == steps[0]["seconds"]:
            return None
        first, last = steps[0], steps[-1]
        return (last[name] - first[name]) / (last["seconds"] - first["seconds"])

    def _timed_steps(self, name: str) -> list[dict[str, Any]]:
        """The latest steps of one epoch in which the count rises and the clock never goes back.

        The clock begins anew with each epoch, and where a run is resumed in the middle of one.
        """
        found: list[dict[str, Any]] = []
        for step in reversed(self.last_steps):
            if step["seconds"] is None or step[name] is None:
                break
            is_before = not found or (
                step["epoch"] == found[0]["epoch"]
                and step["seconds"] <= found[0]["seconds"]  # quick steps: the same millisecond
                and step[name] < found[0][name]
            )
            if not is_before:
                break
            found.insert(0, step)
        return found


def log_tail(file: Path, replacements: Mapping[str, str]) -> str:
    """The end of a log, safe to show: without colours and control characters.

    Args:
        file: a run's log, or the output of its process.
        replacements: texts that are not shown, and what replaces each.
    """
    with contextlib.suppress(OSError), open(os.open(file, os.O_RDONLY | os.O_NOFOLLOW), "rb") as f:
        size = os.fstat(f.fileno()).st_size
        f.seek(max(0, size - MAX_LOG))
        text = f.read(MAX_LOG).decode("utf-8", "replace")
        if size > MAX_LOG:
            text = text.partition("\n")[2]
        return clean(text, replacements)
    return ""


def clean(text: str, replacements: Mapping[str, str]) -> str:
    """Like ``log_tail``, of a text."""
    for old, new in replacements.items():
        text = text.replace(old, new)
    lines = _ANSI.sub("", text).replace("\r\n", "\n").split("\n")
    # Like a terminal, drop what a carriage return overwrites.
    visible = [line.rstrip("\r").rpartition("\r")[2].replace("\t", "    ") for line in lines]
    return printable_lines("\n".join(visible)).strip("\n")
