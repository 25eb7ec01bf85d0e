"""``archspec weights``: output, exit status, what is written."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import load_file, save_file

import archspec
from archspec import build
from archspec.cli import main

NET = """\
archspec: 1
model: Net
params: {labels: 2}
blocks:
  Net:
    inputs: {x: [batch, 4]}
    modules:
      body: {type: Linear, in_features: 4, out_features: 4}
      head: {type: Linear, in_features: 4, out_features: $labels}
    forward:
      - return: head(body(x))
checkpoints:
  theirs: {prefix: "net.", rename: {body: stem}}
  meeting: {rename: {body: head}}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("net.yaml").write_text(NET)
    state = build("net.yaml", device="cpu", seed=0).state_dict()
    save_file(state, "ours.safetensors")
    theirs = {f"net.{n.replace('body', 'stem')}": t.half() for n, t in state.items()}
    torch.save({"state_dict": theirs, "epoch": 3}, "theirs.pth")
    save_file({n: t for n, t in state.items() if "head" not in n}, "body.safetensors")
    return tmp_path


def run(command: str) -> Result:
    return CliRunner().invoke(main, ["weights", *command.split()], prog_name="archspec")


def test_check(golden: Callable[[str, str], None]) -> None:
    result = run("check net.yaml theirs.pth")
    assert result.exit_code == 0 and result.stderr == ""
    golden("weights/check.txt", result.stdout)


def test_check_of_what_does_not_fit(golden: Callable[[str, str], None]) -> None:
    result = run("check net.yaml body.safetensors -p labels=3")
    assert result.exit_code == 1
    golden("weights/check-missing.txt", result.stdout + result.stderr)
    result = run("check net.yaml ours.safetensors -p labels=3")
    assert result.exit_code == 1
    assert "error[E603]: 'head.weight' has the shape [3, 4], in the file [2, 4]" in result.stderr


@pytest.mark.parametrize(
    "options", ["ours.safetensors -p labels=3 --resize head=fresh",
                "ours.safetensors -p labels=3 --resize head.weight=rows --resize head.bias=fresh",
                "body.safetensors --allow-missing head", "theirs.pth --layout theirs",
                "ours.safetensors --ignore head --allow-missing head"],
)  # fmt: skip
def test_what_may_be(options: str) -> None:
    result = run(f"check net.yaml {options}")
    assert (result.exit_code, result.stderr) == (0, "")


def test_check_as_json() -> None:
    result = run("check net.yaml theirs.pth --json")
    report = json.loads(result.stdout)
    assert (report["ok"], report["problems"]) == (True, [])
    expected = archspec.load_weights(build("net.yaml", device="cpu"), "theirs.pth").to_dict()
    assert report["report"] == expected
    assert expected["counts"] == {"renamed": 4} and expected["wrapper"] == "state_dict"
    assert expected["others"] == [{"name": "epoch", "about": "int"}]
    assert expected["tensors"][0] == {
        "kind": "renamed",
        "ours": {"name": "body.weight", "shape": [4, 4], "dtype": "float32"},
        "theirs": {"name": "net.stem.weight", "shape": [4, 4], "dtype": "float16"},
        "rules": [
            {"text": "rename body: stem", "file": "net.yaml", "line": 13},
            {"text": "prefix 'net.'", "file": "net.yaml", "line": 13},
        ],
        "shares": None,
        "cast": True,
        "explained": True,
    }
    result = run("check net.yaml body.safetensors --json")
    found = json.loads(result.stdout)
    assert result.exit_code == 1 and not found["ok"] and not found["report"]["complete"]
    assert [problem["code"] for problem in found["problems"]] == ["E602"]


def test_convert_there_and_back() -> None:
    result = run("convert net.yaml ours.safetensors --to theirs -o out/")
    assert (result.exit_code, result.output) == (0, "out/model.safetensors\n")
    ours, theirs = load_file("ours.safetensors"), load_file("out/model.safetensors")
    assert theirs.keys() == {f"net.{n.replace('body', 'stem')}" for n in ours}
    assert run("convert net.yaml out --to archspec -o back.safetensors").exit_code == 0
    back = load_file("back.safetensors")
    assert back.keys() == ours.keys() and all(torch.equal(back[n], t) for n, t in ours.items())


