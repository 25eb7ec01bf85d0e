"""What the tests of activations are held against."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

import archspec
from archspec.building.examples import example_inputs
from archspec.lang.spec import Spec


@pytest.fixture(scope="session")
def kept_on_cpu() -> Callable[..., int]:
    """Bytes of the tensors that a CPU really saves, each storage once, weights left out."""
    return _kept_on_cpu


def _kept_on_cpu(
    spec: Spec,
    freeze: Any,
    dims: Mapping[str, int] | None = None,
    *,
    mixed: bool = False,
    without: Sequence[str] = (),
) -> int:
    model = archspec.build(spec, device="cpu", freeze=freeze, seed=0)
    weights = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    inputs = example_inputs(spec, {**spec.architecture.dims, **(dims or {})}, "cpu")
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=mixed)
    with autocast, saved_tensors_hooks(keep, lambda tensor: tensor):
        model(**{name: value for name, value in inputs.items() if name not in without})
    return sum(t.untyped_storage().nbytes() for at, t in kept.items() if at not in weights)
