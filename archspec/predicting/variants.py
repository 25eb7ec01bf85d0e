"""One way to run a model: its module, dtype and memory format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from archspec.data.report import Integers
from archspec.tasks.objective import Activation


@dataclass(frozen=True, slots=True, eq=False)
class Variant:
    """A model that scores batches.

    Attributes:
        model: the module.
        device: of its tensors.
        select: selects the tensor with the scores from its outputs.
        activation: what makes probabilities of logits; empty: they are predictions as they are.
        temperature: what logits are divided by.
        dtype: of its floating-point inputs; None to leave them.
        channels_last: whether images are passed in this memory format.
    """

    model: nn.Module
    device: torch.device
    select: Callable[[Any], Tensor | None]
    activation: Activation
    temperature: float = 1.0
    dtype: torch.dtype | None = None
    channels_last: bool = False

    def __call__(self, batch: Mapping[str, Tensor]) -> Tensor | None:
        """The selected output of the model."""
        return self.select(self.model(**{name: self._placed(one) for name, one in batch.items()}))

    def scores(
        self, batch: Mapping[str, Tensor], tokens: tuple[Integers, Integers] | None = None
    ) -> Tensor:
        """Probabilities or embeddings: float32 [batch, size], of tokens [tokens, size].

        Args:
            tokens: the rows of some tokens, and their positions: others are left out.
        """
        output = self(batch)
        assert output is not None
        if tokens is not None:
            output = output[tuple(torch.from_numpy(one).to(output.device) for one in tokens)]
        match self.activation:
            case "softmax":
                return (output.float() / self.temperature).softmax(-1)
            case "sigmoid":
                return (output.float() / self.temperature).sigmoid()
            case "":
                return output.float()

    def _placed(self, tensor: Tensor) -> Tensor:
        dtype = self.dtype if tensor.is_floating_point() else None
        placed = tensor.to(self.device, dtype, non_blocking=True)
        if self.channels_last and tensor.ndim == 4:
            return placed.contiguous(memory_format=torch.channels_last)
        return placed
