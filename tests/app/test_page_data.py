"""What the page is given: the tree's kinds, forms, figures, and texts that are no numbers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from archspec.errors import UsageError
from archspec_app.costs import cost_data, summary_data
from archspec_app.param_form import param_value, params_data, sizes_data
from archspec_app.session import Session
from archspec_app.tabs import cost
from archspec_app.tabs.train import form_fields
from archspec_app.tabs.tree import plan_choices
from archspec_app.tree import find, tree_data
from archspec_app.workspace import Workspace


@pytest.fixture(scope="module")
def session() -> Session:
    session = Session(Workspace(Path()))
    session.open("bert")
    session.change(plan="last-2-and-head")
    return session


def test_equal_layers_are_told_once(session: Session) -> None:
    assert session.built is not None
    data = tree_data(session.built)
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
    node = find(session.built.inspection, "bert.encoder.layer.3")
    assert node is not None and node.type == "BertLayer"
    assert find(session.built.inspection, "bert.decoder") is None


def test_figures_are_short_and_exact(session: Session) -> None:
    assert session.built is not None
    summary = {figure["name"]: figure for figure in summary_data(session.built)}
    assert summary["Parameters"]["short"] == "109.5 M"
    assert (
        summary["Parameters"]["full"] == "109,483,778 parameters" and summary["Parameters"]["exact"]
    )
    assert summary["MACs"]["full"] == "11,174,217,216 MACs"
    memory = cost_data(session.built)["groups"][1]["figures"]
    assert [figure["name"] for figure in memory][-2:] == ["total", "peak of a step"]
    assert not memory[-1]["exact"] and memory[-1]["short"].startswith("≈ ")


def test_forms_have_bounds_and_help(session: Session) -> None:
    assert session.built is not None
    fields: dict[str, Any] = {field["name"]: field for field in params_data(session)}
    labels = fields["num_labels"]
    assert (labels["type"], labels["value"], labels["min"], labels["changed"]) == (
        "int",
        "2",
        1,
        False,
    )
    assert fields["classifier_dropout"]["nullable"]
    assert fields["classifier_dropout"]["help"] == "hidden_dropout_prob if null"
    assert {field["name"]: field["value"] for field in sizes_data(session.built, session.request)}[
        "seq"
    ] == "128"


def test_inputs_and_checkpoints_change_the_figures(session: Session) -> None:
    def shown(name: str) -> tuple[object, ...]:
        assert session.built is not None
        field = next(
            one for one in cost.fields(session.built, session.request) if one["name"] == name
        )
        return field["value"], field["changed"]

    def kept() -> int:
        assert session.built is not None
        return session.built.inspection.memory.activations.value

    whole = kept()
    mask = "input:attention_mask"
    assert shown(mask) == ("passed", False) and shown("checkpoint_blocks") == ("", False)
    rows: list[tuple[dict[str, Any], tuple[object, ...]]] = [
        ({"key": mask, "text": "omitted"}, ("omitted", True)),
        ({"key": mask, "text": "passed"}, ("passed", False)),
        ({"key": mask, "text": "omitted"}, ("omitted", True)),
        ({"key": mask, "reset": True}, ("passed", False)),
        ({"key": "checkpoint_blocks", "text": " bert.pooler  @BertLayer "},
         ("bert.pooler @BertLayer", True)),
    ]  # fmt: skip
    for data, expected in rows:
        cost.set_field(session, data)
        assert shown(data["key"]) == expected and session.problems == ()
    assert kept() < whole / 4
    rejected = [
        ("checkpoint_blocks", "@BertLayers", "did you mean '@BertLayer'"),
        ("batch", "0", "an integer of at least 1"), ("batch", "1.5", "an integer of at least 1"),
        ("precision", "fp7", "fp7"),
    ]  # fmt: skip
    before = session.request
    for key, text, message in rejected:
        cost.set_field(session, {"key": key, "text": text})
        error = session.field_error
        assert error and (error.key, error.text) == (key, text) and message in error.message
        assert session.request == before and session.problems == ()
    cost.set_field(session, {"key": "checkpoint_blocks", "reset": True})
    assert kept() == whole and session.problems == ()
    cost.set_field(session, {"key": "input:nosuch", "text": "omitted"})
    assert session.request.without == () and session.problems == ()


def test_fields_are_read() -> None:
    rows: list[tuple[str, str, object]] = [
        ("3", "int", 3), ("1e-3", "float", 0.001), ("true", "bool", True), ("gelu", "str", "gelu"),
        ("[3, 4]", "list[int]", [3, 4]), ("", "float", None), ("null", "int", None),
    ]  # fmt: skip
    assert [row for row in rows if param_value(row[0], row[1]) != row[2]] == []
    for text in ("x", "1 2", "NaN", "1e999", "[" * 9000, "__import__('os')", 3, None, "9" * 20_000):
        with pytest.raises(UsageError):
            pytest.fail(f"{text!r:.80} is read as {param_value(text, 'int')!r}")


PLANS = """\
archspec: 1
model: Net
blocks:
  Net:
    inputs: {x: [batch, 4]}
    modules:
      a: {type: Linear, in_features: 4, out_features: 4}
      b: {type: Linear, in_features: 4, out_features: 2}
    forward: [{return: b(a(x))}]
freeze:
  none: []
  all: ["**"]
  head: ["**", "!b"]
  part: [a, "!a.bias"]
  off: {patterns: ["**"], gradients: false}
dims: {batch: 3}
"""


def test_freeze_plans_say_what_they_do(session: Session) -> None:
    net = Session(Workspace(Path()))
    net.paste("net.yaml", PLANS)
    labels = [choice["label"] for choice in plan_choices(net)]
    assert labels == [
        "none: everything is trained",
        "all: nothing is trained",
        "head: only b trained",
        "part: freezes a, !a.bias",
        "off: freezes no parameters",
    ]
    assert [choice["name"] for choice in plan_choices(net)] == ["", "all", "head", "part", "off"]
    net.paste("net.yaml", f"{PLANS}adapters: {{low: {{kind: lora, match: a, rank: 2}}}}\n")
    names = [choice["name"] for choice in plan_choices(net)]
    assert names[:2] == ["", "none"]
    assert plan_choices(net)[0]["label"] == "none: everything is trained, or what the adapter says"
    own, inherited = ["head-only", "last-2-and-head"], ["all", "embeddings", "norms"]
    assert [choice["name"] for choice in plan_choices(session)] == ["", *own, *inherited]
    label = "last-2-and-head: only bert.encoder.layer[-2:], dropout, classifier trained"
    assert plan_choices(session)[2]["label"] == label


def test_the_form_of_training_speaks_of_its_own_fields(session: Session) -> None:
    fields = {field["name"]: field for part in form_fields(session).values() for field in part}
    labels = {field["label"] for field in fields.values()}
    for name, field in fields.items():
        placeholder = field.get("placeholder", "")
        for text in (field["help"], placeholder, field.get("empty", "")):
            wrong = re.search(r"(^|\s)--|archspec show|repeated|HOW|torchrun", text)
            assert wrong is None, f"{name}: {text}"
            assert set(re.findall(r'"([A-Z][a-z ]+)"', text)) <= labels, f"{name}: {text}"
        if "choices" not in field:
            assert len(placeholder) <= 20, f"{name}: {placeholder} is cut off in a narrow field"
    assert 'instead of "Freeze" and "Epochs"' in fields["phases"]["help"]
    assert fields["tokenizer"]["help"].endswith("the one next to the weights or the spec.")
    assert fields["layout"]["suggestions"] == ["transformers"]
