"""Groups of items: what they come to, how they are written as Python, and their mistakes."""

from __future__ import annotations

import time
from typing import Any

import pytest
from torch import nn

import archspec
from archspec import SpecError
from archspec.codegen import generate
from tests.tables import every

NESTED = """\
archspec: 1
model: Net
params: {stages: [[2, 8], [1, 16]], deep: true}
dims: {batch: 2}
blocks:
  Cell:
    params: {inp: int, out: int}
    inputs: {x: [batch, $inp]}
    items:
      - {type: Linear, in_features: $inp, out_features: $out}
      - {repeat: "$2 if deep else 0", index: k, carry: {wide: [$out, $wide + k]}, items: [{type: ReLU}, {type: Identity, when: $wide > 8}]}
  Net:
    inputs: {x: [batch, 4]}
    modules:
      body:
        type: Sequential
        items:
          - {type: Linear, in_features: 4, out_features: 4}
          - each: n, c
            in: $stages
            index: i
            carry: {size: [4, $c], seen: [0, $seen + size]}
            items:
              - type: Sequential
                items:
                  - {repeat: $n, index: j, carry: {inner: [$size, $c]}, items: [{type: Cell, inp: $inner, out: $c}, {type: Tanh}]}
              - {type: Cell, repeat: 2, inp: $c, out: $c}
          - {type: Linear, in_features: $size, out_features: $size + seen}
      heads:
        type: ModuleList
        items: [{each: [a], in: "$[1, 2, 3]", items: [{type: Linear, in_features: $size + seen, out_features: $a, when: $a != 2}]}]
      named:
        type: Sequential
        items:
          - {name: first, type: Identity}
          - {repeat: 2, index: i, items: [{name: "a_{i}", type: ReLU}, {name: "b_{i}", type: Tanh, when: $i > 0}]}
    forward:
      - x: named(body(x))
      - for: head in heads
        do: [{y: head(x)}]
      - return: x
"""  # noqa: E501 (an item of a spec stays on its line)


def test_rounds_and_running_values() -> None:
    model = archspec.build(archspec.loads(NESTED), device="meta")
    body = model.get_submodule("body")
    assert isinstance(body, nn.Sequential)
    sizes = [
        (one.in_features, one.out_features) for one in body.modules() if type(one) is nn.Linear
    ]
    assert sizes == [
        (4, 4), (4, 8), (8, 8), (8, 8), (8, 8), (8, 16), (16, 16), (16, 16), (16, 28),
    ]  # fmt: skip
    parts: Any = [*body]
    assert [type(one).__name__ for one in parts[1]] == ["Cell", "Tanh", "Cell", "Tanh"]
    cells = [[type(part).__name__ for part in one] for one in (parts[1][0], parts[5])]
    assert cells[0] == ["Linear", "ReLU", "ReLU"]
    assert cells[1] == ["Linear", "ReLU", "Identity", "ReLU", "Identity"]
    assert [tuple(one.weight.shape) for one in model.get_submodule("heads")] == [(1, 28), (3, 28)]  # pyright: ignore
    assert list(dict(model.get_submodule("named").named_children())) == [
        "first",
        "a_0",
        "a_1",
        "b_1",
    ]


def test_a_dict_of_modules_has_groups() -> None:
    """Its items have names, whether they stand in a mapping or in a list."""
    text = """\
archspec: 1
model: Net
dims: {batch: 2}
blocks:
  Net:
    inputs: {x: [batch, 4]}
    modules:
      heads:
        type: ModuleDict
        items:
          - each: width
            in: [4, 3]
            index: i
            items: [{type: Linear, name: "to_{i}", in_features: 4, out_features: $width}]
          - {type: Tanh, name: last}
    forward:
      - return: last_of(heads['to_1'](x))
    methods:
      last_of: {inputs: {y: [batch, 3]}, forward: [{return: "heads['last'](y)"}]}
"""
    model: Any = archspec.build(archspec.loads(text), device="cpu")
    assert isinstance(model.heads, nn.ModuleDict)
    assert list(model.heads) == ["to_0", "to_1", "last"]
    assert model.heads["to_1"].out_features == 3
    with pytest.raises(SpecError) as caught:
        archspec.loads(text.replace(", name: last", ""))
    assert (
        caught.value.problems[0].message == "some items of this list have a name, this one has none"
    )


