"""BERT against transformers: names, outputs and gradients, at any size."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close
from transformers import BertConfig, BertForSequenceClassification, BertModel

from archspec import build

CLOSE: dict[str, Any] = {"atol": 1e-5, "rtol": 1e-5}


def reference(attention: str = "sdpa", **sizes: Any) -> BertForSequenceClassification:
    options = {**sizes, "attn_implementation": attention}
    return BertForSequenceClassification(BertConfig(**options)).eval()


def ours(theirs: nn.Module, **params: Any) -> nn.Module:
    """The same model from the spec, with the same weights: strictly the same names."""
    model = build("bert", device="meta", **params)
    model.load_state_dict(theirs.state_dict(), strict=True, assign=True)
    return model.eval()


def batch(config: BertConfig, kept: list[list[bool]], seed: int = 0) -> dict[str, torch.Tensor]:
    """Random tokens and types, with a padding mask that keeps at least one token of each row."""
    random = torch.Generator().manual_seed(seed)
    mask = torch.tensor(kept, dtype=torch.int64)
    shape = tuple(mask.shape)
    return {
        "input_ids": torch.randint(config.vocab_size, shape, generator=random),
        "attention_mask": mask,
        "token_type_ids": torch.randint(config.type_vocab_size, shape, generator=random),
    }


def gradients(model: nn.Module, logits: torch.Tensor) -> dict[str, torch.Tensor]:
    """Of every parameter, for a cross entropy; the dropped ones are told apart from zeros."""
    labels = torch.arange(len(logits)) % logits.shape[1]
    model.zero_grad()
    nn.functional.cross_entropy(logits, labels).backward()
    found = {name: p.grad for name, p in model.named_parameters()}
    assert all(grad is not None for grad in found.values())
    return {name: grad for name, grad in found.items() if grad is not None}


PADDED = [[True] * 9 + [False] * 3, [True] * 12, [True] + [False] * 11]


def test_the_default_size() -> None:
    theirs = reference()
    model = ours(theirs)
    assert sum(p.numel() for p in model.parameters()) == 109_483_778
    inputs = batch(theirs.config, PADDED)
    with torch.inference_mode():
        assert_close(model(**inputs), theirs(**inputs).logits, **CLOSE)
        ids = inputs["input_ids"]
        assert_close(model(ids), theirs(ids).logits, **CLOSE)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_gradients(attention: str) -> None:
    sizes: dict[str, Any] = {"hidden_size": 24, "num_attention_heads": 4, "num_hidden_layers": 3}
    sizes |= {"intermediate_size": 40, "vocab_size": 50, "max_position_embeddings": 16}
    theirs = reference(attention, **sizes)
    model = ours(theirs, **sizes)
    inputs = batch(theirs.config, PADDED)
    expected = gradients(theirs, theirs(**inputs).logits)
    found = gradients(model, model(**inputs))
    assert found.keys() == expected.keys()
    assert_close(found, expected, **CLOSE)


@st.composite
def configurations(draw: st.DrawFn) -> dict[str, Any]:
    heads = draw(st.integers(1, 4))
    return {
        "hidden_size": heads * draw(st.integers(1, 6)),
        "num_attention_heads": heads,
        "num_hidden_layers": draw(st.integers(1, 3)),
        "intermediate_size": draw(st.integers(1, 20)),
        "vocab_size": draw(st.integers(2, 40)),
        "type_vocab_size": draw(st.integers(1, 3)),
        "max_position_embeddings": draw(st.integers(8, 20)),
        "num_labels": draw(st.integers(1, 4)),
        "hidden_act": draw(st.sampled_from(["gelu", "gelu_new"])),
        "layer_norm_eps": draw(st.sampled_from([1e-12, 1e-5, 1e-3])),
        "initializer_range": 0.5,  # far from zero, where every model gives the same
    }


ROWS = st.integers(1, 8).flatmap(
    lambda seq: st.lists(
        st.lists(st.booleans(), min_size=seq, max_size=seq).filter(any), min_size=1, max_size=3
    )
)


@settings(max_examples=40)
@given(configurations(), ROWS, st.integers(0, 2**32 - 1))
def test_other_sizes(sizes: dict[str, Any], kept: list[list[bool]], seed: int) -> None:
    torch.manual_seed(seed)
    theirs = reference(**sizes)
    model = ours(theirs, **sizes)
    inputs = batch(theirs.config, kept, seed)
    found, expected = model(**inputs), theirs(**inputs).logits
    assert_close(found, expected, **CLOSE)
    assert_close(gradients(model, found), gradients(theirs, expected), atol=1e-4, rtol=1e-4)


def test_without_a_head() -> None:
    sizes: dict[str, Any] = {"hidden_size": 24, "num_attention_heads": 4, "num_hidden_layers": 2}
    theirs = BertModel(BertConfig(**sizes)).eval()
    model = build("bert-model", device="meta", **sizes)
    model.load_state_dict(theirs.state_dict(), strict=True, assign=True)
    inputs = batch(theirs.config, PADDED)
    with torch.inference_mode():
        found, expected = model.eval()(**inputs), theirs(**inputs)
    assert_close(found, (expected.last_hidden_state, expected.pooler_output), **CLOSE)
