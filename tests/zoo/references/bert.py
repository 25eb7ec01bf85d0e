"""BERT and MiniLM of transformers."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import Any

import torch
from torch import nn
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertModel,
)

from tests.zoo.reference import Reference, Small, padding_mask, tokens

MINILM = {"hidden_size": 384, "num_hidden_layers": 6, "intermediate_size": 1536}


def _small(model: Any, random: Random) -> Small:
    heads, labels = random.randint(1, 4), random.randint(2, 5)
    config = BertConfig(
        hidden_size=heads * random.randint(2, 6),
        num_attention_heads=heads,
        num_hidden_layers=random.randint(1, 3),
        intermediate_size=random.randint(3, 20),
        vocab_size=random.randint(10, 40),
        type_vocab_size=random.randint(1, 3),
        max_position_embeddings=random.randint(12, 20),
        hidden_act=random.choice(["gelu", "gelu_new"]),
        layer_norm_eps=random.choice([1e-12, 1e-5, 1e-3]),
        id2label={i: f"label {i}" for i in range(labels)},
    )
    inputs = {
        "input_ids": tokens(random, config.vocab_size, 11),
        "attention_mask": padding_mask(random, 11),
        "token_type_ids": tokens(random, config.type_vocab_size, 11),
    }
    return Small(model(config), config=config.to_dict(), kwargs=inputs)


class SentenceEncoder(nn.Module):
    """The mean of the tokens of a ``BertModel``, at length 1."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.bert = BertModel(config)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **inputs: Any) -> Any:
        hidden = self.bert(input_ids, attention_mask=attention_mask, **inputs).last_hidden_state
        weights = attention_mask[..., None].float()
        return nn.functional.normalize((hidden * weights).sum(1) / weights.sum(1), dim=1)


def _reference(model: Any, outputs: Any, **sizes: Any) -> Reference:
    return Reference(
        lambda: model(BertConfig(**sizes)),
        partial(_small, model),
        outputs=outputs,
        dynamic=("batch", "seq"),
    )


REFERENCES = {
    "bert": _reference(BertForSequenceClassification, lambda output: output.logits),
    "bert-mlm": _reference(BertForMaskedLM, lambda output: output.logits),
    "bert-model": _reference(
        BertModel, lambda output: (output.last_hidden_state, output.pooler_output)
    ),
    "minilm-l6": _reference(SentenceEncoder, lambda output: output, **MINILM),
}
