"""Runs on quantized weights: the same to the bit when resumed, and whole weights in their files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import archspec
from archspec.errors import UsageError
from archspec.freezing.quantized import is_quantized
from tests.training.test_adapters import ADAPTERS, DATA, OPTIONS, SPEC, StopAt


class Seen(archspec.TrainCallback):
    """Which weights of the model that computes are quantized, in each epoch."""

    def __init__(self) -> None:
        self.names: list[list[str]] = []

    def on_epoch_end(self, state: archspec.TrainState) -> None:
        named = state.model.named_parameters()
        self.names.append([name for name, one in named if is_quantized(one)])


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    weights = tmp_path / "base.safetensors"
    archspec.save_weights(archspec.build(SPEC, device="cpu", seed=3), weights)
    return {**OPTIONS, "weights": weights, "output_dir": tmp_path}


def tensors(run: archspec.Run, name: str = "last") -> dict[str, torch.Tensor]:
    return load_file(run.path / f"checkpoints/{name}.safetensors")


@pytest.mark.parametrize("kind", ["int8", "nf4"])
def test_an_adapter_on_quantized_weights(kind: str, options: dict[str, Any]) -> None:
    options |= {"quantize": kind, "adapter": ADAPTERS["lora"], "ema_decay": 0.5}
    seen = Seen()
    whole = archspec.train(SPEC, DATA, name="whole", callbacks=[seen], **options)
    assert seen.names == [["body.first.base_layer.weight"]] * 2
    assert "1 frozen Linear layer in" in (whole.path / "train.log").read_text()
    base, trained = load_file(options["weights"]), tensors(whole)
    plain = {name.replace(".base_layer", ""): tensor for name, tensor in trained.items()}
    same = {name for name, tensor in base.items() if torch.equal(plain[name], tensor)}
    assert same == {name for name in base if not name.startswith("classifier")}
    assert trained["body.first.lora_B.weight"].abs().max() > 0

    halted = archspec.train(SPEC, DATA, name="halted", callbacks=[StopAt(3)], **options)
    assert halted.status == "stopped"
    resumed = archspec.resume(halted.path, progress=False)
    for name in ("last", "best"):
        first, second = tensors(whole, name), tensors(resumed, name)
        assert all(torch.equal(first[one], second[one]) for one in first)
    assert resumed.epochs[-1]["loss"] == whole.epochs[-1]["loss"]


def test_plans_in_sequence_quantize_what_each_of_them_freezes(options: dict[str, Any]) -> None:
    del options["epochs"]
    spec, seen = options["output_dir"] / "more.yaml", Seen()
    text = SPEC.read_text().replace("freeze:", 'freeze:\n  body-only: ["**", "!body"]')
    spec.write_text(text)
    vocabulary = SPEC.parent / "vocab.txt"
    options |= {"quantize": "int8", "callbacks": [seen], "tokenizer": vocabulary}
    with pytest.raises(UsageError, match="no Linear layer is frozen to quantize"):
        archspec.train(spec, DATA, phases="head-only:1,body-and-head:1", **options)
    run = archspec.train(spec, DATA, phases="head-only:1,body-only:1", **options)
    assert seen.names == [["body.first.weight"], ["classifier.weight"]]
    phases = json.loads((run.path / "freeze.json").read_text())["phases"]
    activations = [one["activations"]["reason"] for one in phases]
    assert activations == ["the frozen weights are quantized"] * 2


def test_what_cannot_be_quantized_is_refused_before_anything_is_written(
    options: dict[str, Any],
) -> None:
    refused: dict[str, dict[str, Any]] = {
        "choose one": {"quantize": "int8", "compile": True},
        "quantize is for one process": {"quantize": "int8", "devices": 2, "freeze": "head-only"},
        "quantize must be one of int8, nf4": {"quantize": "int4"},
        "cannot be trained on quantized weights": {"quantize": "nf4", "adapter": ADAPTERS["dora"]},
    }
    for message, given in refused.items():
        with pytest.raises(UsageError, match=message):
            archspec.train(SPEC, DATA, name="refused", **{**options, **given})
    assert not (options["output_dir"] / "refused").exists()
