"""Which layout, which prefix, which patterns: the last match wins, and nothing is guessed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file
from torch import nn

import archspec
from archspec import UsageError, WeightsError, build, load_weights, save_weights
from archspec.cli import main

NET = """\
archspec: 1
model: Net
blocks:
  Net:
    inputs: {x: [batch, 4]}
    modules:
      towers: {type: ModuleDict, items: {query: {type: Tower}, doc: {type: Tower}}}
      bn: {type: BatchNorm1d, num_features: 4}
    forward:
      - for: tower in towers
        do:
          - x: tower(x)
      - return: bn(x)
  Tower:
    inputs: {x: [batch, 4]}
    modules:
      norm: {type: LayerNorm, normalized_shape: 4, renamed_from: ln}
      fc: {type: Linear, in_features: 4, out_features: 4}
checkpoints:
  swapped: {rename: {towers.query: towers.doc, towers.doc: towers.query}}
  partly: {optional: [bn, "!bn.weight"], ignore: ["**", "!towers", "!bn.weight"]}
  lean: {ignore: [bn.bias], optional: [bn.bias]}
"""
WAYS = "E604 the names fit in more than one way: the model's own names; the layout 'swapped'"


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    monkeypatch.chdir(tmp_path)
    Path("net.yaml").write_text(NET)
    return build("net.yaml", device="cpu", seed=0)


@pytest.fixture
def state(model: nn.Module) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    tensors = model.state_dict()
    return {n: torch.rand(t.shape) if t.is_floating_point() else t + 3 for n, t in tensors.items()}


def told(call: Any) -> list[str]:
    with pytest.raises(WeightsError) as caught:
        call()
    return [f"{problem.code} {problem.message}" for problem in caught.value.problems]


# ---------------------------------------------------------------------------------------- patterns


def test_an_exclamation_mark_takes_back(model: nn.Module, state: Any) -> None:
    save_file(state, "a.safetensors")

    def load(path: str, **options: Any) -> Any:
        return load_weights(model, path, layout="archspec", **options)

    report = load("a.safetensors", ignore=["bn", "!bn.weight"], allow_missing=["bn", "!bn.weight"])
    assert {row.theirs.name for row in report.rows if row.kind == "ignored"} == {
        n for n in state if n.startswith("bn.") and n != "bn.weight"
    }
    del state["bn.weight"]
    save_file(state, "b.safetensors")
    for optional in (["**", "!bn"], ["!bn"]):
        found = told(lambda optional=optional: load("b.safetensors", allow_missing=optional))
        assert found == ["E602 1 tensors are missing: bn.weight"]


def test_an_exclamation_mark_in_a_layout(model: nn.Module, state: Any) -> None:
    save_file({**state, "odd": torch.zeros(1)}, "a.safetensors")
    report = load_weights(model, "a.safetensors", layout="partly")
    missing = {row.ours.name for row in report.rows if row.kind == "missing" and row.ours}
    assert missing == {n for n in state if n.startswith("bn.") and n != "bn.weight"}
    again = load_weights(model, "a.safetensors", layout="partly", ignore=["!bn"])
    assert again.counts == {"loaded": len(state), "ignored": 1}


def test_resizing_cannot_exclude(model: nn.Module, state: Any) -> None:
    save_file(state, "a.safetensors")
    resize = cast("Any", {"**": "fresh", "!bn": "fresh"})
    with pytest.raises(WeightsError) as caught:
        load_weights(model, "a.safetensors", resize=resize)
    problem = caught.value.problems[0]
    assert (problem.code, problem.message) == ("E702", "'!bn': resize excludes none")
    assert problem.hint == "let a later pattern say otherwise"


# --------------------------------------------------------------------------------------- ambiguity


def test_two_layouts_that_disagree(model: nn.Module) -> None:
    save_weights(model, "a.safetensors", layout="swapped")
    other = build("net.yaml", device="cpu", seed=1)
    before = {n: t.clone() for n, t in other.state_dict().items()}
    assert told(lambda: load_weights(other, "a.safetensors")) == [WAYS]
    assert all(torch.equal(t, before[n]) for n, t in other.state_dict().items())
    assert told(lambda: build("net.yaml", weights="a.safetensors", device="meta")) == [WAYS]
    for layout, owner in (("swapped", "query"), ("archspec", "doc")):
        load_weights(other, "a.safetensors", layout=layout)
        built = build("net.yaml", weights="a.safetensors", layout=layout, device="cpu")
        expected = model.get_parameter(f"towers.{owner}.fc.weight")
        for found in (other, built):
            assert torch.equal(found.get_parameter("towers.query.fc.weight"), expected)


def test_what_the_error_says(model: nn.Module) -> None:
    save_weights(model, "a.safetensors")
    with pytest.raises(WeightsError) as caught:
        load_weights(model, "a.safetensors")
    expected = "say which is meant: layout='archspec', layout='swapped', or --layout"
    assert caught.value.hint == expected
    prefixed = {f"net.{n}": t for n, t in model.state_dict().items()}
    save_file(prefixed, "b.safetensors")
    where = "(the file's prefix 'net.')"
    assert told(lambda: load_weights(model, "b.safetensors")) == [
        f"E604 the names fit in more than one way: the model's own names {where}; "
        f"the layout 'swapped' {where}"
    ]
    assert load_weights(model, "b.safetensors", layout="swapped").complete


@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("build net.yaml --device cpu --weights a.safetensors", "--layout swapped"),
        ("weights check net.yaml a.safetensors", "--layout swapped"),
        ("weights convert net.yaml a.safetensors --to archspec -o b", "--from swapped"),
    ],
)
def test_the_commands(command: str, option: str, model: nn.Module) -> None:
    save_weights(model, "a.safetensors")
    result = CliRunner().invoke(main, command.split())
    assert result.exit_code == 1 and f"error[{WAYS[:4]}]: {WAYS[5:]}" in result.stderr
    result = CliRunner().invoke(main, f"{command} {option}".split())
    assert (result.exit_code, result.stderr) == (0, "")


def test_layouts_that_agree_are_one(state: Any) -> None:
    """The one that leaves less unread is taken; it says nothing else than the other."""
    text = NET.replace("towers.query: towers.doc, towers.doc: towers.query", "bn: b")
    model = build(archspec.loads(text, name="net.yaml"), device="cpu")
    save_file(state, "a.safetensors")
    report = load_weights(model, "a.safetensors")
    assert (report.layout, report.counts) == ("archspec", {"loaded": len(state)})


def test_a_part_that_fits_twice(model: nn.Module, state: Any) -> None:
    tower = {n.removeprefix("towers.doc."): t for n, t in state.items() if "doc" in n}
    save_file(tower, "a.safetensors")

    def load(**options: Any) -> Any:
        return load_weights(model, "a.safetensors", layout="archspec", **options)

    found = told(lambda: load(allow_missing="**"))
    assert found == [
        "E604 the names fit in more than one way: "
        "the model's own names (the file lacks the prefix 'towers.query.'); "
        "the model's own names (the file lacks the prefix 'towers.doc.')"
    ]
    report = load(allow_missing=["bn", "towers.doc"], allow_partial=True)
    assert report.prefix == "the file lacks the prefix 'towers.query.'"
    assert torch.equal(model.get_parameter("towers.query.fc.bias"), tower["fc.bias"])
    load_weights(cast("Any", model).towers["doc"], "a.safetensors")
    assert torch.equal(model.get_parameter("towers.doc.fc.bias"), tower["fc.bias"])


@pytest.mark.parametrize("layout", [5, b"swapped", ["swapped"], True])
def test_a_layout_is_a_name(layout: Any, model: nn.Module) -> None:
    save_weights(model, "a.safetensors")
    for call in (
        lambda: load_weights(model, "a.safetensors", layout=layout),
        lambda: save_weights(model, "b.safetensors", layout=layout),
        lambda: build("net.yaml", weights="a.safetensors", layout=layout),
    ):
        with pytest.raises(UsageError) as caught:
            call()
        assert caught.value.message == f"a layout is a name, not {type(layout).__name__}"
    with pytest.raises(UsageError) as caught:
        build("net.yaml", layout="swapped")
    assert caught.value.message == "layout says how weights are read: give weights, too"


# ------------------------------------------------------------------------------------------- names


def test_a_renamed_norm_with_tensorflows_names(model: nn.Module, state: Any) -> None:
    words = {"norm.weight": "ln.gamma", "norm.bias": "ln.beta"}

    def older(name: str) -> str:
        head, tower, rest = name.rpartition("y." if "query" in name else "c.")
        return head + tower + words.get(rest, rest)

    save_file({older(n): t for n, t in state.items()}, "a.safetensors")
    report = load_weights(model, "a.safetensors", layout="archspec")
    assert all(torch.equal(t, state[n]) for n, t in model.state_dict().items())
    (row,) = [r for r in report.rows if r.ours and r.ours.name == "towers.doc.norm.bias"]
    assert row.theirs and row.theirs.name == "towers.doc.ln.beta"
    rules = [(rule.text, rule.place and rule.place.line) for rule in row.rules]
    assert rules == [("renamed_from ln", 17), ("TensorFlow's gamma and beta", None)]


@pytest.mark.parametrize(
    ("gone", "patterns"),
    [
        (["bn.running_var"], ["bn.running_var"]),
        (["towers.doc.fc.weight", "towers.doc.fc.bias"], ["towers.doc.fc"]),
        (["towers.doc.fc.bias", "bn.bias"], ["towers.doc.fc.bias", "bn.bias"]),
    ],
)
def test_hints(gone: list[str], patterns: list[str], model: nn.Module, state: Any) -> None:
    few = {n: t for n, t in state.items() if n not in gone}
    save_file(few, "a.safetensors")
    save_file({**state, "x.weight": torch.zeros(7)}, "b.safetensors")
    with pytest.raises(WeightsError) as caught:
        load_weights(model, "a.safetensors", layout="archspec")
    assert caught.value.hint == (
        f"if they may be missing: allow_missing={patterns}, --allow-missing, "
        "or checkpoints: {…: {optional: […]}} in the spec"
    )
    with pytest.raises(WeightsError) as caught:
        load_weights(model, "b.safetensors", layout="archspec")
    assert caught.value.hint == (
        "if they may stay unread: ignore=['x.weight'], --ignore, "
        "or checkpoints: {…: {ignore: […]}} in the spec"
    )
