"""Names that are taken, held against the installed torch; names that are not."""

from __future__ import annotations

import keyword
import subprocess
import sys

import pytest

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
