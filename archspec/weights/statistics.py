"""What the values of a checkpoint's tensors are like: extremes, zeros, histograms, and faults."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from archspec.weights import value_statistics as values
from archspec.weights.files import WeightFiles

BINS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorStatistics(values.ValueStatistics):
    """The values of one tensor of a file, whose ``dtype`` is that in the file.

    Attributes:
        name: in the file.
        histogram: numbers of finite values in 32 equal intervals from ``lowest`` to ``highest``.
    """

    name: str
    histogram: tuple[int, ...]


def weight_statistics(
    path: str | os.PathLike[str], key: str | None = None
) -> tuple[TensorStatistics, ...]:
    """Statistics of every tensor of a checkpoint, in the order of the file.

    A note is made of values that are not finite, of a matrix whose values are all equal, of several
    rows that are zero (outputs that are dead, or rows of an embedding), and of a standard deviation
    that is ten times larger or smaller than the median of tensors alike: those of the same shape
    whose names differ in numbers alone.

    Args:
        path: as for ``load_weights``; the folder of a run, too.
        key: as for ``load_weights``.

    Raises:
        WeightsError: E601 if the file cannot be read.
        RunError: E920 for a file that is not as the run wrote it.

    Example:
        >>> from archspec import build, save_weights
        >>> from archspec.weights import weight_statistics
        >>> folder = getfixture("tmp_path")
        >>> files = save_weights(build("resnet18", device="cpu"), folder)
        >>> weight_statistics(folder)[0].name
        'bn1.bias'
    """
    files = WeightFiles.open(path, key)
    tensors = files.read(files.tensors, "cpu")  # views of the mapped files
    found = [_statistics(name, tensors[name], info.dtype) for name, info in files.tensors.items()]
    return tuple(values.with_outliers_noted(found, lambda one: (one.name, one.shape), "tensors"))


def _statistics(name: str, tensor: torch.Tensor, dtype: str) -> TensorStatistics:
    figures = {**values.figures(tensor), "dtype": dtype}
    histogram = _histogram(tensor, figures["lowest"], figures["highest"])
    found = TensorStatistics(**figures, name=name, histogram=histogram)
    return replace(found, notes=(*found.notes, *_notes(found, tensor)))


def _histogram(
    tensor: torch.Tensor, lowest: float | None, highest: float | None
) -> tuple[int, ...]:
    counts = torch.zeros(BINS, dtype=torch.float64)
    if lowest is not None and highest is not None and lowest < highest:
        for part in values.parts(tensor):
            counts += torch.histc(values.finite_values(part), BINS, lowest, highest)
    return tuple(map(int, counts.tolist()))


def _notes(found: TensorStatistics, tensor: torch.Tensor) -> Iterator[str]:
    if tensor.ndim < 2 or not tensor.numel():
        return
    if found.are_all_equal:
        yield f"all values are {found.lowest:g}"
        return
    rows = tensor.shape[0]
    dead = sum(
        int((part == 0).reshape(len(part), -1).all(1).sum())
        for part in tensor.detach().split(max(1, values.CHUNK * rows // tensor.numel()))
    )
    if dead > 1:
        yield f"{dead:,} of {rows:,} rows are zero"
