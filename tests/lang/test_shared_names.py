"""A parameter and a module, or a raw tensor, of one name: arguments mean one, steps the other."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import archspec
from archspec import SpecError
from archspec.codegen import generate
from tests.tables import every

SPEC = """\
archspec: 1
model: Net
params: {dropout: 0.25, width: 4, head: {type: layer, default: Linear}}
let: {scaled: $width * 2}
blocks:
  Net:
    params: {layer_scale: 0.5, norm: {type: layer, default: LayerNorm}, act: relu}
    let: {scaling: $layer_scale, rate: $dropout, fc: $width + 1}
    inputs: {x: [batch, $width]}
    outputs: {y: [batch, $fc]}
    modules:
      dropout: {type: Dropout, p: $dropout}
      norm: {type: $norm, normalized_shape: $width}
      fc: {type: Linear, in_features: $width, out_features: $fc}
      act: {type: Sequential, items: [{type: ReLU, when: $act == 'relu'}]}
    parameters:
      layer_scale: {shape: [$width], value: $ones(4) * scaling}
      width: {shape: [$width]}
    buffers: {scaled: {shape: [$scaled]}}
    forward:
      - y: dropout(norm(x)) * layer_scale + width
      - y: y * rate if layer_scale is not None else y
      - return: act(fc(y)) + scaled[0]
"""


def test_each_means_what_it_says() -> None:
    spec = archspec.loads(SPEC)
    text = generate(spec).text
    stored = [line.strip() for line in text.splitlines() if line.strip().startswith("self.")]
    assert stored[:2] == ["self.scaling = scaling", "self.rate = rate"]
    assert "self.dropout = nn.Dropout(p=config.dropout)" in text
    assert "self.norm = norm(normalized_shape=config.width)" in text
    model = archspec.build(spec, device="cpu", seed=0).eval()
    assert isinstance(model.dropout, nn.Dropout)
    assert model.get_parameter("layer_scale").tolist() == [0.5] * 4
    assert model.get_buffer("scaled").shape == (8,)
    x = torch.randn(2, 4)
    fc = model.get_submodule("fc")
    y = nn.functional.relu(fc(nn.functional.layer_norm(x, (4,)) * 0.5 * 0.25))
    torch.testing.assert_close(model(x), y)
    assert archspec.inspect(spec).text()


COMPUTED = """\
archspec: 1
model: Net
params: {scale: 3.0, d: 16, aux: true}
blocks:
  Net:
    params: {k: 2, sizes: [1, 2], seq: 5}
    let: {kk: $k + 1}
    inputs: {x: [batch, 4]}
    outputs: {y: [batch, 4], z: {shape: [batch, 4], when: $aux and training}}
    modules:
      aux: {type: ReLU}
      kk: {type: Linear, in_features: 4, out_features: 4}
      sizes: {type: Sequential, items: [{type: ReLU}]}
      seq: {type: ReLU, when: $scale < 0}
    buffers:
      scale: {value: "$ones(4) * scale * kk + sizes[1] + len(sizes) + seq"}
      d: {shape: [4], init: {constant_: {val: $sqrt(d) / 2}}}
      scale_value: {shape: [2], init: {constant_: {val: $scale}}, when: $d > 3}
    forward:
      - x: kk(sizes(aux(x))) * scale + d
      - return: x, x
"""


@every(
    "params, buffers, returned",
    [
        ({}, {"scale": [18.0] * 4, "d": [2.0] * 4, "scale_value": [3.0] * 2}, 2),
        ({"scale": 1.0, "d": 1, "aux": False}, {"scale": [12.0] * 4, "d": [0.5] * 4}, 1),
    ],
)
def test_what_is_computed_when_the_model_is_made_means_the_parameter(
    params: dict[str, Any], buffers: dict[str, list[float]], returned: int
) -> None:
    model = archspec.build(archspec.loads(COMPUTED, **params), device="cpu").train()
    assert {name: buffer.tolist() for name, buffer in model.named_buffers()} == buffers
    result = model(torch.ones(2, 4))
    assert (len(result) if isinstance(result, tuple) else 1) == returned


HEAD = "archspec: 1\nmodel: Net\nparams: {a: 2.0}\nblocks:\n  Net:\n    inputs: {x: [batch, 4]}\n"
MODULE = HEAD + "    modules: {a: {type: ReLU}}\n"
MISTAKES = [
    (MODULE + "    forward: [{return: a(x) * a}]", "E305", 8, "'a' is a module, not a value"),
    (MODULE + "    forward: [{y: a(x)}, {a: y}, {return: y}]", "E308", 8, "it is a module"),
    (MODULE + "    parameters: {a: {shape: [4]}}", "E207", 8, "'a' is already a module"),
    (HEAD + "    modules: {x: {type: ReLU}}", "E207", 6, "'x' is already a module"),
    (HEAD + "    params: {a: 3}", "E207", 7, "'a' is already a global parameter"),
    (HEAD + "    let: {a: 3}", "E207", 7, "'a' is already a global parameter"),
    (HEAD.replace("x: [b", "a: [b"), "E207", 6, "'a' is already a global parameter"),
]


@every("text, code, line, message", MISTAKES)
def test_all_else_is_told(text: str, code: str, line: int, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        archspec.loads(text)
    (problem,) = caught.value.problems
    assert (problem.code, problem.place and problem.place.line) == (code, line), problem
    assert message in problem.message
    if message.startswith("'a' is a module"):
        assert problem.hint == "call it: a(…); for the parameter, write let: {a_value: $a}"


@every(
    "step, hidden",
    [("dropout(x, 0.5)", True), ("head(x, 0.5)", False), ("relu(x, True)", True)],
)
def test_a_value_that_hides_a_function(step: str, hidden: bool) -> None:
    text = f"""\
archspec: 1
model: Net
params: {{dropout: 0.25, head: 4}}
blocks:
  Net: {{inputs: {{x: [batch, 4], relu: [batch, 4]}}, forward: [{{return: "{step}"}}]}}
"""
    with pytest.raises(SpecError) as caught:
        archspec.loads(text)
    [problem] = caught.value.problems
    assert problem.code == "E304"
    assert problem.hint.startswith("it hides the function: call a module") is hidden
