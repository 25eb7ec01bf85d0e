"""Runs equal modules with equal inputs only once, and replays the records for the others.

A call on ``meta`` depends only on the module's structure and the metadata of its inputs. So of 126
equal layers two are run (the first one saves the inputs that all layers share, the others do not
save them again), and their record is replayed for the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import _disable_current_modes

from archspec.tracing.forward_record import Event, ForwardRecord, storage_key, tensors_in

_MIN_REPEATS = 3  # fewer modules of a kind are not worth the overhead


_CopyStates = tuple[tuple[torch.dtype, bool] | None, ...]


class _NotComparable(Exception):
    """A call that cannot be compared, or whose result cannot be recreated."""


@dataclass(frozen=True, slots=True)
class _TensorInfo:
    """A tensor's metadata; its storage has a number within the call."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    dtype: torch.dtype
    requires_grad: bool
    is_leaf: bool
    storage: int
    bytes: int
    is_weight: bool
    is_kept: bool


@dataclass(frozen=True, slots=True)
class _Call:
    """The record of a call.

    Attributes:
        path: of the module.
        result: the returned value, with a ``_TensorInfo`` for each tensor.
        keeps: whether each input tensor was saved for backward at the end.
        peak: maximum bytes in use, beyond those at the start.
        hidden: bytes in use at the end, beyond those at the start and the result.
        copies: of each parameter at the end, from ``_autocast_copies``.
    """

    path: str
    events: tuple[Event, ...]
    result: Any
    keeps: tuple[bool, ...]
    peak: int
    hidden: int
    copies: _CopyStates


class Repeats:
    """While entered, modules of one kind run only once for each different call."""

    def __init__(
        self, model: nn.Module, kinds: Mapping[str, object], record: ForwardRecord
    ) -> None:
        self.record = record
        self.calls: dict[Hashable, _Call] = {}
        self._own_forwards: dict[
            nn.Module, Any
        ] = {}  # forwards of a module itself, not of its class
        self.anchor = torch.zeros((), device="meta", requires_grad=True)
        composite = [
            (path, module)
            for path, module in model.named_modules()
            if path in kinds and next(module.children(), None) is not None
        ]
        alike = Counter(kinds[path] for path, _ in composite)
        composite = [one for one in composite if alike[kinds[one[0]]] >= _MIN_REPEATS]
        parameters, modes = _below(model) if composite else ({}, {})
        items = [
            (path, module, (kinds[path], _state(parameters[module]), modes[module]))
            for path, module in composite
        ]
        counts = Counter(kind for _, _, kind in items)
        self.modules = [item for item in items if counts[item[2]] >= _MIN_REPEATS]
        self._parameters = parameters

    def __enter__(self) -> None:
        for path, module, kind in self.modules:
            if "forward" in module.__dict__:
                self._own_forwards[module] = module.__dict__["forward"]
            module.__dict__["forward"] = self._forward(path, kind, module)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for _, module, _ in self.modules:
            module.__dict__.pop("forward")
            if module in self._own_forwards:
                module.__dict__["forward"] = self._own_forwards[module]

    def _forward(self, path: str, kind: Hashable, module: nn.Module) -> Any:
        forward, parameters = module.forward, self._parameters[module]

        def replayed(*args: Any, **kwargs: Any) -> Any:
            with torch._C.DisableTorchFunction():  # modes need not see how metadata are read
                try:
                    again = self.record.is_recomputed
                    copies = self._autocast_copies(parameters)
                    key = (kind, again, copies, self._describe((args, kwargs)))
                except _NotComparable:
                    key = None
                if key in self.calls:
                    self._recreate_copies(self.calls[key], parameters)
                    return self._replay(self.calls[key], path, (args, kwargs))
            if key is None:
                return forward(*args, **kwargs)
            return self._run_and_record(key, path, parameters, forward, args, kwargs)

        return replayed

    def _autocast_copies(self, parameters: Sequence[nn.Parameter]) -> _CopyStates:
        """For each parameter the dtype of its copy and whether it is saved; None without one."""
        copies = (self.record.copies.get(id(parameter)) for parameter in parameters)
        return tuple(
            copy if copy is None else (copy.dtype, self.record.is_kept(copy)) for copy in copies
        )

    def _recreate_copies(self, call: _Call, parameters: Sequence[nn.Parameter]) -> None:
        """Create the copies that an equal call made, for later calls."""
        record = self.record
        for parameter, state in zip(parameters, call.copies, strict=True):
            if state is not None:
                copy = record.copies.get(id(parameter))
                copy = record.adopt_copy(parameter, state[0]) if copy is None else copy
                if state[1]:
                    record.keep(copy)

    def _describe(self, values: Any) -> Hashable:
        """Everything about the values that a call depends on."""
        numbers: dict[int, int] = {}

        def describe(value: Any) -> Hashable:
            if isinstance(value, torch.Tensor):
                storage = value.untyped_storage()
                return _TensorInfo(
                    tuple(value.shape),
                    value.stride(),
                    int(value.storage_offset()),
                    value.dtype,
                    value.requires_grad,
                    value.is_leaf,
                    numbers.setdefault(storage._cdata, len(numbers)),
                    storage.nbytes(),
                    self.record.is_weight(value),
                    self.record.is_kept(value),
                )
            if isinstance(value, dict):
                return ("dict", tuple((key, describe(item)) for key, item in value.items()))
            if isinstance(value, list | tuple):
                return (type(value), tuple(map(describe, value)))
            if value is None or isinstance(value, bool | int | float | str | torch.dtype):
                return (type(value), value)
            raise _NotComparable

        return describe(values)

    def _run_and_record(
        self,
        key: Hashable,
        path: str,
        parameters: Sequence[nn.Parameter],
        forward: Callable[..., Any],
        args: Any,
        kwargs: Any,
    ) -> Any:
        """Run the module and store its record."""
        record = self.record
        first, before, outer = len(record.events), record.live, record.peak
        record.peak = before
        result = forward(*args, **kwargs)
        peak, record.peak = record.peak - before, max(outer, record.peak)
        tensors = tensors_in((args, kwargs))
        input_storages = {storage_key(tensor) for tensor in tensors}
        results = tensors_in(result)
        storages = {storage_key(tensor) for tensor in results}
        fresh = len(storages) == len(results) and not storages & input_storages
        if fresh and not any(
            record.is_weight(t) or (t.is_leaf and t.requires_grad) for t in results
        ):
            size = sum(tensor.untyped_storage().nbytes() for tensor in results)
            self.calls[key] = _Call(
                path,
                tuple(record.events[first:]),
                self._describe(result),
                tuple(map(record.is_kept, tensors)),
                peak,
                record.live - before - size,
                self._autocast_copies(parameters),
            )
        return result

    def _replay(self, call: _Call, path: str, values: Any) -> Any:
        """Replay the record of an equal call, and recreate its result."""
        record = self.record
        record.note_again(call.events, call.path, path)
        for tensor, kept in zip(tensors_in(values), call.keeps, strict=True):
            if kept:
                record.keep(tensor)
        record.peak = max(record.peak, record.live + call.peak)
        record.hold(call.hidden)
        return self._recreate(call.result)

    def _recreate(self, described: Any) -> Any:
        if isinstance(described, _TensorInfo):
            tensor: Any = _NewTensor.apply(self.anchor, described)
            if described.is_kept:
                self.record.keep(tensor)
            self.record.see(tensor)
            return tensor
        kind, items = described
        if kind == "dict":
            return {key: self._recreate(item) for key, item in items}
        if kind in (list, tuple):
            return kind(map(self._recreate, items))
        return items


