"""Tokens that a small Llama adds to a prompt, one after another, with its cache."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import transformers

import archspec
from benchmarks.pairs import Pair

NEW = 64


def pairs() -> Iterator[Pair]:
    sizes: dict[str, Any] = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 8}
    sizes |= {"num_attention_heads": 8, "num_key_value_heads": 2, "vocab_size": 1000}
    theirs: Any = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(**sizes, eos_token_id=None, pad_token_id=0)
    ).eval()
    ours = archspec.build("llama", device="cpu", **sizes, pad_token_id=0)
    ours.load_state_dict(theirs.state_dict())
    for batch in (1, 8):
        ids = torch.randint(1, 1000, (batch, 32))
        mask = torch.ones_like(ids)
        yield Pair(
            f"Llama, batch {batch}, {NEW} tokens",
            lambda ids=ids: archspec.generate(ours, ids, NEW),
            lambda ids=ids, mask=mask: theirs.generate(
                ids, attention_mask=mask, do_sample=False, max_new_tokens=NEW
            ),
            target=1.0,
        )
