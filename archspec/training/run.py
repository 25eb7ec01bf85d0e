"""A run as its folder tells it, and all runs of a folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from archspec import run_hashes
from archspec.errors import Problem, RunError, UsageError
from archspec.report.display import Displayed
from archspec.training.run_folder import (
    BEST,
    FACTS,
    HASHES,
    LAST,
    METRICS,
    SPEC,
    RunFolder,
    lines_of,
)
from archspec.training.run_record import check_facts

if TYPE_CHECKING:
    import torch
    from rich.console import RenderableType
    from torch import nn

    from archspec.freezing import FreezeProof
    from archspec.lang.spec import Spec

Status = Literal["running", "finished", "stopped", "failed", "killed"]


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
            RunError: E920, there is none, or its ``run.json`` is not what a run writes.
        """
        folder = RunFolder(Path(path))
        if not (folder / FACTS).is_file():
            raise RunError(_no_run(folder))
        facts = folder.read_json(FACTS)
        status = facts.get("status")
        if status not in ("running", "finished", "stopped", "failed"):
            raise RunError(Problem("E920", f"{folder / FACTS}: not what a run writes"))
        if status == "running" and not folder.is_held:
            status = "killed"
        check_facts(facts, folder / FACTS)
        run_hashes.check(folder.path, [FACTS])
        metrics = folder.read(METRICS) if (folder / METRICS).is_file() else ""
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
        self,
        *,
        weights: Literal["best", "last"] = "best",
        device: str | torch.device = "auto",
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
        from archspec.training.weight_proofs import verified

        return verified(self)

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
        from archspec.training.rendering import drawn

        return drawn(self)


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
        message = f"{folder.path}: its process ended before the run began, nothing was trained"
        return Problem("E920", message, hint="remove the folder, and train anew")
    hint = "a run's folder has a run.json: 'archspec runs' lists them"
    return Problem("E920", f"{folder.path}: no run", hint=hint)


def runs(folder: str | os.PathLike[str] = "runs") -> list[Run]:
    """The runs in a folder, oldest first.

    Args:
        folder: where ``train`` was told to put them.

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