def test_the_source_is_a_loop() -> None:
    text = generate(archspec.loads(NESTED)).text
    assert (
        """\
        layers = [nn.Linear(4, 4)]
        size = 4
        seen = 0
        for i, (n, c) in enumerate(config.stages):
            blocks = []
            inner = size
            for j in range(n):
                blocks += [Cell(config, inp=inner, out=c), nn.Tanh()]
                inner = c
            layers.append(nn.Sequential(*blocks))
            layers += [Cell(config, inp=c, out=c) for _ in range(2)]
            size, seen = c, seen + size
        self.body = nn.Sequential(*layers, nn.Linear(size, size + seen))
        self.heads = nn.ModuleList(
            [nn.Linear(size + seen, a) for a in (1, 2, 3) if a != 2]
        )
        layers = OrderedDict()
        layers["first"] = nn.Identity()
        for i in range(2):
            layers[f"a_{i}"] = nn.ReLU()
            if i > 0:
                layers[f"b_{i}"] = nn.Tanh()
        self.named = nn.Sequential(layers)
"""
        in text
    )
    assert (
        """\
        layers = [nn.Linear(inp, out)]
        wide = out
        for k in range(2 if config.deep else 0):
            layers.append(nn.ReLU())
            if wide > 8:
                layers.append(nn.Identity())
            wide = wide + k
        super().__init__(*layers)
"""
        in text
    )


HEAD = """\
archspec: 1
model: Net
params: {xs: [4, 4], ys: [[4, 4], [4, 4]]}
blocks:
  Net:
    inputs: {x: [batch, 4]}
    modules:
      body:
        type: Sequential
        items:
          - """
LINEAR = "items: [{type: Linear, in_features: $c, out_features: 4}]}"
RELU = "items: [{type: ReLU}]}"
MISTAKES = [
    ("{each: a, " + RELU, ("E212", 13, "'each' says what the values 'in' a list are called")),
    ("{each: a, in: $xs, repeat: 2, " + RELU, ("E212", 13, "has either 'repeat' or 'each'")),
    ("{" + RELU, ("E212", 13, "has either 'repeat' or 'each'")),
    ("{each: a, in: $xs}", ("E202", 13, "the key 'items' is missing")),
    ("{each: a, in: $xs, item: [], " + RELU, ("E201", 32, "unknown key 'item'")),
    ("{each: a b, in: $xs, " + RELU, ("E207", 20, "'a b' is not a name")),
    ("{each: [a, b], in: $xs, " + RELU, ("E306", 33, "4 for the 2 names a, b")),
    ("{each: [a, a], in: $ys, " + RELU, ("E207", 20, "'a' is already a name here")),
    ("{each: xs, in: $xs, " + RELU, ("E207", 28, "'xs' is already a name here")),
    ("{each: config, in: $xs, " + RELU, ("E207", 32, "'config' cannot be used as a name")),
    ("{repeat: 2, index: max, " + RELU, ("E207", 25, "'max' cannot be used as a name")),
    ("{repeat: 2, carry: {c: 4}, " + LINEAR, ("E202", 36, "'c' is no running value")),
    ("{repeat: 2, carry: {c: [4, $c, 3]}, " + LINEAR, ("E202", 36, "'c' is no running value")),
    ("{repeat: 2, carry: {c: [$c, 4]}, " + LINEAR, ("E303", 38, "unknown name 'c'")),
    ("{repeat: 2, carry: {c: [4, $b]}, " + LINEAR, ("E303", 41, "unknown name 'b'")),
    ("{repeat: 2, carry: {c: [4, {d: 1}]}, " + LINEAR, ("E205", 40, "a mapping is no value")),
    ("{repeat: 2, carry: {c: ['$zip(xs)', 4]}, " + LINEAR, ("E304", 39, "unknown function 'zip'")),
    ("{each: a, in: 3, " + RELU, ("E202", 27, "'in': expected a list or text")),
    ("{each: a, in: $3, " + RELU, ("E306", 28, "a loop needs a list, not 3")),
    ("{each: a, in: [{b: 1}], " + RELU, ("E205", 28, "a mapping is no value")),
    ("{repeat: $'a', " + RELU, ("E205", 22, "repeat takes an integer of 0 or more")),
    ("{repeat: 2, items: [{type: ReLU, name: a}]}", ("E207", 33, "two items are called 'a'")),
    ("{repeat: 2, index: i, items: [{repeat: 2, index: i, " + RELU + "]}",
     ("E207", 62, "'i' is already a name here")),
    ("{repeat: 2, items: [{type: Relu}]}", ("E206", 40, "no block or layer is called 'Relu'")),
    ("{repeat: 2, items: []}", ("E202", 32, "'items': must not be empty")),
    ("{repeat: 2, items: {a: {type: ReLU}}}", ("E202", 32, "'items': expected a list")),
    ("{type: Linear, each: a, in_features: 4, out_features: 4}", ("E203", 28, "argument 'each'")),
    ("{type: Linear, in_features: $c, out_features: 4}\n          - {repeat: 2, carry: {c: [4, 4]},"
     + RELU, ("E303", 42, "unknown name 'c'")),
]  # fmt: skip