def test_convert_keeps_dtypes_and_replaces_its_own_source() -> None:
    result = run("convert net.yaml theirs.pth --from theirs --to archspec -o a.safetensors --json")
    assert json.loads(result.stdout)["files"] == ["a.safetensors"]
    assert {t.dtype for t in load_file("a.safetensors").values()} == {torch.float16}
    assert run("convert net.yaml a.safetensors --to theirs -o a.safetensors").exit_code == 0
    assert "net.stem.bias" in load_file("a.safetensors")


def test_convert_into_shards() -> None:
    result = run("convert net.yaml ours.safetensors --to archspec -o out --max-shard-size 64B")
    assert result.exit_code == 0
    assert result.output.splitlines()[-1] == "out/model.safetensors.index.json"
    assert run("check net.yaml out").exit_code == 0


def test_convert_leaves_out_what_is_missing() -> None:
    result = run(
        "convert net.yaml body.safetensors --to theirs -o a.safetensors --allow-missing head"
    )
    assert result.exit_code == 0
    assert load_file("a.safetensors").keys() == {"net.stem.weight", "net.stem.bias"}


@pytest.mark.parametrize(
    ("command", "status", "told"),
    [
        ("check net.yaml nowhere.pt", 1, "error[E601]: nowhere.pt: no such file"),
        ("check net.yaml ours.safetensors --layout their", 1, "did you mean 'theirs'?"),
        ("check net.yaml ours.safetensors --resize head", 2, "not of the form PATTERN=HOW"),
        ("check net.yaml ours.safetensors --resize head=new", 2, "ways: fresh, rows"),
        ("check net.yaml ours.safetensors --allow-missing heda", 1, "error[E701]"),
        ("check nothing ours.safetensors", 1, "error[E108]"),
        ("convert net.yaml ours.safetensors --to their -o a", 1, "error[E604]"),
        ("convert net.yaml ours.safetensors --to meeting -o a", 1, "error[E605]"),
        ("convert net.yaml body.safetensors --to theirs -o a", 1, "error[E602]"),
        ("convert net.yaml ours.safetensors --to theirs -o a.bin", 2, "error[E801]"),
        ("convert net.yaml ours.safetensors --to theirs", 2, "Missing option '-o'"),
        ("convert net.yaml ours.safetensors --to theirs -o a --max-shard-size 5X", 2, "as 5GB"),
        ("convert net.yaml ours.safetensors --to theirs -o a --max-shard-size 0", 2, "a byte"),
    ],
)  # fmt: skip
def test_errors(command: str, status: int, told: str, folder: Path) -> None:
    before = {path.name for path in folder.iterdir()}
    result = run(command)
    assert result.exit_code == status, result.output
    assert told in result.stderr and result.stdout == ""
    assert {path.name for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("text", "size"),
    [("5GB", 5 * 10**9), ("1.5 MB", 1_500_000), ("2KiB", 2048), ("1GiB", 2**30), ("77", 77),
     ("3k", 3000), ("9b", 9), ("1TB", 10**12)],
)  # fmt: skip
def test_sizes(text: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from archspec.weights import saving

    asked: list[Any] = []
    monkeypatch.setattr(saving, "convert_weights", lambda *given: asked.append(given[3]) or ())
    arguments = ["weights", "convert", "net.yaml", "ours.safetensors", "--to", "theirs"]
    CliRunner().invoke(main, [*arguments, "-o", "a", "--max-shard-size", text])
    assert asked == [size]


@pytest.mark.parametrize("command", ["", "check", "convert", "stats"])
def test_help(command: str, golden: Callable[[str, str], None]) -> None:
    result = run(f"{command} --help")
    assert result.exit_code == 0
    golden(f"cli/help-weights{'-' * bool(command)}{command}.txt", result.stdout)


def test_errors_as_json() -> None:
    result = run("check net.yaml nowhere.pt --json")
    assert json.loads(result.stdout)["error"]["problems"][0]["code"] == "E601"
    assert re.match(r"\{", result.stdout) and result.exit_code == 1
