"""``diff`` as users meet it: what it says of real pairs, and that it is a patch."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import archspec
from archspec.differences.deltas import compare
from archspec.differences.normal_form import content
from archspec.lang.yaml import dump

DATA = Path(__file__).parents[1] / "inputs"
Golden = Callable[[str, str], None]

PAIRS: dict[str, tuple[Any, Any]] = {
    "resnet18-resnet34": ("resnet18", "resnet34"),
    "bert-inserted": ("bert", DATA / "bert-inserted.yaml"),
    "bert-13-layers": ("bert", ("bert", {"num_hidden_layers": 13})),
    "bert-3-labels": ("bert", ("bert", {"num_labels": 3})),
    "bert-model-bert": ("bert-model", "bert"),
}


def opened(source: Any) -> archspec.Spec:
    name, params = source if isinstance(source, tuple) else (source, {})
    return archspec.load(name, **params)


@pytest.mark.parametrize("name", PAIRS)
def test_golden(name: str, golden: Golden) -> None:
    old, new = map(opened, PAIRS[name])
    found = archspec.diff(old, new)
    golden(f"diff/{name}.txt", f"{found}\n")
    golden(f"diff/{name}.md", found.to_markdown())


def test_golden_html(golden: Golden) -> None:
    old, new = map(opened, PAIRS["bert-3-labels"])
    golden("diff/bert-3-labels.html", archspec.diff(old, new).to_html())


def test_three_labels() -> None:
    found = archspec.diff("bert", archspec.load("bert", num_labels=3))
    (change,) = found.spec
    assert change.kind == "changed" and change.path == ("params", "num_labels", "default")
    assert change.old and change.new
    assert (change.old.value, change.new.value, change.new.origin) == (2, 3, "num_labels=…")
    assert str(change.old.place) == "specs/text/bert.yaml:7:25"
    (module,) = found.tree
    assert (module.kind, module.new, module.new_type) == ("changed", "classifier", "Linear")
    assert module.arguments == {"out_features": ("2", "3")}
    assert found.tensor_counts() == {
        "same": (199, 109_482_240),
        "renamed": (0, 0),
        "resized": (2, 3 * 768 + 3),
        "tied": (0, 0),
        "untied": (0, 0),
        "new": (0, 0),
        "lost": (0, 0),
    }
    figures = {
        row.name: (row.old and row.old.value, row.new and row.new.value) for row in found.cost
    }
    assert figures["parameters"] == (109_483_778, 109_484_547)
    assert figures["MACs"] == (11_174_217_216, 11_174_217_984)
    plans = {plan.name: (plan.old, plan.new) for plan in found.plans}
    assert plans["head-only"] == (1_538, 2_307)
    assert plans["last-2-and-head"] == (14_177_282, 14_178_051)


def test_an_inserted_layer_renames_what_follows() -> None:
    found = archspec.diff("bert", DATA / "bert-inserted.yaml", levels=["tree", "tensors"])
    assert [(c.kind, c.new, c.modules) for c in found.tree] == [
        ("added", "bert.encoder.layer.6", 4)
    ]
    names = {t.old_name: t.new_name for t in found.tensors if t.status == "renamed"}
    assert len(names) == 6 * 16
    for old, new in names.items():
        assert old and new
        number = int(old.split(".")[3])
        assert new == old.replace(f".layer.{number}.", f".layer.{number + 1}.")


def test_what_is_the_same_differs_nowhere() -> None:
    for name in ("bert", "resnet18"):
        found = archspec.diff(name, name)
        assert not found and not found.spec and not found.tree
        assert {t.status for t in found.tensors} == {"same"}
        assert str(found).startswith(f"{name} → {name}\nNo difference: ")
        assert archspec.diff(name, name).to_dict()["patch"] is None


def test_only_the_levels_asked_for_are_compared() -> None:
    found = archspec.diff("resnet18", "resnet34", levels=["tree"])
    assert found.levels == ("tree",) and found.tree and not found.spec and not found.cost
    assert set(found.to_dict()) == {"old", "new", "different", "tree", "notes"}
    with pytest.raises(archspec.UsageError) as caught:
        found.apply("resnet18")
    assert caught.value.code == "E801"
    with pytest.raises(archspec.UsageError) as caught:
        archspec.diff("bert", "bert", levels=["trees"])
    assert (caught.value.code, caught.value.hint) == ("E801", "did you mean 'tree'?")


def test_specs_and_trees_are_compared_without_torch() -> None:
    code = (
        "import archspec, sys; found = archspec.diff('bert', 'resnet18', levels=['spec', 'tree']);"
        "assert str(found) and found.to_markdown() and found.to_html() and found.to_dict();"
        "assert 'torch' not in sys.modules, 'torch'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_inputs_in_another_order_are_told_beside_an_added_one() -> None:
    text = (
        "archspec: 1\nmodel: N\nblocks:\n  N:\n    inputs: {x: [batch, 2], y: [batch, 2]}\n"
        "    modules: {a: {type: ReLU}}\n    forward: [{return: a(x) + y}]\n"
    )
    swapped = "{y: [batch, 2], x: [batch, 2], z: {shape: [batch, 2], optional: true}}"
    new = archspec.loads(text.replace("{x: [batch, 2], y: [batch, 2]}", swapped))
    found = archspec.diff(archspec.loads(text), new, levels=["spec"])
    assert [(c.kind, c.path[2:]) for c in found.spec] == [
        ("added", ("inputs", "z")),
        ("moved", ("inputs",)),
    ]


def test_long_steps_are_compared_in_no_time() -> None:
    step = f"cat([{', '.join(['relu(x)'] * 80)}])"
    forward = ", ".join(f'{{x{i}: "{step} + {i}"}}' for i in range(60))
    text = (
        "archspec: 1\nmodel: N\nblocks:\n  N:\n    inputs: {x: [batch, 2]}\n"
        f"    modules: {{a: {{type: ReLU}}}}\n    forward: [{forward}, {{return: x1}}]\n"
    )
    old, new = (
        archspec.loads(text),
        archspec.loads(text.replace("[relu", "[gelu")),
    )
    start = time.process_time()
    assert len(archspec.diff(old, new, levels=["spec"]).spec) >= 60
    assert time.process_time() - start < 10  # hostile: a quadratic comparison took 35 s


def test_only_the_cost_differs() -> None:
    bare = archspec.loads("archspec: 1\nextends: resnet18\n")
    larger = archspec.loads("archspec: 1\nextends: resnet18\ndims: {batch: 2}\n")
    assert archspec.diff(bare, larger, levels=["cost"])
    assert not archspec.diff(bare, bare, levels=["cost"])


def test_what_cannot_be_measured_is_told() -> None:
    spec = archspec.loads(
        "archspec: 1\nmodel: N\nblocks:\n  N:\n    inputs: {x: [batch, size]}\n"
        "    modules: {a: {type: ReLU}}\n"
    )
    found = archspec.diff(spec, "resnet18", levels=["cost"])
    assert found.notes[0] == "The cost of spec was not measured: spec gives 'size' no size."
    assert [row.old for row in found.cost] == [None] * len(found.cost)
    assert "not measured" in str(found)


def test_a_plan_that_one_side_lacks() -> None:
    plans = {p.name: (p.old, p.new) for p in archspec.diff("bert-model", "bert").plans}
    assert plans["head-only"] == (None, 1_538)
    with pytest.raises(archspec.FreezeError) as caught:
        archspec.diff("bert-model", "bert", freeze="head-only")
    assert caught.value.code == "E703"
    cost = archspec.diff("bert", "bert", freeze="head-only").cost
    assert [c.old and c.old.value for c in cost if c.name == "trainable parameters"] == [1_538]


# ------------------------------------------------------------------------------------------ patch


def edits(draw: st.DrawFn, said: dict[str, Any]) -> dict[str, Any]:
    """Some changes to ResNet-18 that leave a spec that loads."""
    chosen = draw(st.sets(st.integers(0, 9)))
    blocks = said["blocks"]
    head, basic = blocks["ResNet"], blocks["BasicBlock"]
    if 0 in chosen:
        said["params"]["num_classes"] = {"default": draw(st.integers(1, 50))}
    if 1 in chosen:
        depths = st.lists(st.integers(1, 4), min_size=4, max_size=5)
        said["params"]["depths"]["default"] = draw(depths)
    if 2 in chosen:
        head["modules"]["layer1"]["items"].insert(draw(st.integers(0, 2)), {"type": "Identity"})
    if 3 in chosen:
        basic["forward"].insert(draw(st.integers(0, 2)), {"x": "x * 1"})
    if 4 in chosen:
        names = draw(st.permutations(list(head["modules"])))
        head["modules"] = {name: head["modules"][name] for name in names}
    if 5 in chosen:
        said["freeze"] = {"mine": {"patterns": ["**", "!layer4"], "dropout": draw(st.booleans())}}
    if 6 in chosen:
        said.pop("checkpoints", None)
    if 7 in chosen:
        basic["modules"]["bn1"]["eps"] = draw(st.sampled_from([1e-3, 1e-5, 1]))
    if 8 in chosen:
        said["init"] = said["init"][: draw(st.integers(0, 2))]
    if 9 in chosen:
        head["forward"][1] = {"x": "layer4(layer3(layer2(layer1( x ))))"}
        said["description"] = draw(st.text(st.characters(codec="ascii", exclude_categories=["C"])))
    return said


SAID = content(archspec.load("resnet18"))


@st.composite
def variants(draw: st.DrawFn) -> archspec.Spec:
    return archspec.loads(dump(edits(draw, json.loads(json.dumps(SAID)))))


@given(variants(), variants())
@settings(max_examples=40)
def test_a_diff_is_a_patch(old: archspec.Spec, new: archspec.Spec) -> None:
    found = archspec.diff(old, new, levels=["spec"])
    patched = found.apply(old)
    assert compare(content(patched), content(new)) is None
    assert not archspec.diff(patched, new, levels=["spec", "tree"])
    assert bool(found) == (found.delta is not None)


def test_a_patch_carries_over_to_another_spec() -> None:
    found = archspec.diff("bert", archspec.load("bert", num_labels=3), levels=["spec"])
    other = archspec.load("bert", hidden_size=384)
    patched = found.apply(other)
    assert patched.values["num_labels"] == 3 and patched.values["hidden_size"] == 384


def test_a_patch_that_does_not_fit_says_where() -> None:
    found = archspec.diff("bert", archspec.load("bert", num_labels=3), levels=["spec"])
    with pytest.raises(archspec.SpecError) as caught:
        found.apply(archspec.load("resnet18"))
    error = caught.value
    assert error.code == "E112" and "params.num_labels" in error.message
    assert error.place is not None and error.place.file == "specs/vision/resnet18.yaml"


# ------------------------------------------------------------------------------------------ markup

HOSTILE = """\
archspec: 1
model: Net
description: "<script>alert(1)</script> | `x` [a](javascript:b) \\\\ $x$ \\u202e"
blocks:
  Net:
    inputs: {x: [batch, 2]}
    modules:
      d: {type: ModuleDict, items: {"<img/src=x>": {type: ReLU}, "a|`b`": {type: ReLU}}}
    forward: [{return: x}]
"""


def test_nothing_of_a_spec_becomes_markup() -> None:
    found = archspec.diff("resnet18", archspec.loads(HOSTILE), levels=["spec", "tree"])
    for page in (found.to_html(), found._repr_html_()):
        assert "<script" not in page and "<img" not in page
        assert html.escape("<img/src=x>") in page and "\u202e" not in page
    for line in found.to_markdown().splitlines():
        if line.startswith("| "):
            cells = re.split(r"(?<!\\)\|", line)
            assert len(cells) == 6, line
            code = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", line)
            assert "<" not in code.replace("\\<", ""), line
    assert "\u202e" not in str(found) and "\x1b" not in str(found)
