"""What the values of a tensor are like, and which tensors differ from those that are alike."""

from __future__ import annotations

import math
import re
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

import torch

CHUNK = 1 << 22
"""How many values are in memory at once."""

_MIN_ALIKE = 4  # tensors that one is compared with
_FACTOR = 10.0
_NUMBER = re.compile(r"(?<![^.])\d+(?![^.])")


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueStatistics:
    """The values of one tensor.

    Attributes:
        shape: sizes.
        dtype: such as ``float32``.
        mean, std: of the finite values; the population's standard deviation. None without any.
        lowest, highest: of the finite values; None without any.
        zeros: share of the values that are zero, 0 to 1.
        not_finite: number of values that are infinite or not a number.
        notes: what may be wrong, as sentences without a period.
    """

    shape: tuple[int, ...]
    dtype: str
    mean: float | None
    std: float | None
    lowest: float | None
    highest: float | None
    zeros: float
    not_finite: int
    notes: tuple[str, ...] = ()

    @property
    def are_all_equal(self) -> bool:
        """Whether several values are one and the same."""
        is_one = self.lowest is not None and self.lowest == self.highest
        return is_one and math.prod(self.shape) > 1 and not self.not_finite

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def figures(tensor: torch.Tensor) -> dict[str, Any]:
    """All of ``ValueStatistics`` by name, with a note of values that are not finite."""
    finite = total = squares = zeros = 0.0
    lowest, highest = math.inf, -math.inf
    for part in parts(tensor):
        good = finite_values(part)
        finite += good.numel()
        zeros += part.numel() - int(part.count_nonzero())
        if good.numel():
            least, most = map(float, good.aminmax())
            total += float(good.sum())
            lowest, highest = min(lowest, least), max(highest, most)
    mean = total / finite if finite else None
    if mean is not None:
        squares = sum(float((finite_values(p) - mean).square().sum()) for p in parts(tensor))
    size = tensor.numel()
    bad = size - int(finite)
    return {
        "shape": tuple(tensor.shape),
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "mean": mean,
        "std": math.sqrt(squares / finite) if finite else None,
        "lowest": lowest if finite else None,
        "highest": highest if finite else None,
        "zeros": zeros / size if size else 0.0,
        "not_finite": bad,
        "notes": (f"{bad:,} of {size:,} values are not finite",) if bad else (),
    }


def parts(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """The values as float64, ``CHUNK`` at a time; of complex numbers the absolute values."""
    for part in tensor.detach().reshape(-1).split(CHUNK):
        yield (part.abs() if part.is_complex() else part).double()


def finite_values(part: torch.Tensor) -> torch.Tensor:
    is_finite = part.isfinite()
    return part if bool(is_finite.all()) else part[is_finite]


Item = TypeVar("Item", bound=ValueStatistics)


def with_outliers_noted(
    found: Sequence[Item], group: Callable[[Item], tuple[str, object]], noun: str
) -> Iterator[Item]:
    """Adds a note where values are much larger or smaller than those of items alike.

    Args:
        found: the items.
        group: a dotted path and a kind: items whose kinds are equal, and whose paths differ in
            numbers alone, are alike.
        noun: what the items are called, in the plural.
    """
    spread: defaultdict[tuple[str, object], list[float]] = defaultdict(list)

    def alike(one: Item) -> list[float]:
        path, kind = group(one)
        return spread[_NUMBER.sub("#", path), kind]

    for one in found:
        if one.std:
            alike(one).append(one.std)
    for one in found:
        others = alike(one)
        usual = statistics.median(others) if len(others) >= _MIN_ALIKE else 0.0
        ratio = one.std / usual if one.std and usual else 1.0
        if 1 / _FACTOR < ratio < _FACTOR:
            yield one
            continue
        times = f"{ratio:.3g} times" if ratio > 1 else f"1/{1 / ratio:.3g} of"
        note = f"the standard deviation is {times} that of the {len(others)} {noun} alike"
        yield replace(one, notes=(*one.notes, note))
