"""``archspec freeze``, and ``--freeze`` of other commands: one rule for what is a plan."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import archspec
from archspec.cli import main

GPT2 = str(Path(__file__).parents[1] / "inputs" / "gpt2.yaml")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def loaded(*arguments: str) -> Any:
    result = run(*arguments)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def report(name: str, plan: str | list[str], **params: Any) -> dict[str, Any]:
    return archspec.freeze(archspec.build(name, device="meta", **params), plan).to_dict()


def test_a_plan() -> None:
    result = run("freeze", "bert", "last-2-and-head")
    assert result.exit_code == 0 and result.stderr == ""
    assert result.output.startswith("BertForSequenceClassification, freeze plan last-2-and-head\n")
    assert "trainable  14,177,282  parameters  12.95 %" in result.output


def test_json_is_what_the_function_returns() -> None:
    assert loaded("freeze", "bert", "head-only", "-p", "num_labels=7", "--json") == report(
        "bert", "head-only", num_labels=7
    )
    assert loaded("freeze", "bert", "**", "!classifier", "--json") == report(
        "bert", ["**", "!classifier"]
    )


@pytest.mark.parametrize("words", [["classifier"], ["bert.embeddings"], ["@Dropout"], ["**.bias"]])
def test_one_word_that_is_no_plan_is_a_pattern(words: list[str]) -> None:
    assert loaded("freeze", "bert", *words, "--json") == report("bert", words)


def test_plans_are_listed() -> None:
    lines = run("freeze", "bert").output.splitlines()
    assert [line.split()[:3] for line in lines] == [
        ["none", "trains", "109,483,778"],
        ["all", "trains", "0"],
        ["embeddings", "trains", "85,646,594"],
        ["norms", "trains", "109,445,378"],
        ["head-only", "trains", "1,538"],
        ["last-2-and-head", "trains", "14,177,282"],
    ]
    assert lines[4].endswith("parameters  **  !dropout  !classifier")
    data = loaded("freeze", "resnet18", "--json")
    assert [found["plan"] for found in data] == [
        "none",
        "all",
        "head-only",
        "last-stage-and-head",
        "norms",
    ]
    assert data[2] == report("resnet18", "head-only")
    assert run("freeze", GPT2).output == "no freeze plans\n"
    assert loaded("freeze", GPT2, "--json") == []


COMMANDS = [["freeze", "bert"], ["build", "bert", "--device", "meta"], ["inspect", "bert"]]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c[0])
@pytest.mark.parametrize(
    ("words", "code", "hint"),
    [
        (["head-onyl"], "E703", "did you mean 'head-only'?"),
        (["clasifier"], "E703", "plans: none, all, embeddings, norms, head-only, last-2-and-head"),
        (["**.clasifier"], "E701", "did you mean '**.classifier'?"),
        (["**", "!clasifier"], "E701", "did you mean '!classifier'?"),
        (["**", "["], "E702", ""),
        ([""], "E702", ""),
    ],
)
def test_mistakes(command: list[str], words: list[str], code: str, hint: str) -> None:
    option = [] if command[0] == "freeze" else ["--freeze"]
    given = [part for word in words for part in (*option, word)]
    result = run(*command, *given, "--json")
    assert result.exit_code == 1
    (problem,) = json.loads(result.stdout)["error"]["problems"]
    assert (problem["code"], problem["hint"]) == (code, hint)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c[0])
@pytest.mark.parametrize(
    "words", [["head-only", "!classifier"], ["**", "head-only"], ["head-only", "last-2-and-head"]]
)
def test_a_plan_comes_alone(command: list[str], words: list[str]) -> None:
    option = [] if command[0] == "freeze" else ["--freeze"]
    result = run(*command, *(part for word in words for part in (*option, word)), "--json")
    assert result.exit_code == 2
    (problem,) = json.loads(result.stdout)["error"]["problems"]
    assert (problem["code"], problem["hint"]) == ("E801", "one plan at a time, or patterns")
    assert problem["message"] == "'head-only' is a freeze plan, which takes nothing beside it"


@pytest.mark.parametrize(
    ("words", "trainable"),
    [(["head-only"], 1_538), (["**", "!classifier"], 1_538), (["classifier"], 109_482_240)],
)
def test_the_option_of_other_commands(words: list[str], trainable: int) -> None:
    options = [part for word in words for part in ("--freeze", word)]
    built = loaded("build", "bert", "--device", "meta", "--json", *options)
    assert built["trainable"] == trainable
    inspected = loaded("inspect", "bert", "--json", *options)
    assert inspected["trainable"]["value"] == trainable
    assert inspected["freeze"] == (words[0] if words == ["head-only"] else words)
    table = run("inspect", "resnet18", "--table", "--freeze", "**")
    assert table.exit_code == 0 and "True" not in table.output


def test_the_help() -> None:
    text = run("freeze", "--help").output
    assert text.startswith("Usage: main freeze [OPTIONS] SPEC [PLAN | PATTERN...]")
    assert "freeze" in run("--help").output.partition("Compare:")[0].split("Inspect:")[1]
