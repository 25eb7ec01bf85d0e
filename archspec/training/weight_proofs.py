"""The weights that a run has saved, compared with the proofs of its freeze plans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from archspec.builder import build
from archspec.errors import FreezeError, Problem, RunError, UsageError
from archspec.freezing import FreezeProof, freeze
from archspec.training.options import Phase
from archspec.training.run_folder import FREEZE, SPEC, RunFolder


def verified_weights(
    folder: Path, phases: Sequence[Phase], files: Mapping[str, int], hint: str
) -> dict[str, FreezeProof]:
    """See ``Run.verify``.

    Args:
        folder: of the run.
        phases: of its options.
        files: file of weights → the phase, from 0, that it is of.
        hint: what to do about weights that have changed.
    """
    proofs = _proofs(folder)[: len(phases)]
    found: dict[str, FreezeProof] = {}
    problems: list[Problem] = []
    for name, index in files.items():
        if not 0 <= index < len(proofs):
            raise _unlike(folder)
        file, phase, proof = folder / name, phases[index], proofs[index]
        try:
            _check(folder / SPEC, file, phase, proof)
        except FreezeError as error:
            problems += [
                replace(
                    problem,
                    message=f"{file.name}, plan {phase.label}: {problem.message}",
                    hint=problem.hint or hint,
                )
                for problem in error.problems
            ]
        found[file.name] = proof
    if problems:
        raise FreezeError(problems)
    return found


def _proofs(folder: Path) -> list[FreezeProof]:
    """Those of the phases that have begun.

    Raises:
        RunError: E920, ``freeze.json`` is not what a run writes.
    """
    try:
        phases: Any = RunFolder(folder).read_json(FREEZE)["phases"]
        return [FreezeProof.from_dict(phase["proof"]) for phase in phases]
    except UsageError as error:
        raise RunError(Problem("E920", f"{folder / FREEZE}: {error.message}")) from None
    except (KeyError, TypeError):
        raise _unlike(folder) from None


def _unlike(folder: Path) -> RunError:
    return RunError(Problem("E920", f"{folder / FREEZE}: not what a run writes"))


def _check(spec: Path, weights: Path, phase: Phase, proof: FreezeProof) -> None:
    model = build(spec, device="cpu", weights=weights)
    freeze(model, phase.patterns)
    proof.verify(model)
    unproven = FreezeProof.of(model).hashes.keys() - proof.hashes.keys()
    if unproven:
        raise FreezeError(
            [Problem("E704", f"'{name}' is not in the proof") for name in sorted(unproven)]
        )
