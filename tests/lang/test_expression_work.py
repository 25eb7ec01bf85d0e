"""What expressions and `like` may cost: a spec that would take long is refused at its place."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

import archspec
from archspec import ShapeError, SpecError
from archspec.building import contracts


def net(**more: Any) -> str:
    block = {"inputs": {"x": ["b", 3]}, "forward": [{"return": "x"}], **more.pop("net", {})}
    blocks = {"Net": block, **more.pop("blocks", {})}
    return json.dumps({"archspec": 1, "model": "Net", "blocks": blocks, **more})


def items(*entries: Any) -> dict[str, Any]:
    return {"modules": {"a": {"type": "Sequential", "items": [*entries]}}}


LONG = {"a": "$[0] * 9999"}
CONTRACTS = {f"a{i}": ["b"] for i in range(1_000)}
CHAIN = {f"A{i + 1}": {"inputs": {"like": f"A{i}"}, "forward": []} for i in range(40)}
WASTEFUL = {
    "a loop without an end": net(let={"a": "$[x for x in range(10**18) for y in zip()]"}),
    "many long lists": net(let={**LONG, **{f"b{i}": "$a + [1]" for i in range(500)}}),
    "lists that are thrown away": net(let={**LONG, **{f"b{i}": "$a * 0" for i in range(500)}}),
    "lists of items": net(
        let=LONG,
        net=items({"type": "Dropout", "p": "$0 * len(a * 1)", "repeat": 900, "index": "i"}),
    ),
    "comparisons": net(
        let={**LONG, "c": "$[0] * 9999"},
        net=items({"type": "ReLU", "when": "$a == c", "repeat": 900, "index": "i"}),
    ),
    "lists in lists": net(
        net=items({"repeat": 100, "carry": {"s": [[], "$[s]"]}, "items": [{"type": "ReLU"}]})
    ),
    "arguments of equal items": net(
        net=items({"type": "Dropout", "p": "$0 * len([i for i in range(9000)])", "repeat": 900})
    ),
    "local values of equal blocks": net(
        blocks={"P": {"let": {"l": "$[i for i in range(4000)]"}, "items": [{"type": "ReLU"}]}},
        net=items({"type": "P", "repeat": 900}),
    ),
    "lists for different blocks": net(
        let=LONG,
        blocks={"P": {"params": {"a": "list[int]", "i": "int"}, "items": [{"type": "ReLU"}]}},
        net=items({"type": "P", "a": "$a", "i": "$i", "repeat": 900, "index": "i"}),
    ),
    "running lists": net(
        net=items({"repeat": 3_000, "carry": {"s": [[], "$s + [1]"]}, "items": [{"type": "ReLU"}]})
    ),
}  # fmt: skip


@pytest.mark.parametrize("text", WASTEFUL.values(), ids=WASTEFUL.keys())
def test_wasteful_expressions_are_refused(text: str) -> None:
    with pytest.raises(SpecError) as caught:
        archspec.loads(text)
    assert caught.value.problems[0].code in ("E306", "E307")
    assert caught.value.problems[0].place


def test_round_in_a_step_takes_few_digits() -> None:
    for digits in ("-1000000000", "31", "x.shape[0]"):
        steps = [{"n": f"round(x.shape[1], {digits})"}, {"return": "x * n"}]
        with pytest.raises(SpecError, match="round takes at most 30 digits"):
            archspec.loads(net(net={"forward": steps}))
    steps = [{"n": "round(x.shape[1] / 2, 2)"}, {"return": "x * n"}]
    archspec.build(archspec.loads(net(net={"forward": steps})), device="meta")


def test_numbers_without_a_result_are_told_in_our_words() -> None:
    for step, words in {
        "divisible(x.shape[0], 0)": "a division by zero",
        "1 / (x.shape[1] - 3)": "a division by zero",
        "sqrt(-1)": "the function has no value there",
        "exp(1000)": "it is too large for a float",
        "2.0 ** 100000": "it is too large for a float",
    }.items():
        spec = archspec.loads(net(net={"forward": [{"n": step}, {"return": "x * n"}]}))
        with pytest.raises(ShapeError, match=f"these numbers have no result: {words}") as caught:
            archspec.build(spec, device="meta")
        assert caught.value.problems[0].code == "E512" and caught.value.problems[0].place


def test_contracts_that_are_taken_over_are_counted() -> None:
    first = {"A0": {"inputs": CONTRACTS, "forward": []}}
    with pytest.raises(SpecError, match="like takes over more than 20,000 contracts") as caught:
        archspec.loads(net(blocks={**first, **CHAIN}))
    assert caught.value.problems[0].place


def test_computed_parameters_are_computed_once() -> None:
    names = [f"a{i}" for i in range(60)]
    doubling = {name: f"${before} + {before} - {before}" for before, name in pairwise(names)}
    text = net(params={"a0": 1}, let=doubling, net=items({"type": "Dropout", "p": "$a59 * 0"}))
    archspec.build(archspec.loads(text), device="meta")


def test_sizes_of_equal_blocks_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    computed = list[object]()
    monkeypatch.setattr(contracts, "size_of", lambda *given: computed.append(given) or 3)
    block = {"inputs": {"x": ["b", "$len([i for i in range(3)])"]}, "forward": [{"return": "x"}]}
    modules = items({"type": "P", "repeat": 20})
    steps = {"inputs": {"x": ["b", 3]}, "forward": [{"return": "a(x)"}]}
    text = net(blocks={"P": block}, net={**modules, **steps}, dims={"b": 3})
    archspec.build(archspec.loads(text), device="meta")
    assert 0 < len(computed) < 10
