"""The whole model as data for one canvas, and as a page of its own."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import archspec
from archspec.cli import main

HOSTILE = Path(__file__).parents[1] / "app" / "hostile.yaml"
NET = """
archspec: 1
model: Net
dims: {batch: 2, length: 8}
blocks:
  Block:
    inputs: {x: [batch, 4, n]}
    modules: {conv: {type: Conv1d, in_channels: 4, out_channels: 4, kernel_size: 3, padding: 1}}
  Net:
    inputs: {x: [batch, 4, length]}
    modules:
      first: {type: Block}
      pool: {type: MaxPool1d, kernel_size: 2}
      blocks: {type: ModuleList, items: [{type: Block, repeat: 3}]}
      head: {type: Block}
    forward:
      - x: pool(first(x))
      - for: b in blocks
        do: [{x: b(x)}]
      - return: head(x) + x
"""


def named(flow: dict[str, Any], name: str) -> dict[str, Any]:
    return next(node for node in flow["nodes"] if node["name"] == name)


@pytest.fixture(scope="module")
def net() -> dict[str, Any]:
    canvas = archspec.draw_canvas(archspec.loads(NET, name="net.yaml"), freeze=["blocks"])
    return json.loads(json.dumps(canvas.to_dict(), allow_nan=False))


def test_each_distinct_block_is_there_once_with_its_figures(net: dict[str, Any]) -> None:
    root, flow = net["root"], net["flows"][0]
    assert (root["type"], root["flow"], root["parameters"], root["trainable"]) == (
        "Net",
        0,
        260,
        104,
    )
    names = [node["name"] for node in flow["nodes"]]
    assert names == [
        "x", "first", "pool", "blocks[0]", "blocks[1]", "blocks[2]", "head", "add", "output",
    ]  # fmt: skip
    assert flow["chains"] == [[3, 4, 5]], "head is trainable, and what it gives flows on"
    first, repeated = named(flow, "first"), named(flow, "blocks[1]")
    assert (first["macs"], repeated["macs"]) == (2 * 8 * 4 * 4 * 3, 2 * 4 * 4 * 4 * 3)
    assert (repeated["path"], repeated["state"], "trainable" in repeated) == (
        "blocks.1",
        "frozen",
        0,
    )
    # Built alike, yet of other shapes: what is inside the first one is not what is in the others.
    conv = [named(net["flows"][node["flow"]], "conv") for node in (first, repeated)]
    assert [one["outputs"] for one in conv] == [[[2, 4, 8]], [[2, 4, 4]]]
    assert conv[0]["names"] == ["[batch, 4, length]"] and conv[0]["path"] == "conv"
    assert {"calls", "text", "shared", "outside"} & named(flow, "add").keys() == {"text"}


def test_arrows_are_tensors(net: dict[str, Any]) -> None:
    nodes, edges = net["flows"][0]["nodes"], net["flows"][0]["edges"]
    drawn = [(nodes[e["source"]]["name"], nodes[e["target"]]["name"], e["shape"]) for e in edges]
    assert drawn[:2] == [("x", "first", [2, 4, 8]), ("first", "pool", [2, 4, 8])]
    assert ("blocks[2]", "add", [2, 4, 4]) in drawn
    assert edges[0]["text"] == "[batch, 4, length]" and net["dims"] == {"batch": 2, "length": 8}
    assert [net["files"][file] for file, _ in [named(net["flows"][0], "pool")["place"]]] == [
        "net.yaml"
    ]


def test_bert_is_small_and_says_what_it_was_measured_for() -> None:
    canvas = archspec.draw_canvas("bert", freeze="last-2-and-head", seq=64)
    data = canvas.to_dict()
    inspection = archspec.inspect("bert", freeze="last-2-and-head", seq=64)
    assert data["root"]["macs"] == inspection.macs.value
    assert (data["dims"]["seq"], data["freeze"], data["precision"]) == (
        64,
        "last-2-and-head",
        "fp32",
    )
    assert sorted(len(chain) for flow in data["flows"] for chain in flow["chains"]) == [2, 10]
    assert len(canvas.html) < 300_000, "less than a tenth of 3 MB"
    assert repr(canvas) == f"<Canvas bert: {len(data['flows'])} data flows>"


def test_modules_that_differ_from_another_spec() -> None:
    new = archspec.loads(NET, name="net.yaml")
    former = NET.replace("first: {type", "start: {type").replace("first(x)", "start(x)")
    tail = "tail: {type: Linear, in_features: 4, out_features: 4}"
    former = former.replace("kernel_size: 2}", f"kernel_size: 2}}\n      {tail}")
    former = former.replace("repeat: 3", "repeat: 2").replace("MaxPool1d", "AvgPool1d")
    former = former.replace("return: head(x) + x", "return: tail(head(x)) + x")
    old = archspec.loads(former, name="old.yaml")
    changes = archspec.draw_canvas(new, against=old).to_dict()["changes"]
    assert changes == {
        "against": "old",
        "modules": {
            "pool": {"kind": "changed", "types": ["AvgPool1d", "MaxPool1d"]},
            "blocks.2": {"kind": "added"},
            "first": {"kind": "moved", "was": "start"},
        },
        "removed": {"": [["tail", "Linear", 1]]},
    }
    wider = archspec.loads(NET.replace("kernel_size: 2", "kernel_size: 4"), name="net.yaml")
    changes = archspec.draw_canvas(wider, against=new).to_dict()["changes"]
    assert changes["modules"] == {
        "pool": {"kind": "changed", "arguments": [["kernel_size", "2", "4"]]}
    }
    assert archspec.draw_canvas(new, against=new).to_dict()["changes"]["modules"] == {}
    assert "changes" not in archspec.draw_canvas(new).to_dict()


def test_names_stay_text_in_the_page_and_nothing_is_loaded(tmp_path: Path) -> None:
    spec = archspec.loads(HOSTILE.read_text(), name="</title><script>hit=1</script>.yaml")
    archspec.draw_canvas(spec).save(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert len(re.findall("<script", page)) == len(re.findall("</script", page)) == 2
    assert len(re.findall("<title|</title", page)) == 2
    assert not re.search(r"""(?:src|href)=["']""", page.replace("http://www.w3.org", ""))
    data = re.search(r'id="canvas-data">(.*?)</script>', page, re.DOTALL)
    assert data and json.loads(data[1]) == archspec.draw_canvas(spec).to_dict()
    assert "default-src 'none'" in page and "unsafe" not in page.split("<title>")[0]


