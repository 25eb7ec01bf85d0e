"""Numbers and lists of a forward are followed before it runs: what may grow, and what may not."""

from __future__ import annotations

import json

import pytest

from archspec.errors import SpecError
from archspec.lang.spec import loads
from tests.tables import every

NET = """\
archspec: 1
model: Net
params: {{n: 3, big: 1000000, xs: [1, 2, 3], label: "a%s", rate: 0.5}}
dims: {{batch: 2, time: 64}}
blocks:
  Down: {{inputs: {{x: [a, b]}}, forward: [{{return: "x, [x, x]"}}]}}
  Pair: {{inputs: {{x: [a, b]}}, forward: [{{y: [x]}}, {{y: "y + [x]"}}, {{return: y}}]}}
  Row:
    inputs: {{x: [a, b]}}
    modules: {{parts: {{type: ModuleList, items: [{{type: ReLU, repeat: 2}}]}}}}
    forward: [{{return: x}}]
  Net:
    params: {{width: 8, own: [4, 5], mixed: null}}
    inputs: {{x: [batch, time], cache: {{shape: [[batch, 3]], length: $n}}}}
    modules:
      down: {{type: Down}}
      pair: {{type: Pair}}
      rows: {{type: ModuleList, items: [{{type: Row, repeat: 60}}]}}
      fc: {{type: ReLU}}
      layers: {{type: ModuleList, items: [{{type: ReLU, repeat: 3}}]}}
      lstm: {{type: LSTM, input_size: 64, hidden_size: 64}}
    forward:
{steps}
      - return: x
"""


def codes(*steps: str) -> list[str]:
    text = NET.format(steps="\n".join(f"      - {{{quoted(step)}}}" for step in steps))
    try:
        loads(text)
    except SpecError as error:
        return [problem.code for problem in error.problems]
    return []


def quoted(step: str) -> str:
    """``y: x[0]`` as YAML."""
    if step.startswith("for:"):
        return step
    key, _, expression = step.partition(": ")
    return f"{json.dumps(key)}: {json.dumps(expression)}"


def loop(iterable: str, *steps: str) -> str:
    inner = ", ".join(f"{{{quoted(step)}}}" for step in steps)
    return f"for: {json.dumps(iterable)}, do: [{inner}]"


FINE = {
    "a power of a parameter": ["y: 2 ** n"],
    "a power with a fraction": ["y: 2 ** (-8 / n)"],
    "a power in a loop": ["y: 1", loop("i in range(12)", "y: y + 2 ** i")],
    "a shift": ["y: 1 << 60"],
    "a counter": ["y: 0", loop("i in range(1000)", "y: y + 1")],
    "a sum of counters": ["y: 0", loop("i in range(200)", "y: y + i * n + x.ndim")],
    "a factor of a tensor": ["y: x", loop("i in range(1000)", "y: y * y + 2 * y")],
    "sizes": ["y: x.shape[0] * x.shape[1] * x.shape[-1]"],
    "a list": ["y: [0] * 1000"],
    "a part of a shape": ["y: x.shape[:-1]"],
    "a list that grows a little": ["y: [0]", loop("i in range(50)", "y: [i, i]")],
    "loops over time and layers": [
        loop("t in range(x.shape[1])", "x: x[:, t]"),
        loop("layer in layers", "x: layer(x)"),
        loop("i, layer in enumerate(layers)", "x: layer(x) * i"),
    ],
    "steps back in time": [loop("t in range(x.shape[1], 0, -1)", "x: x * t")],
    "residuals": ["y: x", loop("layer in layers", "x: layer(x) + y", "y: x + y")],
    "both sides of a choice": ["y: n if training else 2 ** n"],
    "parts of a tensor": ["a, b: chunk(x, 2)", loop("i in range(99)", "a: a + b", "b: a * b")],
    "what an LSTM gives": ["y, h: lstm(x)", loop("i in range(99)", "y: y + y")],
    "comparisons": ["y: (n < 4) + (n > 2)", loop("i in range(99)", "y: y * (i < 3)")],
    "functions of known numbers": [
        "a: 2 ** floor(log2(n))", "b: 2 ** int(log2(n)) + 2 ** round(log2(n)) + 2 ** ceil(sqrt(n))",
        "c: 2 ** min(floor(log2(n)), 10)", "k: floor(exp(rate))",
        "d: 2 ** max(k, abs(-n), sum(xs))",
        "e: 2 ** divisible(n, 8) + 2 ** len(layers) + 2 ** int(float(n))",
        "f: 2 ** -(2 ** -(log2(n) - 3)) + 2 ** floor(2.5)",
    ],
    "functions of sizes": ["k: floor(log2(x.shape[1]))", "y: 2 ** k + 3 ** int(sqrt(x.shape[1]))"],
    "parts of sizes": [
        "k: int(rate * log(x.shape[1]) / 2)", "m: int(x.shape[1] * (1 - rate))",
        "y: 2 ** floor(x.shape[1] / 2)",
        loop("i in range(k + m)", "x: x * rate"),
    ],
    "a float in a loop": ["y: 1.0", loop("i in range(9999)", "y: y * 2.0 + rate")],
    "a choice that is known": ["y: x if n < 9 else 2 ** (big * big)"],
    "lists of blocks": ["y: [x]", loop("i in range(900)", "x, more: down(x)", "y: y + more")],
    "lists of one block": ["y: (x,)", loop("i in range(900)", "y: y + pair(x)")],
    "states of layers": ["y: (x,)", loop("i in range(900)", "y: y + (fc(x),)")],
    "a list that is an input": ["y: [x]", loop("i in range(900)", "y: y + cache")],
    "loops over modules of modules": [
        loop("a in rows", loop("b in a.parts", loop("c in a.parts", "x: b(c(x))")))
    ],
    "a remainder": ["y: 0", loop("i in range(9999)", "y: (y * y + 1) % 97")],
}  # fmt: skip

