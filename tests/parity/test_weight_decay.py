"""The parameter groups for an optimizer, against those of transformers' Trainer."""

from __future__ import annotations

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer

from archspec import build, trainable_parameters


@pytest.mark.parametrize("plan", ["none", "embeddings", "head-only", "last-2-and-head"])
def test_the_groups_of_bert_are_those_of_transformers(plan: str) -> None:
    with torch.device("meta"):
        theirs = BertForSequenceClassification(BertConfig())
    decaying = set(Trainer.get_decay_parameter_names(None, theirs))  # pyright: ignore
    model = build("bert", device="meta", freeze=plan)
    groups = trainable_parameters(model)
    of = {id(p): name for name, p in model.named_parameters()}
    trainable = {name for name, p in model.named_parameters() if p.requires_grad}
    assert [group["weight_decay"] for group in groups] == [0.01, 0.0]
    assert [{of[id(p)] for p in group["params"]} for group in groups] == [
        trainable & decaying,
        trainable - decaying,
    ]
