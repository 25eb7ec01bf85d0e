"""Rules, plans and layouts that speak of modules which these values leave out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import archspec
from archspec import FreezeError, SpecError, loads, to_python
from archspec.differences.normal_form import content
from archspec.lang.yaml import dump
from tests.tables import every

TEXT = """archspec: 1
model: Net
params: {aux: true, depth: 2, width: null}
blocks:
  Aux:
    params: {dim: int}
    inputs: {x: [batch, 4]}
    modules:
      deep: {type: Linear, in_features: 4, out_features: $dim}
      norm: {type: LayerNorm, normalized_shape: $dim}
  Net:
    inputs: {x: [batch, 4]}
    modules:
      fc: {type: Linear, in_features: 4, out_features: 4}
      aux: {type: Aux, dim: 3, when: $aux}
      wide: {type: Aux, dim: $width, when: $width is not None}
      layers:
        type: ModuleList
        items:
          - {type: Linear, in_features: 4, out_features: 4, repeat: $depth}
          - {type: Dropout, p: 0.5, when: $aux}
      groups:
        type: Sequential
        when: $aux
        items:
          - repeat: $depth
            items: [{type: ReLU}, {type: BatchNorm1d, num_features: 4}]
    forward:
      - x: fc(x)
      - for: layer in layers
        do: [x: layer(x)]
      - return: x
"""
VALUES: list[dict[str, Any]] = [
    {},
    {"aux": False},
    {"depth": 0},
    {"width": 5},
    {"aux": False, "depth": 0},
]
SECTIONS = """init:
  - {match: aux.deep, weight: zeros_}
  - {match: "@LayerNorm", weight: ones_}
  - {match: layers, weight: zeros_}
  - {match: [fc, "@BatchNorm1d"], weight: zeros_, running_mean: zeros_}
  - {match: [wide.norm, groups.1], weight: ones_}
freeze:
  some: [aux, "!layers[-1:]", "@Dropout", "@BatchNorm1d", wide]
checkpoints:
  theirs:
    rename: {aux.deep: a.d, "layers.*": "l.*", groups.1: g.1}
    optional: [aux]
    transpose: [aux.deep.weight]
    split: [{ours: [wide.deep.weight, aux.norm.weight], theirs: q}]
"""


@every("given", VALUES)
def test_what_other_values_bring_is_no_error(given: dict[str, Any]) -> None:
    spec = loads(TEXT + SECTIONS, **given)
    model = archspec.build(spec)
    report = archspec.freeze(model, "some")
    names = [name for name, _ in model.named_parameters() if name.startswith(("aux", "wide"))]
    elements = sum(model.get_parameter(name).numel() for name in names)
    assert report.frozen >= elements
    assert ("Only in models with other values: " in str(report)) is (given != {"width": 5})
    assert ("isinstance(module, nn.LayerNorm)" in to_python(spec)) is bool(names)


@every(
    "section, column",
    [
        ("init: [{match: aux.dep, weight: zeros_}]", 16),
        ("init: [{match: '@GroupNorm', weight: zeros_}]", 16),
        ("init: [{match: [fc, aux.norm], running_var: zeros_}]", 32),
        ("freeze: {some: [aux.fc]}", 17),
        ("freeze: {some: ['layers[7]']}", 17),
        ("checkpoints: {t: {rename: {aux.fc: a}}}", 28),
        ("checkpoints: {t: {optional: [wide.fc]}}", 30),
    ],
)
def test_what_is_nowhere_is_an_error(section: str, column: int) -> None:
    with pytest.raises(SpecError) as caught:
        loads(TEXT + section, aux=False)
    (problem,) = caught.value.problems
    assert problem.place is not None
    code = "E201" if "running_var" in section else "E701"
    line = len(TEXT.splitlines()) + 1
    assert (problem.code, problem.place.line, problem.place.column) == (code, line, column)


def test_a_model_without_any_initialised_module() -> None:
    spec = loads(f"{TEXT}init: [{{match: aux.deep, weight: zeros_}}]", aux=False)
    assert "def initialize" not in to_python(spec)
    assert archspec.build(spec) is not None


def test_patterns_from_outside_must_select_something() -> None:
    model = archspec.build(loads(TEXT, aux=False))
    with pytest.raises(FreezeError, match="the pattern 'aux' selects nothing"):
        archspec.freeze(model, ["aux"])


RAW = """archspec: 1
model: Net
params: {bias: true, size: null}
blocks:
  Net:
    inputs: {x: [batch, 4]}
    parameters:
      weight: {shape: [4], init: ones_}
      bias: {shape: [4], when: $bias, init: ones_}
      scale: {value: $ones(size) * sqrt(size), when: $size is not None}
    buffers: {mask: {shape: [4], when: $bias, persistent: false}}
    let: {is_scaled: $size is not None, is_biased: $bias}
    forward:
      - x: x * weight * (scale if is_scaled else 1)
      - return: x + bias + mask if is_biased else x
