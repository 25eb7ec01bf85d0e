"""Starting from an earlier run: its weights, its tokenizer, its sizes, and its labels by name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from archspec import run_hashes
from archspec.errors import DataError, Problem, listing
from archspec.lang.spec import Spec, load
from archspec.training.model_setup import class_param
from archspec.training.run import Run, tokenizer_of
from archspec.training.run_folder import BEST, SPEC


@dataclass(frozen=True, slots=True)
class InitialRun:
    """A run whose weights another one begins with.

    Attributes:
        run: the earlier run.
        spec: what its model is.
    """

    run: Run
    spec: Spec

    @classmethod
    def of(cls, weights: str | os.PathLike[str] | None) -> InitialRun | None:
        """The run with this folder or file of weights; None if it belongs to no run.

        Raises:
            RunError: E920, its ``run.json`` is not what a run writes, or a file of it was damaged,
                changed or is gone.
            SpecError: its spec is wrong.
        """
        if not isinstance(weights, str | os.PathLike):
            return None
        path = Path(weights)
        folder = run_hashes.run_of(path / BEST) or run_hashes.run_of(path)
        if folder is None:
            return None
        run = Run.of(folder)
        run_hashes.check(folder, [SPEC])
        return cls(run, load(folder / SPEC))

    @property
    def tokenizer(self) -> Path | None:
        """The run's copy; None for images. Raises as ``tokenizer_of``."""
        return tokenizer_of(self.run, self.spec)

    def sized(self, spec: Spec) -> tuple[Spec, list[str]]:
        """The spec with the sizes of the run where no others are set, and a note about them."""
        taken = {
            name: self.spec.values[name]
            for name in spec.params
            if name not in spec.overrides
            and name != class_param(spec)
            and name in self.spec.values
            and self.spec.values[name] != spec.values[name]
        }
        if not taken or self.spec.architecture.model != spec.architecture.model:
            return spec, []
        sizes = listing([f"{name} {value}" for name, value in taken.items()])
        return spec.with_params(**taken), [f"as in {self.run.path.name}: {sizes}"]

    @property
    def labels(self) -> Labels:
        """The run's."""
        return Labels(self.run.labels, self.run.path.name)


@dataclass(frozen=True, slots=True)
class Labels:
    """The names of the classes that given weights are for, in the order of the head's rows.

    Attributes:
        names: none where nobody has named them.
        whose: what has them.
    """

    names: tuple[str, ...]
    whose: str

    @classmethod
    def of(cls, spec: Spec) -> Labels:
        """Those that a spec, or the config file that it was given, names."""
        task = spec.architecture.task
        return cls(tuple(task.labels or ()) if task else (), "the spec")

    def rows(self, spec: Spec, labels: Sequence[str]) -> tuple[int | None, ...] | None:
        """For each label the row of the same name; None if all are as they were.

        Raises:
            DataError: E906, the labels differ and the spec has no parameter for their number.
        """
        known = self.names
        if not known or tuple(labels) == known:
            return None
        if class_param(spec) is None:
            message = f"the weights are for the labels {listing(known)}, not {listing(labels)}"
            hint = "give them in that order: labels=[…], or --labels"
            raise DataError(Problem("E906", message, hint=hint))
        numbers = {name: number for number, name in enumerate(known)}
        return tuple(numbers.get(name) for name in labels)

    def notes(self, labels: Sequence[str]) -> list[str]:
        """How the labels differ, a line each; none if they are the same."""
        known = self.names
        if not known or tuple(labels) == known:
            return []
        new = [name for name in labels if name not in known]
        gone = [name for name in known if name not in labels]
        kept = len(labels) - len(new)
        lines = [f"{kept} of {len(labels)} labels are those of {self.whose}, by name"]
        lines += [f"new labels, which start anew: {listing(new)}"] if new else []
        return lines + ([f"labels that are no longer there: {listing(gone)}"] if gone else [])
