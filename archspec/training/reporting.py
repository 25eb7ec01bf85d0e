"""How a run goes, for people and other programs: its log, a bar, curves, CSV and TensorBoard."""

from __future__ import annotations

import contextlib
import csv
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from rich.progress import Progress, TaskID, TextColumn
from tensorboard.compat.proto.event_pb2 import (
    Event,  # pyright: ignore[reportAttributeAccessIssue]
)
from tensorboard.compat.proto.summary_pb2 import (
    Summary,  # pyright: ignore[reportAttributeAccessIssue]
)
from tensorboard.summary.writer.record_writer import RecordWriter

from archspec.report.progress import bar, is_seen
from archspec.report.text import printable
from archspec.tasks.figures import FIGURES, LOWER_IS_BETTER, figure_name
from archspec.training.state import Position

_WIDTH, _HEIGHT, _LEFT, _TOP, _RIGHT, _BOTTOM = 420, 260, 52, 30, 14, 34  # of one panel, pixels
_LOSSES = (("train_loss", "train", "#4c78a8"), ("loss", "validation", "#e45756"))
_COLORS = ("#54a24b", "#b279a2", "#f58518")  # of other figures, none of which is a loss
Point = tuple[float, float]


class Reporter:
    """Writes lines; nothing on standard error without ``verbose``.

    A full disk ends the log, and a closed standard error ends the output there; the run continues.
    """

    def __init__(self, verbose: bool) -> None:
        self.verbose = verbose
        self.log: Path | None = None
        self._is_lost = False

    def __call__(self, line: str) -> None:
        if self.log is not None:  # only the first process writes
            self._print(printable(line))
            self.to_log(line)

    def to_log(self, line: str) -> None:
        """Write a line that a terminal need not have: there a bar says the same."""
        if self.log is None:
            return
        line = printable(line)
        try:
            with open(self.log, "a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            if not self._is_lost:
                self._is_lost = True
                self._print(printable(f"{self.log}: cannot be written: {error.strerror or error}"))

    def _print(self, line: str) -> None:
        if self.verbose and sys.stderr is not None:  # None: the shell closed it
            try:
                print(line, file=sys.stderr, flush=True)
            except OSError:
                self.verbose = False


class ProgressBar:
    """One bar for the whole run; nothing is drawn where standard error is no terminal.

    Args:
        batches: of an epoch.
        epochs: of the run.
        limit: batches of the run, if it ends before its epochs do.
    """

    def __init__(self, batches: int, epochs: int, limit: int | None = None) -> None:
        self.batches, self.epochs = batches, epochs
        self.total = min(batches * epochs, limit or batches * epochs)
        self.progress: Progress | None = None
        self.task = TaskID(0)

    @contextlib.contextmanager
    def shown(self, wanted: bool) -> Iterator[None]:
        """The bar is there inside, if it is wanted."""
        if not (wanted and is_seen()):
            yield
            return
        with bar(TextColumn("{task.fields[loss]}")) as self.progress:
            self.task = self.progress.add_task("", total=None, loss="")
            yield
        self.progress = None

    def update(self, at: Position) -> None:
        """Show where the run is."""
        if self.progress is not None:
            self.progress.update(
                self.task,
                description=f"epoch {min(at.epoch + 1, self.epochs)} of {self.epochs}",
                completed=at.epoch * self.batches + at.batch,
                total=self.total,
                loss=f"loss {at.loss / at.samples:.4f}" if at.samples else "",
            )

    def validating(self) -> None:
        """An epoch is being evaluated."""
        if self.progress is not None:
            self.progress.update(self.task, description="validating")


class Logs:
    """Writes both files; a full disk ends them, not the run.

    Args:
        folder: gets a folder for each; a resumed run begins files of its own.
        scores: names of what is validated.
        report: writes a line.
    """

    def __init__(self, folder: Path, scores: Sequence[str], report: Callable[[str], None]) -> None:
        self.folder, self.report = folder, report
        self._columns = ["step", "train/loss", "learning_rate", "grad_norm"]
        self._columns += [f"validation/{name}" for name in scores]
        self._table: IO[str] | None = None
        self._events: IO[bytes] | None = None
        self._is_lost = False

    def record(self, values: Mapping[str, float], step: int) -> None:
        """Add the values of a step."""
        if self._is_lost:
            return
        try:
            self._open()
            self._write(values, step)
        except OSError as error:
            self._is_lost = True
            self.close()
            self.report(f"{self.folder}: logging has ended: {error.strerror or error}")

    def close(self) -> None:
        """Close the files."""
        for file in (self._table, self._events):
            if file is not None:
                with contextlib.suppress(OSError):
                    file.close()
        self._table = self._events = None

    def _open(self) -> None:
        if self._events is not None:
            return
        number = len(list(self.folder.glob("csv-*"))) + 1
        places = [self.folder / f"{kind}-{number}" for kind in ("csv", "tensorboard")]
        for place in places:
            place.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{int(time.time())}.archspec"
        table = places[0] / "metrics.csv"
        self._table = table.open("a", encoding="utf-8", newline="")  # until close
        self._events = (places[1] / name).open("ab")
        csv.writer(self._table).writerow(self._columns)
        self._put(file_version="brain.Event:2")

    def _write(self, values: Mapping[str, float], step: int) -> None:
        assert self._table is not None and self._events is not None
        csv.DictWriter(self._table, self._columns).writerow({"step": step, **values})
        scalars = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._put(step=step, summary=Summary(value=scalars))
        self._table.flush()
        self._events.flush()

    def _put(self, **content: Any) -> None:
        event = Event(wall_time=time.time(), **content)
        RecordWriter(self._events).write(event.SerializeToString())


# ------------------------------------------------------------------------------------------ curves


def curves(epochs: Sequence[Mapping[str, Any]]) -> str:
    """An SVG of two panels; it holds numbers and our own words only.

    >>> curves([{"epoch": 1, "loss": 0.5, "train_loss": 1.0}]).count("<circle")
    2
    """
    panels = (("loss", _LOSSES), ("validation", _figures(epochs)))
    parts = [_panel(epochs, *panel, i * _WIDTH) for i, panel in enumerate(panels)]
    size = f'width="{2 * _WIDTH}" height="{_HEIGHT}" viewBox="0 0 {2 * _WIDTH} {_HEIGHT}"'
    style = 'font-family="sans-serif" font-size="11" fill="#333"'
    ground = '<rect width="100%" height="100%" fill="#fff"/>'
    body = "\n".join([ground, *parts])
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n{body}\n</svg>\n'


def _figures(epochs: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """The figures of validation that the epochs have: key, name and colour."""
    keys = [key for key in FIGURES if key not in LOWER_IS_BETTER]
    seen = [key for key in keys if any(key in line for line in epochs)]
    return [(key, figure_name(key), color) for key, color in zip(seen, _COLORS, strict=False)]


def _panel(
    epochs: Sequence[Mapping[str, Any]],
    title: str,
    series: Sequence[tuple[str, str, str]],
    shift: int,
) -> str:
    lines = {key: _points(epochs, key) for key, _, _ in series}
    every = [point for points in lines.values() for point in points]
    low = min((y for _, y in every), default=0.0)
    high = max((y for _, y in every), default=1.0)
    low, high = (low - 0.05, high + 0.05) if high - low < 1e-9 else (low, high)
    last = max((x for x, _ in every), default=1.0)
    found = [f'<g transform="translate({shift} 0)">', f'<text x="{_LEFT}" y="18">{title}</text>']
    found += _axes(low, high, last)
    for i, (key, name, colour) in enumerate(series):
        found += _line([_at(point, low, high, last) for point in lines[key]], colour)
        x = _WIDTH - _RIGHT - 80 * (len(series) - i)
        found.append(f'<text x="{x}" y="18" fill="{colour}">{name}</text>')
    return "\n".join([*found, "</g>"])


def _points(epochs: Sequence[Mapping[str, Any]], key: str) -> list[Point]:
    pairs = [(line.get("epoch"), line.get(key)) for line in epochs]
    return [
        (float(x), float(y))
        for x, y in pairs
        if isinstance(x, int | float) and isinstance(y, int | float) and math.isfinite(y)
    ]


def _at(point: Point, low: float, high: float, last: float) -> Point:
    x, y = point
    across = (x - 1) / max(last - 1, 1)
    up = (y - low) / (high - low)
    return (
        _LEFT + 6 + across * (_WIDTH - _LEFT - _RIGHT - 12),
        _HEIGHT - _BOTTOM - 6 - up * (_HEIGHT - _TOP - _BOTTOM - 12),
    )


def _axes(low: float, high: float, last: float) -> list[str]:
    left, bottom = _LEFT, _HEIGHT - _BOTTOM
    found = [
        f'<path d="M{left} {_TOP}V{bottom}H{_WIDTH - _RIGHT}" fill="none" stroke="#999"/>',
        f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 4}" text-anchor="end">epoch</text>',
    ]
    for share in (0, 0.5, 1):
        value = low + share * (high - low)
        _, y = _at((1, value), low, high, last)
        found.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.3g}</text>')
    for epoch in sorted({1, round((1 + last) / 2), round(last)}):
        x, _ = _at((epoch, low), low, high, last)
        found.append(f'<text x="{x:.1f}" y="{bottom + 15}" text-anchor="middle">{epoch}</text>')
    return found


def _line(points: Sequence[Point], colour: str) -> list[str]:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>' for x, y in points]
    return [f'<polyline points="{path}" fill="none" stroke="{colour}"/>', *dots] if points else []
