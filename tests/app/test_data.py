"""What the page is given: the tree's kinds, forms, figures, and texts that are no numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from archspec.errors import UsageError
from archspec_app.costs import cost_data, summary_data
from archspec_app.param_form import param_value, params_data, sizes_data
from archspec_app.session import Session
from archspec_app.tabs import cost
from archspec_app.tree import find, tree_data
from archspec_app.workspace import Workspace


@pytest.fixture(scope="module")
def desk() -> Session:
    desk = Session(Workspace(Path()))
    desk.open("bert")
    desk.change(plan="last-2-and-head")
    return desk


def test_equal_layers_are_told_once(desk: Session) -> None:
    assert desk.good is not None
    data = tree_data(desk.good)
    root = data["kinds"][data["root"]]
    assert (root["type"], root["parameters"]) == ("BertForSequenceClassification", 109_483_778)
    types = [kind["type"] for kind in data["kinds"]]
    assert types.count("BertLayer") == 1 and len(types) < 40
    encoder = data["kinds"][
        dict(data["kinds"][dict(root["children"])["bert"]]["children"])["encoder"]
    ]
    (layers,) = (data["kinds"][index] for _, index in encoder["children"])
    assert [name for name, _ in layers["children"]] == [str(i) for i in range(12)]
    assert len({index for _, index in layers["children"]}) == 1
    assert data["trainable"]["bert.encoder.layer.0"] == 0
    assert data["trainable"]["bert.encoder"] == 2 * 7_087_872
    assert "bert.encoder.layer.11" not in data["trainable"], "all of it is trainable"
    assert json.loads(json.dumps(data, allow_nan=False)) is not None
    node = find(desk.good.inspection, "bert.encoder.layer.3")
    assert node is not None and node.type == "BertLayer"
    assert find(desk.good.inspection, "bert.decoder") is None


def test_figures_are_short_and_exact(desk: Session) -> None:
    assert desk.good is not None
    summary = {figure["name"]: figure for figure in summary_data(desk.good)}
    assert summary["Parameters"]["short"] == "109.5 M"
    assert (
        summary["Parameters"]["full"] == "109,483,778 parameters" and summary["Parameters"]["exact"]
    )
    assert summary["MACs"]["full"] == "11,174,217,216 multiply-accumulates"
    memory = cost_data(desk.good)["groups"][1]["figures"]
    assert [figure["name"] for figure in memory][-1] == "total"
    assert not memory[-1]["exact"] and memory[-1]["short"].startswith("≈ ")


def test_forms_have_bounds_and_help(desk: Session) -> None:
    assert desk.good is not None
    fields: dict[str, Any] = {
        field["name"]: field for field in params_data(*desk.params, desk.asked)
    }
    labels = fields["num_labels"]
    assert (labels["type"], labels["value"], labels["min"], labels["changed"]) == (
        "int",
        "2",
        1,
        False,
    )
    assert fields["classifier_dropout"]["nullable"]
    assert fields["classifier_dropout"]["help"] == "hidden_dropout_prob if null"
    assert {field["name"]: field["value"] for field in sizes_data(desk.good, desk.asked)}[
        "seq"
    ] == "128"


def test_inputs_and_checkpoints_change_the_figures(desk: Session) -> None:
    def shown(name: str) -> tuple[object, ...]:
        assert desk.good is not None
        field = next(one for one in cost.fields(desk.good, desk.asked) if one["name"] == name)
        return field["value"], field["changed"]

    def kept() -> int:
        assert desk.good is not None
        return desk.good.inspection.memory.activations.value

    whole = kept()
    mask = "input:attention_mask"
    assert shown(mask) == ("given", False) and shown("checkpoint_blocks") == ("", False)
    rows: list[tuple[dict[str, Any], tuple[object, ...]]] = [
        ({"key": mask, "text": "left out"}, ("left out", True)),
        ({"key": mask, "text": "given"}, ("given", False)),
        ({"key": mask, "text": "left out"}, ("left out", True)),
        ({"key": mask, "reset": True}, ("given", False)),
        ({"key": "checkpoint_blocks", "text": " bert.pooler  @BertLayer "},
         ("bert.pooler @BertLayer", True)),
    ]  # fmt: skip
    for data, expected in rows:
        cost.set_field(desk, data)
        assert shown(data["key"]) == expected and desk.problems == ()
    assert kept() < whole / 4
    cost.set_field(desk, {"key": "checkpoint_blocks", "text": "@BertLayers"})
    assert "did you mean '@BertLayer'" in str(desk.problems[0])
    cost.set_field(desk, {"key": "checkpoint_blocks", "reset": True})
    assert kept() == whole and desk.problems == ()
    cost.set_field(desk, {"key": "input:nosuch", "text": "left out"})
    assert desk.asked.without == () and desk.problems == ()


@pytest.mark.parametrize(
    ("text", "type_", "value"),
    [("3", "int", 3), ("1e-3", "float", 0.001), ("true", "bool", True), ("gelu", "str", "gelu"),
     ("[3, 4]", "list[int]", [3, 4]), ("", "float", None), ("null", "int", None)],
)  # fmt: skip
def test_fields_are_read(text: str, type_: str, value: object) -> None:
    assert param_value(text, type_) == value


@pytest.mark.parametrize(
    "text", ["x", "1 2", "NaN", "1e999", "[" * 9000, "__import__('os')", 3, None, "9" * 20_000]
)
def test_what_is_no_value_is_refused(text: object) -> None:
    with pytest.raises(UsageError):
        param_value(text, "int")
