"""Roots that are chosen from outside, and what holds of them; ties under a condition."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import archspec
from archspec.differences.normal_form import content
from archspec.errors import SpecError
from archspec.lang.editing import edit_plan
from archspec.lang.spec import Spec
from archspec.lang.yaml import dump
from tests.tables import every

GAN = """\
archspec: 1
model: Generator
params: {width: 4, tied: true}
dims: {batch: 2}
init:
  - {match: ["@Linear", first], weight: {constant_: {val: 0.5}}}
  - {match: second, bias: ones_}
freeze:
  none: []
  head: ["**", "!second"]
tie: {second.bias: {to: first.bias, when: $tied}}
checkpoints: {theirs: {rename: {first: "1"}}}
blocks:
  Generator:
    inputs: {z: [batch, $width]}
    modules:
      first: {type: Linear, in_features: $width, out_features: $width}
      second: {type: Linear, in_features: $width, out_features: $width}
    freeze: {own: [first]}
  Discriminator:
    params: {out: 1}
    inputs: {x: [batch, $width]}
    modules:
      body: {type: Linear, in_features: $width, out_features: 8}
      head: {type: Linear, in_features: 8, out_features: $out}
    init: [{match: head, weight: zeros_}]
    freeze: {body: [body]}
"""


def said(spec: Spec) -> dict[str, Any]:
    model = archspec.build(spec, device="cpu")
    return {
        "root": type(model).__name__,
        "plans": [*spec.architecture.freeze],
        "layouts": [*spec.architecture.checkpoints],
        "ties": spec.ties,
        "first": {name: p.flatten()[0].item() for name, p in model.named_parameters()},
    }


def test_a_root_has_its_own_rules_and_plans() -> None:
    generator = said(archspec.loads(GAN))
    assert generator["root"] == "Generator"
    assert generator["plans"] == ["none", "head", "own"]
    assert generator["layouts"] == ["theirs"]
    assert generator["ties"] == {"second.bias": "first.bias"}
    assert generator["first"] == {"first.weight": 0.5, "first.bias": 1, "second.weight": 0.5}
    chosen = archspec.loads(GAN, model="Discriminator", width=5)
    discriminator = said(chosen)
    assert discriminator["root"] == "Discriminator"
    assert (discriminator["plans"], discriminator["layouts"]) == (["none", "body"], [])
    assert discriminator["ties"] == {}
    assert discriminator["first"]["body.weight"] == 0.5
    assert discriminator["first"]["head.weight"] == 0
    assert chosen.architecture.init[0].match == ["@Linear"]
    place = chosen.document.place(("init", 1))
    assert place.line == 26


def test_a_choice_stays_until_another_one_is_made() -> None:
    spec = archspec.loads(GAN, model="Discriminator")
    assert spec.with_params(width=6).root.type == "Discriminator"
    again = spec.with_params(model="Generator")
    assert said(again) == said(archspec.loads(GAN))
    assert archspec.loads(dump(content(spec))).root.type == "Discriminator"
    frozen = archspec.build(spec, device="meta", freeze="body")
    assert frozen.get_parameter("head.weight").requires_grad
    small = archspec.load("bert", model="BertModel", num_hidden_layers=1)
    assert small.root.type == "BertModel"
    assert small.architecture.init[0].match == ["@Linear", "@Embedding"]


def test_a_diff_says_which_root_was_chosen() -> None:
    one, other = archspec.loads(GAN), archspec.loads(GAN, model="Discriminator", width=5)
    assert archspec.diff(one, other).new == "spec model=Discriminator width=5"


def test_a_parameter_called_model_is_one() -> None:
    text = GAN.replace("width: 4,", "width: 4, model: large,")
    spec = archspec.loads(text, model="small")
    assert (spec.values["model"], spec.root.type) == ("small", "Generator")


@every(
    "old, new, code, line, message",
    [
        ("match: head", "match: hed", "E701", 26, "'hed' selects nothing"),
        ("[body]", "[boy]", "E701", 27, "'boy' selects nothing"),
        ("{out: 1}", "{out: int}", "E210", 21, "needs a value for 'out'"),
        ("init: [{match: head", "init: [{mtch: head", "E202", 26, "'match' is missing"),
        ("when: $tied", "when: $tide", "E303", 11, "'tide'"),
        ("when: $tied", "when: often", "E205", 11, "true or false, not 'often'"),
        ("to: first.bias", "to: first.bia", "E213", 11, "'first.bia'"),
        ("{to: first.bias", "{too: first.bias", "E201", 11, "'too'"),
    ],
)
def test_all_roots_of_a_file_are_checked(
    old: str, new: str, code: str, line: int, message: str
) -> None:
    with pytest.raises(SpecError) as caught:
        archspec.loads(GAN.replace(old, new))
    problem = caught.value.problems[0]
    assert (problem.code, problem.place and problem.place.line) == (code, line), problem
    assert message in f"{problem.message}", problem


def test_an_unknown_root_is_told() -> None:
    with pytest.raises(SpecError) as caught:
        archspec.loads(GAN, model="Discriminatr")
    (problem,) = caught.value.problems
    assert (problem.code, problem.hint) == ("E206", "did you mean 'Discriminator'?")


def test_ties_follow_the_values(tmp_path: Path) -> None:
    tied, untied = archspec.loads(GAN), archspec.loads(GAN, tied=False)
    assert untied.ties == {}
    one, two = (archspec.build(spec, device="cpu") for spec in (tied, untied))
    assert one.get_parameter("second.bias") is one.get_parameter("first.bias")
    assert two.get_parameter("second.bias") is not two.get_parameter("first.bias")
    assert "        if config.tied:\n            self.second.bias = self.first.bias" in (
        archspec.to_python(untied)
    )
    for wrong in ("nothing.bias", "first.wight"):  # whatever the values
        with pytest.raises(SpecError, match=f"no parameter '{wrong}'"):
            archspec.loads(GAN.replace("to: first.bias", f"to: {wrong}"), tied=False)


def test_a_plan_of_the_roots_block_is_edited_where_it_stands() -> None:
    edited = edit_plan(GAN, "own", ["second"])
    assert edited == GAN.replace("own: [first]", "own: [second]")
    assert edit_plan(GAN, "body", ["x"]).startswith(GAN.partition("tie:")[0][:-1])
