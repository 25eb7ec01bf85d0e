"""The resume file: tensors and numbers, read without running anything."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from archspec.errors import Problem, RunError
from archspec.freezing import FreezeProof
from archspec.report.text import first_line
from archspec.training.run_folder import STATE, RunFolder
from archspec.weights import save_weights

_KEYS = {"position", "standing", "unfrozen_state", "optimizer", "schedule", "precision"}


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
        message = f"{folder / STATE}: cannot be written: {first_line(error)}"
        raise RunError(Problem("E921", message)) from None


def write_weights(folder: RunFolder, name: str, model: nn.Module) -> None:
    """Save a model's weights in a run's folder.

    Raises:
        WeightsError: E601, they cannot be written.
    """
    with folder.replacing(name) as place:
        save_weights(model, place)


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
    """What a resume file holds is used inside: if it is something else, that is told.

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
