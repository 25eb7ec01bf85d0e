"""What a run has written since somebody looked last: points of its curves, and the end of its log.

Files of runs may be cut, half-written, of any size, or not written by a run at all.
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

AT_ONCE = 16_000_000  # bytes of metrics that are read in one go
MOST_STEPS = 2_000  # in one answer: more would not be seen
MOST_LOG = 16_000  # bytes
_SCORES = ("train_loss", "loss", "accuracy", "macro_f1", "seconds")
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])")

Number = int | float | None


@dataclass(frozen=True, slots=True)
class NewPoints:
    """Lines of ``metrics.jsonl`` behind a place.

    Attributes:
        steps: ``step``, ``epoch``, ``loss``, ``learning_rate``, ``seconds`` since the epoch began.
        epochs: ``epoch``, ``step``, ``train_loss``, ``loss``, ``accuracy``, ``macro_f1``, ``best``.
        test: ``loss``, ``accuracy``, ``macro_f1`` of the best weights, if they are known.
        offset: the place to go on from, in bytes.
        version: of the file: another one means that lines were taken back.
        anew: what was read before is void.
        more: there is more to read at once.
    """

    steps: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    epochs: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    test: dict[str, Any] | None = None
    offset: int = 0
    version: int = 0
    anew: bool = False
    more: bool = False


def new_points(
    file: Path, after: int = 0, version: int = 0, *, at_once: int = AT_ONCE
) -> NewPoints:
    """The lines behind ``after`` bytes, those that are whole; a file that is not there has none.

    Args:
        file: ``metrics.jsonl`` of a run.
        after: what ``offset`` was last.
        version: what ``version`` was last.
        at_once: bytes to read.
    """
    with contextlib.suppress(OSError), open(file, "rb") as stream:
        stat = os.fstat(stream.fileno())
        # A run that is resumed replaces its file by one that is shorter.
        anew = after > 0 and (version != stat.st_ino or after > stat.st_size)
        start = 0 if anew or after < 0 else after
        stream.seek(start)
        data = stream.read(at_once)
        whole = data.rfind(b"\n") + 1
        end = len(data) if not whole and len(data) == at_once else whole  # no run's line
        lines = data[:end].splitlines()
        more = len(data) == at_once and start + end < stat.st_size
        return NewPoints(*_told(lines), start + end, stat.st_ino, anew, more)
    return NewPoints(anew=after > 0)


def _told(
    lines: Sequence[bytes],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, Any] | None]:
    steps = [line for line in lines if line.startswith(b'{"kind": "step"')]
    others = [line for line in lines if not line.startswith(b'{"kind": "step"')]
    every = -(-len(steps) // MOST_STEPS) or 1
    thin = steps[::-1][::every][::-1]  # the last is always among them
    found = [_numbers(one, ("step", "epoch", "loss", "learning_rate", "seconds"))
             for one in _mappings(thin)]  # fmt: skip
    epochs: list[dict[str, Any]] = []
    test: dict[str, Any] | None = None
    for one in _mappings(others):
        if one.get("kind") == "epoch":
            numbers = _numbers(one, ("epoch", "step", *_SCORES))
            epochs.append({**numbers, "best": one.get("best") is True})
        elif one.get("kind") == "test":
            test = _numbers(one, ("loss", "accuracy", "macro_f1"))
    whole = [one for one in found if one["step"] is not None]
    return whole, [one for one in epochs if one["epoch"] is not None], test


def _mappings(lines: Sequence[bytes]) -> Iterator[Mapping[str, Any]]:
    for line in lines:
        with contextlib.suppress(ValueError, RecursionError):
            data = json.loads(line)
            if isinstance(data, dict):
                yield data


def _numbers(line: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: number(line.get(name)) for name in names}


def number(value: object) -> Number:
    """``value`` if it is a number that JavaScript can hold, else None."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    is_held = math.isfinite(value) if isinstance(value, float) else abs(value) < 2**53
    return value if is_held else None


@dataclass(slots=True)
class Summary:
    """What is known of a run's metrics so far; ``read`` takes note of what has come since.

    Attributes:
        last: steps, the latest last.
        epochs: how many are complete.
        epoch: the line of the latest of them.
        best: the line of the best epoch.
        test: scores on the test split.
    """

    offset: int = 0
    version: int = 0
    last: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    epochs: int = 0
    epoch: dict[str, Any] | None = None
    best: dict[str, Any] | None = None
    test: dict[str, Any] | None = None

    def read(self, file: Path) -> None:
        """What the file has come to say; at most so much of it that the page does not wait."""
        for _ in range(4):
            found = new_points(file, self.offset, self.version)
            if found.anew:
                self.last, self.epochs, self.best, self.test = [], 0, None, None
            self.offset, self.version = found.offset, found.version
            self.last = [*self.last, *found.steps][-100:]
            for line in found.epochs:
                self.epochs, self.epoch = max(self.epochs, int(line["epoch"])), line
                self.best = line if line["best"] else self.best
            self.test = found.test or self.test
            if not found.more:
                return

    @property
    def step(self) -> int:
        """The last step that was written down."""
        return int(self.last[-1]["step"]) if self.last else 0

    @property
    def rate(self) -> float | None:
        """Seconds a step, by the latest steps of one epoch; None before there are two."""
        mine = [
            one
            for one in self.last
            if one["seconds"] is not None and one["epoch"] == self.last[-1]["epoch"]
        ]
        if len(mine) < 2 or mine[-1]["step"] <= mine[0]["step"]:
            return None
        return (mine[-1]["seconds"] - mine[0]["seconds"]) / (mine[-1]["step"] - mine[0]["step"])


def log_tail(file: Path, hidden: Mapping[str, str]) -> str:
    """The end of a text as it may be shown: no colours, no control characters, bounded.

    Args:
        file: what a run, or the terminal, said.
        hidden: texts to leave out, and what stands for each.
    """
    with contextlib.suppress(OSError), open(os.open(file, os.O_RDONLY | os.O_NOFOLLOW), "rb") as f:
        size = os.fstat(f.fileno()).st_size
        f.seek(max(0, size - MOST_LOG))
        text = f.read(MOST_LOG).decode("utf-8", "replace")
        if size > MOST_LOG:
            text = text.partition("\n")[2]
        return cleaned(text, hidden)
    return ""


def cleaned(text: str, hidden: Mapping[str, str]) -> str:
    """As ``log_tail``, of a text."""
    for one, instead in hidden.items():
        text = text.replace(one, instead)
    lines = _ANSI.sub("", text).replace("\r\n", "\n").split("\n")
    # What a carriage return wrote over is not to be seen on a terminal.
    last = [line.rstrip("\r").rpartition("\r")[2].replace("\t", "    ") for line in lines]
    return printable_lines("\n".join(last)).strip("\n")
