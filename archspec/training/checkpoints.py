"""What a run saves of its model: weights, the resume file, and that the frozen ones hold."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from archspec.builder import build
from archspec.errors import FreezeError, Problem, RunError, UsageError, WeightsError
from archspec.freezing import FreezeProof, freeze
from archspec.report.text import first_line
from archspec.training.options import Phase
from archspec.training.run_folder import FREEZE, SPEC, STATE, RunFolder
from archspec.weights import save_weights

_KEYS = {"position", "best", "metrics", "unfrozen_state", "optimizer", "precision", "average"}


def unfrozen_state(model: nn.Module, proof: FreezeProof) -> dict[str, torch.Tensor]:
    """The tensors of a model that a plan lets move: trained ones, and statistics."""
    state = model.state_dict()
    return {name: tensor.cpu() for name, tensor in state.items() if name not in proof.hashes}


def write_state(folder: RunFolder, content: dict[str, Any]) -> None:
    """Write the resume file as a whole or not at all.

    Raises:
        RunError: E921, it cannot be written.
    """
    assert content.keys() == _KEYS
    try:
        with folder.replacing(STATE) as place:
            torch.save(content, place)
    except (OSError, RuntimeError) as error:  # torch's own writer raises the latter
        raise folder.unwritable(STATE, error) from None


def write_weights(folder: RunFolder, name: str, model: nn.Module) -> None:
    """Save a model's weights in a run's folder.

    Raises:
        RunError: E921, they cannot be written.
    """
    try:
        with folder.replacing(name) as place:
            save_weights(model, place)
    except WeightsError as error:  # which names the temporary file
        raise folder.unwritable(name, error.__cause__ or error) from None


def read_state(folder: RunFolder) -> dict[str, Any]:
    """What ``write_state`` wrote.

    Raises:
        RunError: E920, it is not there, or something else.
    """
    place = folder / STATE
    if not place.is_file():
        hint = "nothing was saved yet: train anew"
        raise RunError(Problem("E920", f"{place}: not there", hint=hint))
    try:
        found = torch.load(place, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        message = f"{place}: cannot be read: {first_line(error)}"
        raise RunError(Problem("E920", message)) from None
    if not isinstance(found, dict) or found.keys() != _KEYS:
        raise RunError(Problem("E920", f"{place}: not what a run writes"))
    return found


@contextlib.contextmanager
def reading() -> Iterator[None]:
    """What a resume file holds is used inside: if it is something else, that is reported.

    Raises:
        RunError: E920.
    """
    try:
        yield
    except (TypeError, ValueError, LookupError, AttributeError, RuntimeError) as error:
        message = f"the resume file does not fit the run: {first_line(error)}"
        raise RunError(Problem("E920", message)) from None


def restore(model: nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    """Copy the tensors of a resume file into a model.

    Raises:
        RunError: E920, they are not this model's.
    """
    state = model.state_dict()
    for name, tensor in tensors.items():
        if name not in state or state[name].shape != tensor.shape:
            raise RunError(Problem("E920", f"the resume file's '{name}' is not of this model"))
        state[name].copy_(tensor)


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
