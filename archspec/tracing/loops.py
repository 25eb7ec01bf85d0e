"""Loops over ``range`` in constant work: after rounds that are alike, the others are not run.

Two rounds are alike if they carry out the same operations on tensors of the same shapes, and leave
variables behind that differ in nothing but their values, and lists that grow by the same items. The
number of a round may be an index or a value; where it decides something (a condition, a size), all
rounds are run. The last round is, too: an index that is too large is found there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import FrameType
from typing import Any, cast

import torch

from archspec.tracing.forward_record import Event, ForwardRecord, storage_key
from archspec.tracing.meta_run import MetaRun, rounds_by
from archspec.tracing.repeats import stand_in

_LOOKED_AT = 6  # rounds, until two are alike
_MIN_ROUNDS = 8  # fewer are not worth the overhead


@dataclass(frozen=True, slots=True)
class _Round:
    """What one round did.

    Attributes:
        variables: the forward's variables after it, by name, as far as they can be compared.
        lists: those that are lists.
        grown: name of each list that grew → descriptions of the new items.
        older: the storages that were in use before it.
        growth: bytes in use at its end, beyond those at its start.
        peak: the same at most.
    """

    operations: tuple[Any, ...]
    events: tuple[Event, ...]
    variables: Mapping[str, Any]
    lists: Mapping[str, list[Any]]
    grown: Mapping[str, tuple[Any, ...] | None]
    older: frozenset[int]
    growth: int
    peak: int

    def is_like(self, other: _Round) -> bool:
        return (
            None not in self.grown.values()
            and self.operations == other.operations
            and self.events == other.events
            and self.variables == other.variables
            and self.grown == other.grown
            and self.growth == other.growth
        )


def short_loops(record: ForwardRecord) -> AbstractContextManager[None]:
    """While entered, only some rounds of a ``range`` loop are run, and recorded for the others."""

    def rounds(numbers: range, run: MetaRun, frame: FrameType) -> Iterator[int]:
        before: _Round | None = None
        for position, number in enumerate(numbers):
            run.add(1)
            rest = len(numbers) - position - 2  # without the last one
            if position >= _LOOKED_AT or len(numbers) < _MIN_ROUNDS or rest < 1:
                yield number
                continue
            counter = _Counter(number)
            first, live, outer_peak = len(record.events), record.live, record.peak
            older = record.in_use
            outer, run.watched, record.peak = run.watched, [], live
            yield counter
            names_and_values = _described(frame, counter, before)
            this = _Round(
                tuple(run.watched),
                tuple(record.events[first:]),
                *names_and_values,
                older,
                growth=record.live - live,
                peak=record.peak - live,
            )
            record.peak = max(outer_peak, record.peak)
            run.watched = None if outer is None else [*outer, *run.watched]
            if before is not None and this.is_like(before) and not counter.decides:
                _skip(this, rest, record)
                run.add(1)
                yield numbers[-1]
                return
            before = this

    return rounds_by(rounds)


def _skip(one: _Round, times: int, record: ForwardRecord) -> None:
    """Record ``times`` more rounds like ``one``, and let lists grow as in them."""
    record.events += [event._replace(times=event.times * times) for event in one.events]
    new = {
        name: found[len(found) - len(one.grown[name] or ()) :] for name, found in one.lists.items()
    }
    fresh = {
        storage_key(item): item.untyped_storage().nbytes()
        for items in new.values()
        for item in items
        if isinstance(item, torch.Tensor)
        and storage_key(item) not in one.older
        and not (record.is_kept(item) or record.is_weight(item))
    }
    record.hold(max(0, one.growth - sum(fresh.values())) * times)
    extended = set[int]()
    for name, items in new.items():
        if items and id(one.lists[name]) not in extended:
            extended.add(id(one.lists[name]))
            alike = [
                stand_in(item, times, record)
                if isinstance(item, torch.Tensor) and storage_key(item) in fresh
                else item
                for item in items
            ]
            one.lists[name].extend(alike * times)
    record.peak = max(record.peak, record.live + one.peak - one.growth)


# --------------------------------------------------------------------------------------- variables


def _described(
    frame: FrameType, counter: _Counter, before: _Round | None
) -> tuple[dict[str, Any], dict[str, list[Any]], dict[str, tuple[Any, ...] | None]]:
    """The variables of a forward, its lists, and what these have grown by in this round."""
    found = frame.f_locals
    variables: dict[str, Any] = {}
    lists: dict[str, list[Any]] = {}
    grown: dict[str, tuple[Any, ...] | None] = {}
    for name, value in found.items():
        if value is counter:
            continue
        if isinstance(value, list):
            lists[name] = items = cast("list[Any]", value)
            grown[name] = _growth(items, before.lists.get(name) if before else None)
        else:
            variables[name] = _description(value)
    if type(found) is dict:  # a copy, which would keep what the next round lets go of
        found.clear()
    return variables, lists, grown


def _growth(items: list[Any], before: list[Any] | None) -> tuple[Any, ...] | None:
    """Descriptions of the items that are new; None if that is not all that has changed."""
    if before is None or len(items) < len(before):
        return None
    if any(old is not new for old, new in zip(before, items, strict=False)):
        return None
    return tuple(map(_description, items[len(before) :]))


def _description(value: Any) -> Any:
    """Everything about a value that the rest of a run on ``meta`` depends on."""
    if isinstance(value, torch.Tensor):
        return (tuple(value.shape), value.stride(), value.dtype, value.requires_grad)
    if isinstance(value, tuple):
        return tuple(map(_description, cast("tuple[Any, ...]", value)))
    if value is None or isinstance(value, bool | int | float | str | torch.dtype):
        return (type(value), value)
    return id(value)


class _Counter(int):
    """The number of a round, which takes note of being asked for more than its value."""

    decides = False

    def __hash__(self) -> int:
        return int.__hash__(self)


def _deciding(name: str) -> Callable[..., Any]:
    own = getattr(int, name)

    def method(self: _Counter, *others: Any) -> Any:
        self.decides = True
        return own(self, *others)

    return method


def _passing_on(name: str) -> Callable[..., Any]:
    """A sum or product is a number that decides nothing either, as long as nobody asks."""
    own = getattr(int, name)

    def method(self: _Counter, other: Any) -> Any:
        result = own(self, other)
        if isinstance(other, float):
            self.decides = True  # a float is followed no further
        if result is NotImplemented:
            return result
        return _Derived(result, self)

    return method


class _Derived(_Counter):
    """A number that was computed from a counter."""

    source: _Counter

    def __new__(cls, value: int, source: _Counter) -> _Derived:
        made = super().__new__(cls, value)
        made.source = source
        return made

    @property
    def decides(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.source.decides

    @decides.setter
    def decides(self, value: bool) -> None:
        self.source.decides = value


for _name in "eq ne lt le gt ge bool floordiv rfloordiv mod rmod truediv rtruediv pow rpow".split():
    setattr(_Counter, f"__{_name}__", _deciding(f"__{_name}__"))
for _name in "lshift rlshift rshift rrshift and rand or ror xor rxor abs float round".split():
    setattr(_Counter, f"__{_name}__", _deciding(f"__{_name}__"))
for _name in "add radd sub rsub mul rmul".split():
    setattr(_Counter, f"__{_name}__", _passing_on(f"__{_name}__"))
