"""Records one forward pass: what happened in which module, and how much memory was in use."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import _disable_current_modes

from archspec.tracing.limits import MAX_EVENTS, too_many_events

Shapes = tuple[tuple[int, ...], ...]


class Event(NamedTuple):
    """One fact about the module at ``path``.

    ``value`` is a number of multiply-accumulates or bytes, the name of an operation, shapes, or the
    number of rows of a table and an index beyond it. It holds ``times`` times: in that many rounds
    of a loop. "differentiated" are the bytes of the gradients of a function's inputs and outputs,
    weights left out. "backward" are the multiply-accumulates that make an operation's gradients,
    "rerun" those of a checkpointed module that backward runs again.
    """

    path: str
    what: Literal[
        "macs",
        "backward",
        "rerun",
        "kept",
        "anew",
        "recomputed",
        "cached",
        "uncounted",
        "inputs",
        "outputs",
        "beyond",
        "differentiated",
    ]
    value: Any
    times: int = 1


@dataclass
class Run:
    """The totals of one forward pass, by module path.

    Attributes:
        inputs, outputs: shapes of the tensors of the first call.
        calls: number of calls of the module.
        macs: multiply-accumulates of the module's own operations, without children.
        backward_macs: multiply-accumulates of the backward pass, and of what it runs again.
        kept: bytes that the module's own operations save for the backward pass.
        uncounted: operations without a count, with their number.
        peak: maximum bytes of activations at once, with those saved for backward.
        recomputed: maximum bytes that one checkpointed module saves when backward runs it again.
        backward_peak: maximum bytes at once in the backward pass: what the model returned,
            activations that are still needed, gradients of weights so far, and those of the inputs
            and outputs of one function.
        cached: bytes of the keys and values of causal attention.
        beyond: tables that are indexed out of range: number of rows, and the index.
    """

    inputs: dict[str, Shapes] = field(default_factory=dict[str, Shapes])
    outputs: dict[str, Shapes] = field(default_factory=dict[str, Shapes])
    calls: Counter[str] = field(default_factory=Counter[str])
    macs: Counter[str] = field(default_factory=Counter[str])
    backward_macs: int = 0
    kept: Counter[str] = field(default_factory=Counter[str])
    uncounted: Counter[str] = field(default_factory=Counter[str])
    peak: int = 0
    recomputed: int = 0
    backward_peak: int = 0
    cached: int = 0
    beyond: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])


class _Region:
    """One run of a checkpointed module.

    Attributes:
        first: index of its first event.
        needed: weak references to the storages that backward needs.
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
    """Everything that is recorded while a model runs.

    Attributes:
        events: in order.
        live: bytes of activations that are in use; ``peak`` is the maximum so far.
        copies: id of a parameter → its copy in a lower precision, made by autocast.
    """

    def __init__(self, model: nn.Module) -> None:
        self.events: list[Event] = []
        self.live = self.peak = self._held = 0
        self.paths: list[str] = [""]
        self.copies: dict[int, torch.Tensor] = {}
        self._gradients: dict[str, list[tuple[int, int]]] = {}
        self._weights: set[int] = set()
        for path, module in model.named_modules():
            own = [p for p in module._parameters.values() if p is not None]
            if own:
                sizes = [(id(p), p.numel() * p.itemsize) for p in own if p.requires_grad]
                self._gradients[path] = sizes
            buffers = [b for b in module._buffers.values() if b is not None]
            self._weights.update(map(storage_key, (*own, *buffers)))
        self._alive: dict[int, weakref.ref[Any]] = {}
        # The tensors are held: an address is unique only while it is in use.
        self._kept: dict[int, torch.Tensor] = {}
        self._region: _Region | None = None

    def note(self, what: Any, value: Any) -> None:
        self.events.append(Event(self.paths[-1], what, value))

    def note_again(self, events: Sequence[Event], prefix: str, path: str) -> None:
        """Record for the module at ``path`` what was recorded for an equal one at ``prefix``.

        Raises:
            RunLimitExceeded: there are too many events.
        """
        if len(self.events) + len(events) > MAX_EVENTS:
            raise too_many_events()
        self.events += [event._replace(path=path + event.path[len(prefix) :]) for event in events]

    def returned(self, values: Any) -> None:
        """Record what the model returns: its caller holds it during the backward pass."""
        storages = {
            storage_key(tensor): tensor.untyped_storage().nbytes()
            for tensor in tensors_in(values)
            if not self.is_weight(tensor) and not self.is_kept(tensor)
        }
        self._held = sum(storages.values())

    def run(self) -> Run:
        """The totals of all events."""
        totals = Run(peak=self.peak)
        for path, what, value, times in self.events:
            if what == "uncounted":
                totals.uncounted[value] += times
            elif what == "inputs":
                totals.calls[path] += times
                totals.inputs.setdefault(path, value)
            elif what == "outputs":
                totals.outputs.setdefault(path, value)
            elif what == "recomputed":
                totals.recomputed = max(value, totals.recomputed)
            elif what == "cached":
                totals.cached += value * times
            elif what == "beyond":
                totals.beyond[path] = max(value, totals.beyond.get(path, value))
            elif what in ("backward", "rerun"):
                totals.backward_macs += value * times
            elif what in ("macs", "kept"):
                getattr(totals, what)[path] += value * times
        totals.backward_peak = self._backward_peak(totals)
        return totals

    def _backward_peak(self, totals: Run) -> int:
        """The events backwards: what was saved is freed, and gradients of weights are made.

        A module's weights get theirs when its last call is differentiated, with those of modules
        below it that are not called.
        """
        waiting: dict[str, list[tuple[int, int]]] = {}
        for path, tensors in self._gradients.items():
            while path and path not in totals.calls:
                path = path.rpartition(".")[0]
            waiting.setdefault(path, []).extend(tensors)
        saved, made, peak = sum(totals.kept.values()), 0, 0
        done = set[int]()
        for path, what, value, times in reversed(self.events):
            if what == "differentiated":
                peak = max(peak, saved + made + value)
            elif what == "kept":
                saved -= value * times
            elif what == "outputs":
                for key, size in waiting.pop(path, ()):
                    made += 0 if key in done else size
                    done.add(key)
                peak = max(peak, saved + made)
        return peak + totals.recomputed + self._held

    # -------------------------------------------------------------------------------- memory

    def is_weight(self, tensor: torch.Tensor) -> bool:
        return storage_key(tensor) in self._weights

    def is_kept(self, tensor: torch.Tensor) -> bool:
        region = self._region
        return storage_key(tensor) in (self._kept if region is None else region.needed)

    def release(self) -> None:
        """Let go of the tensors that backward needs, when the model has run.

        Through autograd's graph they hold the hook that saves them, and with it this record: a
        circle that no garbage collector sees.
        """
        self._kept.clear()

    @property
    def in_use(self) -> frozenset[int]:
        """The keys of all storages that are alive, but for those of weights."""
        return frozenset(self._alive)

    def keep(self, tensor: torch.Tensor) -> bool:
        """Record that backward needs a tensor; whether its storage is new and not a weight."""
        key, region = storage_key(tensor), self._region
        if self.is_kept(tensor) or key in self._weights:
            return False
        if region is None:
            self._kept[key] = tensor
        else:
            region.add(tensor)
        return True

    def save(self, tensor: torch.Tensor) -> None:
        """Record that autograd saves a tensor for the backward pass.

        Nothing is returned for the graph to hold: where a result is saved, it would hold itself.
        """
        if self.keep(tensor):
            what = "anew" if self.is_recomputed else "kept"
            self.note(what, tensor.untyped_storage().nbytes())

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """While entered, what is recorded is forgotten at the end, but for the peak."""
        saved = self._kept if self._region is None else self._region.needed
        events, kept = len(self.events), len(saved)
        # What autograd saves is in no cycle with its result then, and freed at once.
        with saved_tensors_hooks(self.save, lambda saved: saved):
            yield
        del self.events[events:]
        while len(saved) > kept:
            saved.popitem()

    @property
    def is_recomputed(self) -> bool:
        """Whether the current module is checkpointed: backward runs it again."""
        return self._region is not None

    def enter_checkpoint(self, inputs: Any) -> None:
        """Enter a checkpointed module: only its inputs are saved."""
        self._region = _Region(tensors_in(inputs), len(self.events))

    def leave_checkpoint(self) -> None:
        """Record what is recomputed; if nothing is, the inputs are not saved either."""
        region, self._region = self._region, None
        assert region is not None
        events = self.events[region.first :]
        if anew := sum(event.value * event.times for event in events if event.what == "anew"):
            self.note("recomputed", anew)
            self.note("rerun", sum(e.value * e.times for e in events if e.what == "macs"))
            for tensor in region.inputs:
                if self.keep(tensor):
                    self.note("kept", tensor.untyped_storage().nbytes())

    def see(self, values: Any) -> None:
        """Count the storages of these tensors until they are freed."""
        for tensor in tensors_in(values):
            key = storage_key(tensor)
            if key not in self._alive and key not in self._weights:
                size = tensor.untyped_storage().nbytes()
                self._follow(tensor, size)
                self.hold(size)

    def adopt_copy(self, parameter: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Create the copy of a parameter whose bytes are counted already."""
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
    """The id of a tensor's storage: equal for tensors that share memory."""
    return tensor.untyped_storage()._cdata


def tensors_in(values: Any) -> list[torch.Tensor]:
    """The tensors in a value of nested lists, tuples and mappings."""
    if isinstance(values, torch.Tensor):
        return [values]
    found: list[torch.Tensor] = []
    _add_tensors(values, found)
    return found


def _add_tensors(values: Any, found: list[torch.Tensor]) -> None:
    if isinstance(values, torch.Tensor):
        found.append(values)
    elif isinstance(values, list | tuple):
        for value in values:
            _add_tensors(value, found)
    elif values is None or isinstance(values, int | float | str):
        pass  # most values are; to ask for a mapping takes longer
    elif isinstance(values, dict | Mapping):
        for value in values.values():
            _add_tensors(value, found)


def shapes_in(values: Any) -> Shapes:
    return tuple([tuple(tensor.shape) for tensor in tensors_in(values)])
