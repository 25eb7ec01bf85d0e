"""What is told of a selected module: where it is written and made, its tensors, its shapes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from archspec_app.details import MAX_LINES, details_data
from archspec_app.session import Session
from archspec_app.workspace import Workspace

TEXT = """\
archspec: 1
model: Net
dims: {batch: 2}

blocks:
  Net:
    inputs: {x: [batch, 4]}
    modules:
      one: {type: Linear, in_features: 4, out_features: 4}
      two:
        type: Linear  # as one
        in_features: 4
        out_features: 4

      norm: {type: BatchNorm1d, num_features: 4}
      attention: {type: MultiheadAttention, embed_dim: 4, num_heads: 2}
    forward:
      - return: norm(two(one(x)))

init: [{match: "@Linear", weight: {normal_: {std: 0.1}}}]
tie: {two.weight: one.weight}
freeze: {ones: [one]}
"""


def details(session: Session, path: str) -> dict[str, Any]:
    assert session.built is not None and not session.problems
    found = details_data(session.built, path)
    return json.loads(json.dumps(found, allow_nan=False))


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Session:
    session = Session(Workspace(tmp_path_factory.mktemp("details")))
    session.paste("net.yaml", TEXT)
    session.change(plan="ones")
    return session


@pytest.fixture(scope="module")
def bert() -> Session:
    session = Session(Workspace(Path()))
    session.open("bert")
    return session


def test_a_layer(net: Session) -> None:
    found = details(net, "one")
    assert (found["type"], found["inputs"], found["outputs"]) == ("Linear", [[2, 4]], [[2, 4]])
    (yaml,) = found["yaml"]
    assert (yaml["file"], yaml["first"], yaml["marked"]) == ("net.yaml", 7, [9])
    assert yaml["lines"] == TEXT.splitlines()[6:11]
    assert (found["file"], found["line"]) == ("net.yaml", 9)
    (python,) = found["python"]
    marked = [python["lines"][number - python["first"]] for number in python["marked"]]
    assert python["title"] == "class Net"
    assert marked == ["        self.one = nn.Linear(4, 4)"]


def test_lines_of_a_declaration_over_several_lines(net: Session) -> None:
    (yaml,) = details(net, "two")["yaml"]
    assert yaml["marked"] == [10, 11, 12, 13]
    assert yaml["lines"] == TEXT.splitlines()[7:15]


def test_tensors(net: Session) -> None:
    weight, bias = details(net, "one")["tensors"]
    assert weight == {
        "name": "weight", "kind": "parameter", "shape": [4, 4], "dtype": "float32",
        "elements": "16", "state": "frozen", "shared": ["two.weight"],
        "initial": [{"text": "normal_(std=0.1)", "file": "net.yaml", "line": 20}],
    }  # fmt: skip
    assert bias["initial"] == [{"text": "PyTorch's default", "file": None, "line": None}]
    weight, bias = details(net, "two")["tensors"]
    assert weight["initial"] == [{"text": "as one.weight", "file": "net.yaml", "line": 21}]
    assert (weight["shared"], weight["state"], bias["state"]) == (
        ["one.weight"], "frozen", "trainable",
    )  # fmt: skip
    buffers = [one for one in details(net, "norm")["tensors"] if one["kind"] == "buffer"]
    assert [one["name"] for one in buffers] == [
        "running_mean", "running_var", "num_batches_tracked"
    ]  # fmt: skip
    assert buffers[2]["dtype"] == "int64" and buffers[2]["state"] == "buffer"


def test_a_block_in_a_parent_file(bert: Session) -> None:
    found = details(bert, "bert.encoder")
    declared, block = found["yaml"]
    assert declared["file"] == block["file"] == "specs/text/bert-model.yaml"
    assert block["title"] == "Block BertEncoder" and block["lines"][0] == "  BertEncoder:"
    assert len(declared["marked"]) == 1
    line = declared["lines"][declared["marked"][0] - declared["first"]]
    assert line.strip().startswith("encoder: {type: BertEncoder")
    (python,) = found["python"]
    assert python["lines"][0] == "class BertEncoder(nn.Module):" and python["marked"] == []
    assert details(bert, "bert")["file"] == "bert.yaml"
    embedding = details(bert, "bert.embeddings.word_embeddings")["tensors"][0]
    assert [start["text"] for start in embedding["initial"]] == [
        "normal_(std=0.02)", "[pad_token_id] zeros_()"
    ]  # fmt: skip


def test_the_root_and_parts_of_layers(net: Session) -> None:
    (yaml,) = details(net, "")["yaml"]
    assert yaml["marked"][0] == yaml["first"] == 6
    part = details(net, "attention.out_proj")
    assert part["line"] == 16 and part["tensors"][0]["initial"][0]["text"] == "normal_(std=0.1)"
    assert part["inputs"] == [], "it is not called"


def test_there_is_nothing_at_other_paths(net: Session) -> None:
    paths = ("nothing", "one.two", "one.", ".", "../x", "one\0")
    assert [path for path in paths if details(net, path)] == []


def test_long_texts_are_cut_around_what_is_meant(tmp_path: Path) -> None:
    layers = "".join(f"      l{i}: {{type: ReLU}}\n" for i in range(2 * MAX_LINES))
    session = Session(Workspace(tmp_path))
    session.paste(
        "long.yaml",
        "archspec: 1\nmodel: Net\ndims: {batch: 2}\nblocks:\n  Net:\n"
        f"    inputs: {{x: [batch, 4]}}\n    modules:\n{layers}",
    )
    last = 2 * MAX_LINES - 1
    (python,) = details(session, f"l{last}")["python"]
    assert len(python["lines"]) == MAX_LINES and len(python["marked"]) == 1
    line = python["lines"][python["marked"][0] - python["first"]]
    assert line == f"        self.l{last} = nn.ReLU()"
    (yaml,) = details(session, "")["yaml"]
    assert (len(yaml["lines"]), yaml["omitted"]) == (MAX_LINES, 2 * MAX_LINES + 3 - MAX_LINES)


def test_hostile_names_are_plain_text() -> None:
    session = Session(Workspace(Path()))
    session.paste("h.yaml", (Path(__file__).parent / "hostile.yaml").read_text())
    name = "<img/src=x/onerror=hit=1>"
    found = details(session, f"inner.d.{name}")
    assert found["path"] == f"inner.d.{name}" and found["type"] == "Linear"
    assert name in found["yaml"][0]["lines"][2]
