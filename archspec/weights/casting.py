"""Whether values survive a cast to the dtype of the model."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from archspec.errors import Problem, WeightsError

_WIDE = (torch.bfloat16, torch.float32, torch.float64)
_AT_ONCE = 2**24  # values, so that a check takes little memory


def check_range(casts: Iterable[tuple[str, torch.Tensor, torch.dtype]]) -> None:
    """Refuse finite values that a narrower dtype would make infinite.

    Args:
        casts: our name, the values and the model's dtype, of each tensor.

    Raises:
        WeightsError: E606, every tensor that has such values.
    """
    problems: list[Problem] = []
    for name, values, dtype in casts:
        if _narrows(values.dtype, dtype) and _overflows(values, dtype):
            kind = str(dtype).removeprefix("torch.")
            message = f"'{name}' has values beyond {kind}, which ends at {torch.finfo(dtype).max:g}"
            wide = [] if dtype.is_complex else [one for one in _WIDE if not _overflows(values, one)]
            names = " or ".join(str(one).removeprefix("torch.") for one in wide)
            hint = f"build the model as {names}" if wide else ""
            problems.append(Problem("E606", message, hint=hint))
    if problems:
        raise WeightsError(problems)


def _narrows(source: torch.dtype, target: torch.dtype) -> bool:
    both = all(kind.is_floating_point or kind.is_complex for kind in (source, target))
    return both and torch.finfo(source).max > torch.finfo(target).max


def _overflows(values: torch.Tensor, dtype: torch.dtype) -> bool:
    wide = torch.complex128 if dtype.is_complex else torch.float64
    for part in values.reshape(-1).split(_AT_ONCE):
        lost = ~part.to(dtype).to(wide).isfinite() & part.isfinite()
        if lost.any():
            return True
    return False
