"""Frozen work done once: the values in front of a frontier, for the rows of all splits."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from archspec.errors import UsageError
from archspec.feature_cache import ActivationCache, Frontier

Batch = dict[str, Any]
_TRIES = 3
Inputs = Callable[[str, Sequence[Sequence[int]]], Iterator[Batch]]
BESIDE = ("labels", "rows", "values")  # what a batch holds that is no input of the model


class CachedActivations:
    """Values from a cache, and the model from there on.

    Rows are computed in parts of fixed rows, whichever batch asks for one of them: the bytes in the
    cache do not depend on the order of training, nor on where a run was interrupted.

    Args:
        cache: with the rows of one split after the other, as ``lengths`` has them.
        lengths: split → of each row, in positions; None for rows that have none.
        inputs: the batches of some parts of a split.
        size: rows of a part, at most.
        dtype: of matrix products, in mixed precision.
    """

    def __init__(
        self,
        frontier: Frontier,
        cache: ActivationCache,
        lengths: Mapping[str, Sequence[int | None]],
        inputs: Inputs,
        size: int,
        device: torch.device,
        dtype: torch.dtype | None,
    ) -> None:
        self.frontier, self.cache, self._inputs = frontier, cache, inputs
        self._device, self._dtype = device, dtype
        self._starts: dict[str, int] = {}
        self._parts: dict[str, list[list[int]]] = {}
        self._shapes: dict[str, torch.Size] = {}
        start = 0
        for split, of_rows in lengths.items():
            self._starts[split], start = start, start + len(of_rows)
            self._parts[split] = parts(of_rows, size)

    @property
    def needs_inputs(self) -> bool:
        """Whether the rest takes more of the inputs than their shapes."""
        return bool(self.frontier.passed)

    def missing(self, split: str, rank: int = 0, world: int = 1) -> list[list[int]]:
        """The parts with rows that nobody has computed yet, of those that are this process's."""
        absent = set(self.cache.missing())
        start = self._starts[split]
        mine = self._parts[split][rank::world]
        return [part for part in mine if any(start + row in absent for row in part)]

    def compute(self, split: str, some: Sequence[Sequence[int]]) -> Iterator[int]:
        """Compute what is missing of some parts; gives the rows of each when it is done."""
        start = self._starts[split]
        mixed = torch.autocast(self._device.type, self._dtype, enabled=self._dtype is not None)
        for part, batch in zip(some, self._inputs(split, some), strict=True):
            with mixed:
                values = self.frontier.frozen(inputs_of(moved(batch, self._device)))
            absent = set(self.cache.absent([start + row for row in part]))
            at = [i for i, row in enumerate(part) if start + row in absent]
            chosen = torch.tensor(at, device=self._device)
            taken = {
                value.name: values[value.name].index_select(value.axis, chosen)
                for value in self.frontier.values
            }
            self.cache.write([start + part[i] for i in at], taken)
            yield len(part)

    def completed(self, split: str, batch: Batch) -> Batch:
        """A batch with the values of its rows; inputs that it lacks are there in shape only.

        Where the cache fails it has all inputs, and no values: the whole model is for it.
        """
        rows = batch["rows"].tolist()
        given = inputs_of(batch) or self._stand_ins(split, len(rows))
        padded = next(iter(given.values())).shape[1] if self._is_ragged else None
        for _ in range(_TRIES):  # another process may find a row damaged, and write it anew
            with contextlib.suppress(UsageError):
                return {**batch, **given, "values": self._values(split, rows, padded)}
        (whole,) = self._inputs(split, [rows])
        return {**batch, **inputs_of(whole)}

    def _values(self, split: str, rows: Sequence[int], padded: int | None) -> dict[str, Tensor]:
        start = self._starts[split]
        if absent := set(self.cache.absent([start + row for row in rows])):
            some = [p for p in self._parts[split] if any(start + row in absent for row in p)]
            for _ in self.compute(split, some):
                pass
        return self.cache.read([start + row for row in rows], length=padded)

    def outputs(self, model: nn.Module, split: str, batch: Batch) -> Any:
        """What the model returns for a batch, from the values on."""
        try:
            return self.frontier.rest(batch["values"], inputs_of(batch))
        except UsageError:  # for sizes like these the model does something else
            (whole,) = self._inputs(split, [batch["rows"].tolist()])
            return model(**inputs_of(moved(whole, self._device)))

    @property
    def _is_ragged(self) -> bool:
        return any(None in value.shape for value in self.cache.values)

    def _stand_ins(self, split: str, count: int) -> dict[str, Tensor]:
        if not self._shapes:
            (batch,) = self._inputs(split, [[0]])
            self._shapes = {name: value.shape[1:] for name, value in inputs_of(batch).items()}
        return {n: torch.zeros(()).expand(count, *shape) for n, shape in self._shapes.items()}


def parts(lengths: Sequence[int | None], size: int) -> list[list[int]]:
    """The rows that are computed together: of similar length, the longest first.

    >>> parts([3, 9, 5], 2), parts([None, None, None], 2)
    ([[1, 2], [0]], [[0, 1], [2]])
    """
    order = np.argsort([-(length or 0) for length in lengths], kind="stable").tolist()
    return [order[i : i + size] for i in range(0, len(order), size)]


def inputs_of(batch: Batch) -> dict[str, Tensor]:
    """What of a batch goes into the model."""
    return {name: value for name, value in batch.items() if name not in BESIDE}


def moved(batch: Batch, device: torch.device) -> Batch:
    """A batch on a device."""
    return {
        name: moved(value, device)
        if isinstance(value, dict)
        else value.to(device, non_blocking=True)
        for name, value in batch.items()
    }
