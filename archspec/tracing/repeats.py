"""Modules that are built alike and called alike do alike: all but the first few are copied.

A call on ``meta`` is determined by what the module is made of and by its inputs' metadata. So
of 126 equal layers two run (what the first one keeps of inputs that all of them get, the others
need not keep again), and what they showed is noted for all others.
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

_WORTH_IT = 3  # fewer modules of a kind are not worth the bookkeeping


_Copies = tuple[tuple[torch.dtype, bool] | None, ...]


class _Unlike(Exception):
    """A call that cannot be compared, or whose result cannot be made up."""


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A tensor's metadata; its storage is numbered among those of the same call."""

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
    """What a call did.

    Attributes:
        path: where the module stood.
        result: the returned value, with a ``_Tensor`` for each tensor.
        keeps: whether each of the tensors given was kept for backward in the end.
        peak: most bytes alive, beyond those at its beginning.
        hidden: bytes still alive at its end, beyond those at its beginning and the result.
        copies: of each parameter in the end, as ``_copies`` has it.
    """

    path: str
    events: tuple[Event, ...]
    result: Any
    keeps: tuple[bool, ...]
    peak: int
    hidden: int
    copies: _Copies


class Repeats:
    """While entered, modules of the same kind run only as often as they are called differently."""

    def __init__(
        self, model: nn.Module, kinds: Mapping[str, object], ledger: ForwardRecord
    ) -> None:
        self.ledger = ledger
        self.calls: dict[Hashable, _Call] = {}
        self._own: dict[nn.Module, Any] = {}  # forwards that belong to one module, not its class
        self.anchor = torch.zeros((), device="meta", requires_grad=True)
        alike = {
            path: (kinds[path], _state(module))
            for path, module in model.named_modules()
            if path in kinds and next(module.children(), None) is not None
        }
        times = Counter(alike.values())
        self.modules = [
            (path, model.get_submodule(path), kind)
            for path, kind in alike.items()
            if times[kind] >= _WORTH_IT
        ]

    def __enter__(self) -> None:
        for path, module, kind in self.modules:
            if "forward" in module.__dict__:
                self._own[module] = module.__dict__["forward"]
            module.__dict__["forward"] = self._forward(path, kind, module)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for _, module, _ in self.modules:
            module.__dict__.pop("forward")
            if module in self._own:
                module.__dict__["forward"] = self._own[module]

    def _forward(self, path: str, kind: Hashable, module: nn.Module) -> Any:
        forward, parameters = module.forward, _parameters(module)

        def replayed(*args: Any, **kwargs: Any) -> Any:
            with torch._C.DisableTorchFunction():  # no mode has to see how a tensor is looked at
                try:
                    again = self.ledger.is_recomputed
                    copies = self._copies(parameters)
                    key = (kind, again, copies, self._described((args, kwargs)))
                except _Unlike:
                    key = None
                if key in self.calls:
                    self._take_copies(self.calls[key], parameters)
                    return self._copied(self.calls[key], path, (args, kwargs))
            if key is None:
                return forward(*args, **kwargs)
            return self._noted(key, path, parameters, forward, args, kwargs)

        return replayed

    def _copies(self, parameters: Sequence[nn.Parameter]) -> _Copies:
        """For each parameter dtype of its copy and whether that is kept; None without a copy."""
        found = (self.ledger.copies.get(id(parameter)) for parameter in parameters)
        return tuple(
            copy if copy is None else (copy.dtype, self.ledger.is_kept(copy)) for copy in found
        )

    def _take_copies(self, call: _Call, parameters: Sequence[nn.Parameter]) -> None:
        """Make the copies that an equal call has made, for later calls to find them."""
        book = self.ledger
        for parameter, state in zip(parameters, call.copies, strict=True):
            if state is not None:
                copy = book.copies.get(id(parameter))
                copy = book.adopt_copy(parameter, state[0]) if copy is None else copy
                if state[1]:
                    book.keep(copy)

    def _described(self, values: Any) -> Hashable:
        """Everything about the values that can change what a call does."""
        numbers: dict[int, int] = {}

        def describe(value: Any) -> Hashable:
            if isinstance(value, torch.Tensor):
                storage = value.untyped_storage()
                return _Tensor(
                    tuple(value.shape),
                    value.stride(),
                    int(value.storage_offset()),
                    value.dtype,
                    value.requires_grad,
                    value.is_leaf,
                    numbers.setdefault(storage._cdata, len(numbers)),
                    storage.nbytes(),
                    self.ledger.is_weight(value),
                    self.ledger.is_kept(value),
                )
            if isinstance(value, dict):
                return ("dict", tuple((key, describe(item)) for key, item in value.items()))
            if isinstance(value, list | tuple):
                return (type(value), tuple(map(describe, value)))
            if value is None or isinstance(value, bool | int | float | str | torch.dtype):
                return (type(value), value)
            raise _Unlike

        return describe(values)

    def _noted(
        self,
        key: Hashable,
        path: str,
        parameters: Sequence[nn.Parameter],
        forward: Callable[..., Any],
        args: Any,
        kwargs: Any,
    ) -> Any:
        """Run the module, and remember what it did."""
        book = self.ledger
        first, before, outer = len(book.events), book.live, book.peak
        book.peak = before
        result = forward(*args, **kwargs)
        peak, book.peak = book.peak - before, max(outer, book.peak)
        given = list(tensors_in((args, kwargs)))
        known = {storage_key(tensor) for tensor in given}
        made = list(tensors_in(result))
        storages = {storage_key(tensor) for tensor in made}
        fresh = len(storages) == len(made) and not storages & known
        if fresh and not any(book.is_weight(t) or (t.is_leaf and t.requires_grad) for t in made):
            size = sum(tensor.untyped_storage().nbytes() for tensor in made)
            self.calls[key] = _Call(
                path,
                tuple(book.events[first:]),
                self._described(result),
                tuple(map(book.is_kept, given)),
                peak,
                book.live - before - size,
                self._copies(parameters),
            )
        return result

    def _copied(self, call: _Call, path: str, values: Any) -> Any:
        """Note what an equal call did, and make up its result."""
        book = self.ledger
        book.note_again(call.events, call.path, path)
        for tensor, kept in zip(tensors_in(values), call.keeps, strict=True):
            if kept:
                book.keep(tensor)
        book.peak = max(book.peak, book.live + call.peak)
        book.hold(call.hidden)
        return self._made(call.result)

    def _made(self, described: Any) -> Any:
        if isinstance(described, _Tensor):
            tensor: Any = _Made.apply(self.anchor, described)
            if described.is_kept:
                self.ledger.keep(tensor)
            self.ledger.see(tensor)
            return tensor
        kind, items = described
        if kind == "dict":
            return {key: self._made(item) for key, item in items}
        if kind in (list, tuple):
            return kind(map(self._made, items))
        return items


class _Made(torch.autograd.Function):
    """A tensor of given metadata that came out of a differentiable operation."""

    @staticmethod
    def forward(ctx: Any, anchor: torch.Tensor, described: _Tensor) -> torch.Tensor:
        elements = described.bytes // described.dtype.itemsize
        with _disable_current_modes():
            whole = torch.empty(elements, dtype=described.dtype, device="meta")
            made = whole.as_strided(described.shape, described.stride, described.offset)
        if not described.requires_grad:
            ctx.mark_non_differentiable(made)
        return made


def _state(module: nn.Module) -> Hashable:
    """What freeze plans and ties change in a module: gradients, modes, which tensors are one."""
    parameters = _parameters(module)
    numbers: dict[int, int] = {}
    return (
        tuple(p.requires_grad for p in parameters),
        tuple(numbers.setdefault(id(p), len(numbers)) for p in parameters),
        tuple(m.training for m in module.modules()),
    )


def _parameters(module: nn.Module) -> tuple[nn.Parameter, ...]:
    """By their names: as many as any other module of the kind has."""
    return tuple(p for _, p in module.named_parameters(remove_duplicate=False))
