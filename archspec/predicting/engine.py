"""The model at work: batches in, scores out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from archspec.errors import BuildError, DataError, Problem
from archspec.predicting.batching import Prepared
from archspec.predicting.optimization import optimized
from archspec.predicting.variants import Variant
from archspec.report.text import first_line

Scores = NDArray[np.float32]
NOT_FINITE = ("the model's output is not finite", "")


@dataclass(slots=True, eq=False)
class Engine:
    """A model that gives scores: probabilities of labels, or embeddings.

    Attributes:
        plain: the model as it is.
        optimize: whether something faster is looked for, on the first batch and on the first
            after the model's tensors have changed.
        optimizations: what was found, once it was looked for.
        size: how many scores an input gets.
    """

    plain: Variant
    optimize: bool = False
    optimizations: tuple[str, ...] = ()
    size: int = 0
    _chosen: Variant | None = field(default=None, repr=False)
    _stamp: object = field(default=None, repr=False)

    def probe(self, batch: dict[str, Tensor], name: str) -> None:
        """Run the model once, to learn how many scores it gives.

        Raises:
            DataError: E906, it gives something else than a row of numbers for each input.
            BuildError: E512, it cannot be run.
        """
        count = len(next(iter(batch.values())))
        try:
            with evaluating(self.plain.model), torch.inference_mode():
                found = self.plain(batch)
        except (ArithmeticError, IndexError, RuntimeError, TypeError, ValueError) as error:
            message = f"{name} cannot be run on one sample: {first_line(error)}"
            raise BuildError(Problem("E512", message)) from error
        if found is None or found.ndim != 2 or len(found) != count or not found.shape[1]:
            message = f"{name} gives no row of numbers for each input"
            hint = "predicting takes a model with one output of the shape [batch, …]"
            raise DataError(Problem("E906", message, hint=hint))
        self.size = found.shape[1]

    def scores(
        self, prepared: Prepared, advance: Callable[[int], object] = lambda count: None
    ) -> Scores:
        """What the model says of each input: [count, size], NaN where there is a fault.

        An output that is not finite becomes a fault of its input.

        Args:
            prepared: batches of inputs.
            advance: told of each batch how many inputs it had.

        Raises:
            BuildError: E503, a batch does not fit into the device's memory.
        """
        found = np.full((prepared.count, self.size), np.nan, dtype=np.float32)
        if not prepared.batches:
            return found
        places = [rows for rows, _ in prepared.batches]
        with evaluating(self.plain.model), in_memory(len(places[0])):
            variant = self._variant(prepared.batches[0][1])
            with torch.inference_mode():
                parts: list[Tensor] = []
                for rows, batch in prepared.batches:
                    parts.append(variant.scores(batch))
                    advance(len(rows))
                # Only here is the device waited for.
                found[np.concatenate(places)] = torch.cat(parts).cpu().numpy()
        for rows in places:
            for i in rows[~np.isfinite(found[rows]).all(axis=1)].tolist():
                found[i] = np.nan
                prepared.faults[i] = NOT_FINITE
        return found

    def _variant(self, batch: dict[str, Tensor]) -> Variant:
        if not self.optimize:
            return self.plain
        stamp = _stamp(self.plain.model)
        if self._chosen is None or stamp != self._stamp:  # a copy has the weights of its time
            self._chosen, self.optimizations = optimized(self.plain, batch)
            self._stamp = stamp
        return self._chosen


def _stamp(model: nn.Module) -> object:
    """Changes when a tensor of the model is replaced, or written to in place."""
    tensors = [*model.parameters(), *model.buffers()]
    return [(one.data_ptr(), 0 if one.is_inference() else one._version) for one in tensors]


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode; it is somebody's, and left as it was."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextlib.contextmanager
def in_memory(rows: int) -> Iterator[None]:
    """Where memory runs out, the error says so: E503."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        message = f"a batch of {rows} does not fit into memory"
        raise BuildError(Problem("E503", message, hint="give a smaller batch_size")) from error


def model_device(model: nn.Module) -> torch.device:
    """Where a model's tensors are."""
    tensors: Any = [*model.parameters(), *model.buffers()]
    return tensors[0].device if tensors else torch.device("cpu")
