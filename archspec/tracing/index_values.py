"""Positions that a model counts out itself, and whether a table has as many rows.

Tensors on ``meta`` have no values, so that no index is out of range there. Indices that follow from
sizes alone (``arange``, ``ones_like``, and what is made of them) are therefore worked out beside
the run. ``ids != pad``, of which positions are counted by ``cumsum``, is taken to find no padding.
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
"""Integers that are worked out in one run; no further ones are."""

_aten = torch.ops.aten
MAX_CONSTANTS = 2**16
"""Elements of a tensor whose values are all the same; larger ones are masks, and no positions."""

_MADE = frozenset({_aten.arange.default, _aten.arange.start, _aten.arange.start_step})
_SAME = frozenset(
    {_aten.ones.default, _aten.full.default, _aten.ones_like.default, _aten.full_like.default}
)


class IndexValues(TorchDispatchMode):
    """While entered, ``tell`` learns of each lookup of a row that a table lacks.

    Args:
        tell: called with the table's number of rows and the index that is too large.
    """

    def __init__(self, tell: Callable[[int, int], None]) -> None:
        super().__init__()
        self._tell, self._left = tell, MAX_VALUES
        self._values: Any = WeakIdKeyDictionary()  # tensor → the same on the CPU

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No compiler is to be kept out, so that it need not be imported, which takes seconds."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        for rows, index in _lookups(func, args):
            if (last := self._last(index)) >= rows:
                self._tell(rows, last)
        result = func(*args, **kwargs)
        given = list(tensors_in((args, kwargs)))
        if func._schema.is_mutable:
            if any(tensor in self._values for tensor in given):
                self._values.clear()  # views of it have changed, too
        elif isinstance(result, torch.Tensor) and result.numel() <= self._left:
            if value := _same_everywhere(func, args, kwargs, result):
                self._left -= result.numel()
                with _disable_current_modes():
                    self._values[result] = torch.full(result.shape, *value, dtype=result.dtype)
                return result
            known = all(tensor in self._values for tensor in given) if given else func in _MADE
            if known and torch.Tag.nondeterministic_seeded not in func.tags:
                self._work_out(func, args, kwargs, result)
        return result

    def _last(self, index: torch.Tensor) -> int:
        """The largest of some indices; -1 if they are not known."""
        values = self._values.get(index)
        if values is None or values.dtype == torch.bool or not values.numel():
            return -1
        with _disable_current_modes():
            return int(values.max())

    def _work_out(self, func: Any, args: Any, kwargs: Any, result: torch.Tensor) -> None:
        if func._schema.name.startswith(("aten::empty", "aten::new_empty")):
            return
        self._left -= result.numel()
        if kwargs.get("device") is not None:
            kwargs = {**kwargs, "device": torch.device("cpu")}
        with _disable_current_modes(), contextlib.suppress(RuntimeError, IndexError):
            self._values[result] = func(*self._real(args), **self._real(kwargs))

    def _real(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return self._values[value]
        if isinstance(value, list | tuple):
            return type(value)(map(self._real, value))
        if isinstance(value, dict):
            return {key: self._real(item) for key, item in value.items()}
        return value


def _same_everywhere(func: Any, args: Any, kwargs: Any, result: torch.Tensor) -> tuple[Any, ...]:
    """The value that each element of a result has; nothing if that is not known."""
    if result.is_floating_point() or result.is_complex() or result.numel() > MAX_CONSTANTS:
        return ()
    if func is _aten.ne.Scalar:
        return (True,)
    if func not in _SAME:
        return ()
    is_full = func in (_aten.full.default, _aten.full_like.default)
    return (args[1],) if is_full else (1,)


def _lookups(func: Any, args: Any) -> Iterator[tuple[int, torch.Tensor]]:
    """The rows of each table that is read, and the indices into it."""
    if func is _aten.embedding.default:
        yield args[0].shape[0], args[1]
    elif func is _aten.index_select.default:
        yield args[0].shape[args[1]], args[2]
    elif func is _aten.index.Tensor:
        for axis, index in enumerate(args[1]):
            if index is not None:
                yield args[0].shape[axis], index
