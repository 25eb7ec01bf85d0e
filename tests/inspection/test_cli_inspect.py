"""``archspec inspect``: output, exit status, options that do not go together."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import archspec
from archspec.cli import main

GPT2 = str(Path(__file__).parents[1] / "inputs" / "gpt2.yaml")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["inspect", *arguments])


def test_text() -> None:
    result = run("bert", "--batch", "8", "--dim", "seq=64", "--freeze", "head-only")
    assert result.exit_code == 0 and result.stderr == ""
    assert result.output.startswith(
        "bert: BertForSequenceClassification\n"
        "batch=8, seq=64; fp32; adamw; freeze plan head-only\n\nmodule "
    )
    assert "(0-11): 12 × BertLayer" in result.output


def test_json_is_what_the_function_returns() -> None:
    result = run(
        "resnet18", "-p", "num_classes=10", "--json", "--precision", "bf16", "--batch", "2"
    )
    expected = archspec.inspect(
        archspec.load("resnet18", num_classes=10), precision="bf16", batch=2
    )
    assert json.loads(result.stdout) == expected.to_dict()


def test_largest_batch() -> None:
    expected = archspec.largest_batch("resnet18", 2, optimizer="sgd", height=160)
    options = ["--optimizer", "sgd", "--dim", "height=160"]
    result = run("resnet18", "--largest-batch", "2", *options)
    assert result.output == f"largest batch in 2 GiB: {expected} samples (estimated)\n"
    figure = {"value": expected, "unit": "samples", "exact": False}
    result = run("resnet18", "--largest-batch", "2", "--json", *options)
    assert json.loads(result.stdout) == {"name": "resnet18", "gib": 2, "largest_batch": figure}


def test_without_an_input() -> None:
    result = run("bert", "--without", "attention_mask", "--without", "token_type_ids", "--json")
    assert json.loads(result.stdout)["tree"]["inputs"] == [[1, 128]]


def test_table() -> None:
    result = run(GPT2, "--table", "--batch", "3")
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[0] == lines[2] == lines[-1] and set(lines[0]) == {"="}
    head = next(line for line in lines if "Linear (lm_head)" in line)
    assert "[3, 16, 768]" in head and "[3, 16, 50257]" in head
    assert "Total" not in result.output and "mult-adds" not in result.output


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["bert", "--dim", "sek=4"], 2, "did you mean 'seq'?"),
        (["bert", "--without", "attention_maks"], 2, "did you mean 'attention_mask'?"),
        (["bert", "--without", "input_ids"], 2, "bert needs its input 'input_ids'"),
        (["bert", "--dim", "seq"], 2, "'seq' is not of the form NAME=SIZE"),
        (["bert", "--dim", "seq=-1"], 2, "'seq=-1' is not of the form NAME=SIZE"),
        (["bert", "--batch", "0"], 2, "an integer of 1 or more"),
        (["bert", "--batch", "2", "--dim", "batch=3"], 2, "given twice"),
        (
            ["bert", "--batch", "2", "--largest-batch", "3"],
            2,
            "--largest-batch goes with neither --batch",
        ),
        (["bert", "--largest-batch", "-1"], 2, "a number of GiB"),
        (["bert", "--table", "--json"], 2, "--table goes with neither"),
        (["bert", "--dim", "precision=4"], 2, "no dimension 'precision'"),
        (["bert", "--precision", "fp8"], 2, "error[E801]"),
        (["bert", "--freeze", "heads-only"], 1, "did you mean 'head-only'?"),
        (["bert", "-p", "num_attention_heads=7"], 1, "error[E510]"),
        (["no-such-spec"], 1, "error[E108]"),
    ],
)
def test_errors(arguments: list[str], status: int, told: str) -> None:
    result = run(*arguments)
    assert result.exit_code == status, result.output
    assert result.stdout == ""
    assert told in result.stderr


def test_errors_as_json() -> None:
    result = run("bert", "--json", "--dim", "sek=4")
    assert result.exit_code == 2
    assert json.loads(result.stdout)["error"]["problems"][0]["code"] == "E801"
