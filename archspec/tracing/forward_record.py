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

    ``value`` is a number of multiply-accumulates or bytes, the name of an operation, shapes, or
    the rows of a table and the index of one that it lacks.
    """

    path: str
    what: Literal[
        "macs", "kept", "anew", "recomputed", "cached", "uncounted", "inputs", "outputs", "beyond"
    ]
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
        recomputed: most bytes that one checkpointed module keeps when backward runs it again.
        cached: bytes of the keys and values of causal attention.
        beyond: tables that are asked for a row that they lack: their rows, and its index.
    """

    inputs: dict[str, Shapes] = field(default_factory=dict[str, Shapes])
    outputs: dict[str, Shapes] = field(default_factory=dict[str, Shapes])
    calls: Counter[str] = field(default_factory=Counter[str])
    macs: Counter[str] = field(default_factory=Counter[str])
    kept: Counter[str] = field(default_factory=Counter[str])
    uncounted: Counter[str] = field(default_factory=Counter[str])
    peak: int = 0
    recomputed: int = 0
    cached: int = 0
    beyond: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])


class _Region:
    """One run of a checkpointed module.

    Attributes:
        first: the number of its first event.
        needed: storages that backward needs, while they are alive: nothing holds them.
    """

    def __init__(self, inputs: list[torch.Tensor], first: int) -> None:
        self.inputs, self.first = inputs, first
        self.needed: dict[int, weakref.ref[Any]] = {}
        for tensor in inputs:
            self.add(tensor)

    def add(self, tensor: torch.Tensor) -> None:
        key, needed = storage_key(tensor), self.needed

        def freed(reference: object) -> None:
            if needed.get(key) is reference:
                del needed[key]

        needed[key] = weakref.ref(tensor.untyped_storage(), freed)


class ForwardRecord:
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
        self._region: _Region | None = None

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
            elif what == "recomputed":
                found.recomputed = max(value, found.recomputed)
            elif what == "cached":
                found.cached += value
            elif what == "beyond":
                found.beyond[path] = max(value, found.beyond.get(path, value))
            elif what in ("macs", "kept"):
                getattr(found, what)[path] += value
        return found

    # -------------------------------------------------------------------------------- memory

    def is_weight(self, tensor: torch.Tensor) -> bool:
        return storage_key(tensor) in self._weights

    def is_kept(self, tensor: torch.Tensor) -> bool:
        region = self._region
        return storage_key(tensor) in (self._kept if region is None else region.needed)

    def keep(self, tensor: torch.Tensor) -> bool:
        """Note that backward needs a tensor; whether its storage is new, and no weight."""
        key, region = storage_key(tensor), self._region
        if self.is_kept(tensor) or key in self._weights:
            return False
        if region is None:
            self._kept[key] = tensor
        else:
            region.add(tensor)
        return True

    @property
    def is_recomputed(self) -> bool:
        """Whether what runs now is let go, and run once more by backward."""
        return self._region is not None

    def enter_checkpoint(self, inputs: Any) -> None:
        """From now on nothing is kept but these inputs."""
        self._region = _Region(list(tensors_in(inputs)), len(self.events))

    def leave_checkpoint(self) -> None:
        """Note what was let go; without that the inputs need not be kept either."""
        region, self._region = self._region, None
        assert region is not None
        events = self.events[region.first :]
        if anew := sum(event.value for event in events if event.what == "anew"):
            self.note("recomputed", anew)
            for tensor in region.inputs:
                if self.keep(tensor):
                    self.note("kept", tensor.untyped_storage().nbytes())

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
