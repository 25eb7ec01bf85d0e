"""What the editor completes and explains: from the registry, the JSON Schema and the spec."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import archspec
from archspec.errors import UsageError
from archspec.lang.inherit import locate
from archspec.lang.packaged import packaged_specs
from archspec.lang.registry import functions, layers
from archspec_app.events import Event
from archspec_app.inherited_names import known_names
from archspec_app.language_data import first_line, language_json
from archspec_app.session import Session, SpecRequest
from archspec_app.tabs import spec as spec_tab
from archspec_app.workspace import Workspace
from tests.app.test_assets import run_node
from tests.loaded import packaged

CHECK = Path(__file__).parent / "assets" / "check_packaged.mjs"
PARENT = """\
archspec: 1
model: Net
params: {width: {default: 4, min: 1, help: of both}}
blocks:
  Net:
    inputs: {x: [batch, $width]}
    modules: {a: {type: Linear, in_features: $width, out_features: 2}}
"""
CHILD = "archspec: 1\nextends: base.yaml\nparams: {width: 8}\n"


@pytest.fixture(scope="module")
def language() -> dict[str, Any]:
    return json.loads(language_json())


def test_layers_and_functions_are_those_of_the_registry(language: dict[str, Any]) -> None:
    assert list(language["layers"]) == list(layers.names())
    assert {*functions.names()} < {*language["functions"]}
    linear = language["layers"]["Linear"]
    assert linear["signature"] == "Linear(in_features, out_features, bias=True)"
    assert linear["help"] == (
        "Applies an affine linear transformation to the incoming data: y = xA^T + b."
    )
    assert [argument["name"] for argument in linear["arguments"] if argument["required"]] == [
        "in_features", "out_features",
    ]  # fmt: skip
    assert language["functions"]["relu"]["help"] == (
        "Applies the rectified linear unit function element-wise."
    )
    assert language["functions"]["expand"]["help"].startswith("Returns a new view of the self")
    told = [one["help"] for part in ("layers", "functions") for one in language[part].values()]
    assert sum(not text for text in told) < 7
    assert [text for text in told if "`" in text or "\n" in text or len(text) > 200] == []


def test_a_registered_layer_is_known(language: dict[str, Any]) -> None:
    class Mine(nn.Module):
        """Scales `x`. And more."""

    Mine.__qualname__ = "Mine"
    assert first_line(Mine) == "Scales x."
    assert "Mine" not in language["layers"]
    globals()["Mine"] = Mine
    archspec.register_layer(Mine)
    try:
        assert json.loads(language_json())["layers"]["Mine"]["help"] == "Scales x."
    finally:
        layers._registered.pop("Mine")  # pyright: ignore[reportPrivateUsage]


def test_what_packaged_specs_have_is_offered_at_its_place(tmp_path: Path) -> None:
    specs = {
        name: {
            "text": locate(name).read_text(encoding="utf-8"),
            "inherited": known_names(packaged(name)),
        }
        for name in packaged_specs()
    }
    (tmp_path / "language.json").write_text(language_json())
    (tmp_path / "specs.json").write_text(json.dumps(specs))
    found = json.loads(run_node(CHECK, tmp_path / "language.json", tmp_path / "specs.json"))
    # A block that is given a layer has no way to know its arguments.
    assert [one.split(" at ")[0] for one in found["missing"]] == ["mobilenet-v3-large: key inplace"]
    assert found["count"] > 7000


@pytest.fixture
def child(tmp_path: Path) -> Session:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "base.yaml").write_text(PARENT)
    (tmp_path / "more" / "child.yaml").write_text(CHILD)
    (tmp_path / "other.yaml").write_text("secret")
    session = Session(Workspace(tmp_path))
    session.open("more/child.yaml")
    assert not session.problems
    return session


def test_the_names_of_parents_have_places_and_values(child: Session) -> None:
    assert child.built
    names = known_names(child.built.spec)
    assert names["files"] == ["more/base.yaml"]
    assert names["params"]["width"] == {
        "type": "int", "value": "8", "default": "8", "min": 1, "max": None, "choices": [],
        "help": "of both", "file": "more/child.yaml", "line": 3,
    }  # fmt: skip
    net = names["blocks"]["Net"]
    assert (net["file"], net["line"], net["modules"]) == (
        "more/base.yaml", 5, {"a": ("Linear", "more/base.yaml", 7)},
    )  # fmt: skip
    assert net["inputs"] == {"x": ("[batch, $width]", "more/base.yaml", 6)}


def read(session: Session, name: object) -> dict[str, Any]:
    act = spec_tab._read_file  # pyright: ignore[reportPrivateUsage]
    return act(session, Event({"file": name, "line": 3}))


@pytest.mark.parametrize("name", ["base.yaml", "more/base.yaml", "./base.yaml"])
def test_a_parent_can_be_read(child: Session, name: str) -> None:
    assert read(child, name) == {"name": "more/base.yaml", "text": PARENT, "line": 3}


def test_the_parent_of_a_packaged_spec_can_be_read(tmp_path: Path) -> None:
    session = Session(Workspace(tmp_path))
    session.open("bert")
    expected = {"name": "specs/text/bert-model.yaml", "text": locate("bert-model").read_text()}
    for name in ("bert-model", "specs/text/bert-model.yaml"):
        assert read(session, name) == {**expected, "line": 3}


@pytest.mark.parametrize("name", ["other.yaml", "../other.yaml", "/etc/passwd", "", "resnet18", 7])
def test_no_other_file_can_be_read(child: Session, name: object) -> None:
    with pytest.raises(UsageError, match="E801"):
        read(child, name)


def test_the_merged_text_builds_the_same(child: Session) -> None:
    resolve = spec_tab._read_resolved  # pyright: ignore[reportPrivateUsage]
    told = resolve(child, Event())
    assert told["name"] == "more/child.yaml, parents merged"
    assert "extends" not in told["text"]
    merged = archspec.loads(told["text"])
    assert child.built
    assert archspec.to_python(merged) == archspec.to_python(child.built.spec)


def test_a_draft_holds_all_that_a_session_is_asked_for() -> None:
    draft = spec_tab._Draft  # pyright: ignore[reportPrivateUsage]
    assert {*draft.model_fields} == {
        "name", "choices", *(field.name for field in fields(SpecRequest)),
    }  # fmt: skip
