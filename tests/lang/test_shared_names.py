"""A parameter and a module, or a raw tensor, of one name: arguments mean one, steps the other."""

from __future__ import annotations

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


HEAD = "archspec: 1\nmodel: Net\nparams: {a: 2.0}\nblocks:\n  Net:\n    inputs: {x: [batch, 4]}\n"
MODULE = HEAD + "    modules: {a: {type: ReLU}}\n"
MISTAKES = [
    (MODULE + "    forward: [{return: a(x) * a}]", "E305", 8, "'a' is a module, not a value"),
    (MODULE + "    forward: [{y: a(x)}, {a: y}, {return: y}]", "E308", 8, "it is a module"),
    (MODULE + "    buffers: {b: {value: $ones(4) * a}}", "E303", 8, "the parameter is hidden"),
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
