"""Deltas: applied to the old they give the new; applied to anything else they say so."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archspec.differences.deltas import (
    Added,
    Delta,
    DoesNotFit,
    Listed,
    Mapped,
    Misfit,
    Removed,
    Replaced,
    apply,
    compare,
    from_data,
    to_data,
)
from archspec.differences.normal_form import normal

NAMES = st.sampled_from(["a", "b", "modules", "items", "forward", "type", "return", "default"])
NUMBERS = st.integers(-3, 3) | st.sampled_from([0.0, 1.0, 0.5])
SCALARS = st.none() | st.booleans() | NUMBERS | st.text(max_size=3)
DATA = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=20,
)
PATHS = st.sampled_from([(), ("blocks", "B"), ("blocks", "B", "modules"), ("freeze", "p")])


@given(old=DATA, new=DATA, path=PATHS)
def test_a_delta_makes_the_new_of_the_old(old: Any, new: Any, path: tuple[Any, ...]) -> None:
    delta = compare(old, new, path)
    assert normal(apply(delta, old, path), path) == normal(new, path)
    assert (delta is None) == (normal(old, path) == normal(new, path))


@given(old=DATA, new=DATA, path=PATHS)
def test_a_delta_survives_json(old: Any, new: Any, path: tuple[Any, ...]) -> None:
    delta = compare(old, new, path)
    assert from_data(json.loads(json.dumps(to_data(delta)))) == delta


@given(old=DATA, new=DATA, other=DATA, path=PATHS)
def test_a_delta_fits_or_says_that_it_does_not(
    old: Any, new: Any, other: Any, path: tuple[Any, ...]
) -> None:
    misfits: tuple[Misfit, ...] = ()
    try:
        apply(compare(old, new, path), other, path)
    except DoesNotFit as error:
        misfits = error.misfits
    assert all(misfit.path[: len(path)] == path and misfit.expected for misfit in misfits)


@pytest.mark.parametrize(
    ("old", "new", "path", "delta"),
    [
        (1, 1, (), None),
        (1, True, (), Replaced(1, True)),
        (1, 1.0, (), Replaced(1, 1.0)),
        ({"a": 1}, {"b": 1}, (), Mapped({"a": Removed(1), "b": Added(1)})),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, (), None),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, ("blocks", "B", "modules"), Mapped({}, ("b", "a"))),
        ([1, 2], [1, 3], ("blocks",), Replaced([1, 2], [1, 3])),
        (["x", "y"], ["x", "!z", "y"], ("freeze", "p"), Listed((None, Added("!z"), None))),
        (
            [{"y": "f(x)"}, {"return": "y"}],
            [{"return": "g(x)"}],
            ("blocks", "B", "forward"),
            Listed((Removed({"y": "f(x)"}), Mapped({"return": Replaced("y", "g(x)")}))),
        ),
        (
            [{"type": "A", "n": 1}, {"type": "B"}],
            [{"type": "C"}, {"type": "A", "n": 2}, {"type": "B"}],
            ("blocks", "B", "modules", "m", "items"),
            Listed((Added({"type": "C"}), Mapped({"n": Replaced(1, 2)}), None)),
        ),
    ],
)
def test_what_a_delta_is(old: Any, new: Any, path: tuple[Any, ...], delta: Delta | None) -> None:
    assert compare(old, new, path) == delta


@pytest.mark.parametrize(
    ("delta", "data", "path", "expected"),
    [
        (Mapped({"a": Replaced(1, 2)}), {"a": 3}, ("a",), "1"),
        (Mapped({"a": Replaced(1, 2)}), {}, ("a",), "a value"),
        (Mapped({"a": Added(1)}), {"a": 1}, ("a",), "nothing: it is added"),
        (Mapped({"a": Removed(1)}), {"a": 2}, ("a",), "1"),
        (Mapped({"a": Mapped({"b": Added(1)})}), {"a": [1]}, ("a",), "a mapping"),
        (Mapped({}, ("b", "a")), {"a": 1}, (), "the keys b, a"),
        (Listed((None, Removed(2))), [1, 3], (1,), "2"),
        (Listed((None, Removed(2))), [1], (), "a list of 2"),
        (Added(1), 1, (), "a value that is replaced"),
    ],
)
def test_a_misfit_says_where_and_what(
    delta: Delta, data: Any, path: tuple[Any, ...], expected: str
) -> None:
    with pytest.raises(DoesNotFit) as caught:
        apply(delta, data)
    assert caught.value.misfits == (Misfit(path, expected),)


def test_all_misfits_are_told() -> None:
    delta = Mapped({"a": Replaced(1, 2), "b": Added(3), "c": Mapped({"d": Removed(1)})})
    with pytest.raises(DoesNotFit) as caught:
        apply(delta, {"a": 0, "b": 0, "c": {}})
    assert [misfit.path for misfit in caught.value.misfits] == [("a",), ("b",), ("c", "d")]


@pytest.mark.parametrize(
    "data",
    [1, [], {}, {"add": 1, "remove": 2}, {"keys": []}, {"keys": {"a": None}}, {"items": {}},
     {"keys": {}, "order": [1]}, {"keys": {}, "order": "ab"}, {"replace": 1}, {"items": [1]}],
)  # fmt: skip
def test_what_is_no_delta(data: Any) -> None:
    with pytest.raises(ValueError, match=r"change|keys|order|items|entry"):
        from_data(data)


@given(DATA)
def test_any_data_is_a_delta_or_is_refused(data: Any) -> None:
    with contextlib.suppress(ValueError):
        assert to_data(from_data(data)) == data
