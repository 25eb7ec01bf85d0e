"""One way to run a model: its module, the numbers that it calculates with, the order of memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True, eq=False)
class Variant:
    """A model that scores batches.

    Attributes:
        model: the module.
        device: where it is.
        pick: the tensor that counts among what it returns.
        classifies: whether that is logits, whose softmax is wanted.
        dtype: that its floating-point inputs are given in; None to leave them.
        channels_last: whether images are given in this order.
    """

    model: nn.Module
    device: torch.device
    pick: Callable[[Any], Tensor | None]
    classifies: bool
    dtype: torch.dtype | None = None
    channels_last: bool = False

    def __call__(self, batch: Mapping[str, Tensor]) -> Tensor | None:
        """The model's output, as it is."""
        return self.pick(self.model(**{name: self._placed(one) for name, one in batch.items()}))

    def scores(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Probabilities or embeddings: float32 [batch, size], on the device."""
        found = self(batch)
        assert found is not None
        return found.float().softmax(1) if self.classifies else found.float()

    def _placed(self, tensor: Tensor) -> Tensor:
        dtype = self.dtype if tensor.is_floating_point() else None
        placed = tensor.to(self.device, dtype, non_blocking=True)
        if self.channels_last and tensor.ndim == 4:
            return placed.contiguous(memory_format=torch.channels_last)
        return placed
