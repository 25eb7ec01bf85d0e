"""Runs a model: batches in, scores out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from archspec.building.devices import out_of_memory_as_error
from archspec.errors import BuildError, DataError, Problem
from archspec.freezing.modes import evaluating
from archspec.predicting.batching import Prepared
from archspec.predicting.optimization import optimize_variant
from archspec.predicting.variants import Variant
from archspec.report.text import first_line

Scores = NDArray[np.float32]
_SHAPES = {  # of so many axes
    2: ("input", "[batch, …]"),
    3: ("token", "[batch, seq, …]"),
    4: ("pixel", "[batch, …, height, width]"),
}
NOT_FINITE = ("the model's output is not finite", "")


@dataclass(slots=True, eq=False)
class Engine:
    """A model that gives scores: probabilities of labels, or embeddings.

    Attributes:
        plain: the model without optimization.
        optimize: whether to look for a faster variant, on the first batch and on the first one
            after a change of the model's tensors.
        optimizations: the result of that, in words.
        size: number of scores of an input, or of each token or pixel of one.
        axes: of the scores: 2 of inputs, 3 of tokens, 4 of pixels.
    """

    plain: Variant
    optimize: bool = False
    optimizations: tuple[str, ...] = ()
    size: int = 0
    axes: int = 2
    _chosen: Variant | None = field(default=None, repr=False)
    _stamp: object = field(default=None, repr=False)

    def probe(self, batch: dict[str, Tensor], name: str) -> None:
        """Run the model once to find out how many scores it gives.

        Raises:
            DataError: E906, its output is not a row of numbers for each input.
            BuildError: E512, it cannot be run; E503, out of memory.
        """
        count = len(next(iter(batch.values())))
        try:
            with evaluating(self.plain.model), batch_in_memory(count), torch.inference_mode():
                output = self.plain(batch)
        except (ArithmeticError, IndexError, RuntimeError, TypeError, ValueError) as error:
            message = f"{name} cannot be run on one sample: {first_line(error)}"
            raise BuildError(Problem("E512", message)) from error
        has_axes = output is not None and output.ndim == self.axes and len(output) == count
        if output is None or not has_axes or not output.shape[-1]:
            what, shape = _SHAPES[self.axes]
            message = f"{name} gives no row of numbers for each {what}"
            hint = f"predicting takes a model with one output of the shape {shape}"
            raise DataError(Problem("E906", message, hint=hint))
        shapes = [list(one.shape[-2:]) for one in batch.values()]
        if self.axes == 4 and list(output.shape[1:3]) not in shapes:
            size = " × ".join(map(str, output.shape[1:3]))
            message = f"{name} gives {size} pixels of an image of {' × '.join(map(str, shapes[0]))}"
            hint = "a mask has as many as its image: let the model interpolate its output"
            raise DataError(Problem("E906", message, hint=hint))
        self.size = output.shape[-1]

    def scores(
        self, prepared: Prepared, advance: Callable[[int], object] = lambda count: None
    ) -> Scores:
        """The scores of each input: [count, size], NaN where there is a fault.

        An output that is not finite is added to the faults.

        Args:
            prepared: batches of inputs.
            advance: called after each batch with its number of inputs.

        Raises:
            BuildError: E503, a batch does not fit into the device's memory.
        """
        scores = np.full((prepared.count, self.size), np.nan, dtype=np.float32)
        if not prepared.batches:
            return scores
        positions = [rows for rows, _ in prepared.batches]
        with evaluating(self.plain.model), batch_in_memory(len(positions[0])):
            variant = self._variant(prepared.batches[0][1])
            with torch.inference_mode():
                parts: list[Tensor] = []
                for rows, batch in prepared.batches:
                    parts.append(variant.scores(batch))
                    advance(len(rows))
                # Only here does the CPU wait for the device.
                scores[np.concatenate(positions)] = torch.cat(parts).cpu().numpy()
        for rows in positions:
            for i in rows[~np.isfinite(scores[rows]).all(axis=1)].tolist():
                scores[i] = np.nan
                prepared.faults[i] = NOT_FINITE
        return scores

    def each(self, prepared: Prepared) -> Iterator[Tensor]:
        """The scores of each batch, on the CPU.

        Raises:
            BuildError: E503, a batch does not fit into the device's memory.
        """
        with evaluating(self.plain.model):
            for rows, batch in prepared.batches:
                with batch_in_memory(len(rows)), torch.inference_mode():
                    scores = self._variant(batch).scores(batch).cpu()
                yield scores

    def token_scores(
        self,
        prepared: Prepared,
        wanted: Mapping[int, Sequence[int]],
        advance: Callable[[int], object] = lambda count: None,
    ) -> list[Scores | None]:
        """The scores of some tokens of each input, [tokens, size]; None where there is a fault.

        Args:
            prepared, advance: as ``scores`` takes them.
            wanted: position of an input → positions of its tokens.

        Raises:
            BuildError: E503, a batch does not fit into the device's memory.
        """
        scores: list[Scores | None] = [None] * prepared.count
        if not prepared.batches:
            return scores
        size = len(prepared.batches[0][0])
        with evaluating(self.plain.model), batch_in_memory(size), torch.inference_mode():
            variant = self._variant(prepared.batches[0][1])
            for rows, batch in prepared.batches:
                tokens = [wanted[i] for i in rows.tolist()]
                counts = [*map(len, tokens)]
                places = np.repeat(np.arange(len(rows)), counts), np.concatenate(tokens or [[]])
                found = variant.scores(batch, places).cpu().numpy()
                parts = np.split(found, np.cumsum(counts)[:-1])
                for i, of_row in zip(rows.tolist(), parts, strict=True):
                    scores[i] = of_row
                    if not np.isfinite(of_row).all():
                        scores[i], prepared.faults[i] = None, NOT_FINITE
                advance(len(rows))
        return scores

    def _variant(self, batch: dict[str, Tensor]) -> Variant:
        if not self.optimize:
            return self.plain
        stamp = _version_of(self.plain.model)
        if self._chosen is None or stamp != self._stamp:  # an optimized copy has the old weights
            self._chosen, self.optimizations = optimize_variant(self.plain, batch)
            self._stamp = stamp
        return self._chosen


def _version_of(model: nn.Module) -> object:
    """A value that changes when a tensor of the model is replaced or changed in place."""
    tensors = [*model.parameters(), *model.buffers()]
    return [(one.data_ptr(), 0 if one.is_inference() else one._version) for one in tensors]


def batch_in_memory(rows: int) -> AbstractContextManager[None]:
    """Raises E503 if memory runs out for a batch of so many rows."""
    message = f"a batch of {rows} does not fit into memory"
    return out_of_memory_as_error(message, "give a smaller batch_size")


def model_device(model: nn.Module) -> torch.device:
    """The device of a model's tensors."""
    tensors: Any = [*model.parameters(), *model.buffers()]
    return tensors[0].device if tensors else torch.device("cpu")
