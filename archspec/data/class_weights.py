"""The weight of each class in a loss: balanced by its rows, or as a file or a mapping says."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from archspec.data.report import Data
from archspec.errors import DataError, Problem, SpecError, listing, shown
from archspec.lang import yaml

_HEADER = ["label", "weight"]
_MAX_SHOWN = 20


def read_class_weights(path: Path) -> dict[str, Any]:
    """Label → what stands for its weight, of a YAML, JSON or CSV file.

    Raises:
        DataError: E906, it is no table of labels and weights.
        SpecError: E1xx, it cannot be read.
    """
    if path.suffix.lower() != ".csv":
        tree, problems = yaml.read(path)
        if problems:
            raise SpecError(problems)
        found: Any = yaml.plain(tree)
        return found
    try:
        if path.stat().st_size > yaml.MAX_BYTES:
            raise _unreadable(path, f"larger than {yaml.MAX_BYTES:,} bytes")
        with open(path, encoding="utf-8-sig", newline="") as file:
            header, *rows = [row for row in csv.reader(file) if row] or [[]]
    except (OSError, ValueError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise _unreadable(path, reason or "cannot be read") from None
    if [name.strip().lower() for name in header] != _HEADER:
        raise _unreadable(path, "the first line is not 'label,weight'")
    weights: dict[str, Any] = {}
    for row in rows:
        label = row[0].strip()
        if len(row) != 2 or label in weights:
            twice = len(row) == 2
            raise _unreadable(path, f"{shown(label)} is there twice" if twice else "not two cells")
        weights[label] = _number(row[1])
    return weights


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text  # refused with its label


def _unreadable(path: Path, reason: str) -> DataError:
    return DataError(Problem("E906", f"{path}: {reason}"))


def class_weights(data: Data, choice: str | Mapping[str, float] | None) -> list[float] | None:
    """The weight of each class, in their order.

    ``balanced`` is rows / (classes × rows of the class), the classes being those that have rows; of
    masks it is pixels that are counted.
    Where a row may have several labels it is rows without the label / rows with it. A class
    without rows for that has 1.

    Args:
        data: its training rows are counted.
        choice: ``balanced``, a weight for each label, or None for no weights.

    Raises:
        DataError: E906, labels have no weight, or there are weights for others.
    """
    if choice is None:
        return None
    if isinstance(choice, Mapping):
        return _chosen(data, choice)
    counts, rows = data.splits["train"].counts, len(data.splits["train"])
    total = rows if data.multi_label else sum(counts.values())
    if data.multi_label:
        return [(total - n) / n if 0 < n < total else 1.0 for n in counts.values()]
    known = sum(n > 0 for n in counts.values())
    return [total / (known * n) if n else 1.0 for n in counts.values()]


def _chosen(data: Data, weights: Mapping[str, float]) -> list[float]:
    unknown = [name for name in weights if name not in data.labels]
    missing = [name for name in data.labels if name not in weights]
    problems: list[Problem] = []
    if unknown:
        message = f"class weights for labels that the data does not have: {listing(unknown)}"
        problems.append(Problem("E906", message, hint=f"it has {listing(data.labels)}"))
    if missing:
        hint = "give each label one; 1 changes nothing"
        problems.append(Problem("E906", f"no class weight for {listing(missing)}", hint=hint))
    if problems:
        raise DataError(problems)
    return [weights[name] for name in data.labels]


def class_weight_notes(data: Data, choice: str | Mapping[str, float] | None) -> tuple[str, ...]:
    """What to report of the weights, a line each; raises as ``class_weights``."""
    weights = class_weights(data, choice)
    if weights is None:
        return ()
    pairs = [f"{name} {one:.3g}" for name, one in zip(data.labels, weights, strict=True)]
    notes = [f"class weights: {listing(pairs, _MAX_SHOWN)}"]
    counts, total = data.splits["train"].counts, len(data.splits["train"])
    unseen = [name for name, n in counts.items() if not n or (data.multi_label and n == total)]
    if choice == "balanced" and unseen:
        notes.append(f"nothing to balance, so their class weight is 1: {listing(unseen)}")
    return tuple(notes)
