"""Deltas between two pieces of plain data: ``compare`` finds them, ``apply`` makes the change.

Delta
├── Added, Removed, Replaced   a value as a whole
├── Mapped                     entries of a mapping, and their order where it means something
└── Listed                     items of a list, in order: kept, added, removed or changed
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from archspec.differences.normal_form import is_ordered, normal
from archspec.differences.sequences import aligned
from archspec.lang.yaml import MAX_DEPTH, Path

MIN_SIMILARITY = 0.5
"""Two items of a list that are less similar are one removed and one added."""


@dataclass(frozen=True, slots=True)
class Added:
    value: Any


@dataclass(frozen=True, slots=True)
class Removed:
    value: Any


@dataclass(frozen=True, slots=True)
class Replaced:
    old: Any
    new: Any


@dataclass(frozen=True, slots=True)
class Mapped:
    """Changed entries by key; ``order`` is that of all keys afterwards, if it means something."""

    entries: Mapping[str, Delta]
    order: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Listed:
    """One edit after the other; None keeps an item."""

    edits: tuple[Delta | None, ...]


Delta: TypeAlias = Added | Removed | Replaced | Mapped | Listed


@dataclass(frozen=True, slots=True)
class Misfit:
    """Where data is not what a delta was made for, and what it should be there."""

    path: Path
    expected: str


class DoesNotFit(Exception):
    """A delta does not apply to some data; carries all misfits."""

    def __init__(self, misfits: Sequence[Misfit]) -> None:
        super().__init__(*misfits)
        self.misfits = tuple(misfits)


# ----------------------------------------------------------------------------------------- compare


def compare(old: Any, new: Any, path: Path = ()) -> Delta | None:
    """The delta that makes ``old`` equivalent to ``new``; None if they are equivalent."""
    if normal(old, path) == normal(new, path):
        return None
    if isinstance(old, dict) and isinstance(new, dict):
        return _compare_mappings(cast("dict[str, Any]", old), cast("dict[str, Any]", new), path)
    if _is_sequence(old, path) and _is_sequence(new, path):
        return _compare_lists(cast("list[Any]", old), cast("list[Any]", new), path)
    return Replaced(old, new)


def _compare_mappings(old: dict[str, Any], new: dict[str, Any], path: Path) -> Delta:
    entries: dict[str, Delta] = {}
    for key, value in old.items():
        if key not in new:
            entries[key] = Removed(value)
        elif changed := compare(value, new[key], (*path, key)):
            entries[key] = changed
    entries.update({key: Added(value) for key, value in new.items() if key not in old})
    moved = is_ordered(path, new) and _order_after(old, entries) != list(new)
    return Mapped(entries, tuple(new) if moved else ())


def _order_after(old: Mapping[str, Any], entries: Mapping[str, Delta]) -> list[str]:
    """The order of the keys if the delta has none: added keys go to the end."""
    kept = [key for key in old if not isinstance(entries.get(key), Removed)]
    return kept + [key for key, delta in entries.items() if isinstance(delta, Added)]


def _is_sequence(value: Any, path: Path) -> bool:
    """Whether a list is compared item by item: steps, modules, rules, patterns."""
    if not isinstance(value, list):
        return False
    of_patterns = path[:1] in (("freeze",), ("adapters",), ("checkpoints",))
    of_patterns = of_patterns or path[-1:] == ("match",) or path == ("config", "ignore")
    return of_patterns or all(isinstance(item, dict) for item in cast("list[Any]", value))


def _compare_lists(old: list[Any], new: list[Any], path: Path) -> Delta:
    before = [normal(item, (*path, 0)) for item in old]
    after = [normal(item, (*path, 0)) for item in new]

    tokens = [list(map(_tokens, items)) for items in (old, new)]

    def similarity(i: int, j: int) -> float:
        if before[i] == after[j]:
            return 1.0
        return _similarity(old[i], new[j], tokens[0][i], tokens[1][j])

    edits: list[Delta | None] = []
    for i, j in aligned(before, after, similarity, MIN_SIMILARITY):
        if j is None:
            edits.append(Removed(old[cast("int", i)]))
        elif i is None:
            edits.append(Added(new[j]))
        else:
            edits.append(compare(old[i], new[j], (*path, j)))
    return Listed(tuple(edits))


def _tokens(item: Any) -> Counter[str]:
    """The words and signs of an item, to measure how similar two items are."""
    return Counter(re.findall(r"\w+|[^\w\s]", json.dumps(item)))


def _similarity(old: Any, new: Any, tokens: Counter[str], other: Counter[str]) -> float:
    """From 0 to less than 1; modules and steps of different kinds have nothing in common."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return 0.0
    first, second = cast("dict[str, Any]", old), cast("dict[str, Any]", new)
    if first.get("type") != second.get("type") or ("do" in first) != ("do" in second):
        return 0.0
    share = 0.99 * 2 * (tokens & other).total() / (tokens.total() + other.total())
    if "return" in first and "return" in second:
        return 0.99  # a block has one last step
    return max(share, MIN_SIMILARITY) if "type" in first else share


# ------------------------------------------------------------------------------------------- apply


def apply(delta: Delta | None, old: Any, path: Path = ()) -> Any:
    """``old`` with the change made.

    Raises:
        DoesNotFit: the delta was made for other data.
    """
    misfits: list[Misfit] = []
    made = _Applier(misfits).made(delta, old, path)
    if misfits:
        raise DoesNotFit(misfits)
    return made


