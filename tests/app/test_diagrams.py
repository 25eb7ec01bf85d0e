"""Drawings for the page: one block at a time, and what its boxes lead to."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from archspec.errors import UsageError
from archspec_app import diagrams
from archspec_app.diagrams import FLOW, MODULES, diagram_data, enclosing_block, png_data
from archspec_app.session import Session
from archspec_app.workspace import Workspace


@pytest.fixture(scope="module")
def session() -> Session:
    session = Session(Workspace(Path()))
    session.open("bert")
    session.change(plan="last-2-and-head", sizes={"seq": 64})
    return session


def drawn(session: Session, path: str, view: str = FLOW) -> dict[str, Any]:
    assert session.built is not None and not session.problems
    return json.loads(json.dumps(diagram_data(session.built, path, view), allow_nan=False))


def ids(svg: str) -> set[str]:
    return {
        e.attrib["data-node"] for e in ElementTree.fromstring(svg).iter() if "data-node" in e.attrib
    }


def test_the_root_first_and_only_its_own_steps(session: Session) -> None:
    found = drawn(session, "")
    assert (found["path"], found["title"]) == ("", "bert: BertForSequenceClassification")
    boxes = {box["path"]: box for box in found["boxes"] if box["path"] is not None}
    assert boxes.keys() == {"bert", "dropout", "classifier"}
    assert [box["can_open"] for box in boxes.values()] == [True, False, False]
    assert ids(found["svg"]) == {box["id"] for box in found["boxes"]}
    assert "[64]" not in found["text"] and "seq=64" in found["svg"]
    assert "freeze plan last-2-and-head" in found["svg"]
    assert boxes["bert"]["label"] == "bert, BertModel · 109.5 M, partly frozen"


def test_down_and_up(session: Session) -> None:
    found = drawn(session, "bert.encoder")
    modules = [box for box in found["boxes"] if box["kind"] == "module"]
    assert [(box["path"], box["times"], box["can_open"]) for box in modules] == [
        ("bert.encoder.layer.0", 10, True), ("bert.encoder.layer.10", 2, True),
    ]  # fmt: skip
    found = drawn(session, "bert.encoder.layer.3")
    assert [one["path"] for one in found["trail"]] == [
        "", "bert", "bert.encoder", "bert.encoder.layer.3"
    ]  # fmt: skip
    assert found["trail"][-1]["type"] == "BertLayer"


def test_a_layer_is_drawn_in_its_block(session: Session) -> None:
    assert session.built is not None
    query = "bert.encoder.layer.3.attention.self.query"
    found = drawn(session, query)
    assert found["path"] == "bert.encoder.layer.3.attention.self"
    assert query in [box["path"] for box in found["boxes"]]
    assert enclosing_block(session.built, "bert.encoder.layer") == "bert.encoder", (
        "a list is not run"
    )
    assert enclosing_block(session.built, "no.such.path") == ""


def test_the_hierarchy(session: Session) -> None:
    found = drawn(session, "bert.encoder", MODULES)
    assert found["title"] == "bert: modules" and found["boxes"][0]["path"] == ""
    assert not any(box["can_open"] for box in found["boxes"]), "to click there is to select"
    assert found["file"] == "bert-modules"


def test_a_path_is_not_taken_for_the_name_of_a_block(tmp_path: Path) -> None:
    session = Session(Workspace(tmp_path))
    session.paste(
        "net.yaml",
        "archspec: 1\nmodel: Net\ndims: {batch: 2}\nblocks:\n"
        "  A:\n    inputs: {x: [batch, 4]}\n    modules: {a: {type: ReLU}}\n"
        "  B:\n    inputs: {x: [batch, 4]}\n    modules: {b: {type: GELU}}\n"
        "  Net:\n    inputs: {x: [batch, 4]}\n    modules: {B: {type: A}, A: {type: B}}\n",
    )
    assert "B.a" in [box["path"] for box in drawn(session, "B")["boxes"]]


def test_png(session: Session) -> None:
    assert session.built is not None
    found = png_data(session.built, "classifier", FLOW)
    assert base64.b64decode(found["png"])[:4] == b"\x89PNG"
    assert found["file"] == "bert-BertForSequenceClassification"


def test_too_large(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagrams, "MAX_SVG_LENGTH", 1000)
    with pytest.raises(UsageError) as caught:
        drawn(session, "")
    assert caught.value.code == "E801" and "open one of its blocks" in caught.value.hint


def test_what_is_not_run_has_no_drawing(tmp_path: Path) -> None:
    session = Session(Workspace(tmp_path))
    session.paste(
        "net.yaml",
        "archspec: 1\nmodel: Net\ndims: {batch: 2}\nblocks:\n"
        "  A:\n    inputs: {x: [batch, 4]}\n    modules: {a: {type: ReLU}}\n"
        "  Net:\n    inputs: {x: [batch, 4]}\n    modules: {one: {type: A}, two: {type: A}}\n"
        "    forward: [{return: one(x)}]\n",
    )
    with pytest.raises(UsageError, match="not run by the forward"):
        drawn(session, "two")


def test_hostile_names_are_plain_text() -> None:
    session = Session(Workspace(Path()))
    session.paste("h.yaml", (Path(__file__).parent / "hostile.yaml").read_text())
    found = drawn(session, "inner")
    assert "inner.d.<img/src=x/onerror=hit=1>" in [box["path"] for box in found["boxes"]]
    tags = {e.tag.rpartition("}")[2] for e in ElementTree.fromstring(found["svg"]).iter()}
    assert tags <= {"svg", "g", "polygon", "path", "text", "title"}
    assert not any(
        "href" in name for e in ElementTree.fromstring(found["svg"]).iter() for name in e.attrib
    )
