"""The results: where a model can be cut in two, or why it cannot."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from archspec.feature_cache.dataflow import NotConstant
from archspec.feature_cache.tracing import usage
from archspec.report.display import Displayed
from archspec.report.text import printable

if TYPE_CHECKING:
    from rich.console import RenderableType

    from archspec.feature_cache.split_model import SplitModel


@dataclass(frozen=True, slots=True)
class StoredValue:
    """A value at the frontier, as one sample has it.

    Attributes:
        name: path of the module that computes it, or the operation in the model's own forward.
        shape: without the batch; None for the sample's length.
        dtype: of its elements.
        axis: the batch dimension of the batched value.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: torch.dtype
    axis: int = 0

    def sizes(self, length: int | None) -> tuple[int, ...]:
        """The shape for a sample of a length."""
        return tuple((length or 0) if size is None else size for size in self.shape)

    def bytes(self, length: int | None = None) -> int:
        """Bytes for one sample of a length, exact."""
        return math.prod(self.sizes(length)) * self.dtype.itemsize

    def to_dict(self) -> dict[str, Any]:
        dtype = str(self.dtype).removeprefix("torch.")
        return {"name": self.name, "shape": list(self.shape), "dtype": dtype, "axis": self.axis}


@dataclass(frozen=True, slots=True)
class NoFrontier(Displayed):
    """No part of the model is worth computing only once.

    Attributes:
        reason: why, in words.
    """

    reason: str

    def to_dict(self) -> dict[str, Any]:
        return {"reason": self.reason}

    def __rich__(self) -> RenderableType:
        from rich.text import Text

        return Text(f"nothing is computed only once: {printable(self.reason)}")


@dataclass(frozen=True, slots=True, eq=False)
class Frontier(Displayed):
    """A model in two parts: the frozen part, whose values never change for a sample, and the rest.

    The parts use the model's own parameters and buffers: optimizers, ``state_dict`` and
    checkpoints work with the model itself. Both follow the modes of the model's modules:
    ``model.eval()`` switches dropout in the rest off.

    Attributes:
        values: what to store for each sample.
        passed: names of the model's inputs that the rest needs, too.
        share: fraction of a forward pass's multiply-accumulates before the frontier, 0 to 1,
            estimated: matrix products, convolutions and attention are counted.
        stops: why values change after the frontier, in order of execution.
    """

    values: tuple[StoredValue, ...]
    passed: tuple[str, ...]
    share: float
    stops: tuple[NotConstant, ...]
    split: SplitModel

    def frozen(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The values of a batch, computed without gradients.

        Args:
            inputs: the model's inputs by name, ``[batch, …]`` each.

        Returns:
            Name → value, with the batch dimension ``StoredValue.axis``. Values after a sample's
            length are meaningless.

        Raises:
            UsageError: E801, the inputs or sizes differ from those that the frontier was found for,
                or a parameter before it has been unfrozen.
        """
        values = self.split.frozen(inputs)
        return {value.name: tensor for value, tensor in zip(self.values, values, strict=True)}

    def rest(self, values: Mapping[str, Tensor], inputs: Mapping[str, Tensor]) -> Any:
        """The model's outputs, computed from the values.

        Args:
            values: from ``frozen`` for this batch, or from a cache.
            inputs: the model's inputs by name; those not in ``passed`` are used only for their
                shapes.

        Raises:
            UsageError: E801, as ``frozen``, or a value is missing.
        """
        return self.split.rest([_required(values, one.name) for one in self.values], inputs)

    def bytes(self, lengths: Sequence[int | None]) -> int:
        """Bytes of all values of samples of these lengths, exact."""
        return sum(value.bytes(length) for length in lengths for value in self.values)

    def to_dict(self) -> dict[str, Any]:
        """The frontier as plain data."""
        return {
            "values": [value.to_dict() for value in self.values],
            "passed": list(self.passed),
            "share": self.share,
            "stops": [str(stop) for stop in self.stops],
        }

    def __rich__(self) -> RenderableType:
        from rich.text import Text

        lines = [f"{self.share:.1%} of the multiply-accumulates (estimated) are done only once"]
        lines += [f"  kept: {_description(value)}" for value in self.values]
        lines += [f"  passed: input '{name}'" for name in self.passed]
        lines += [f"  behind: {stop}" for stop in self.stops[:1]]
        return Text("\n".join(map(printable, lines)))


def _description(value: StoredValue) -> str:
    sizes = ", ".join("length" if size is None else str(size) for size in value.shape)
    per = "position" if None in value.shape else "sample"
    return f"{value.name} [{sizes}], {value.bytes(1):,} bytes per {per}"


def _required(values: Mapping[str, Tensor], name: str) -> Tensor:
    if name not in values:
        raise usage(f"the value '{name}' is missing")
    return values[name]