init: [{match: Net, weight: ones_}, {match: "**", bias: ones_}]
freeze: {bias: [bias], scale: [scale]}
"""


def test_raw_tensors_that_a_when_leaves_out() -> None:
    text = RAW.replace("{match: Net, weight: ones_}, ", "")
    cases: list[tuple[dict[str, Any], list[str], float]] = [
        ({}, ["weight", "bias"], 2.0),
        ({"bias": False}, ["weight"], 1.0),
        ({"bias": False, "size": 4}, ["weight", "scale"], 2.0),
    ]
    for given, names, result in cases:
        model: Any = archspec.build(loads(text, **given), device="cpu")
        assert list(model.state_dict()) == names
        assert (model.bias is None, model.mask is None) == (not given.get("bias", True),) * 2
        assert model(torch.ones(1, 4)).eq(result).all()
        assert sum(archspec.freeze(model, name).frozen for name in ("bias", "scale")) == 4 * (
            len(names) - 1
        )
    with pytest.raises(SpecError) as caught:
        loads(text.replace("scale if is_scaled else 1", "scale"))
    (problem,) = caught.value.problems
    assert (problem.code, problem.message) == ("E309", "'scale' is left out with size=null")
    assert problem.hint == "use it under the same condition: … if size is not None else …"


def test_blocks_that_hold_each_other_end() -> None:
    """What the values leave out may be endless."""
    lines = ["archspec: 1", "model: Net", "params: {deep: false}", "blocks:"]
    for i in range(60):
        children = f"a: {{type: B{i + 1}}}, b: {{type: B{i + 1}}}"
        lines.append(f"  B{i}: {{inputs: {{x: []}}, modules: {{{children}}}}}")
    text = (
        "\n".join(lines)
        + """
  B60: {inputs: {x: []}, modules: {r: {type: ReLU}}}
  Net:
    inputs: {x: []}
    modules: {r: {type: ReLU}, b: {type: B0, when: $deep}}
    forward: [return: r(x)]
freeze: {p: [b.r]}
"""
    )
    with pytest.raises(SpecError, match="the pattern 'b\\.r' selects nothing"):
        loads(text)


CLASSES = """archspec: 1
model: Net
params: {norm: {type: layer, default: null}}
blocks:
  Part:
    params:
      act: {type: layer, default: null}
      norm_type: {type: layer, nullable: true, default: $norm}
    inputs: {x: [batch, 4]}
    modules:
      norm: {type: $norm_type, num_features: 4, when: $norm_type is not None}
      body: {type: Sequential, items: [{type: $act, when: $act is not None}, {type: Tanh}]}
    forward: [return: body(x)]
  Net:
    inputs: {x: [batch, 4]}
    modules:
      first: {type: $norm, num_features: 4, when: $norm is not None}
      items: {type: Sequential, items: [{type: $norm, num_features: 4, when: $norm is not None}]}
      a: {type: Part, norm_type: $norm}
      b: {type: Part, act: ReLU}
      c: {type: Part, act: null}
    forward: [return: "c(b(a(items(first(x) if norm is not None else x))))"]