def stand_in(tensor: torch.Tensor, times: int, record: ForwardRecord) -> torch.Tensor:
    """A tensor like this one that takes ``times`` as much memory: for as many of them."""
    size = tensor.untyped_storage().nbytes() * times
    info = _TensorInfo(
        tuple(tensor.shape), tensor.stride(), 0, tensor.dtype, tensor.requires_grad, False, 0, size,
        False, record.is_kept(tensor),
    )  # fmt: skip
    with _disable_current_modes():  # which would count it
        anchor = torch.zeros((), device="meta", requires_grad=tensor.requires_grad)
    made: Any = _NewTensor.apply(anchor, info)
    if info.is_kept:
        record.keep(made)
    record.see(made)
    return made


class _NewTensor(torch.autograd.Function):
    """A tensor with given metadata, as the result of a differentiable operation."""

    @staticmethod
    def forward(ctx: Any, anchor: torch.Tensor, described: _TensorInfo) -> torch.Tensor:
        elements = described.bytes // described.dtype.itemsize
        with _disable_current_modes():
            storage = torch.empty(elements, dtype=described.dtype, device="meta")
            # Not as a view, which autograd would let nobody change in place.
            tensor = torch.empty(0, dtype=described.dtype, device="meta").set_(
                storage.untyped_storage(), described.offset, described.shape, described.stride
            )
        if not described.requires_grad:
            ctx.mark_non_differentiable(tensor)
        return tensor


def _below(
    model: nn.Module,
) -> tuple[dict[nn.Module, tuple[nn.Parameter, ...]], dict[nn.Module, tuple[bool, ...]]]:
    """For each module the parameters, and the training modes, of the modules below it and its own.

    They are as many, and in the same order, for each module of a kind.
    """
    parameters: dict[nn.Module, tuple[nn.Parameter, ...]] = {}
    modes: dict[nn.Module, tuple[bool, ...]] = {}

    def visit(module: nn.Module) -> None:
        children = list(module.children())
        for child in children:
            if child not in parameters:
                visit(child)
        own = [p for p in module._parameters.values() if p is not None]
        parameters[module] = (*own, *(p for child in children for p in parameters[child]))
        modes[module] = (module.training, *(mode for child in children for mode in modes[child]))

    visit(model)
    return parameters, modes


def _state(parameters: Sequence[nn.Parameter]) -> Hashable:
    """What freeze plans and ties change in a module's parameters: gradients, shared tensors."""
    numbers: dict[int, int] = {}
    return (
        tuple(p.requires_grad for p in parameters),
        tuple(numbers.setdefault(id(p), len(numbers)) for p in parameters),
    )
