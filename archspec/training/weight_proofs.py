"""The weights that a run has saved, held against the proofs of its freeze plans."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from archspec.builder import build
from archspec.errors import FreezeError, Problem, RunError, UsageError
from archspec.freezing import FreezeProof, freeze
from archspec.training.options import Options, Phase
from archspec.training.run import Run
from archspec.training.run_folder import BEST, FREEZE, LAST, SPEC, RunFolder


def verified(run: Run) -> dict[str, FreezeProof]:
    """See ``Run.verify``."""
    found: dict[str, FreezeProof] = {}
    problems: list[Problem] = []
    for file, phase, proof in _saved(run):
        try:
            _check(run.path / SPEC, file, phase, proof)
        except FreezeError as error:
            hint = "" if run.status == "finished" else "if it was killed while it saved: resume it"
            for one in error.problems:
                message = f"{file.name}, plan {phase.label}: {one.message}"
                problems.append(replace(one, message=message, hint=one.hint or hint))
        found[file.name] = proof
    if problems:
        raise FreezeError(problems)
    return found


def phases_of(run: Run) -> dict[str, int]:
    """The phase, from 0, that each saved file of weights is of; none before the first."""
    lines = {BEST: run.best, LAST: run.epochs[-1] if run.epochs else None}
    return {
        name: line["phase"] - 1 if line and isinstance(line.get("phase"), int) else 0
        for name, line in lines.items()
        if (run.path / name).is_file()
    }


def _saved(run: Run) -> Iterator[tuple[Path, Phase, FreezeProof]]:
    phases = _phases(run)
    for name, index in phases_of(run).items():
        if not 0 <= index < len(phases):
            raise _unlike(run)
        yield run.path / name, *phases[index]


def _phases(run: Run) -> list[tuple[Phase, FreezeProof]]:
    """The phases that have begun, each with its proof.

    Raises:
        RunError: E920, the folder does not tell.
    """
    try:
        options = Options.from_dict(run.facts.get("options") or {})
        written: Any = RunFolder(run.path).read_json(FREEZE)["phases"]
        proofs = [FreezeProof.from_dict(one["proof"]) for one in written]
    except UsageError as error:
        raise RunError(Problem("E920", f"{run.path / FREEZE}: {error.message}")) from None
    except (KeyError, TypeError):
        raise _unlike(run) from None
    return [*zip(options.phases, proofs, strict=False)]


def _unlike(run: Run) -> RunError:
    return RunError(Problem("E920", f"{run.path / FREEZE}: not what a run writes"))


def _check(spec: Path, weights: Path, phase: Phase, proof: FreezeProof) -> None:
    model = build(spec, device="cpu", weights=weights)
    freeze(model, phase.patterns)
    proof.verify(model)
    bare = FreezeProof.of(model).hashes.keys() - proof.hashes.keys()
    if bare:
        lacking = [Problem("E704", f"'{name}' is not in the proof") for name in sorted(bare)]
        raise FreezeError(lacking)
