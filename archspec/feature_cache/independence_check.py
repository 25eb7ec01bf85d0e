"""Checks that a sample's values do not depend on other samples or on padding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from archspec.feature_cache.report import Frontier, StoredValue


def find_batch_dependence(
    frontier: Frontier, inputs: Mapping[str, Tensor], lengths: Sequence[int] | None
) -> str:
    """Why the values of samples cannot be stored separately, in words; "" if they can.

    The first and the shortest sample are computed in the batch and alone, cut to their lengths.
    Then the rest runs on the values and on values that are zero after each sample's length: its
    outputs must be the same.
    """
    batched = frontier.frozen(inputs)
    shortest = min(range(len(lengths)), key=lengths.__getitem__) if lengths is not None else 1
    for row in {0, shortest}:
        if name := _differing_value(frontier, batched, inputs, row, None):
            return f"what '{name}' gives for a sample depends on the other samples of the batch"
        if lengths is not None and (
            name := _differing_value(frontier, batched, inputs, row, lengths[row])
        ):
            return f"what '{name}' gives for a sample depends on how far it is padded"
    if lengths is None or not any(None in value.shape for value in frontier.values):
        return ""
    return _reads_padding(frontier, batched, inputs, lengths)


def sample(batched: Tensor, value: StoredValue, row: int) -> Tensor:
    """One sample of a batched value."""
    return batched.select(value.axis, row)


def cut_to(one: Tensor, value: StoredValue, length: int | None) -> Tensor:
    """A sample's value without its padding."""
    if length is None:
        return one
    for dim, size in enumerate(value.shape):
        if size is None:
            one = one.narrow(dim, 0, length)
    return one


def _differing_value(
    frontier: Frontier,
    batched: Mapping[str, Tensor],
    inputs: Mapping[str, Tensor],
    row: int,
    length: int | None,
) -> str:
    """The name of a value that differs for a sample alone, cut to a length; "" if none does."""
    alone = frontier.frozen(
        {name: _single_sample(value, row, length) for name, value in inputs.items()}
    )
    for value in frontier.values:
        expected = cut_to(sample(batched[value.name], value, row), value, length)
        if not _is_close(expected, cut_to(sample(alone[value.name], value, 0), value, length)):
            return value.name
    return ""


def _reads_padding(
    frontier: Frontier,
    batched: Mapping[str, Tensor],
    inputs: Mapping[str, Tensor],
    lengths: Sequence[int],
) -> str:
    zeroed = {name: torch.zeros_like(value) for name, value in batched.items()}
    for value in frontier.values:
        for row, length in enumerate(lengths):
            target = cut_to(sample(zeroed[value.name], value, row), value, length)
            target.copy_(cut_to(sample(batched[value.name], value, row), value, length))
    padded = inputs[next(iter(inputs))].shape[1]
    pairs = zip(
        _outputs(frontier, batched, inputs), _outputs(frontier, zeroed, inputs), strict=True
    )
    for one, other in pairs:
        for row, length in enumerate(lengths):
            end = length if one.ndim > 1 and one.shape[1] == padded else None
            if not _is_close(_unpadded_row(one, row, end), _unpadded_row(other, row, end)):
                return "what is trained reads the positions behind a sample's length"
    return ""


def _outputs(
    frontier: Frontier, values: Mapping[str, Tensor], inputs: Mapping[str, Tensor]
) -> list[Any]:
    """The outputs of the rest, with the same random numbers each time and no side effects."""
    split = frontier.split.first
    devices = {value.device for value in values.values() if value.device.type == "cuda"}
    with torch.no_grad(), torch.random.fork_rng(list(devices)):
        torch.manual_seed(0)
        copies = [tensor.clone() for tensor in split.rest.current()]
        ordered = [values[value.name].clone() for value in frontier.values]
        leaves = tree_leaves(split.rest(ordered, inputs, copies))
    return [one for one in leaves if isinstance(one, Tensor) and one.ndim]


def _unpadded_row(output: Tensor, row: int, end: int | None) -> Tensor:
    one = output[row]
    return one[:end] if one.ndim else one


def _is_close(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape:
        return False
    if not a.is_floating_point():
        return torch.equal(a, b)
    if a.numel() == 0:
        return True
    tolerance = torch.finfo(a.dtype).eps ** 0.5 * max(a.abs().max().item(), 1e-6)
    return bool(((a - b).abs() <= tolerance).all())


def _single_sample(value: Tensor, row: int, length: int | None) -> Tensor:
    """A sample twice, because a batch of 1 may be a special case."""
    one = (
        value[row : row + 1] if length is None or value.ndim < 2 else value[row : row + 1, :length]
    )
    return torch.cat([one, one])
