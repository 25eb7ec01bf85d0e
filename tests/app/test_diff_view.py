"""Two specs side by side, as the page shows them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from archspec.errors import SpecError, UsageError
from archspec_app.diff_view import EDITED, SAVED, Pair, diff_data, load_pair, names_data
from archspec_app.session import Session
from archspec_app.workspace import Workspace

TEXT = """\
archspec: 1
model: Net
params: {width: 8}
dims: {batch: 2}
blocks:
  Net:
    inputs: {x: [batch, 4]}
    modules:
      one: {type: Linear, in_features: 4, out_features: $width}
      two: {type: Linear, in_features: $width, out_features: 2}
freeze: {head: ["**", "!two"]}
"""


@pytest.fixture
def session(tmp_path: Path) -> Session:
    (tmp_path / "net.yaml").write_text(TEXT)
    session = Session(Workspace(tmp_path))
    session.open("net.yaml")
    return session


def compared(session: Session, a: str = "", b: str = "", levels: list[object] | None = None) -> Any:
    found = diff_data(load_pair(session, Pair.of(a, b, levels or [])))
    return json.loads(json.dumps(found, allow_nan=False))


def test_nothing_has_changed(session: Session) -> None:
    session.edit(TEXT.replace("[batch, 4]", "[ batch, 4 ]") + "# a comment\n")
    found = compared(session)
    assert not found["different"] and found["verdict"].startswith("No difference: both say the")
    assert found["sections"] == [] and (found["a"], found["b"]) == (SAVED, EDITED)


def test_an_edit_against_what_was_saved(session: Session) -> None:
    session.edit(TEXT.replace("width: 8", "width: 16").replace("!two", "!one"))
    found = compared(session)
    assert (found["old"], found["new"]) == ("net (saved)", "net (editor)")
    spec, tree, tensors = found["sections"]
    width = {
        "kind": "changed", "sign": "~", "what": "params.width", "how": "8 → 16",
        "where": "net.yaml:3", "line": 3,
    }  # fmt: skip
    assert spec["lines"][0] == width
    assert [(line["what"], line["line"]) for line in tree["lines"]] == [("one", 9), ("two", 10)]
    assert tensors["lines"][0]["what"].endswith("the same") and tensors["lines"][0]["sign"] == "="
    cost, plans = found["figures"]
    assert cost["rows"][0][:3] == ["parameters", "58", "114"]
    assert plans["rows"] == [["head", "18", "80", "+62 (+344.4%)"]]
    assert found["markdown"].startswith("### `net (saved)` → `net (editor)`")


def test_levels_and_plan(session: Session) -> None:
    session.change(plan="head")
    session.edit(TEXT.replace("width: 8", "width: 16"))
    found = compared(session, levels=["spec", "nonsense", 3])
    assert found["levels"] == ["spec"] and [one["title"] for one in found["sections"]] == ["Spec"]
    cost = compared(session, levels=["cost"])
    assert "freeze plan head" in cost["notes"][0]
    assert "nothing frozen" in compared(session, a="resnet18", levels=["cost"])["notes"][0]


def test_lines_of_other_files_lead_nowhere(session: Session) -> None:
    found = compared(session, a="resnet18", levels=["spec"])
    lines = {line["what"]: line for line in found["sections"][0]["lines"]}
    assert lines["blocks.BasicBlock"]["line"] is None
    assert lines["blocks.Net"]["line"] == 7, "where its content begins"
    swapped = compared(session, a=EDITED, b="resnet18", levels=["spec"])
    lines = {line["what"]: line for line in swapped["sections"][0]["lines"]}
    assert (lines["blocks.Net"]["sign"], lines["blocks.Net"]["line"]) == ("−", 7)
    assert lines["blocks.BasicBlock"]["line"] is None


def test_a_packaged_spec_is_its_own_saved_version(tmp_path: Path) -> None:
    session = Session(Workspace(tmp_path))
    session.open("resnet18")
    assert names_data(session)["has_saved"]
    assert not compared(session, levels=["spec"])["different"]
    session.set_param("num_classes", 10)
    found = compared(session, levels=["spec"])
    assert found["new"] == "resnet18 (editor)"
    line = found["sections"][0]["lines"][0]["line"]
    assert "num_classes: {default: 10" in session.request.text.splitlines()[line - 1]


def test_what_was_never_saved(tmp_path: Path) -> None:
    session = Session(Workspace(tmp_path))
    session.paste("new.yaml", TEXT)
    assert not names_data(session)["has_saved"]
    with pytest.raises(UsageError) as caught:
        compared(session)
    assert caught.value.code == "E801" and "no saved version" in caught.value.message


def test_only_specs_of_the_folder(session: Session) -> None:
    for name in ("../net.yaml", "/etc/passwd", "none.yaml", "net", "a\0.yaml"):
        with pytest.raises((UsageError, SpecError)) as caught:
            compared(session, a=name)
        assert str(session.workspace.folder) not in str(caught.value), name


def test_a_broken_text_leaves_the_last_good_one(session: Session) -> None:
    session.edit(TEXT.replace("width: 8", "width: 16"))
    session.edit(TEXT.replace("width: 8", "width: ["))
    assert names_data(session)["has_problems"]
    assert compared(session, levels=["spec"])["sections"][0]["lines"][0]["how"] == "8 → 16"


def test_hostile_names_are_plain_text(session: Session, tmp_path: Path) -> None:
    text = (Path(__file__).parent / "hostile.yaml").read_text()
    (tmp_path / "hostile.yaml").write_text(text)
    session.open("hostile.yaml")
    session.edit(text.replace("out_features: 4}", "out_features: 4, bias: false}"))
    found = compared(session, levels=["spec", "tree", "tensors"])
    name = "inner.d.</title><script>hit=1</script>"
    assert name in [line["what"] for line in found["sections"][1]["lines"]]
    assert f"`{name}`" in found["markdown"], "code, not markup"
