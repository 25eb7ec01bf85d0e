"""Methods of a block beside forward."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import archspec
from archspec import ShapeError

TEXT = """
archspec: 1
model: Net
dims: {batch: 2, n: 3}
params: {width: 4}
blocks:
  Part:
    inputs: {x: [batch, $width]}
    outputs: {y: [batch, $width]}
    modules: {fc: {type: Linear, in_features: $width, out_features: $width}}
    methods:
      twice: [{return: fc(fc(x))}]
      scaled:
        inputs: {z: [batch, n], by: {dtype: float, default: 2.0, keyword: true}}
        outputs: {out: [batch, n]}
        forward: [{return: z * by}]
    forward: [{return: twice(x)}]
  Net:
    inputs: {x: [batch, $width]}
    modules:
      part: {type: Part}
      parts: {type: ModuleList, items: [{type: Part, repeat: 3}]}
    methods: {encode: [{return: relu(part.twice(x))}]}
    forward:
      - for: part_i in parts
        do: [{x: "part_i.twice(x) + part_i.scaled(x, by=1.0)"}]
      - return: encode(x)
"""


def built(text: str, **options: Any) -> Any:
    return archspec.build(archspec.loads(text), **{"device": "cpu", "seed": 0, **options})


def test_methods_are_called_from_python_and_from_blocks() -> None:
    model, x = built(TEXT), torch.randn(2, 4)
    fc = model.part.fc
    assert torch.equal(model.encode(x), fc(fc(x)).relu())
    assert torch.equal(model.part(x), model.part.twice(x))
    assert torch.equal(model.part.scaled(x), 2 * x)
    y = x
    for part in model.parts:
        y = part.fc(part.fc(y)) + y
    assert torch.equal(model(x), model.encode(y))
    assert archspec.inspect(archspec.loads(TEXT)).macs.value == 2 * 16 * 8
    assert "step" not in model.state_dict()


def test_the_contracts_of_a_method_are_checked() -> None:
    with pytest.raises(ShapeError) as caught:
        built(TEXT.replace("{out: [batch, n]}", "{out: [batch, $2 * n]}"))
    (problem,) = caught.value.problems
    assert problem.code == "E511" and problem.place and problem.place.line == 16
    assert problem.message.startswith("Part.scaled's output 'out' has the shape [batch=2, ")
    assert any("in Net.forward, step 1.1" in str(note) for note in problem.notes)


def test_a_failing_step_of_a_method_is_placed() -> None:
    with pytest.raises(ShapeError) as caught:
        built(TEXT.replace("relu(part.twice(x))", "'part.fc.weight[1:] @ part.twice(x)'"))
    (problem,) = caught.value.problems
    assert problem.place and problem.place.line == 23
    assert any("in Net.encode, step 1" in str(note) for note in problem.notes)
