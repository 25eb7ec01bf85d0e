"""BERT's masked language model against transformers: ties and files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch.testing import assert_close
from transformers import BertConfig, BertForMaskedLM, BertForPreTraining

from archspec import build

SMALL: dict[str, Any] = {
    "hidden_size": 24, "num_attention_heads": 4, "num_hidden_layers": 3, "intermediate_size": 40,
    "vocab_size": 50, "max_position_embeddings": 16, "initializer_range": 0.5,
}  # fmt: skip
CLOSE: dict[str, Any] = {"atol": 1e-5, "rtol": 1e-5}
IDS = torch.tensor([[3, 7, 0, 49, 5, 6], [9, 8, 1, 2, 2, 4]])


def reference(**sizes: Any) -> BertForMaskedLM:
    model = BertForMaskedLM(BertConfig(**sizes)).eval()
    torch.nn.init.normal_(model.get_parameter("cls.predictions.bias"))
    return model


def test_the_decoder_is_tied() -> None:
    model = build("bert-mlm", device="cpu", **SMALL)
    decoder = model.get_submodule("cls.predictions.decoder")
    assert decoder.weight is model.get_parameter("bert.embeddings.word_embeddings.weight")
    assert decoder.bias is model.get_parameter("cls.predictions.bias")


def test_files_of_transformers(tmp_path: Path) -> None:
    """Shared tensors stand once in them; those of pretraining also hold a pooler and a head."""
    theirs = reference(**SMALL)
    theirs.save_pretrained(tmp_path / "mlm")
    pretraining = BertForPreTraining(BertConfig(**SMALL)).eval()
    pretraining.load_state_dict(theirs.state_dict(), strict=False)
    pretraining.save_pretrained(tmp_path / "pretraining")
    for folder in ("mlm", "pretraining"):
        model = build("bert-mlm", device="cpu", weights=tmp_path / folder, **SMALL).eval()
        with torch.inference_mode():
            assert_close(model(IDS), theirs(IDS).logits, **CLOSE)
