"""Blocks with items: each is a Sequential of its own class."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import nn

import archspec
from archspec.errors import ArchspecError
from tests.tables import every

SPEC = """\
archspec: 1
model: Net
dims: {batch: 2, h: 8}
blocks:
  ConvNormAct:
    params:
      planes: int
      out: int
      act: true
      pad: {type: int, nullable: true, default: null}
    inputs: {x: [batch, $planes, h, h]}
    outputs: {y: [batch, $out, h, h]}
    items:
      - {type: Conv2d, in_channels: $planes, out_channels: $out, kernel_size: 1, when: $pad is None}
      - {type: BatchNorm2d, num_features: $out}
      - {type: ReLU, when: $act}
  Named:
    params: {n: 2}
    items:
      first: {type: ReLU}
      more: {type: Identity, repeat: $n, index: i, name: "more_{i}"}
  Net:
    inputs: {x: [batch, 3, h, h]}
    modules:
      features: {type: ConvNormAct, planes: 3, out: 4}
      short: {type: ConvNormAct, planes: 4, out: 4, act: false, pad: 1}
      named: {type: Named}
      tail: {type: Sequential, items: [{type: ConvNormAct, planes: 4, out: 4}, {type: Named, n: 1}]}
      acts:
        type: Sequential
        items:
          - {type: ReLU, name: relu}
          - {type: Identity, repeat: 2, index: i, name: "same_{i}"}
    forward:
      - y: features[0](x)
      - y: short(features[-1](y))
      - {for: layer in named, do: [{y: layer(y)}]}
      - return: acts.relu(tail(named(acts.same_1(named.first(y)))))
freeze: {some: ["features[0]", short.0, "@Named", "tail[0].1"]}
tie: {tail.0.1.bias: short.0.bias}
"""


def test_a_block_with_items_is_a_sequential() -> None:
    model: Any = archspec.build(archspec.loads(SPEC), device="cpu", freeze="some")
    assert (
        isinstance(model.features, nn.Sequential) and type(model.features).__name__ == "ConvNormAct"
    )
    assert [name for name, _ in model.named_parameters(remove_duplicate=False)] == [
        *("features.0.weight", "features.0.bias", "features.1.weight", "features.1.bias"),
        *("short.0.weight", "short.0.bias"),
        *("tail.0.0.weight", "tail.0.0.bias", "tail.0.1.weight", "tail.0.1.bias"),
    ]
    assert [*model.get_submodule("named")._modules] == ["first", "more_0", "more_1"]
    assert model.get_parameter("tail.0.1.bias") is model.get_parameter("short.0.bias")
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert trained == ["features.1.weight", "features.1.bias", "tail.0.0.weight", "tail.0.0.bias"]
    x = torch.rand(2, 3, 8, 8)
    model.eval()
    with torch.no_grad():
        y = torch.relu(model.features[0](x))
        expected = model.tail(torch.relu(model.short(y)))
        for one in (model, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert torch.equal(one(x), expected)
            assert torch.equal(one.features(x=x), one.features(x))


def test_a_root_with_items_is_inspected_drawn_and_compared() -> None:
    root = SPEC.partition("  Named:")[0].replace("model: Net", "model: ConvNormAct")
    root = root.replace("planes: int", "planes: 3").replace("out: int", "out: 4")
    spec = archspec.loads(root)
    assert archspec.inspect(spec).macs.value == 2 * 8 * 8 * 3 * 4
    assert "Conv2d" in str(archspec.draw(spec, block="ConvNormAct"))
    other = archspec.loads(root.replace("type: ReLU", "type: GELU"))
    assert "GELU" in str(archspec.diff(spec, other))


WRONG = """\
archspec: 1
model: Net
dims: {{batch: 2}}
blocks:
  Chain: {{{}}}
  Net:
    inputs: {{x: [batch, 4]}}
    modules: {{chain: {{type: Chain}}}}
    forward: [{{return: {}}}]
"""
ONE = "items: [{type: ReLU}]"


@every(
    "chain, step, code, line, said",
    [
        ("items: [{type: RelU}]", "x", "E206", 5, "ReLU"),
        ("items: [{typ: ReLU}]", "x", "E202", 5, "'typ' should be 'type'"),
        ("items: 3", "x", "E202", 5, "items"),
        (f"{ONE}, modules: {{a: {{type: ReLU}}}}", "x", "E212", 5, "has no 'modules'"),
        (f"{ONE}, forward: [{{return: x}}]", "x", "E212", 5, "has no 'forward'"),
        (f"{ONE}, buffers: {{a: {{shape: []}}}}", "x", "E212", 5, "has no 'buffers'"),
        ("items: [{type: ReLU, name: a}, {type: ReLU}]", "x", "E212", 5, "name all of them"),
        ("items: {append: {type: ReLU}}", "x", "E207", 5, "attribute of every nn.Sequential"),
        ("items: [{type: Chain}]", "x", "E211", 5, "contains itself"),
        (f"{ONE}, inputs: {{a: [4], b: [4]}}", '"chain(x, x)"', "E308", 5, "on a single input"),
        (ONE, '"chain[1](x)"', "E306", 9, "there are 1"),
        (ONE, '"chain[0:1](x)"', "E305", 9, "index one item"),
        (ONE, "chain.first(x)", "E304", 9, "no child"),
        (ONE, '"chain(x, x)"', "E305", 9, "declares no inputs"),
    ],
)
def test_what_a_block_with_items_cannot_be(
    chain: str, step: str, code: str, line: int, said: str
) -> None:
    with pytest.raises(ArchspecError) as caught:
        archspec.build(archspec.loads(WRONG.format(chain, step)), device="meta")
    problem = caught.value.problems[0]
    assert (problem.code, problem.place and problem.place.line) == (code, line), problem
    assert said in f"{problem.message}; {problem.hint}", problem
