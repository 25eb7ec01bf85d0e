"""A run as its folder has it, all runs of a folder, and how they are shown."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from archspec import run_hashes
from archspec.errors import Problem, RunError, UsageError
from archspec.report.display import Displayed
from archspec.report.text import printable
from archspec.tasks.figures import FIGURES, figure_name
from archspec.training.options import TrainOptions
from archspec.training.run_folder import (
    BEST,
    FACTS,
    HASHES,
    LAST,
    METRICS,
    SPEC,
    RunFolder,
    check_record,
    lines_of,
)

if TYPE_CHECKING:
    import torch
    from rich.console import RenderableType
    from rich.table import Table
    from torch import nn

    from archspec.freezing import FreezeProof
    from archspec.lang.spec import Spec

Status = Literal["running", "finished", "stopped", "failed", "killed"]
_COLORS = {"finished": "green", "running": "cyan", "failed": "red"}
_MAX_EPOCHS = 30  # shown; to_dict has all


@dataclass(frozen=True, slots=True)
class Run(Displayed):
    """A fine-tuning run: what was asked for, how it went, and the model that came out.

    Attributes:
        path: its folder.
        status: ``stopped`` after Ctrl-C, ``failed`` after an error, ``killed`` if its process
            ended without a word; ``archspec.resume`` goes on with any of these.
        facts: what ``run.json`` says: options, data, versions, times.
        metrics: what ``metrics.jsonl`` says: a mapping per step, per epoch, and one of the test.
    """

    path: Path
    status: Status
    facts: Mapping[str, Any]
    metrics: tuple[Mapping[str, Any], ...]

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> Run:
        """The run in a folder.

        Raises:
            RunError: E920, there is none, or its ``run.json`` or ``metrics.jsonl`` is not as the
                run wrote it.
        """
        folder = RunFolder(Path(path))
        if not (folder / FACTS).is_file():
            raise RunError(_no_run(folder))
        facts = folder.read_json(FACTS)
        status = facts.get("status")
        if status not in ("running", "finished", "stopped", "failed"):
            raise RunError(Problem("E920", f"{folder / FACTS}: not what a run writes"))
        if status == "running" and not folder.is_locked:
            status = "killed"
        check_record(facts, folder / FACTS)
        run_hashes.check(folder.path, [FACTS])
        metrics = folder.read(METRICS) if (folder / METRICS).is_file() else ""
        _check_metrics(folder, facts)
        return cls(folder.path, status, facts, tuple(lines_of(metrics)))

    @property
    def epochs(self) -> tuple[Mapping[str, Any], ...]:
        """The metrics of each epoch that was completed."""
        return tuple(line for line in self.metrics if line.get("kind") == "epoch")

    @property
    def best(self) -> Mapping[str, Any] | None:
        """The metrics of the epoch whose weights are kept as the best."""
        best = [line for line in self.epochs if line.get("best")]
        return best[-1] if best else None

    @property
    def test(self) -> Mapping[str, Any] | None:
        """The metrics on the test split, with the best weights."""
        return next((line for line in self.metrics if line.get("kind") == "test"), None)

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the model's outputs."""
        return tuple(map(str, self.facts.get("labels", ())))

    def model(
        self, *, weights: Literal["best", "last"] = "best", device: str | torch.device = "auto"
    ) -> nn.Module:
        """The trained model, in inference mode.

        Args:
            weights: of the best epoch, or as they were last saved.
            device: as ``build`` takes it.

        Raises:
            UsageError: E801, there are no such weights yet.
            RunError: E920, a file of the run was damaged, changed or is gone.
            WeightsError: the file cannot be read.
        """
        from archspec.builder import build

        if weights not in ("best", "last"):
            raise UsageError(Problem("E801", f"weights are 'best' or 'last', not {weights!r}"))
        name = BEST if weights == "best" else LAST
        file = self.path / name
        if not file.is_file():
            run_hashes.check(self.path, [name])  # is gone
            hint = "no epoch is complete yet" if weights == "best" else ""
            raise UsageError(Problem("E801", f"{file}: not there yet", hint=hint))
        run_hashes.check(self.path, [SPEC])
        return build(self.path / SPEC, device=device, weights=file).eval()

    def verify(self) -> dict[str, FreezeProof]:
        """Hold the saved weights against the proofs of the freeze plans that they came of.

        What a plan froze is the same, to the last bit, in ``best.safetensors`` and
        ``last.safetensors`` as when the plan began. Trained tensors have no proof.

        Returns:
            File name → the proof that it fits, without hashes where nothing was frozen.

        Raises:
            FreezeError: E704, each tensor of a file that moved, or is not in the proof.
            RunError: E920, ``freeze.json`` or ``run.json`` is not what a run writes.
            WeightsError: a file cannot be read.
        """
        from archspec.training.checkpoints import verified_weights

        hint = "" if self.status == "finished" else "if it was killed while it saved: resume it"
        return verified_weights(self.path, self.options.phases, self.weight_phases, hint)

    @property
    def options(self) -> TrainOptions:
        """The options of the run, as ``run.json`` has them.

        Raises:
            RunError: E920, they are not what a run writes.
        """
        options = self.facts.get("options")
        if not isinstance(options, Mapping) or not options.get("phases"):
            raise RunError(Problem("E920", f"{self.path / FACTS}: options have no phases"))
        try:
            return TrainOptions(**options)
        except UsageError as error:
            problems = [
                replace(problem, code="E920", message=f"{self.path / FACTS}: {problem.message}")
                for problem in error.problems
            ]
            raise RunError(problems) from None

    @property
    def weight_phases(self) -> dict[str, int]:
        """The phase, from 0, that each saved file of weights is of; none before the first."""
        lines = {BEST: self.best, LAST: self.epochs[-1] if self.epochs else None}
        return {
            name: line["phase"] - 1 if line and isinstance(line.get("phase"), int) else 0
            for name, line in lines.items()
            if (self.path / name).is_file()
        }

    def to_dict(self) -> dict[str, Any]:
        """The run as plain data, for ``--json``; steps are left to ``metrics.jsonl``."""
        return {
            "path": str(self.path),
            "status": self.status,
            **{key: value for key, value in self.facts.items() if key != "status"},
            "epochs": [dict(line) for line in self.epochs],
            "best": dict(self.best) if self.best else None,
            "test": dict(self.test) if self.test else None,
        }

    def __rich__(self) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        head = Text(printable(str(self.path)), style="bold")
        head.append("  ").append(self.status, style=_COLORS.get(self.status, "yellow"))
        parts: list[RenderableType] = [head, *map(Text, self._summary())]
        if self.epochs:
            parts += [Text(), _epochs_table(self.epochs)]
        if self.test:
            keys = [*_figures([self.test]), "loss"]
            scores = [f"{figure_name(key)} {_score(self.test.get(key))}" for key in keys]
            parts += [Text(), Text(f"test, best weights: {', '.join(scores)}", style="bold")]
        notes = _mapping(self.facts.get("data")).get("notes")  # what was left out of the data
        if isinstance(notes, list) and notes:
            parts += [Text(), *(Text(printable(str(note)), style="yellow") for note in notes)]
        return Group(*parts)

    def _summary(self) -> list[str]:
        facts = self.facts
        counts = _mapping(_mapping(facts.get("data")).get("counts"))
        sizes = ", ".join(f"{name} {_number(count)}" for name, count in counts.items())
        lines = [f"spec {facts.get('spec')}, plan {facts.get('plan')}, seed {facts.get('seed')}"]
        labels = f"; {len(self.labels)} labels" if self.labels else ""
        lines += [f"data {sizes}{labels}"] if sizes else []
        trainable, parameters = facts.get("trainable"), facts.get("parameters")
        lines += [f"trains {_number(trainable)} of {_number(parameters)} parameters"]
        if error := facts.get("error"):
            lines.append(f"error {error}")
        return [printable(line) for line in lines]


