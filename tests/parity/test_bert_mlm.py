"""BERT's masked language model against transformers: names, ties, outputs, gradients, files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.testing import assert_close
from transformers import BertConfig, BertForMaskedLM, BertForPreTraining

from archspec import build

SMALL: dict[str, Any] = {
    "hidden_size": 24, "num_attention_heads": 4, "num_hidden_layers": 3, "intermediate_size": 40,
    "vocab_size": 50, "max_position_embeddings": 16, "initializer_range": 0.5,
}  # fmt: skip
CLOSE: dict[str, Any] = {"atol": 1e-5, "rtol": 1e-5}
IDS = torch.tensor([[3, 7, 0, 49, 5, 6], [9, 8, 1, 2, 2, 4]])
MASK = torch.tensor([[1, 1, 1, 1, 0, 0], [1] * 6])
TYPES = torch.tensor([[0, 0, 1, 1, 0, 0], [0, 1, 1, 1, 1, 1]])


def reference(**sizes: Any) -> BertForMaskedLM:
    model = BertForMaskedLM(BertConfig(**sizes)).eval()
    torch.nn.init.normal_(model.get_parameter("cls.predictions.bias"))
    return model


def ours(theirs: nn.Module, **sizes: Any) -> nn.Module:
    model = build("bert-mlm", device="cpu", **sizes)
    model.load_state_dict(theirs.state_dict(), strict=True)
    return model.eval()


def test_the_default_size() -> None:
    with torch.device("meta"):
        theirs = BertForMaskedLM(BertConfig())
    model = build("bert-mlm", device="meta")
    assert sum(p.numel() for p in model.parameters()) == 109_514_298
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    assert shapes == {name: tensor.shape for name, tensor in theirs.state_dict().items()}
    assert list(shapes) == list(theirs.state_dict())


def test_the_decoder_is_tied() -> None:
    model = build("bert-mlm", device="cpu", **SMALL)
    decoder = model.get_submodule("cls.predictions.decoder")
    assert decoder.weight is model.get_parameter("bert.embeddings.word_embeddings.weight")
    assert decoder.bias is model.get_parameter("cls.predictions.bias")


@pytest.mark.parametrize("act", ["gelu", "gelu_new"])
def test_outputs_and_gradients(act: str) -> None:
    theirs = reference(hidden_act=act, **SMALL)
    model = ours(theirs, hidden_act=act, **SMALL)
    inputs = {"input_ids": IDS, "attention_mask": MASK, "token_type_ids": TYPES}
    found, expected = model(**inputs), theirs(**inputs).logits
    assert_close(found, expected, **CLOSE)
    assert_close(model(IDS), theirs(IDS).logits, **CLOSE)
    for logits in (found, expected):
        nn.functional.cross_entropy(logits.flatten(0, 1), IDS.flatten()).backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    assert gradients.keys() == dict(theirs.named_parameters()).keys()
    for name, parameter in theirs.named_parameters():
        assert_close(gradients[name], parameter.grad, atol=1e-4, rtol=1e-4)


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