@every("group, expected", MISTAKES)
def test_mistakes_are_told_once(group: str, expected: tuple[str, int, str]) -> None:
    with pytest.raises(SpecError) as caught:
        archspec.loads(HEAD + group)
    code, column, message = expected
    (problem,) = caught.value.problems
    assert problem.place is not None
    assert (problem.code, problem.place.line, problem.place.column) == (code, 11, column), problem
    assert message in problem.message, problem


BOMBS = [
    "{repeat: 20000, " + RELU,
    "{each: a, in: '$range(1000000000)', items: [{type: ReLU, when: false}]}",
    "{repeat: 200, index: i, items: [{repeat: 200, index: j, " + RELU + "]}",
    "{repeat: 9000, items: [{repeat: 9000, items: [{repeat: 0, " + RELU + "]}]}",
]


def test_no_group_hangs() -> None:
    start = time.process_time()
    for bomb in BOMBS:
        with pytest.raises(SpecError) as caught:
            archspec.loads(HEAD + bomb)
        assert [problem.code for problem in caught.value.problems] == ["E401"], bomb
    assert time.process_time() - start < 20


def test_a_class_for_a_block_is_known_when_code_is_made() -> None:
    text = """\
archspec: 1
model: Net
params: {acts: {type: "list[layer]", default: [ReLU, Tanh]}}
blocks:
  Unit:
    params: {act: layer}
    items: [{type: $act}]
  Net:
    inputs: {x: [batch, 4]}
    modules:
      f: {type: Sequential, items: [{each: a, in: $acts, index: i, items: [{type: Unit, act: $a}]}]}
"""
    for wrong in ("$a", "$acts[i]"):
        with pytest.raises(SpecError) as caught:
            archspec.loads(text.replace("act: $a}]", f'act: "{wrong}"}}]'))
        (problem,) = caught.value.problems
        assert (problem.code, problem.message) == ("E302", f"'{wrong[1:]}' cannot choose a class")
        assert str(problem.place) == "<spec>:11:94"
    chosen = "$'ReLU' if i == 0 else acts[1]"
    model = archspec.build(archspec.loads(text.replace("act: $a}]", f'act: "{chosen}"}}]')))
    assert [type(unit).__name__ for unit in model.get_submodule("f.1").children()] == ["Tanh"]
