"""What the values of a checkpoint's tensors are like: extremes, zeros, histograms, and faults."""

from __future__ import annotations

import math
import os
import re
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from archspec.weights.files import WeightFiles

BINS = 32
_CHUNK = 1 << 22  # values in memory at once
_MIN_ALIKE = 4  # tensors that one is compared with
_FACTOR = 10.0
_NUMBER = re.compile(r"(?<![^.])\d+(?![^.])")


@dataclass(frozen=True, slots=True)
class TensorStatistics:
    """The values of one tensor.

    Attributes:
        name: in the file.
        shape: sizes.
        dtype: as in the file, ``float32``.
        mean, std: of the finite values; the population's standard deviation. None without any.
        lowest, highest: of the finite values; None without any.
        zeros: share of the values that are zero, 0 to 1.
        not_finite: number of values that are infinite or not a number.
        histogram: numbers of finite values in 32 equal intervals from ``lowest`` to ``highest``.
        notes: what may be wrong, as sentences without a period.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    mean: float | None
    std: float | None
    lowest: float | None
    highest: float | None
    zeros: float
    not_finite: int
    histogram: tuple[int, ...]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


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
    return tuple(_compared(found))


def _statistics(name: str, tensor: torch.Tensor, dtype: str) -> TensorStatistics:
    finite = total = squares = zeros = 0.0
    lowest, highest = math.inf, -math.inf
    for part in _parts(tensor):
        good = _finite(part)
        finite += good.numel()
        zeros += part.numel() - int(part.count_nonzero())
        if good.numel():
            least, most = map(float, good.aminmax())
            total += float(good.sum())
            lowest, highest = min(lowest, least), max(highest, most)
    mean = total / finite if finite else None
    histogram = torch.zeros(BINS, dtype=torch.float64)
    if mean is not None:
        for part in _parts(tensor):
            good = _finite(part)
            squares += float((good - mean).square().sum())
            if lowest < highest:
                histogram += torch.histc(good, BINS, lowest, highest)
    size = tensor.numel()
    found = TensorStatistics(
        name=name,
        shape=tuple(tensor.shape),
        dtype=dtype,
        mean=mean,
        std=math.sqrt(squares / finite) if finite else None,
        lowest=lowest if finite else None,
        highest=highest if finite else None,
        zeros=zeros / size if size else 0.0,
        not_finite=size - int(finite),
        histogram=tuple(map(int, histogram.tolist())),
    )
    return replace(found, notes=tuple(_notes(found, tensor)))


def _parts(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """The values as float64, some at a time; of complex numbers the absolute values."""
    for part in tensor.detach().reshape(-1).split(_CHUNK):
        yield (part.abs() if part.is_complex() else part).double()


def _finite(part: torch.Tensor) -> torch.Tensor:
    is_finite = part.isfinite()
    return part if bool(is_finite.all()) else part[is_finite]


def _notes(found: TensorStatistics, tensor: torch.Tensor) -> Iterator[str]:
    if found.not_finite:
        yield f"{found.not_finite:,} of {tensor.numel():,} values are not finite"
    if tensor.ndim < 2 or not tensor.numel():
        return
    if found.lowest == found.highest and tensor.numel() > 1 and not found.not_finite:
        yield f"all values are {found.lowest:g}"
        return
    rows = tensor.shape[0]
    dead = sum(
        int((part == 0).reshape(len(part), -1).all(1).sum())
        for part in tensor.detach().split(max(1, _CHUNK * rows // tensor.numel()))
    )
    if dead > 1:
        yield f"{dead:,} of {rows:,} rows are zero"


def _compared(found: Sequence[TensorStatistics]) -> Iterator[TensorStatistics]:
    """With a note where the values are much larger or smaller than those of tensors alike."""
    spread: defaultdict[tuple[str, tuple[int, ...]], list[float]] = defaultdict(list)
    for one in found:
        if one.std:
            spread[_NUMBER.sub("#", one.name), one.shape].append(one.std)
    for one in found:
        alike = spread[_NUMBER.sub("#", one.name), one.shape]
        if not one.std or len(alike) < _MIN_ALIKE:
            yield one
            continue
        usual = statistics.median(alike)
        ratio = one.std / usual
        if 1 / _FACTOR < ratio < _FACTOR:
            yield one
            continue
        times = f"{ratio:.3g} times" if ratio > 1 else f"1/{1 / ratio:.3g} of"
        note = f"the standard deviation is {times} that of the {len(alike)} tensors alike"
        yield replace(one, notes=(*one.notes, note))