"""


def test_a_class_that_may_be_null() -> None:
    def children(**given: Any) -> list[str]:
        model = archspec.build(loads(CLASSES, **given))
        return [name for name, part in model.named_modules() if not [*part.children()] and name]

    bodies = ["a.body.0", "b.body.0", "b.body.1", "c.body.0"]
    assert children() == ["items", *bodies]
    assert children(norm="BatchNorm1d") == [
        "first", "items.0", "a.norm", "a.body.0", "b.norm", "b.body.0", "b.body.1", "c.norm",
        "c.body.0",
    ]  # fmt: skip
    assert "self.first(x)" not in to_python(loads(CLASSES))
    for text in (
        CLASSES.replace(", when: $norm is not None}\n      items", "}\n      items"),
        CLASSES.replace(", when: $act is not None", ""),
    ):
        with pytest.raises(SpecError) as caught:
            loads(text)
        assert {problem.code for problem in caught.value.problems} == {"E206"}


LAYOUT = """\
archspec: 1
model: Net
blocks:
  Net:
    inputs: {x: [batch, 4]}
    modules:
      body: {type: Linear, in_features: 4, out_features: 4}
      head: {type: Linear, in_features: 4, out_features: 2}
checkpoints:
  theirs:
    rename: {body: trunk, head: fc}
    transpose: [head.weight]
    reshape: {head.bias: [-1]}
    optional: [head]
    split: [{ours: head.weight, theirs: [fc.a, fc.b]}]
"""
CHILD = "archspec: 1\nextends: net.yaml\nremove: [blocks.Net.modules.head]\n"


def test_a_layout_of_the_parent_may_speak_of_what_the_child_has_not(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(LAYOUT, encoding="utf-8")
    child = tmp_path / "child.yaml"
    child.write_text(CHILD, encoding="utf-8")
    model = archspec.build(child, device="cpu")
    archspec.save_weights(model, tmp_path / "w.safetensors", layout="theirs")
    assert set(load_file(tmp_path / "w.safetensors")) == {"trunk.weight", "trunk.bias"}
    anew = archspec.loads(dump(content(archspec.load(child))))  # a run keeps it so
    assert content(anew)["checkpoints"] == {"theirs": {"rename": {"body": "trunk"}}}
    own = "checkpoints: {theirs: {rename: {heda: fc}, optional: [haed]}}\n"
    child.write_text(CHILD + own, encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        archspec.load(child)
    found = [(problem.code, problem.message) for problem in caught.value.problems]
    assert found == [
        ("E701", "the rename 'heda' renames nothing"),
        ("E701", "the pattern 'haed' selects nothing"),
    ]
    (tmp_path / "net.yaml").write_text(LAYOUT.replace("head: fc", "heda: fc"), encoding="utf-8")
    with pytest.raises(SpecError, match="the rename 'heda' renames nothing"):
        archspec.load(tmp_path / "net.yaml")


def test_with_values_from_outside_a_line_of_a_layout_may_apply_to_nothing() -> None:
    text = """\
archspec: 1
model: Net
params: {depth: 3}
blocks:
  Net:
    inputs: {x: [batch, 4]}
    modules:
      layers:
        type: Sequential
        items: [{type: Linear, in_features: 4, out_features: 4, repeat: $depth}]
checkpoints:
  theirs:
    rename: {layers.2: head, layers: body}
    then: {head: fc, body.1: last}
    transpose: [layers.2.weight, layers.0.weight]
    reshape: {layers.2.bias: [1, -1]}
"""
    spec = archspec.loads(text, depth=2)
    archspec.loads(text)
    assert content(spec)["checkpoints"]["theirs"] == {
        "rename": {"layers": "body"},
        "then": {"body.1": "last"},
        "transpose": ["layers.0.weight"],
    }
    anew = archspec.loads(dump(content(spec)))
    assert (anew.values, content(anew)) == ({"depth": 2}, content(spec))
    with pytest.raises(SpecError) as caught:
        archspec.loads(text.replace("depth: 3", "depth: 2"))
    assert [str(problem.place).partition(":")[2] for problem in caught.value.problems] == [
        "13:14",
        "14:12",
        "15:17",
        "16:15",
    ]
