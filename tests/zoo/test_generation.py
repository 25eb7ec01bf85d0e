"""``generate`` against that of transformers, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from torch import nn
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    FalconConfig,
    FalconForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
    WhisperConfig,
    WhisperForConditionalGeneration,
)

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
    elif name == "falcon":
        given = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2}
        given |= {"num_attention_heads": 4, "initializer_range": 0.4, "bos_token_id": None}
        theirs = FalconForCausalLM(FalconConfig(**given, eos_token_id=None))
    elif name == "opt":
        given = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "ffn_dim": 20}
        given |= {"num_attention_heads": 2, "max_position_embeddings": 64, "init_std": 0.4}
        theirs = OPTForCausalLM(OPTConfig(**given, eos_token_id=None))
    else:
        theirs = Qwen3ForCausalLM(Qwen3Config(**given))
    config = folder / "config.json"
    config.write_text(json.dumps(theirs.config.to_dict()), encoding="utf-8")
    ours = archspec.build(archspec.load(name, config=config), device="cpu")
    ours.load_state_dict(theirs.state_dict())
    return theirs.eval(), ours


@every("name", ["llama", "qwen3", "falcon", "opt"])
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


def with_encoder(name: str) -> tuple[Any, Any]:
    """A small T5, BART or Whisper of theirs with spread logits, and ours with its weights."""
    torch.manual_seed(0)
    theirs: Any
    given: dict[str, Any] = {"vocab_size": 50, "d_model": 16}
    if name == "t5":
        given |= {"d_kv": 8, "d_ff": 24, "num_layers": 2, "num_decoder_layers": 3, "num_heads": 2}
        given |= {"relative_attention_num_buckets": 8}
        theirs = T5ForConditionalGeneration(T5Config(**given, initializer_factor=4.0))
    else:
        given |= {"encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 16}
        given |= {"decoder_layers": 2, "decoder_attention_heads": 4, "decoder_ffn_dim": 16}
        given |= {"pad_token_id": 0}
        if name == "bart":
            given |= {"max_position_embeddings": 64}
            theirs = BartForConditionalGeneration(BartConfig(**given, init_std=0.4))
        else:
            given |= {"num_mel_bins": 4, "max_source_positions": 6, "max_target_positions": 64}
            theirs = WhisperForConditionalGeneration(WhisperConfig(**given, init_std=0.4))
    ours = archspec.build(name, device="cpu", **given)
    ours.load_state_dict(theirs.state_dict(), strict=False)
    return theirs.eval(), ours


@every("name", ["t5", "bart", "whisper"])
def test_tokens_behind_an_encoder_are_those_of_transformers(name: str) -> None:
    theirs, ours = with_encoder(name)
    is_text = name != "whisper"
    ids = torch.randint(50, (3, 12)) if is_text else torch.randn(3, 4, 12)
    begin, mask = torch.tensor([[0, 7], [0, 8], [0, 9]]), torch.ones(3, 12, dtype=torch.int64)
    mask[1, 5:] = 0
    masks = [mask, None] if is_text else [None]
    found = begin
    for one in masks:
        tokens = begin  # without a cache, each token from all before
        for _ in range(NEW):
            with torch.inference_mode():
                given: dict[str, Any] = {} if one is None else {"attention_mask": one}
                logits = theirs(ids, decoder_input_ids=tokens, use_cache=False, **given).logits
            tokens = torch.cat([tokens, logits[:, -1:].argmax(-1)], 1)
        found = archspec.generate(ours, ids, NEW, decoder_input_ids=begin, attention_mask=one)
        assert torch.equal(found, tokens)
        assert len(tokens.unique()) > 5, "nothing could be told apart"
    with torch.inference_mode():  # several tokens behind a cache, as one after another
        memory = ours.eval().encode(ids)
        kept = ours.decode(found[:, :9], memory)["past"]
        some = ours.decode(found[:, 9:14], memory, past=kept)["logits"]
        torch.testing.assert_close(some, ours.decode(found[:, :14], memory)["logits"][:, 9:])
    rows: list[tuple[dict[str, Any], str]] = [
        ({}, "needs decoder_input_ids"),
        ({"decoder_input_ids": begin[:2]}, "input_ids has 2 rows, as decoder_input_ids"),
        ({"decoder_input_ids": begin + 99}, "decoder_input_ids has 108, and the tokens of"),
        ({"decoder_input_ids": begin, "attention_mask": mask[:, :2]}, "has the shape of input_ids"),
    ]
    for options, complaint in rows:
        with pytest.raises(UsageError, match=complaint):
            archspec.generate(ours, ids, 1, **options)


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