def _check_metrics(folder: RunFolder, facts: Mapping[str, Any]) -> None:
    """Whether the figures of a run that ended are as it wrote them; raises E920."""
    expected, file = facts.get("metrics_hash"), folder / METRICS
    if expected is None or (file.is_file() and run_hashes.digest(file) == expected):
        return
    if folder.read_json(FACTS) != facts:  # it was resumed meanwhile
        return
    what = "is not as the run wrote it" if file.is_file() else "is gone"
    hint = "put back a copy of the file; the weights can be used by their own file"
    raise RunError(Problem("E920", f"{file}: {what}", hint=hint))


def tokenizer_of(run: Run, spec: Spec) -> Path | None:
    """The run's copy of its tokenizer; None for images.

    Raises:
        RunError: E920, a file of it was damaged, changed or is gone.
    """
    from archspec.data.tokenizer_files import BESIDE

    task = spec.architecture.task
    if task is None or task.text is None:
        return None
    run_hashes.check(run.path, [task.text.tokenizer, *BESIDE])
    file = run.path / task.text.tokenizer
    return file if file.is_file() else None


def _no_run(folder: RunFolder) -> Problem:
    if (folder / HASHES).is_file():
        if any(folder.path.glob("checkpoints/*.safetensors")):
            hint = "put back a copy of the file, or train anew"
            return Problem("E920", f"{folder / FACTS}: is gone", hint=hint)
        message = f"{folder.path}: its process ended before the run began, nothing was trained"
        return Problem("E920", message, hint="remove the folder, and train anew")
    hint = "a run's folder has a run.json: 'archspec runs' lists them"
    return Problem("E920", f"{folder.path}: no run", hint=hint)


