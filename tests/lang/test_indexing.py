"""Indices of tensors mean what they mean in PyTorch, and those of containers one item each."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import archspec
from archspec import SpecError

TEXT = """\
archspec: 1
model: Net
params: {cut: [0, 2], on: true}
dims: {batch: 3}
blocks:
  Unit:
    params: {n: 1}
    items:
      - {type: Linear, in_features: 4, out_features: 4}
      - {type: ReLU, repeat: $n}
      - {type: Linear, in_features: 4, out_features: 2, when: $on}
      - {type: Tanh}
  Net:
    inputs: {x: [batch, 4, 4]}
    modules:
      unit: {type: Unit}
      units: {type: ModuleDict, items: {a: {type: Unit}}}
    forward: [{return: "EXPRESSION"}]
"""
CUT = (0, 2)
X = torch.arange(48.0).reshape(3, 4, 4)


def built(expression: str) -> Any:
    return archspec.build(archspec.loads(TEXT.replace("EXPRESSION", expression)), device="cpu")


def test_tensors_are_indexed_as_in_pytorch() -> None:
    x = X
    expected = {
        "x[0, 2]": x[0, 2],
        "x[(0, 2)]": x[(0, 2)],
        "x[[0, 2]]": x[[0, 2]],
        "x[:, (0, 2)]": x[:, (0, 2)],
        "x[..., (0, 2), 1:]": x[..., (0, 2), 1:],
        "x[:, ((0, 2), (1, 1))]": x[:, ((0, 2), (1, 1))],
        "x[:, cut]": x[:, CUT],
        "x[tensor(cut)]": x[torch.tensor(CUT)],
    }
    found = {expression: built(expression)(x) for expression in expected}
    assert [e for e, value in expected.items() if not torch.equal(found[e], value)] == []


def test_a_list_alone_is_no_index() -> None:
    with pytest.raises(SpecError) as caught:
        built("x[cut]")
    (problem,) = caught.value.problems
    assert (problem.code, str(problem.place)) == ("E305", "<spec>:18:25")
    assert problem.hint == "[tensor(cut)] selects as many; one element is [cut[0], cut[1]]"


def test_an_item_of_a_container_is_the_one_at_its_number() -> None:
    model = built("x + unit[0].weight + units.a[0].bias")
    expected = X + model.unit[0].weight + model.units["a"][0].bias
    assert torch.equal(model(X), expected)
    assert built("unit[-1](x)")(X).equal(X.tanh())
    # Those behind a repeated one, or one that may be left out, are not known one by one.
    for index, attribute in ((1, "weight"), (2, "weight"), (-1, "bias"), (-2, "weight")):
        with pytest.raises(SpecError) as caught:
            built(f"unit[{index}].{attribute}")
        assert caught.value.problems[0].message == f"no child or parameter '{attribute}'"
