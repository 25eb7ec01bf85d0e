"""Computes positions that depend only on sizes, to find indices beyond the rows of a table.

Tensors on ``meta`` have no values, so that no index is out of range there. Indices that depend only
on sizes (``arange``, ``ones_like``, and results of them) are therefore computed on the CPU beside
the run. ``ids != pad``, from which ``cumsum`` computes positions, is assumed to find no padding.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils.weak import WeakIdKeyDictionary

from archspec.tracing.forward_record import tensors_in

MAX_VALUES = 2**22
"""Maximum number of integers that are computed in one run."""

_aten = torch.ops.aten
MAX_CONSTANTS = 2**16
"""Maximum elements of a constant tensor; larger ones are masks, not positions."""

_RANGES = frozenset({_aten.arange.default, _aten.arange.start, _aten.arange.start_step})
_CONSTANTS = frozenset(
    {_aten.ones.default, _aten.full.default, _aten.ones_like.default, _aten.full_like.default}
)
_STARTING = _RANGES | _CONSTANTS | {_aten.ne.Scalar}
"""Operations whose results are known though nothing is known of any other tensor."""


class IndexValues(TorchDispatchMode):
    """While entered, ``report`` is called for each lookup beyond the rows of a table.

    Args:
        report: called with the table's number of rows and the index that is out of range.
    """

    def __init__(self, report: Callable[[int, int], None]) -> None:
        super().__init__()
        self._report, self._remaining = report, MAX_VALUES
        self._values: Any = WeakIdKeyDictionary()  # tensor → its values on the CPU

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Whether to disable the compiler; if not, it need not be imported, which takes seconds."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not self._values and func not in _STARTING:  # as for most of a run
            return func(*args, **kwargs)
        for rows, index in _lookups(func, args):
            if (last := self._max_index(index)) >= rows:
                self._report(rows, last)
        result = func(*args, **kwargs)
        tensors = tensors_in((args, kwargs))
        if func._schema.is_mutable:
            if any(tensor in self._values for tensor in tensors):
                self._values.clear()  # its views have changed, too
        elif isinstance(result, torch.Tensor) and result.numel() <= self._remaining:
            if value := _constant_value(func, args, kwargs, result):
                self._remaining -= result.numel()
                with _disable_current_modes():
                    self._values[result] = torch.full(result.shape, *value, dtype=result.dtype)
                return result
            is_known = (
                all(tensor in self._values for tensor in tensors) if tensors else func in _RANGES
            )
            if is_known and torch.Tag.nondeterministic_seeded not in func.tags:
                self._compute(func, args, kwargs, result)
        return result

    def _max_index(self, index: torch.Tensor) -> int:
        """The largest of some indices; -1 if they are unknown."""
        values = self._values.get(index)
        if values is None or values.dtype == torch.bool or not values.numel():
            return -1
        with _disable_current_modes():
            return int(values.max())

    def _compute(self, func: Any, args: Any, kwargs: Any, result: torch.Tensor) -> None:
        if func._schema.name.startswith(("aten::empty", "aten::new_empty")):
            return
        self._remaining -= result.numel()
        if kwargs.get("device") is not None:
            kwargs = {**kwargs, "device": torch.device("cpu")}
        with _disable_current_modes(), contextlib.suppress(RuntimeError, IndexError):
            self._values[result] = func(*self._with_values(args), **self._with_values(kwargs))

    def _with_values(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return self._values[value]
        if isinstance(value, list | tuple):
            return type(value)(map(self._with_values, value))
        if isinstance(value, dict):
            return {key: self._with_values(item) for key, item in value.items()}
        return value


def _constant_value(func: Any, args: Any, kwargs: Any, result: torch.Tensor) -> tuple[Any, ...]:
    """The value of all elements of a result; () if unknown."""
    if result.is_floating_point() or result.is_complex() or result.numel() > MAX_CONSTANTS:
        return ()
    if func is _aten.ne.Scalar:
        return (True,)
    if func not in _CONSTANTS:
        return ()
    is_full = func in (_aten.full.default, _aten.full_like.default)
    return (args[1],) if is_full else (1,)


def _lookups(func: Any, args: Any) -> Iterator[tuple[int, torch.Tensor]]:
    """The number of rows of each table that is read, and the indices into it."""
    if func is _aten.embedding.default:
        yield args[0].shape[0], args[1]
    elif func is _aten.index_select.default:
        yield args[0].shape[args[1]], args[2]
    elif func is _aten.index.Tensor:
        for axis, index in enumerate(args[1]):
            if index is not None:
                yield args[0].shape[axis], index
