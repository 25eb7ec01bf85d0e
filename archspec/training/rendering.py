"""Runs as people see them: one with its epochs, or many as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from archspec.report.text import printable
from archspec.training.run import Run

_COLOURS = {"finished": "green", "running": "cyan", "failed": "red"}
_MOST_EPOCHS = 30  # to_dict has all


def drawn(run: Run) -> RenderableType:
    """A run: what it is, its epochs, its test."""
    head = Text(printable(str(run.path)), style="bold")
    head.append("  ").append(run.status, style=_COLOURS.get(run.status, "yellow"))
    parts: list[RenderableType] = [head, *_about(run)]
    if run.epochs:
        parts += [Text(), _epochs(run.epochs)]
    if run.test:
        parts += [Text(), Text(f"test, best weights: {_scores(run.test)}", style="bold")]
    if notes := _notes(run):
        parts += [Text(), *(Text(printable(note), style="yellow") for note in notes)]
    return Group(*parts)


def _about(run: Run) -> list[Text]:
    facts = run.facts
    data = _mapping(facts.get("data"))
    counts = _mapping(data.get("counts"))
    sizes = ", ".join(f"{name} {_number(count)}" for name, count in counts.items())
    lines = [f"spec {facts.get('spec')}, plan {facts.get('plan')}, seed {facts.get('seed')}"]
    lines += [f"data {sizes}; {len(run.labels)} labels"] if sizes else []
    trainable, parameters = facts.get("trainable"), facts.get("parameters")
    lines += [f"trains {_number(trainable)} of {_number(parameters)} parameters"]
    if error := facts.get("error"):
        lines.append(f"error {error}")
    return [Text(printable(line)) for line in lines]


def _notes(run: Run) -> list[str]:
    """What was left out of the data."""
    notes = _mapping(run.facts.get("data")).get("notes")
    return [str(note) for note in notes] if isinstance(notes, list) else []


def _epochs(epochs: Sequence[Mapping[str, Any]]) -> Table:
    names = ("epoch", "plan", "train loss", "loss", "accuracy", "macro F1", "s")
    grid = Table.grid(padding=(0, 2, 0, 0))
    for name in names:
        grid.add_column(justify="left" if name == "plan" else "right", no_wrap=True)
    grid.add_row(*(Text(name, style="dim") for name in names))
    for line in epochs[-_MOST_EPOCHS:]:
        cells = [
            _number(line.get("epoch")),
            printable(str(line.get("plan"))),
            *(_score(line.get(key)) for key in ("train_loss", "loss", "accuracy", "macro_f1")),
            _number(line.get("seconds")),
        ]
        style = "bold" if line.get("best") else ""
        grid.add_row(*(Text(cell, style=style) for cell in cells))
    return grid


def listed(found: Sequence[Run]) -> RenderableType:
    """Runs as a table, one a line."""
    names = ("run", "status", "epochs", "accuracy", "macro F1", "test accuracy")
    grid = Table.grid(padding=(0, 2, 0, 0))
    for i in range(len(names)):
        grid.add_column(justify="right" if i > 1 else "left", no_wrap=True)
    grid.add_row(*(Text(name, style="dim") for name in names))
    for run in found:
        best, test = run.best or {}, run.test or {}
        done = f"{len(run.epochs)} of {_number(run.facts.get('epochs'))}"
        scores = [_score(best.get("accuracy")), _score(best.get("macro_f1"))]
        cells = [
            Text(printable(run.path.name)),
            Text(run.status, style=_COLOURS.get(run.status, "")),
        ]
        grid.add_row(*cells, done, *scores, _score(test.get("accuracy")))
    return grid


def _scores(line: Mapping[str, Any]) -> str:
    names = {"accuracy": "accuracy", "macro_f1": "macro F1", "loss": "loss"}
    return ", ".join(f"{name} {_score(line.get(key))}" for key, name in names.items())


def _score(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, int | float) else "–"


def _number(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else "–"


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
