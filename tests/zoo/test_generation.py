"""``generate`` against that of transformers, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

import archspec
from archspec import UsageError
from tests.tables import every
from tests.zoo.references.llama import LLAMA3, sizes

NEW = 32


def both(name: str, folder: Path) -> tuple[Any, nn.Module]:
    """A small model of theirs with spread logits, and ours with its weights."""
    given = sizes(Random(name)) | {"initializer_range": 0.3, "eos_token_id": None}
    torch.manual_seed(0)
    if name == "llama":
        theirs: Any = LlamaForCausalLM(LlamaConfig(**{**given, "rope_parameters": LLAMA3}))
    else:
        theirs = Qwen3ForCausalLM(Qwen3Config(**given))
    config = folder / "config.json"
    config.write_text(json.dumps(theirs.config.to_dict()), encoding="utf-8")
    ours = archspec.build(archspec.load(name, config=config), device="cpu")
    ours.load_state_dict(theirs.state_dict())
    return theirs.eval(), ours


@every("name", ["llama", "qwen3"])
def test_tokens_are_those_of_transformers(name: str, tmp_path: Path) -> None:
    theirs, ours = both(name, tmp_path)
    ids = torch.randint(theirs.config.vocab_size, (3, 9))
    mask = torch.ones_like(ids)
    for row, padding in ((1, 4), (2, 8)):
        mask[row, :padding] = 0
    options = {"max_new_tokens": NEW, "pad_token_id": 0}
    whole = theirs.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, **options)
    assert torch.equal(archspec.generate(ours, ids, NEW), whole)
    assert ours.training, "it is left as it was"
    padded = theirs.generate(ids, attention_mask=mask, do_sample=False, **options)
    assert torch.equal(archspec.generate(ours, ids, NEW, attention_mask=mask), padded)
    assert len(padded.unique()) > 5, "nothing could be told apart"
    end = int(padded[0, 14])
    ended = theirs.generate(ids, attention_mask=mask, do_sample=False, eos_token_id=end, **options)
    found = archspec.generate(
        ours, ids, NEW, attention_mask=mask, eos_token_id=[end], pad_token_id=0
    )
    assert torch.equal(found, ended)
    drawn = {"temperature": 0.7, "top_k": 12, "top_p": 0.9}
    torch.manual_seed(3)
    sampled = theirs.generate(ids, attention_mask=mask, do_sample=True, **drawn, **options)
    assert torch.equal(
        archspec.generate(ours, ids, NEW, attention_mask=mask, seed=3, **drawn), sampled
    )


TINY = """
archspec: 1
model: Tiny
dims: {{batch: 1, seq: 4}}
blocks:
  Tiny:
    inputs: {{{0}: {{shape: [batch, seq], dtype: int64, below: 9}}}}
    modules: {{embed: {{type: Embedding, num_embeddings: 9, embedding_dim: 9}}}}
    forward: [{{return: embed({0})}}]
"""


def test_a_model_without_a_cache() -> None:
    model: Any = archspec.build(archspec.loads(TINY.format("input_ids")), device="cpu", seed=0)
    ids = torch.tensor([[1, 2], [3, 4]])
    found, rows = archspec.generate(model, ids, 3), model.embed.weight.argmax(1)
    for i in range(2, 5):
        assert torch.equal(found[:, i], rows[found[:, i - 1]])


IDS = torch.ones(2, 3, dtype=torch.int64)


@every(
    "ids, options, complaint",
    [
        (IDS.float(), {}, "input_ids are int64"),
        (IDS[0], {}, "input_ids are int64"),
        (IDS, {"attention_mask": torch.tensor([[1, 1, 0], [1, 1, 1]])}, "ends in padding"),
        (IDS, {"attention_mask": torch.tensor([[0, 1, 1], [1, 1, 1]])}, "takes no attention_mask"),
        (IDS, {"attention_mask": IDS[:1]}, "has the shape of input_ids"),
        (IDS, {"top_k": 3}, "choose among tokens to draw"),
        (IDS, {"temperature": -1.0}, "the temperature is"),
        (IDS, {"temperature": 1.0, "top_k": 0}, "top_k is 1 or more"),
        (IDS, {"temperature": 1.0, "top_p": 1.5}, "top_p is above 0"),
        (IDS, {"max_new_tokens": -1}, "max_new_tokens is a whole number of 0 to"),
        (IDS, {"max_new_tokens": 2.0}, "max_new_tokens is a whole number"),
        (IDS.tolist(), {}, "input_ids is a tensor"),
        (IDS, {"attention_mask": [[1, 1, 1]] * 2}, "attention_mask is a tensor"),
        (IDS * 9, {}, "input_ids has 9, and the tokens of .* are 0 to 8"),
        (-IDS, {}, "input_ids has -1"),
    ],
)
def test_arguments_that_make_no_sense(ids: Any, options: dict[str, Any], complaint: str) -> None:
    model = archspec.build(archspec.loads(TINY.format("input_ids")), device="cpu", seed=0)
    with pytest.raises(UsageError, match=complaint):
        archspec.generate(model, ids, **{"max_new_tokens": 2, **options})


def test_models_that_continue_nothing() -> None:
    with pytest.raises(UsageError, match=r"that archspec\.build has made"):
        archspec.generate(nn.Linear(2, 2), IDS, 1)
    model = archspec.build(archspec.loads(TINY.format("tokens")), device="cpu")
    with pytest.raises(UsageError, match="does not take input_ids alone"):
        archspec.generate(model, IDS, 1)
