"""Precisions and optimizers by name, and the bytes that training and inference take."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from archspec.errors import Problem, UsageError, did_you_mean
from archspec.inspection.figures import Figure, Memory
from archspec.tracing.forward_record import Run

EIGHT_BITS = "adamw-8bit"
OPTIMIZERS = {
    "adamw": 2,  # exp_avg, exp_avg_sq
    EIGHT_BITS: 2,  # as bitsandbytes holds them
    "adam": 2,
    "sgd": 0,
    "sgd-momentum": 1,  # momentum_buffer
    "rmsprop": 1,  # square_avg
    "adagrad": 1,  # sum
    "none": 0,
}
"""Optimizer → tensors of state for each trainable parameter, in its shape and dtype.

As ``torch.optim`` holds them with default options; its step counters, four bytes for each tensor,
are left out.
"""
_BLOCK, _LEAST_OF_8_BITS = 256, 4096


@dataclass(frozen=True, slots=True)
class Precision:
    """What a model is held and computed in.

    Attributes:
        computed: dtype of the forward pass.
        mixed: whether weights, gradients and optimizer state stay in float32.
    """

    name: str
    computed: torch.dtype
    mixed: bool = False

    @property
    def held(self) -> torch.dtype | None:
        """None where tensors stay as the spec has them."""
        return None if self.mixed or self.computed == torch.float32 else self.computed


PRECISIONS = {
    precision.name: precision
    for precision in (
        Precision("fp32", torch.float32),
        Precision("bf16", torch.bfloat16),
        Precision("fp16", torch.float16),
        Precision("bf16-mixed", torch.bfloat16, mixed=True),
        Precision("fp16-mixed", torch.float16, mixed=True),
    )
}


def pick_precision(name: str) -> Precision:
    """Raises UsageError E801 for an unknown name."""
    if not isinstance(name, str) or name not in PRECISIONS:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise unknown("precision", name, list(PRECISIONS))
    return PRECISIONS[name]


def pick_optimizer(name: str) -> str:
    """Raises UsageError E801 for an unknown name."""
    if not isinstance(name, str) or name not in OPTIMIZERS:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise unknown("optimizer", name, list(OPTIMIZERS))
    return name


def unknown(what: str, name: object, known: list[str]) -> UsageError:
    hint = f"there are {', '.join(known) or 'none'}"
    if not isinstance(name, str):
        message = f"the {what} is a name, not {type(name).__name__}"
        return UsageError(Problem("E801", message, hint=hint))
    hint = did_you_mean(name, known) or hint
    return UsageError(Problem("E801", f"no {what} is called '{name}'", hint=hint))


@dataclass(frozen=True, slots=True)
class Held:
    """What a model takes while it is trained, whatever its inputs are."""

    weights: Figure
    buffers: Figure
    gradients: Figure
    optimizer: Figure

    @classmethod
    def by(cls, model: nn.Module, optimizer: str) -> Held:
        trainable = _bytes(p for p in model.parameters() if p.requires_grad)
        return cls(
            weights=_bytes(model.parameters()),
            buffers=_bytes(model.buffers()),
            gradients=trainable,
            optimizer=_state(model, optimizer),
        )


def _state(model: nn.Module, optimizer: str) -> Figure:
    """What an optimizer holds; in 8 bits with one float32 a block, small tensors in float32."""
    found = 0
    for tensor in (p for p in model.parameters() if p.requires_grad):
        size = tensor.numel()
        one = size * tensor.itemsize
        if optimizer == EIGHT_BITS:
            one = 4 * size if size < _LEAST_OF_8_BITS else size + 4 * -(-size // _BLOCK)
        found += OPTIMIZERS[optimizer] * one
    return Figure(found, "bytes", exact=optimizer != EIGHT_BITS)


def memory(held: Held, trained: Run, inferred: Run) -> Memory:
    """The bytes of a model and of its activations.

    Args:
        trained: a forward pass in training mode, with gradients.
        inferred: one in inference mode, without.
    """
    kept = sum(trained.kept.values())
    return Memory(
        held.weights,
        held.buffers,
        held.gradients,
        held.optimizer,
        activations=Figure(kept, "bytes", exact=False),
        temporary=Figure(max(0, trained.peak - kept - trained.recomputed), "bytes", exact=False),
        live=Figure(inferred.peak, "bytes", exact=False),
        recomputed=Figure(trained.recomputed, "bytes", exact=False),
        kv_cache=Figure(inferred.cached, "bytes", exact=False),
    )


def _bytes(tensors: Iterable[torch.Tensor]) -> Figure:
    return Figure(sum(tensor.numel() * tensor.itemsize for tensor in tensors), "bytes")