class _Applier:
    def __init__(self, misfits: list[Misfit]) -> None:
        self.misfits = misfits

    def made(self, delta: Delta | None, old: Any, path: Path) -> Any:
        match delta:
            case None:
                return old
            case Replaced():
                self.expect(delta.old, old, path)
                return delta.new
            case Mapped() if isinstance(old, dict):
                return self.mapping(delta, cast("dict[str, Any]", old), path)
            case Listed() if isinstance(old, list):
                return self.listing(delta, cast("list[Any]", old), path)
            case _:
                kinds = {"Mapped": "a mapping", "Listed": "a list"}
                self.misfit(path, kinds.get(type(delta).__name__, "a value that is replaced"))
                return old

    def misfit(self, path: Path, expected: str) -> None:
        self.misfits.append(Misfit(path, expected))

    def expect(self, expected: Any, value: Any, path: Path) -> None:
        if normal(expected, path) != normal(value, path):
            self.misfit(path, json.dumps(expected))

    def mapping(self, delta: Mapped, old: dict[str, Any], path: Path) -> dict[str, Any]:
        made = dict(old)
        for key, change in delta.entries.items():
            location = (*path, key)
            match change:
                case Added() if key in made:
                    self.misfit(location, "nothing: it is added")
                case Added():
                    made[key] = change.value
                case _ if key not in made:
                    self.misfit(location, "a value")
                case Removed():
                    self.expect(change.value, made.pop(key), location)
                case _:
                    made[key] = self.made(change, made[key], location)
        if not delta.order:
            return made
        if set(delta.order) != set(made):
            self.misfit(path, f"the keys {', '.join(delta.order)}")
            return made
        return {key: made[key] for key in delta.order}

    def listing(self, delta: Listed, old: list[Any], path: Path) -> list[Any]:
        old_length = sum(not isinstance(edit, Added) for edit in delta.edits)
        if old_length != len(old):
            self.misfit(path, f"a list of {old_length}")
            return old
        rest = iter(old)
        made: list[Any] = []
        for edit in delta.edits:
            location = (*path, len(made))
            match edit:
                case Added():
                    made.append(edit.value)
                case Removed():
                    self.expect(edit.value, next(rest), location)
                case _:
                    made.append(self.made(edit, next(rest), location))
        return made


# -------------------------------------------------------------------------------------------- JSON


def to_data(delta: Delta | None) -> Any:
    """A delta as plain data for JSON; the inverse of ``from_data``."""
    match delta:
        case None:
            return None
        case Added():
            return {"add": delta.value}
        case Removed():
            return {"remove": delta.value}
        case Replaced():
            return {"replace": delta.old, "by": delta.new}
        case Mapped():
            order = {"order": list(delta.order)} if delta.order else {}
            return {"keys": {key: to_data(d) for key, d in delta.entries.items()}, **order}
        case Listed():
            return {"items": [to_data(edit) for edit in delta.edits]}


def from_data(data: Any, depth: int = 0) -> Delta | None:
    """The delta that ``to_data`` wrote.

    Raises:
        ValueError: the data is not a delta.
    """
    if depth > MAX_DEPTH:
        raise ValueError("nested too deeply")
    if data is None:
        return None
    if not isinstance(data, dict):
        raise ValueError("a change is a mapping")
    parts = cast("dict[str, Any]", data)
    constructors: Mapping[frozenset[str], Callable[[], Delta]] = {
        frozenset({"add"}): lambda: Added(_value(parts["add"])),
        frozenset({"remove"}): lambda: Removed(_value(parts["remove"])),
        frozenset({"replace", "by"}): lambda: Replaced(
            _value(parts["replace"]), _value(parts["by"])
        ),
        frozenset({"keys"}): lambda: Mapped(_changes(parts["keys"], depth)),
        frozenset({"keys", "order"}): lambda: Mapped(
            _changes(parts["keys"], depth), _keys(parts["order"])
        ),
        frozenset({"items"}): lambda: Listed(_edits(parts["items"], depth)),
    }
    if (make := constructors.get(frozenset(parts))) is None:
        raise ValueError("a change has the keys add, remove, replace and by, keys, or items")
    return make()


def _value(data: Any) -> Any:
    """Data that is no deeper than a spec may be."""
    level = [data]
    for _ in range(MAX_DEPTH):
        level = [
            item
            for value in level
            if isinstance(value, dict | list)
            for item in (value.values() if isinstance(value, dict) else value)
        ]
    if level:
        raise ValueError("nested too deeply")
    return data


def _changes(data: Any, depth: int) -> dict[str, Delta]:
    if not isinstance(data, dict):
        raise ValueError("keys is a mapping")
    changes = {
        key: from_data(item, depth + 1) for key, item in cast("dict[str, Any]", data).items()
    }
    if None in changes.values():
        raise ValueError("an entry that does not change is left out")
    return cast("dict[str, Delta]", changes)


def _keys(data: Any) -> tuple[str, ...]:
    items = cast("Sequence[Any]", data) if isinstance(data, list) else (None,)
    if not all(isinstance(item, str) for item in items):
        raise ValueError("order is a list of keys")
    return tuple(items)


def _edits(data: Any, depth: int) -> tuple[Delta | None, ...]:
    if not isinstance(data, list):
        raise ValueError("items is a list")
    return tuple(from_data(item, depth + 1) for item in cast("list[Any]", data))
