"""The book of one forward pass: what happened in which module, and which memory is alive."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import torch
from torch import nn
from torch.utils._python_dispatch import _disable_current_modes

from archspec.tracing.limits import MAX_EVENTS, too_many_events

Shapes = tuple[tuple[int, ...], ...]


class Event(NamedTuple):
    """One fact about the module at ``path``.

    ``value`` is a number of multiply-accumulates or bytes, the name of an operation, or shapes.
    """

    path: str
    what: Literal["macs", "kept", "uncounted", "inputs", "outputs"]
    value: Any


@dataclass
class Run:
    """What one forward pass showed, by module path.

    Attributes:
        inputs, outputs: shapes of the tensors that go in and come out, of the first call.
        calls: how often the module was called.
        macs: multiply-accumulates of the module's own operations, children left out.
        kept: bytes that the module's own operations keep for the backward pass.
        uncounted: operations without a count, with how often they occur.
        peak: most bytes of activations alive at once, those kept included.
    """

    inputs: dict[str, Shapes] = field(default_factory=dict[str, Shapes])
    outputs: dict[str, Shapes] = field(default_factory=dict[str, Shapes])
    calls: Counter[str] = field(default_factory=Counter[str])
    macs: Counter[str] = field(default_factory=Counter[str])
    kept: Counter[str] = field(default_factory=Counter[str])
    uncounted: Counter[str] = field(default_factory=Counter[str])
    peak: int = 0


class Ledger:
    """Everything that is noted while a model runs.

    Attributes:
        events: what happened, in order.
        live: bytes of activations that are alive now; ``peak`` is the most so far.
        copies: id of a parameter → the copy in a lower precision that autocast has made of it.
    """

    def __init__(self, model: nn.Module) -> None:
        self.events: list[Event] = []
        self.live = self.peak = 0
        self.paths: list[str] = [""]
        self.copies: dict[int, torch.Tensor] = {}
        tensors = (*model.parameters(), *model.buffers())
        self._weights = {storage_key(tensor) for tensor in tensors}
        self._alive: dict[int, weakref.ref[Any]] = {}
        self._kept: dict[int, torch.Tensor] = {}  # an address says something only while in use

    def note(self, what: Any, value: Any) -> None:
        self.events.append(Event(self.paths[-1], what, value))

    def note_again(self, events: Sequence[Event], prefix: str, path: str) -> None:
        """Note of the module at ``path`` what was noted of an equal one at ``prefix``.

        Raises:
            RunLimitExceeded: there is too much to note.
        """
        if len(self.events) + len(events) > MAX_EVENTS:
            raise too_many_events()
        self.events += [Event(path + at[len(prefix) :], what, value) for at, what, value in events]

    def run(self) -> Run:
        """All that was noted, added up."""
        found = Run(peak=self.peak)
        for path, what, value in self.events:
            if what == "uncounted":
                found.uncounted[value] += 1
            elif what == "inputs":
                found.calls[path] += 1
                found.inputs.setdefault(path, value)
            elif what == "outputs":
                found.outputs.setdefault(path, value)
            else:
                getattr(found, what)[path] += value
        return found

    # -------------------------------------------------------------------------------- memory

    def is_weight(self, tensor: torch.Tensor) -> bool:
        return storage_key(tensor) in self._weights

    def is_kept(self, tensor: torch.Tensor) -> bool:
        return storage_key(tensor) in self._kept

    def keep(self, tensor: torch.Tensor) -> bool:
        """Note that backward needs a tensor; whether its storage is new, and no weight."""
        key = storage_key(tensor)
        if key in self._kept or key in self._weights:
            return False
        self._kept[key] = tensor
        return True

    def see(self, values: Any) -> None:
        """Follow the storages of these tensors until they are freed."""
        for tensor in tensors_in(values):
            key = storage_key(tensor)
            if key not in self._alive and key not in self._weights:
                size = tensor.untyped_storage().nbytes()
                self._follow(tensor, size)
                self.hold(size)

    def adopt_copy(self, parameter: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Make the copy of a parameter whose bytes are held already, and note no other."""
        with _disable_current_modes():
            copy = self.copies[id(parameter)] = parameter.to(dtype)
        self._follow(copy, 0)
        return copy

    def _follow(self, tensor: torch.Tensor, size: int) -> None:
        key, storage = storage_key(tensor), tensor.untyped_storage()
        self._alive[key] = weakref.ref(storage, self._freed(key, size))

    def hold(self, size: int) -> None:
        self.live += size
        self.peak = max(self.peak, self.live)

    def _freed(self, key: int, size: int) -> Any:
        def callback(reference: object) -> None:
            if self._alive.get(key) is reference:
                del self._alive[key]
            self.live -= size

        return callback


def storage_key(tensor: torch.Tensor) -> int:
    """What two tensors have in common that share memory."""
    return tensor.untyped_storage()._cdata


def tensors_in(values: Any) -> Iterator[torch.Tensor]:
    """The tensors in a value, however lists, tuples and mappings are nested."""
    if isinstance(values, torch.Tensor):
        yield values
    elif isinstance(values, Mapping):
        for value in values.values():
            yield from tensors_in(value)
    elif isinstance(values, list | tuple):
        for value in values:
            yield from tensors_in(value)


def shapes_in(values: Any) -> Shapes:
    return tuple(tuple(tensor.shape) for tensor in tensors_in(values))