def runs(folder: str | os.PathLike[str] = "runs") -> list[Run]:
    """The runs in a folder, oldest first.

    Args:
        folder: where ``train`` was asked to put them.

    Returns:
        A run for each folder that has one and can be read.

    Raises:
        UsageError: E801, there is no such folder.

    Example:
        >>> runs(getfixture("tmp_path"))
        []
    """
    place = Path(folder)
    if not place.is_dir():
        raise UsageError(Problem("E801", f"{place}: no such folder"))
    found: list[Run] = []
    for path in sorted(place.iterdir()):
        if (path / FACTS).is_file():
            try:
                found.append(Run.of(path))
            except RunError:
                continue
    return found


# ----------------------------------------------------------------------------------------- tables


def _epochs_table(epochs: Sequence[Mapping[str, Any]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    keys = ("train_loss", "loss", *_figures(epochs))
    names = ("epoch", "plan", *map(figure_name, keys), "s")
    grid = Table.grid(padding=(0, 2, 0, 0))
    for name in names:
        grid.add_column(justify="left" if name == "plan" else "right", no_wrap=True)
    grid.add_row(*(Text(name, style="dim") for name in names))
    for line in epochs[-_MAX_EPOCHS:]:
        cells = [
            _number(line.get("epoch")),
            printable(str(line.get("plan"))),
            *(_score(line.get(key)) for key in keys),
            _number(line.get("seconds")),
        ]
        style = "bold" if line.get("best") else ""
        grid.add_row(*(Text(cell, style=style) for cell in cells))
    return grid


def runs_table(found: Sequence[Run]) -> Table:
    """A table with a line for each run."""
    from rich.table import Table
    from rich.text import Text

    keys = _figures([line for run in found for line in (run.best, run.test) if line])
    tested = [f"test {figure_name(key)}" for key in keys[:1]]
    names = ("run", "status", "epochs", *map(figure_name, keys), *tested)
    grid = Table.grid(padding=(0, 2, 0, 0))
    for i in range(len(names)):
        grid.add_column(justify="right" if i > 1 else "left", no_wrap=True)
    grid.add_row(*(Text(name, style="dim") for name in names))
    for run in found:
        best, test = run.best or {}, run.test or {}
        done = f"{len(run.epochs)} of {_number(run.facts.get('epochs'))}"
        scores = [_score(best.get(key)) for key in keys]
        tests = [_score(test.get(key)) for key in keys[:1]]
        cells = [
            Text(printable(run.path.name)),
            Text(run.status, style=_COLORS.get(run.status, "")),
        ]
        grid.add_row(*cells, done, *scores, *tests)
    return grid


def _figures(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """The figures that some of the lines have, without the loss; of lines without any, accuracy."""
    seen = [key for key in FIGURES if key != "loss" and any(key in line for line in lines)]
    return seen or ["accuracy", "macro_f1"]


def _score(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, int | float) else "–"


def _number(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else "–"


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
