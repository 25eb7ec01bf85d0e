"""The command line in this process: what it prints, and with which status it ends."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

import archspec
from archspec.cli import main
from archspec.cli.terminal import painted
from archspec.lang import catalog
from archspec.lang.instances import walk
from archspec.lang.packaged import packaged_specs
from tests.loaded import packaged

Golden = Callable[[str, str], None]
DOCS = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
TINY = re.findall(r"^```yaml\n(.*?)^```", DOCS, re.MULTILINE | re.DOTALL)[0]
CONFIG = """\
{
  "architectures": ["BertForMaskedLM"],
  "attention_probs_dropout_prob": 0.1,
  "gradient_checkpointing": false,
  "hidden_act": "gelu",
  "hidden_dropout_prob": 0.1,
  "hidden_size": 1024,
  "initializer_range": 0.02,
  "intermediate_size": 4096,
  "layer_norm_eps": 1e-12,
  "max_position_embeddings": 512,
  "model_type": "bert",
  "num_attention_heads": 16,
  "num_hidden_layers": 24,
  "pad_token_id": 0,
  "position_embedding_type": "absolute",
  "transformers_version": "4.57.0",
  "type_vocab_size": 2,
  "use_cache": true,
  "vocab_size": 30522
}
"""
BAD = """\
archspec: 1
model: Net
blocks:
  Net:
    inputs: {x: [batch, 3]}
    modules:
      dense: {type: Linear, in_feature: 3, out_features: 4}
      act: {type: Relu}
    forward:
      - return: act(dence(x))
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with the files that the examples speak of."""
    (tmp_path / "tiny.yaml").write_text(TINY, encoding="utf-8")
    (tmp_path / "config.json").write_text(CONFIG, encoding="utf-8")
    (tmp_path / "bad.yaml").write_text(BAD, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str, color: bool = False, **environ: str) -> Result:
    env: dict[str, str | None] = {"COLUMNS": "80", "NO_COLOR": None, "FORCE_COLOR": None}
    result = CliRunner(env={**env, **environ}).invoke(
        main, arguments, prog_name="archspec", color=color, catch_exceptions=False
    )
    return result


def loaded(*arguments: str, status: int = 0) -> Any:
    """The JSON document that a command prints."""
    result = run(*arguments)
    assert result.exit_code == status, result.output
    return json.loads(result.stdout)


# ------------------------------------------------------------------------------------------ text

HELP = [[], *([name] for name in main.commands if name != "weights")]


@pytest.mark.parametrize("command", HELP, ids=lambda c: "".join(c) or "archspec")
def test_help(command: list[str], golden: Golden) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0
    golden(f"cli/help-{''.join(command) or 'archspec'}.txt", result.stdout)


@pytest.mark.parametrize("command", HELP, ids=lambda c: "".join(c) or "archspec")
def test_the_examples_in_the_help_are_understood(command: list[str]) -> None:
    shown = re.findall(r"^    archspec (\S.*?)(?:  .*)?$", run(*command, "--help").stdout, re.M)
    assert 2 <= len(shown) <= 7
    root = main.make_context("archspec", [], resilient_parsing=True)
    for example in shown:
        name, *arguments = shlex.split(example)
        main.commands[name].make_context(name, arguments, parent=root)


def test_list(golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    # Every call reads all specs anew, which says nothing about what it prints of them.
    monkeypatch.setattr(catalog, "catalog", cache(catalog.catalog))
    golden("cli/list.txt", run("list", "ResNet-34", "IMAGE-classification").output)
    names = [line.split()[0] for line in run("list").output.splitlines()]
    everything = loaded("list", "--json")
    assert [entry["name"] for entry in everything] == names
    assert {*names} == {*packaged_specs()}
    assert everything == sorted(everything, key=lambda entry: (entry["field"], entry["name"]))
    found = {
        word: loaded("list", "--json", word) for word in ("he et al.", "BERT", "torchvision", "xyz")
    }
    assert "resnet18" in [entry["name"] for entry in found["he et al."]]
    assert {entry["model_type"] for entry in found["BERT"]} >= {"bert"}
    assert {entry["field"] for entry in found["torchvision"]} == {"vision"}
    assert "resnet18" in {entry["name"] for entry in loaded("list", "--json", "net")}  # ResNet
    assert loaded("list", "--json", "supervised") == []  # gpt2 and dcgan: Unsupervised
    assert {entry["field"] for entry in loaded("list", "--json", "vision")} == {"vision"}
    llamas = loaded("list", "--json", "model_type=LLAMA", "task=causal")
    assert [entry["name"] for entry in llamas] == ["llama"]
    others = ("model_type=lama", "task=llama", "parameters=8", "=llama", "xyz=llama")
    assert [word for word in others if loaded("list", "--json", word)] == []
    assert run("list", "xyz").output == "no packaged spec has all of these words\n"
    assert found["xyz"] == []


def test_show(golden: Golden) -> None:
    result = run("show", "bert", "-p", "num_labels=3")
    assert result.exit_code == 0
    golden("cli/show-bert.txt", result.output)


def test_validate(golden: Golden) -> None:
    result = run("validate", "bert", "bad.yaml", "nope", "tiny.yaml")
    assert result.exit_code == 1
    assert result.stdout == "bert: ok\ntiny.yaml: ok\n"
    golden("cli/validate.txt", result.output)


def test_one_file_needs_no_summary() -> None:
    result = run("validate", "tiny.yaml")
    assert (result.exit_code, result.output) == (0, "tiny.yaml: ok\n")


def test_version() -> None:
    assert run("--version").output == f"archspec {archspec.__version__}\n"


def test_export_is_what_build_compiles() -> None:
    result = run("export", "tiny.yaml", "--to", "python", "-p", "depth=5")
    assert result.exit_code == 0
    assert result.stdout == archspec.to_python("tiny.yaml", depth=5)


def test_schema() -> None:
    from archspec.lang.json_schema import json_schema

    assert loaded("schema") == json.loads(json.dumps(json_schema()))


# ------------------------------------------------------------------------------------------ JSON


def test_show_as_json() -> None:
    shown = loaded("show", "tiny.yaml", "-p", "depth=2", "--json")
    assert shown["params"] == {
        "hidden_size": {
            "value": 8, "type": "int", "origin": "tiny.yaml:5:33", "file": "tiny.yaml", "line": 5,
            "column": 33, "help": "",
        },
        "depth": {
            "value": 2, "type": "int", "origin": "-p depth=2", "file": None, "line": None,
            "column": None, "help": "",
        },
    }  # fmt: skip
    assert shown["blocks"]["Layer"]["instances"] == 2
    assert (shown["blocks"]["Tiny"]["line"], shown["blocks"]["Tiny"]["column"]) == (14, 3)
    linear = {"in_features": 8, "out_features": 8}
    assert shown["modules"] == [
        {"path": "", "type": "Tiny", "arguments": {}},
        {"path": "layers", "type": "Sequential", "arguments": {}},
        {"path": "layers.0", "type": "Layer", "arguments": {}},
        {"path": "layers.0.dense", "type": "Linear", "arguments": linear},
        {"path": "layers.1", "type": "Layer", "arguments": {}},
        {"path": "layers.1.dense", "type": "Linear", "arguments": linear},
        {"path": "head", "type": "Linear", "arguments": {**linear, "out_features": 2}},
    ]
    assert shown["freeze"]["head-only"]["patterns"] == ["**", "!head"]
    assert (shown["name"], shown["model"], shown["dims"]) == ("tiny", "Tiny", {"batch": 2})
    assert shown["files"] == ["tiny.yaml"] and shown["ignored"] == [] and shown["task"] is None


def test_every_packaged_spec_as_json() -> None:
    for entry in loaded("list", "--json"):
        spec = packaged(entry["name"])
        shown = loaded("show", entry["name"], "--json")
        assert shown["description"] == entry["description"]
        assert len(shown["modules"]) == sum(1 for _ in walk(spec.root))


def test_numbers_that_are_not_finite_are_text_in_json(folder: Path) -> None:
    text = TINY.replace("depth: 3", "depth: 3, a: .inf, b: [.nan, 1], c: -.inf")
    (folder / "odd.yaml").write_text(text)
    shown = loaded("show", "odd.yaml", "--json")
    assert [shown["params"][name]["value"] for name in "abc"] == ["inf", ["nan", 1], "-inf"]


def test_build_as_json() -> None:
    built = loaded("build", "tiny.yaml", "--device", "cpu", "--freeze", "head-only", "--json")
    assert 0 < built.pop("seconds") < 60
    assert built.pop("tree") == str(archspec.build("tiny.yaml", device="meta"))
    assert built == {
        "name": "tiny", "model": "Tiny", "parameters": 234, "trainable": 18, "buffer_elements": 0,
        "bytes": 936, "device": "cpu", "dtype": "float32",
    }  # fmt: skip


def test_counts_of_buffers_and_of_half_precision() -> None:
    built = loaded("build", "resnet18", "--device", "meta", "--dtype", "bfloat16", "--json")
    assert (built["parameters"], built["buffer_elements"]) == (11_689_512, 9_620)
    # 20 counters of batches are int64, all else has two bytes.
    assert built["bytes"] == 2 * (11_689_512 + 9_620 - 20) + 8 * 20
    assert (built["device"], built["dtype"]) == ("meta", "bfloat16")


def test_shared_tensors_are_counted_once(folder: Path) -> None:
    tied = TINY.replace("out_features: 2", "out_features: $hidden_size").replace(
        "[batch, 2]", "[batch, 8]"
    )
    tied += "tie: {head.weight: layers.0.dense.weight}\n"
    (folder / "tied.yaml").write_text(tied)
    assert loaded("build", "tied.yaml", "--device", "meta", "--json")["parameters"] == 3 * 72 + 8


def test_a_module_without_tensors(folder: Path) -> None:
    text = "archspec: 1\nmodel: N\nblocks: {N: {inputs: {x: [a]}, forward: [return: relu(x)]}}\n"
    (folder / "none.yaml").write_text(text)
    built = loaded("build", "none.yaml", "--device", "cpu", "--json")
    assert (built["parameters"], built["device"], built["dtype"]) == (0, None, None)
    assert "none: there are no tensors" in run("build", "none.yaml", "--device", "cpu").output


def test_validate_as_json() -> None:
    results = loaded("validate", "tiny.yaml", "bad.yaml", "--json", status=1)
    assert [(r["file"], r["ok"]) for r in results] == [("tiny.yaml", True), ("bad.yaml", False)]
    assert results[0]["problems"] == []
    places = {(p["code"], p["file"], p["line"], p["column"]) for p in results[1]["problems"]}
    assert {("E203", "bad.yaml", 7, 29), ("E206", "bad.yaml", 8, 19)} <= places
    assert loaded("validate", "bert", "tiny.yaml", "--json")[1]["ok"] is True


@pytest.mark.parametrize(
    ("command", "kind", "code", "status"),
    [
        ("show bad.yaml", "SpecError", "E203", 1),
        ("show nope", "SpecError", "E108", 1),
        ("show bert --config nowhere.json", "SpecError", "E106", 1),
        ("validate bert --config nowhere.json", "SpecError", "E106", 1),
        ("build tiny.yaml -p widht=3", "SpecError", "E208", 1),
        ("build tiny.yaml --device gpu", "UsageError", "E801", 2),
        ("build tiny.yaml --dtype int8", "UsageError", "E801", 2),
        ("build tiny.yaml --device cuda:999", "BuildError", "E502", 1),
        ("build tiny.yaml --device cpu --weights nowhere", "WeightsError", "E601", 1),
        ("build tiny.yaml --device cpu --freeze nothing", "FreezeError", "E703", 1),
    ],
)
def test_errors(command: str, kind: str, code: str, status: int) -> None:
    error = loaded(*command.split(), "--json", status=status)["error"]
    assert error["kind"] == kind and code in {problem["code"] for problem in error["problems"]}
    result = run(*command.split())
    assert result.exit_code == status
    assert f"error[{code}]: " in result.stderr and not result.stdout


@pytest.mark.parametrize(
    "command",
    [
        "",
        "explain bert",
        "show",
        "validate",
        "show bert --colour",
        "show bert -p num_labels",
        "export bert",
        "export bert --to java",
        "export bert --to python -o .",
        "build bert --seed -1",
        "build bert --seed one",
    ],
)
def test_wrong_usage(command: str) -> None:
    result = run(*command.split())
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Usage: archspec" in result.stderr


def test_our_own_mistakes_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("archspec.lang.spec.load_with", broken)
    with pytest.raises(ZeroDivisionError):
        run("show", "bert")


# ------------------------------------------------------------------------------------ parameters


def test_options_win_over_the_config_and_the_config_over_the_spec() -> None:
    options = ["--config", "config.json", "-p", "num_hidden_layers=2", "-p", "num_labels=9"]
    result = run("show", "bert", *options, "--json")
    shown = json.loads(result.stdout)
    found = {name: (p["value"], p["origin"], p["line"]) for name, p in shown["params"].items()}
    assert found["hidden_size"] == (1024, "config.json", 7)
    assert found["num_hidden_layers"] == (2, "-p num_hidden_layers=2", None)
    assert found["num_labels"] == (9, "-p num_labels=9", None)
    assert found["classifier_dropout"][1].startswith("specs/text/bert.yaml:")
    ignored = "architectures, gradient_checkpointing, transformers_version, use_cache"
    assert ", ".join(shown["ignored"]) == ignored
    said = "config.json: not read, as they do not change what bert computes"
    assert result.stderr == f"{said}: {ignored}\n"


def test_the_last_option_wins_and_values_are_yaml() -> None:
    options = ["-p", "depths=[1, 1]", "-p", "depths=[1, 1, 1, 1]", "-p", "num_classes=0x10"]
    params = loaded("show", "resnet18", *options, "--json")["params"]
    assert params["depths"]["value"] == [1, 1, 1, 1]
    assert params["num_classes"]["value"] == 16


def test_a_config_for_several_specs() -> None:
    result = run("validate", "bert", "bert-mlm", "vgg11", "--config", "config.json")
    assert result.exit_code == 1
    notes = re.findall(r"^config.json: not read.* what ([\w-]+) computes", result.stderr, re.M)
    assert notes == ["bert", "bert-mlm"]
    assert "config.json:12:3: error[E215]: model_type is 'bert', not" in result.stderr


# --------------------------------------------------------------------------------------- streams


def test_errors_are_coloured_where_colours_are_wanted() -> None:
    plain = run("validate", "bad.yaml").stderr
    assert "\x1b" not in plain
    assert "\x1b" not in run("validate", "bad.yaml", color=True, NO_COLOR="1").stderr
    coloured = run("validate", "bad.yaml", color=True, FORCE_COLOR="1").stderr
    assert click.unstyle(coloured) == plain
    assert coloured == painted(plain.removesuffix("\n")) + "\n"


def test_places_are_bold_and_codes_and_carets_red() -> None:
    text = (
        "a b.yaml:7:3: error[E203]: Linear: no 'x'\n    7 |   x: error[E203]\n      |   ^ did you?"
        "\n  a b.yaml:2:1: here\n    2 | x^\n      | ^^"
    )
    assert painted(text) == (
        "\x1b[1ma b.yaml:7:3: \x1b[0m\x1b[31m\x1b[1merror[E203]\x1b[0m: Linear: no 'x'\n"
        "    7 |   x: error[E203]\n      |   \x1b[31m^\x1b[0m did you?\n"
        "\x1b[1m  a b.yaml:2:1: \x1b[0mhere\n    2 | x^\n      | \x1b[31m^^\x1b[0m"
    )


def test_control_characters_of_a_spec_do_not_reach_the_terminal(folder: Path) -> None:
    text = TINY.replace("A perceptron", r'"\e[2J\u202e×"').replace("depth: 3", r'depth: 3, a: "\e"')
    (folder / "\x1b[31m.yaml").write_text(text, encoding="utf-8")
    for command in ("show", "validate"):
        result = run(command, str(folder / "\x1b[31m.yaml"), color=True)
        assert result.exit_code == 0
        assert not re.search("\x1b(?!\\[[0-9;]*m)|\x1b\\[31m|\u202e", result.output)
    assert "�[2J�×" in run("show", str(folder / "\x1b[31m.yaml")).stdout
