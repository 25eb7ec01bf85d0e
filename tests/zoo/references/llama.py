"""Llama and models like it, of transformers."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import Any

from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from tests.zoo.reference import Reference, Small, padding_mask, tokens

LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 5000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}


def sizes(random: Random) -> dict[str, Any]:
    """A small configuration."""
    groups, heads = random.randint(1, 2), random.randint(1, 3)
    head_dim = 2 * random.randint(2, 5)
    return {
        "vocab_size": random.randint(20, 60),
        "hidden_size": groups * heads * head_dim,
        "head_dim": head_dim + 2 * random.randint(0, 1),
        "intermediate_size": random.randint(5, 40),
        "num_hidden_layers": random.randint(1, 3),
        "num_attention_heads": groups * heads,
        "num_key_value_heads": heads,
        "attention_bias": random.random() < 0.5,
        "tie_word_embeddings": random.random() < 0.5,
        "rms_norm_eps": random.choice([1e-6, 1e-5]),
        "rope_parameters": {"rope_type": "default", "rope_theta": random.choice([1e4, 5e5])},
    }


def _llama(random: Random) -> dict[str, Any]:
    given = sizes(random) | {"mlp_bias": random.random() < 0.5}
    linear = {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}
    return given | {"rope_parameters": random.choice([LLAMA3, linear, given["rope_parameters"]])}


def _qwen2(random: Random) -> dict[str, Any]:
    return {key: value for key, value in sizes(random).items() if key != "attention_bias"}


def _mixtral(random: Random) -> dict[str, Any]:
    given = {key: value for key, value in sizes(random).items() if key != "attention_bias"}
    # Theirs multiplies matrices whose rows are multiples of 16 bytes.
    given |= {"hidden_size": 4 * given["num_attention_heads"]}
    given |= {"intermediate_size": 4 * random.randint(2, 9)}
    experts = random.randint(2, 5)
    return given | {"num_local_experts": experts, "num_experts_per_tok": random.randint(1, experts)}


def _small(model: Any, config: Any, settings: Any, random: Random) -> Small:
    made = config(**settings(random))
    inputs = tokens(random, made.vocab_size, 11), padding_mask(random, 11)
    return Small(model(made), config=made.to_dict(), args=inputs)


def decoded(output: Any) -> dict[str, Any]:
    """What our decoders return."""
    layers = output.past_key_values.layers
    return {
        "logits": output.logits,
        "past_keys": [layer.keys for layer in layers],
        "past_values": [layer.values for layer in layers],
    }


def reference(
    model: Any, config: Any, settings: Any = sizes, *, routed: bool = False, **defaults: Any
) -> Reference:
    """The entry of a decoder with a cache of keys and values."""
    return Reference(
        lambda: model(config(**defaults)),
        partial(_small, model, config, settings),
        outputs=decoded,
        dynamic=("batch", "seq"),
        layout="transformers" if routed else None,
        whole_graph=not routed,
    )


REFERENCES = {
    "llama": reference(LlamaForCausalLM, LlamaConfig, _llama),
    "mixtral": reference(MixtralForCausalLM, MixtralConfig, _mixtral, routed=True),
    "qwen2": reference(Qwen2ForCausalLM, Qwen2Config, _qwen2),
    "qwen3": reference(Qwen3ForCausalLM, Qwen3Config),
}
