"""Adapters against PEFT on transformers' BERT: outputs, files both ways, merged weights."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import IA3Config, LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from torch import nn
from transformers import BertConfig, BertForSequenceClassification

import archspec
from tests.tables import every

SIZES: dict[str, Any] = {
    "num_hidden_layers": 2,
    "hidden_size": 32,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "vocab_size": 99,
}
TARGETS = ["query", "value", "intermediate.dense"]
MATCH = ["**.query", "**.value", "**.intermediate.dense"]
IDS = torch.arange(14).reshape(2, 7)
CONFIGS: dict[str, Any] = {
    "lora": LoraConfig(r=4, lora_alpha=12, target_modules=[*TARGETS, "word_embeddings"]),
    "rslora": LoraConfig(r=4, lora_alpha=6, target_modules=TARGETS, use_rslora=True),
    "dora": LoraConfig(
        r=4, lora_alpha=12, lora_dropout=0.1, target_modules=TARGETS, use_dora=True,
        modules_to_save=["classifier"],
    ),
    "ia3": IA3Config(target_modules=TARGETS, feedforward_modules=["intermediate.dense"]),
}  # fmt: skip
ADAPTERS: dict[str, Any] = {
    "lora": {"kind": "lora", "match": [*MATCH, "**.word_embeddings"], "rank": 4, "alpha": 12},
    "rslora": {"kind": "lora", "match": MATCH, "rank": 4, "alpha": 6, "rslora": True},
    "dora": {"kind": "dora", "match": MATCH, "rank": 4, "alpha": 12, "dropout": 0.1,
             "train": "classifier"},
    "ia3": {"kind": "ia3", "match": MATCH, "feedforward": "**.intermediate.dense"},
}  # fmt: skip


def base(folder: Path) -> Any:
    """transformers' model, and its weights in a folder."""
    model = BertForSequenceClassification(BertConfig(**SIZES)).eval()
    model.save_pretrained(folder)
    return model


def disturbed(model: nn.Module) -> nn.Module:
    """The model with other values in its adapter, as if it had been trained."""
    for name, parameter in model.named_parameters():
        if any(part in name for part in ("lora_A", "lora_B", "lora_emb", "ia3_l", "magnitude")):
            nn.init.normal_(parameter, mean=float("magnitude" in name or "ia3" in name), std=0.3)
    return model


@every("kind", CONFIGS)
def test_files_of_peft_open_here(kind: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp(kind)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = disturbed(get_peft_model(base(folder), CONFIGS[kind])).eval()
        theirs.save_pretrained(folder / "adapter")  # pyright: ignore[reportCallIssue]
    ours = archspec.build(
        "bert", device="cpu", weights=folder, adapter=folder / "adapter", **SIZES
    ).eval()
    expected = theirs(IDS).logits
    torch.testing.assert_close(ours(IDS), expected, rtol=0, atol=1e-6)
    merged = archspec.merge(ours)
    torch.testing.assert_close(merged(IDS), expected, rtol=0, atol=2e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = theirs.merge_and_unload()  # pyright: ignore[reportCallIssue]
    archspec.save_weights(merged, folder / "merged", layout="transformers")
    saved = load_file(folder / "merged" / "model.safetensors")
    for name, tensor in reference.state_dict().items():
        if "position_ids" not in name:
            torch.testing.assert_close(saved[name], tensor, rtol=0, atol=1e-6, msg=name)


@every("kind", ADAPTERS)
def test_files_of_ours_open_in_peft(kind: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp(kind)
    plain = base(folder)
    ours = disturbed(
        archspec.build("bert", device="cpu", weights=folder, adapter=ADAPTERS[kind], **SIZES)
    ).eval()
    archspec.save_adapter(ours, folder / "adapter")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = PeftModel.from_pretrained(plain, str(folder / "adapter")).eval()
    torch.testing.assert_close(theirs(IDS).logits, ours(IDS), rtol=0, atol=1e-6)
    again = archspec.build(
        "bert", device="cpu", weights=folder, adapter=folder / "adapter", **SIZES
    ).eval()
    torch.testing.assert_close(again(IDS), ours(IDS), rtol=0, atol=1e-6)