def test_the_command_writes_the_page(tmp_path: Path) -> None:
    spec = tmp_path / "net.yaml"
    spec.write_text(NET)
    run = CliRunner()
    page = tmp_path / "net.html"
    done = run.invoke(
        main, ["draw", str(spec), "--freeze", "blocks", "--dim", "length=6", "-o", str(page)]
    )
    assert (done.exit_code, done.output) == (0, "")
    expected = archspec.draw_canvas(spec, freeze=["blocks"], length=6)
    assert page.read_text(encoding="utf-8") == expected.html
    other = tmp_path / "other.yaml"
    other.write_text(NET.replace("repeat: 3", "repeat: 2"))
    words = ["draw", str(spec), "--against", str(other)]
    assert run.invoke(main, [*words, "-o", str(page)]).exit_code == 0
    assert page.read_text(encoding="utf-8") == archspec.draw_canvas(spec, against=other).html
    refused = run.invoke(main, [*words, "--to", "dot"])
    assert refused.exit_code == 2 and "--against goes with --to html" in refused.output
    refused = (["--block", "Block"], ["--all", "-o", str(tmp_path)])
    for words in refused:
        done = run.invoke(main, ["draw", str(spec), "--to", "html", *words])
        assert done.exit_code == 2 and "html has the whole model" in done.stderr, words