NOT_FINE = {
    "a power of powers": ["y: n ** n ** n ** n ** n"],
    "a power of a product": ["y: 2 ** (big * big)"],
    "a power of a size": ["y: 2 ** (x.shape[0] ** 3)"],
    "squares": ["y: 2", loop("i in range(99)", "y: y * y")],
    "squares in turns": ["y: 2", "z: 3", loop("i in range(99)", "y: y * z", "z: y * z")],
    "doubling": ["y: 2", loop("i in range(9999)", "y: y + y")],
    "shifts": ["y: 2", loop("i in range(9999)", "y: y << 60")],
    "doubling a list": ["y: [0]", loop("i in range(99)", "y: y + y")],
    "adding to a list": ["y: [0]", loop("i in range(99999)", "y: y + [0, 0]")],
    "lists of lists": ["y: [0, 0]", loop("i in range(40)", "y: [y, y]")],
    "a long list": ["y: [0] * big"],
    "a longer list": ["y: xs * big"],
    "an own list": ["y: own * 100000"],
    "a long shape": ["y: x.shape * big"],
    "a long text": ["y: label * big"],
    "parts of a tensor": ["y: split(x, 1)", loop("i in range(40)", "y: y + y")],
    "what an LSTM gives": ["y: lstm(x)", loop("i in range(40)", "y: y + y")],
    "a formatted text": ["y: label % n"],
    "a formatted item": ["y: [label][0] % n"],
    "a formatted choice": ["y: (label if training else 3) % n"],
    "an argument": ["y: fc(x * 10 ** 10 ** 10)"],
    "an index": ["y: x[10 ** 10 ** 10]"],
    "a slice": ["y: x[:10 ** 10 ** 10]"],
    "a comparison": ["y: 10 ** 10 ** 10 == 3"],
    "a condition": ["y: x if 10 ** 10 ** 10 else x"],
    "a keyword": ["y: sum(x, dim=10 ** 10 ** 10)"],
    "a negation": ["y: -(10 ** 10 ** 10)"],
    "a power of a function of sizes": ["y: 2 ** (2 ** floor(log2(x.shape[1])) ** 3)"],
    "a power of an unknown function": ["y: 2 ** floor(x.shape[1] / rate)"],
    "a power of a changing number": ["k: 1", loop("i in range(99)", "y: 2 ** k", "k: k * 3")],
    "doubling what a block gives": ["y: pair(x)", loop("i in range(40)", "y: y + y")],
    "a loop": [loop("i in range(10 ** 10)", "x: x + 1")],
    "a loop to infinity": [loop("i in range(2 ** 4000)", "x: x + 1")],
    "loops in loops": [
        loop("i in range(999)", loop("j in range(999)", "x: x + 1"))
    ],
}  # fmt: skip


