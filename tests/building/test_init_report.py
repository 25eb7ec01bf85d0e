"""What fills each tensor: told as it is done."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import archspec
from archspec import SpecError
from archspec.building.init_report import FirstValue, first_values
from archspec.lang.registry.initializers import INITIALISERS
from tests.tables import every

TEXT = """\
archspec: 1
model: Net
params: {std: 0.02}
blocks:
  Net:
    inputs: {x: [batch, 8]}
    parameters:
      scale: {shape: [8], init: ones_}
      shift: {shape: [8]}
    buffers:
      seen: {shape: [2], init: {constant_: {val: $std}}}
    modules:
      one: {type: Linear, in_features: 8, out_features: 8}
      two: {type: Linear, in_features: 8, out_features: 8}
      norm: {type: BatchNorm1d, num_features: 8}
      attention: {type: MultiheadAttention, embed_dim: 8, num_heads: 2}
    forward:
      - return: two(one(norm(x * scale)))
init:
  - {match: "@Linear", weight: {normal_: {std: $std * 2}}, bias: zeros_}
  - match: one
    weight: {uniform_: {a: -1, b: 1}}
    weight[0]: zeros_
tie: {two.weight: one.weight}
dims: {batch: 2}
"""


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return archspec.build(archspec.loads(TEXT), device="meta")


def told(model: nn.Module, path: str) -> dict[str, list[tuple[str, str, int | None]]]:
    return {
        name: [(v.text, v.part, v.place.line if v.place else None) for v in values]
        for name, values in first_values(model, path).items()
    }


def test_rules_later_ones_win(model: nn.Module) -> None:
    assert told(model, "one") == {
        "weight": [("uniform_(a=-1, b=1)", "", 22), ("zeros_()", "[0]", 23)],
        "bias": [("zeros_()", "", 20)],
    }


def test_a_tied_tensor_is_the_others(model: nn.Module) -> None:
    assert told(model, "two") == {
        "weight": [("as one.weight", "", 24)],
        "bias": [("zeros_()", "", 20)],
    }


def test_raw_tensors_say_it_themselves(model: nn.Module) -> None:
    assert told(model, "") == {
        "scale": [("ones_()", "", 8)],
        "shift": [("zeros_()", "", 9)],
        "seen": [("constant_(val=0.02)", "", 11)],
    }


def test_a_raw_tensor_may_start_by_the_parameters_of_its_block() -> None:
    text = """\
archspec: 1
model: Net
params: {gain: 2.0}
blocks:
  Scale:
    params: {n: int, scale: 4.0}
    let: {level: $scale / 2}
    inputs: {x: [batch, $n]}
    parameters:
      w: {shape: [$n], init: {constant_: {val: $level * n}}}
      scale: {shape: [$n], init: {constant_: {val: $scale * gain}}}
    forward: [{return: x * w * scale}]
  Net:
    inputs: {x: [batch, 3]}
    modules: {a: {type: Scale, n: 3}, b: {type: Scale, n: 3, scale: 1}}
    forward: [{return: b(a(x))}]
"""
    spec = archspec.loads(text)
    model = archspec.build(spec, device="cpu")
    values = {name: tensor.tolist() for name, tensor in model.state_dict().items()}
    assert values == {
        "a.w": [6.0] * 3, "a.scale": [8.0] * 3, "b.w": [1.5] * 3, "b.scale": [2.0] * 3
    }  # fmt: skip
    with torch.no_grad():
        model.get_parameter("b.scale").zero_()
    layer: Any = model.get_submodule("b")
    layer.reset_parameters()
    assert model.get_parameter("b.scale").tolist() == [2.0] * 3
    assert [row[0] for row in told(model, "b")["w"]] == ["constant_(val=1.5)"]
    with pytest.raises(SpecError) as caught:
        archspec.loads(text.replace("$level * n", "$'a' if n == 3 else 'b'"))
    assert [(p.code, p.message) for p in caught.value.problems] == [
        ("E205", "constant_'s val takes a number, not 'a'")
    ]


def test_defaults(model: nn.Module) -> None:
    assert first_values(model, "norm")["running_mean"] == (FirstValue("PyTorch's default"),)
    assert told(model, "attention")["in_proj_weight"] == [("PyTorch's default", "", None)]


def test_parts_of_a_layer_follow_the_rules_too(model: nn.Module) -> None:
    assert told(model, "attention.out_proj")["bias"] == [("zeros_()", "", 20)]


def test_values_stay_as_they_are() -> None:
    model = archspec.build(archspec.loads(TEXT), device="cpu")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for path, _ in model.named_modules():
        first_values(model, path)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@every("name", INITIALISERS)
def test_every_initialiser(name: str) -> None:
    given = "{constant_: {val: 0.5}}" if name == "constant_" else name
    layer = "{type: Conv1d, in_channels: 8, out_channels: 8, kernel_size: 1}"
    text = f"""\
archspec: 1
model: Net
blocks:
  Net:
    inputs: {{x: [batch, 8, 1]}}
    modules:
      fc: {layer if name == "dirac_" else "{type: Linear, in_features: 1, out_features: 8}"}
init: [{{match: fc, weight: {given}}}]
dims: {{batch: 1}}
"""
    model = archspec.build(archspec.loads(text), device="meta")
    [value] = first_values(model, "fc")["weight"]
    assert value.text.startswith(f"{name}(") and value.place and value.place.line == 8


def test_only_models_of_specs() -> None:
    with pytest.raises(archspec.UsageError) as caught:
        first_values(nn.Linear(1, 1))
    assert caught.value.code == "E801"
