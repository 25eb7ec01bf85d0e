"""The data of a run, and how a resumed run opens it again."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any, cast

from archspec.data import Data, open_data
from archspec.data.in_memory import is_in_memory
from archspec.data.token_counts import TokenCounts
from archspec.errors import DataError, Problem, RunError, UsageError, listing
from archspec.lang.spec import Spec
from archspec.training.options import TrainOptions
from archspec.training.run import Run

OPEN_DATA_OPTIONS = signature(open_data).parameters.keys() & TrainOptions.model_fields.keys()
"""The options of a run that ``open_data`` takes."""


@dataclass(frozen=True, slots=True)
class DataSource:
    """Opened data, and how to open it again; ``source`` is None where it was given opened.

    Attributes:
        tokens: of its texts, once they are encoded; None for images.
    """

    data: Data
    source: Any
    tokens: TokenCounts | None = None

    def to_dict(self) -> dict[str, Any]:
        data = self.data
        return {
            "source": self.source,
            "fingerprint": data.fingerprint,
            "rule": data.rule,
            "columns": data.to_dict()["columns"],
            "counts": {name: len(rows) for name, rows in data.splits.items()},
            "classes": data.counts,
            "bad": [str(row) for row in data.bad],
            "unused": list(data.unused),
            "tokens": self.tokens.to_dict() if self.tokens else None,
            "notes": self.notes,
        }

    @property
    def notes(self) -> list[str]:
        """What to report about the data, a line each."""
        lost = self.tokens.notes if self.tokens else ()
        return [*_bad(self.data), *self.data.notes, *_unused(self.data), *lost]


def _bad(data: Data) -> list[str]:
    if not data.bad:
        return []
    reasons = Counter(row.reason for row in data.bad).most_common()
    counted = listing([f"{reason} {n:,}" for reason, n in reasons])
    total = len(data.bad) + sum(map(len, data.splits.values()))
    return [f"{len(data.bad):,} of {total:,} rows are bad and left out: {counted}"]


def _unused(data: Data) -> list[str]:
    return [f"not used: {listing(data.unused)}"] if data.unused else []


def opened(source: Any, spec: Spec, options: TrainOptions) -> DataSource:
    """The data behind ``train``'s argument.

    Raises:
        DataError: as ``open_data``; E902 or E906, it was opened for another task or without labels.
    """
    if isinstance(source, Data):
        _check_opened(source, spec)
        return DataSource(source, None)
    data = open_data(source, task=spec.architecture.task, **_arguments(options))
    return DataSource(data, _located(source))


def _arguments(options: TrainOptions) -> dict[str, Any]:
    return {name: getattr(options, name) for name in OPEN_DATA_OPTIONS}


def _check_opened(data: Data, spec: Spec) -> None:
    task = spec.architecture.task
    if task is not None and data.task_kind != task.kind:
        message = f"the data was opened for {data.task_kind}, and {spec.name} is for {task.kind}"
        raise DataError(Problem("E902", message, hint="open it with task=spec.architecture.task"))
    if not data.labels:
        message = "the data was opened without labels"
        raise DataError(Problem("E906", message, hint="open it without label_column=False"))


def reopened(run: Run, spec: Spec, data: Data | None) -> Data:
    """The data of a run, opened again.

    Raises:
        RunError: E920, it is not the same, or nothing tells where it is.
        DataError: it cannot be opened.
    """
    facts = run.facts.get("data")
    known: dict[str, Any] = dict(facts) if isinstance(facts, Mapping) else {}
    if data is None:
        source = known.get("source")
        if source is None:
            hint = "open it, and give it to archspec.resume(path, data=…)"
            raise RunError(Problem("E920", f"{run.path}: its data was in memory", hint=hint))
        arguments = {**_arguments(run.options), "labels": run.labels}
        data = open_data(source, task=spec.architecture.task, **arguments)
    elif not isinstance(data, Data):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise UsageError(Problem("E801", "data is what archspec.open_data gave"))
    _check_opened(data, spec)
    if data.fingerprint != known.get("fingerprint"):
        hint = "a resumed run goes on with the same data: train anew with this one"
        raise RunError(Problem("E920", f"{run.path}: its data has changed", hint=hint))
    return data


def _located(source: Any) -> Any:
    """A source as plain data, whatever the working folder; None of data in memory."""
    if is_in_memory(source):
        return None
    match source:
        case Mapping():
            items = cast("Mapping[Any, Any]", source).items()
            return {str(key): _located(value) for key, value in items}
        case list() | tuple():
            return [_located(item) for item in cast("list[Any]", source)]
        case str() | os.PathLike():
            path = Path(cast("str", source))
            return str(path.resolve()) if path.exists() else str(source)
        case _:
            return None