@every("steps", FINE.values())
def test_what_stays_small_is_fine(steps: list[str]) -> None:
    assert codes(*steps) == []


@every("steps", NOT_FINE.values())
def test_what_could_grow_without_bound_is_refused(steps: list[str]) -> None:
    assert codes(*steps) == ["E307"]


def chain(length: int, step: str) -> str:
    """Blocks that each call the next one, the last of which calls a layer."""
    blocks = "\n".join(
        f"  A{i}: {{inputs: {{x: [b, 3]}}, modules: {{a: {{type: {inner}}}}}, forward: [{step}]}}"
        for i, inner in enumerate([*(f"A{i + 1}" for i in range(length)), "ReLU"])
    )
    net = "inputs: {x: [batch, 3]}, modules: {a: {type: A0}}, forward: [{return: a(x)}]"
    return f"archspec: 1\nmodel: Net\nblocks:\n  Net: {{{net}}}\n{blocks}"


TWICE = "{return: 'a(a(x))'}"
LOOP = "{for: i in range(1000), do: [{x: a(x)}]}, {return: x}"
STEPS = {
    # name: (spec, the line and the number that are told; None if it is few enough)
    "calls 2^10": (chain(9, TWICE), None),
    "calls 2^40": (chain(39, TWICE), (26, "1,572,862")),
    "a loop": (chain(0, LOOP), None),
    "loops of loops": (chain(5, LOOP), (9, "2,004,002")),
}


@pytest.mark.parametrize(("text", "expected"), STEPS.values(), ids=STEPS)
def test_the_steps_of_a_run_are_counted_before_it(
    text: str, expected: tuple[int, str] | None
) -> None:
    problems: list[tuple[str, int, str]] = []
    try:
        loads(text)
    except SpecError as error:
        problems = [(p.code, p.place.line, p.message) for p in error.problems if p.place]
    if expected is None:
        assert problems == []
    else:
        ((code, line, message),) = problems
        assert (code, line) == ("E307", expected[0])
        assert f"carries out {expected[1]} steps or more" in message


def test_what_init_rules_fill_is_counted() -> None:
    head = """archspec: 1
model: Net
blocks:
  Net:
    inputs: {x: [batch, 3]}
    modules:
      fc: {type: Sequential, items: [{type: Linear, in_features: 3, out_features: 3, repeat: 100}]}
init:
"""
    rule = "  - {match: '**.@Linear', weight: zeros_}\n"
    loads(head + rule * 500)
    with pytest.raises(SpecError) as caught:
        loads(head + rule * 502)
    (problem,) = caught.value.problems
    assert problem.place is not None and (problem.code, problem.place.line) == ("E401", 8 + 501)
    assert problem.message == "the rules up to this one fill 50,100 tensors"


def test_the_hint_for_a_module_that_is_left_out_holds() -> None:
    text = """archspec: 1
model: Net
blocks:
  Inner:
    params: {{on: false}}
    inputs: {{x: [b]}}
    modules: {{gate: {{type: ReLU, when: $on}}}}
    forward: [{{return: x}}]
  Net:
    params: {{on: false, gate: false}}
    {let}
    inputs: {{x: [b]}}
    modules:
      f: {{type: ReLU, when: $on}}
      gate: {{type: ReLU, when: $gate}}
      inner: {{type: Inner}}
    forward: [{{return: {step}}}]
"""
    bad: list[tuple[str, str]] = []
    for step, hint in {
        "f(x)": "use it under the same condition: … if on else …",
        "gate(x)": "let: {has_gate: $gate} in this block, then … if has_gate else …",
        "inner.gate(x)": "use it in a step of Inner, or make it a Sequential, which 'when' empties",
    }.items():
        with pytest.raises(SpecError) as caught:
            loads(text.format(let="", step=step))
        if [problem.hint for problem in caught.value.problems] != [hint]:
            bad.append((step, caught.value.problems[0].hint))
    assert not bad
    loads(text.format(let="", step="f(x) if on else x"))
    loads(text.format(let="let: {has_gate: $gate}", step="gate(x) if has_gate else x"))


def test_dims_without_elements_bound_no_number_to_nothing() -> None:
    """A call is followed with the largest size of an input, which may be 0."""
    text = NET.format(steps="      - x, parts: down(x)")
    none = text.replace("dims: {batch: 2, time: 64}", "dims: {batch: 0, time: 0}")
    assert none != text
    loads(none)
