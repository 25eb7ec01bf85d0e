"""Precisions and optimizers by name, and the memory of training and inference in bytes."""

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
    EIGHT_BITS: 2,  # as in bitsandbytes
    "adam": 2,
    "sgd": 0,
    "sgd-momentum": 1,  # momentum_buffer
    "rmsprop": 1,  # square_avg
    "adagrad": 1,  # sum
    "none": 0,
}
"""Optimizer → tensors of state for each trainable parameter, in its shape and dtype.

As in ``torch.optim`` with default options, without its step counters of four bytes a tensor.
"""
_BLOCK_SIZE, _MIN_8_BIT_SIZE = 256, 4096
_WORKSPACE = 32 * 2**20
"""Bytes that PyTorch allocates for cuBLAS on GPUs since Hopper (sm90); 8 MiB on older ones."""


@dataclass(frozen=True, slots=True)
class Precision:
    """The dtypes of a model and of its forward pass.

    Attributes:
        computed: dtype of the forward pass.
        mixed: whether weights, gradients and optimizer state stay in float32.
    """

    name: str
    computed: torch.dtype
    mixed: bool = False

    @property
    def stored(self) -> torch.dtype | None:
        """The dtype of the weights; None if they keep the dtypes of the spec."""
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


KERNELS = ("cpu", "cuda")
"""Devices whose kernels are known, in what they save for backward."""


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


def pick_kernels(name: str) -> str:
    """Raises UsageError E801 for an unknown device."""
    if not isinstance(name, str) or name not in KERNELS:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise unknown("device", name, list(KERNELS))
    return name


_MOST_LISTED = 4


def unknown(what: str, name: object, known: list[str]) -> UsageError:
    hint = f"there are {', '.join(known) or 'none'}"
    if not isinstance(name, str):
        message = f"the {what} is a name, not {type(name).__name__}"
        return UsageError(Problem("E801", message, hint=hint))
    if len(known) > _MOST_LISTED:
        hint = did_you_mean(name, known) or hint
    return UsageError(Problem("E801", f"no {what} is called '{name}'", hint=hint))


@dataclass(frozen=True, slots=True)
class StaticMemory:
    """What a model takes during training, whatever its inputs are."""

    weights: Figure
    buffers: Figure
    gradients: Figure
    optimizer: Figure

    @classmethod
    def of(cls, model: nn.Module, optimizer: str) -> StaticMemory:
        parameters = list(model.parameters())
        trainable = [p for p in parameters if p.requires_grad]
        return cls(
            weights=_bytes(parameters),
            buffers=_bytes(model.buffers()),
            gradients=_bytes(trainable),
            optimizer=_state(trainable, optimizer),
        )


def _state(trainable: Iterable[nn.Parameter], optimizer: str) -> Figure:
    """The optimizer's state; in 8 bits with one float32 a block, small tensors in float32."""
    total = 0
    for tensor in trainable:
        size = tensor.numel()
        tensor_bytes = size * tensor.itemsize
        if optimizer == EIGHT_BITS:
            tensor_bytes = (
                4 * size if size < _MIN_8_BIT_SIZE else size + 4 * -(-size // _BLOCK_SIZE)
            )
        total += OPTIMIZERS[optimizer] * tensor_bytes
    return Figure(total, "bytes", exact=optimizer != EIGHT_BITS)


def memory(static: StaticMemory, trained: Run, inferred: Run, device: str) -> Memory:
    """The bytes of a model and of its activations.

    Args:
        trained: a forward pass in training mode, with gradients.
        inferred: one in inference mode, without.
        device: ``cpu`` or ``cuda``.
    """
    saved = sum(trained.kept.values())
    return Memory(
        static.weights,
        static.buffers,
        static.gradients,
        static.optimizer,
        activations=Figure(saved, "bytes", exact=False),
        temporary=Figure(max(0, trained.peak - saved - trained.recomputed), "bytes", exact=False),
        live=Figure(inferred.peak, "bytes", exact=False),
        recomputed=Figure(trained.recomputed, "bytes", exact=False),
        kv_cache=Figure(inferred.cached, "bytes", exact=False),
        peak=Figure(_peak(static, trained, device), "bytes", exact=False),
    )


def _peak(static: StaticMemory, trained: Run, device: str) -> int:
    """The most bytes at once: in the forward pass, the backward pass, or the optimizer's step."""
    always = static.weights.value + static.buffers.value + static.optimizer.value
    always += _WORKSPACE if device == "cuda" else 0
    return always + max(trained.peak, trained.backward_peak, static.gradients.value)


def _bytes(tensors: Iterable[torch.Tensor]) -> Figure:
    return Figure(sum(tensor.numel() * tensor.itemsize for tensor in tensors), "bytes")
