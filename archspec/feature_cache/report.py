"""Where a model can be cut in two, or why it cannot."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from archspec.feature_cache.dataflow import Stop
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
        name: the path of the module that makes it, or the operation where the model itself does.
        shape: without the batch; None for the sample's length.
        dtype: of its elements.
        axis: the dimension of the batched value that counts the samples.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: torch.dtype
    axis: int = 0

    def sizes(self, length: int | None) -> tuple[int, ...]:
        """The shape of a sample of that length."""
        return tuple((length or 0) if size is None else size for size in self.shape)

    def bytes(self, length: int | None = None) -> int:
        """Bytes of one sample of that length, exact."""
        return math.prod(self.sizes(length)) * self.dtype.itemsize

    def to_dict(self) -> dict[str, Any]:
        dtype = str(self.dtype).removeprefix("torch.")
        return {"name": self.name, "shape": list(self.shape), "dtype": dtype, "axis": self.axis}


@dataclass(frozen=True, slots=True)
class NoFrontier(Displayed):
    """There is nothing worth doing only once.

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
    """A model in two halves: what never changes for a sample, and the rest, which is trained.

    The halves run on the model's own parameters and buffers: what an optimizer, ``state_dict`` or
    a checkpoint sees is the model itself. Each follows the modes of the model's modules, so that
    ``model.eval()`` switches the rest's dropout off.

    Attributes:
        values: what is to be kept of each sample.
        passed: names of the model's inputs that the rest needs besides.
        share: part of the multiply-accumulates of a forward pass that lies in front, 0 to 1,
            estimated: matrix products, convolutions and attention are counted.
        stops: why values change behind the frontier, first things first.
    """

    values: tuple[StoredValue, ...]
    passed: tuple[str, ...]
    share: float
    stops: tuple[Stop, ...]
    halves: SplitModel

    def frozen(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The values of a batch, computed without gradients.

        Args:
            inputs: the model's inputs by name, ``[batch, …]`` each.

        Returns:
            Name → value, the batch where ``StoredValue.axis`` says. With several lengths in a
            batch, what stands behind a sample's length means nothing.

        Raises:
            UsageError: E801, other inputs or sizes than the frontier was found for, or a
                parameter in front of it has been thawed.
        """
        found = self.halves.frozen(inputs)
        return {value.name: one for value, one in zip(self.values, found, strict=True)}

    def rest(self, values: Mapping[str, Tensor], inputs: Mapping[str, Tensor]) -> Any:
        """What the model returns, computed from the values on.

        Args:
            values: what ``frozen`` gave for this batch, or a cache.
            inputs: the model's inputs by name; those in ``passed`` are used, the others only for
                their shapes.

        Raises:
            UsageError: E801, as ``frozen``, or a value is missing.
        """
        return self.halves.rest([_value(values, one.name) for one in self.values], inputs)

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
        lines += [f"  kept: {_shown(value)}" for value in self.values]
        lines += [f"  passed: input '{name}'" for name in self.passed]
        lines += [f"  behind: {stop}" for stop in self.stops[:1]]
        return Text("\n".join(map(printable, lines)))


def _shown(value: StoredValue) -> str:
    sizes = ", ".join("length" if size is None else str(size) for size in value.shape)
    per = "position" if None in value.shape else "sample"
    return f"{value.name} [{sizes}], {value.bytes(1):,} bytes per {per}"


def _value(values: Mapping[str, Tensor], name: str) -> Tensor:
    if name not in values:
        raise usage(f"the value '{name}' is missing")
    return values[name]
