"""Further decoders of transformers, some of which are built on Llama's spec."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import transformers
from transformers import DynamicCache, FalconConfig, MambaConfig, MambaForCausalLM

from tests.zoo.reference import Reference, Small, padding_mask, tokens
from tests.zoo.references.llama import reference, sizes

GEMMA3_1B: dict[str, Any] = {
    "vocab_size": 262144, "hidden_size": 1152, "intermediate_size": 6912, "num_attention_heads": 4,
    "num_key_value_heads": 1, "sliding_window": 512,
}  # fmt: skip


def _windowed(random: Random) -> dict[str, Any]:
    given = {name: value for name, value in sizes(random).items() if name != "attention_bias"}
    return given | {"sliding_window": random.choice([None, 3, 6])}


def _phi3(random: Random) -> dict[str, Any]:
    given = _windowed(random)
    width = given["num_attention_heads"] * given["head_dim"]  # it knows no other
    return given | {"hidden_size": width, "pad_token_id": 0}


def _olmo2(random: Random) -> dict[str, Any]:
    return sizes(random) | {"pad_token_id": 0}


def _gemma2(random: Random) -> dict[str, Any]:
    caps = {name: random.choice([2.0, 5.0]) for name in ("attn_logit", "final_logit")}
    return {
        **sizes(random),
        **{f"{name}_softcapping": cap for name, cap in caps.items()},
        "query_pre_attn_scalar": random.randint(2, 9),
        "sliding_window": random.choice([3, 6]),
        "attn_implementation": "eager",  # sdpa leaves the caps out
    }


def _gemma3(random: Random) -> dict[str, Any]:
    kinds = ["full_attention", "sliding_attention"]
    given = _gemma2(random)
    given["layer_types"] = [random.choice(kinds) for _ in range(given["num_hidden_layers"])]
    linear = {"rope_type": "linear", "factor": 3.0, "rope_theta": 1000.0}
    ropes = {kind: {"rope_type": "default", "rope_theta": 100.0} for kind in kinds}
    ropes["full_attention"] = random.choice([linear, ropes["full_attention"]])
    caps = {"attn_logit_softcapping": None, "final_logit_softcapping": None}
    return given | caps | {"rope_parameters": ropes}


def _gpt2(random: Random) -> dict[str, Any]:
    heads = random.randint(1, 3)
    return {
        "vocab_size": random.randint(20, 60),
        "n_positions": random.randint(12, 20),
        "n_embd": heads * random.randint(2, 6),
        "n_layer": random.randint(1, 3),
        "n_head": heads,
        "n_inner": random.choice([None, 7]),
        "activation_function": random.choice(["gelu_new", "gelu"]),
        "bos_token_id": 0,
        "eos_token_id": 0,
    }


def _falcon(random: Random) -> dict[str, Any]:
    groups, heads = random.randint(1, 2), random.randint(1, 3)
    is_new = random.random() < 0.5
    return {
        "vocab_size": random.randint(20, 60),
        "hidden_size": groups * heads * 2 * random.randint(2, 5),
        "num_hidden_layers": random.randint(1, 3),
        "num_attention_heads": groups * heads,
        "num_kv_heads": heads if is_new else None,
        "new_decoder_architecture": is_new,
        "num_ln_in_parallel_attn": random.choice([None, 1, 2]) if is_new else None,
        "multi_query": random.random() < 0.5,
        "ffn_hidden_size": random.choice([None, 7]),
        "bias": random.random() < 0.5,
        "tie_word_embeddings": random.random() < 0.5,
        "rope_parameters": {"rope_type": "default", "rope_theta": random.choice([1e4, 5e5])},
    }


def _gpt_neox(random: Random) -> dict[str, Any]:
    heads = random.randint(1, 3)
    rope = {"rope_type": "default", "rope_theta": random.choice([1e4, 5e5])}
    return {
        "vocab_size": random.randint(20, 60),
        "hidden_size": heads * 4 * random.randint(1, 3),
        "num_hidden_layers": random.randint(1, 3),
        "num_attention_heads": heads,
        "intermediate_size": random.randint(5, 30),
        "use_parallel_residual": random.random() < 0.5,
        "attention_bias": random.random() < 0.5,
        "tie_word_embeddings": random.random() < 0.5,
        "rope_parameters": {**rope, "partial_rotary_factor": random.choice([0.5, 1.0])},
    }


def _opt(random: Random) -> dict[str, Any]:
    heads = random.randint(1, 3)
    size = heads * random.randint(2, 6)
    return {
        "vocab_size": random.randint(20, 60),
        "hidden_size": size,
        "word_embed_proj_dim": random.choice([None, size, 5]),
        "num_hidden_layers": random.randint(1, 3),
        "num_attention_heads": heads,
        "ffn_dim": random.randint(5, 30),
        "max_position_embeddings": random.randint(12, 20),
        "activation_function": random.choice(["relu", "gelu"]),
        "do_layer_norm_before": random.random() < 0.5,
        "enable_bias": random.random() < 0.5,
        "layer_norm_elementwise_affine": random.choice([True, True, False]),
        "tie_word_embeddings": random.random() < 0.5,
    }


def _with_whole_cache(name: str) -> Any:
    """The class of theirs, with a cache of all tokens: ours is not cut to the window either."""
    base: Any = getattr(transformers, name)

    class Whole(base):
        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            cache = DynamicCache()
            return super().forward(input_ids, attention_mask=attention_mask, past_key_values=cache)

    return Whole


class _Falcon(_with_whole_cache("FalconForCausalLM")):
    """With a cache that has keys and values once, which theirs repeats for each query."""

    def forward(self, input_ids: Any, attention_mask: Any) -> Any:
        output = super().forward(input_ids, attention_mask)
        if self.config.new_decoder_architecture:
            repeats = self.config.num_attention_heads // self.config.num_kv_heads
            for layer in output.past_key_values.layers:
                layer.keys, layer.values = layer.keys[:, ::repeats], layer.values[:, ::repeats]
        return output


def _entry(name: str, settings: Any, layout: str | None = None, **defaults: Any) -> Reference:
    model = _with_whole_cache(name)
    return replace(reference(model, model.config_class, settings, **defaults), layout=layout)


def _mamba(random: Random) -> Small:
    config = MambaConfig(
        vocab_size=random.randint(20, 60),
        hidden_size=random.randint(4, 20),
        state_size=random.randint(1, 5),
        num_hidden_layers=random.randint(1, 3),
        expand=random.randint(1, 2),
        conv_kernel=random.randint(2, 4),
        use_bias=random.random() < 0.5,
        use_conv_bias=random.random() < 0.5,
        tie_word_embeddings=random.random() < 0.5,
    )
    inputs = {"input_ids": tokens(random, config.vocab_size, 7)}
    inputs["attention_mask"] = padding_mask(random, 7)
    return Small(MambaForCausalLM(config), config=config.to_dict(), kwargs=inputs)


REFERENCES = {
    "falcon": reference(_Falcon, FalconConfig, _falcon),
    "gemma2": _entry("Gemma2ForCausalLM", _gemma2),
    "gemma3": _entry("Gemma3ForCausalLM", _gemma3, **GEMMA3_1B),
    "gpt-neox": _entry("GPTNeoXForCausalLM", _gpt_neox),
    "gpt2": _entry("GPT2LMHeadModel", _gpt2, "transformers"),
    "mamba": Reference(
        lambda: MambaForCausalLM(MambaConfig(num_hidden_layers=24)),
        _mamba,
        layout="transformers",
        outputs=lambda output: output.logits,
    ),
    "mistral": _entry("MistralForCausalLM", _windowed),
    "olmo2": _entry("Olmo2ForCausalLM", _olmo2),
    "opt": _entry("OPTForCausalLM", _opt),
    "phi3": _entry("Phi3ForCausalLM", _phi3, "transformers"),
}
