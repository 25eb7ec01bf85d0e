"""Names that are taken, held against the installed torch; names that are not."""

from __future__ import annotations

import keyword
import subprocess
import sys

import pytest
import torch

from archspec import build
from archspec.errors import SpecError
from archspec.lang.checks import names
from archspec.lang.checks.names import MAX_NAME, MODULE_ATTRIBUTES, item_name_complaint
from archspec.lang.registry import functions, layers
from archspec.lang.spec import loads
from tests.tables import every

NET = """\
archspec: 1
model: Net
params: {{{params}}}
blocks:
  Net:
    params: {{{own}}}
    inputs: {{{inputs}}}
    modules: {{{modules}}}
"""


def net(**parts: str) -> str:
    defaults = {"params": "", "own": "", "inputs": "x: [batch]", "modules": "fc: {type: ReLU}"}
    return NET.format(**(defaults | parts))


def codes(text: str) -> list[str]:
    try:
        loads(text)
    except SpecError as error:
        return [problem.code for problem in error.problems]
    return []


def public(kind: str) -> set[str]:
    """In a process of its own: transformers adds attributes to every module."""
    code = f"from torch import nn; print(*(n for n in dir(nn.{kind}()) if n[0] != '_'))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(found.stdout.split())


def test_the_attributes_of_every_module_are_those_of_torch() -> None:
    there = public("Module")
    assert there <= MODULE_ATTRIBUTES
    # Some are of other versions of torch than the installed one.
    assert MODULE_ATTRIBUTES - there <= {"mtia", "set_submodule", "ipu"}


@pytest.mark.parametrize("kind", ["Sequential", "ModuleDict"])
def test_the_attributes_of_containers_are_those_of_torch(kind: str) -> None:
    taken = public(kind)
    for name in taken:
        assert item_name_complaint(name, kind) == f"'{name}' is an attribute of every nn.{kind}"
    free = {"first", "0", "layer_1", "weights", "conv1", "a-b", "é", "in", "None", "inputs"}
    assert free.isdisjoint(taken)
    assert all(item_name_complaint(name, kind) == "" for name in free)


@pytest.mark.parametrize(
    "name", ["", "a.b", "a b", "a\tb", "a\x00", "\u2028", "a" * (MAX_NAME + 1)]
)
def test_names_that_no_item_can_have(name: str) -> None:
    assert item_name_complaint(name, "Sequential") == f"'{name[:MAX_NAME]}' cannot name a module"


@every("name", sorted(MODULE_ATTRIBUTES))
def test_no_child_can_hide_an_attribute(name: str) -> None:
    assert codes(net(modules=f"{name}: {{type: ReLU}}")) == ["E207"]


@every("name", keyword.kwlist)
def test_no_keyword_is_a_name(name: str) -> None:
    assert codes(net(params=f"{name}: 1")) == ["E207"]
    assert codes(net(own=f"{name}: 1")) == ["E207"]
    assert codes(net(inputs=f"{name}: [batch]")) == ["E207"]
    assert codes(net(modules=f"{name}: {{type: ReLU}}")) == ["E207"]


TAKEN = sorted(names.GENERATED_NAMES | names.BUILTINS | functions.CONSTANTS.keys())


@every("name", TAKEN)
def test_names_of_the_generated_python_are_taken(name: str) -> None:
    assert codes(net(params=f"{name}: 1")) == ["E207"]
    assert codes(net(inputs=f"{name}: [batch]")) == ["E207"]


@every("name", sorted(names.GENERATED_NAMES - MODULE_ATTRIBUTES))
def test_a_child_is_reached_through_its_module_and_may_have_any_other_name(name: str) -> None:
    assert codes(net(modules=f"{name}: {{type: ReLU}}")) == []


@pytest.mark.parametrize("name", ["relu", "sum", "x1", "In", "T", "batch", "hidden_size"])
def test_functions_and_dimensions_leave_their_names_free(name: str) -> None:
    assert codes(net(params=f"{name}: 1", inputs="y: [n]")) == []


@pytest.mark.parametrize("name", layers.CONTAINERS)
def test_containers_are_no_blocks(name: str) -> None:
    text = net().replace("Net", name)
    assert codes(text) == ["E207"]


PLAIN = """\
archspec: 1
model: Net
params: {{w: {{default: 3, min: {min}}}, c: {{default: 3, choices: [1, 3]}}}}
dims: {{b: {b}}}
blocks:
  Net:
    params: {{k: {{default: 3, max: {max}}}}}
    inputs: {{x: {{shape: [b, 4], optional: {optional}}}}}
    modules: {{fc: {{type: Linear, in_features: 4, out_features: 2}}}}
freeze: {{head: {{patterns: [fc], dropout: {dropout}}}}}
"""
RIGHT = {"min": "1", "b": "2", "max": "4", "optional": "false", "dropout": "true"}


@every(
    "key, text, followed",
    [
        ("min", '"$max(1, 2)"', "2"),
        ("min", "$1.5 * 2", "3.0"),
        ("max", "$2 ** 3", "8"),
        ("max", "$w", ""),
        ("b", "$2", "2"),
        ("b", "$w", ""),
        ("b", "$5 / 2", ""),
        ("b", "$(", ""),
        ("optional", "$not true", ""),
        ("optional", "$false", "false"),
        ("dropout", "$1 > 2", "false"),
    ],
)
def test_where_nothing_is_computed(key: str, text: str, followed: str) -> None:
    with pytest.raises(SpecError) as caught:
        loads(PLAIN.format(**{**RIGHT, key: text}))
    (problem,) = caught.value.problems
    assert problem.code == "E202"
    assert problem.message.startswith(f"'{key}': expected ")
    no_value = "no expression is computed here: write the value itself"
    assert problem.hint == (f"write {followed}" if followed else no_value)
    loads(PLAIN.format(**{**RIGHT, key: followed or RIGHT[key]}))


def test_choices_are_plain_values() -> None:
    with pytest.raises(SpecError) as caught:
        loads(PLAIN.format(**RIGHT).replace("[1, 3]", "[$1, 3]"))
    (problem,) = caught.value.problems
    assert problem.hint == "choices are plain values: no expression is computed here"


WRAPPER = """\
archspec: 1
model: Wrapper
params: {aux: true}
dims: {batch: 2}
blocks:
  Net:
    inputs: {x: [batch, 4]}
    outputs: {y: [batch, 4], aux_y: {shape: [batch, 4], when: $training and aux}}
    modules: {fc: {type: Linear, in_features: 4, out_features: 4}}
    forward: [{y: fc(x)}, {return: {y: y, aux_y: y}}]
  Wrapper:
    inputs: {x: [batch, 4]}
    outputs: {like: Net}
    modules: {net: {type: Net}, result: {type: Identity}}
    forward:
      - return: net(x)
"""


def test_a_wrapper_returns_optional_outputs_by_name() -> None:
    with pytest.raises(SpecError) as caught:
        loads(WRAPPER)
    (problem,) = caught.value.problems
    assert problem.code == "E305"
    steps = [step.strip() for step in problem.hint.removeprefix("write ").split(", then ")]
    assert steps[0] == "{results: net(x)}"
    text = WRAPPER.replace("      - return: net(x)", "".join(f"      - {one}\n" for one in steps))
    model = build(loads(text), device="cpu", seed=0)
    assert [*model.train()(torch.ones(2, 4))] == ["y", "aux_y"]
    assert [*model.eval()(torch.ones(2, 4))] == ["y"]
