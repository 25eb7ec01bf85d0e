"""Settings of ``config.json`` one at a time, of every family: the same function, or refused."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import archspec
from archspec import BuildError, ShapeError, SpecError
from tests.zoo.reference import Small, fill
from tests.zoo.references import REFERENCES
from tests.zoo.test_zoo import leaves, run, small

OUT: Any = ...  # the key is left out
LINEAR = {"rope_type": "linear", "factor": 2.0}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 4}
Values = tuple[list[Any], list[Any]]
# Of each family: key → values that are built, and values that are refused. Those of BERT are in
# tests/parity.
TABLE: dict[str, dict[str, Values]] = {
    "llama": {
        "rope_parameters": ([None], []),
        "rope_parameters.rope_theta": ([OUT], []),
        "rope_parameters.rope_type": ([], ["dynamic"]),
        "rope_scaling": ([], [LINEAR, YARN]),
        "head_dim": ([OUT, None], []),
        "num_key_value_heads": ([OUT], []),
        "mlp_bias": ([True], []),
        "hidden_act": ([], ["gelu"]),
        "partial_rotary_factor": ([], [0.5]),
        "use_bidirectional_attention": ([], [True]),
    },
    "qwen2": {
        "head_dim": ([OUT], []),
        "num_key_value_heads": ([None], [OUT]),  # Qwen2Config's 32 do not divide the heads
        "use_sliding_window": ([], [True]),
        "attention_bias": ([], [False, True]),
    },
    "qwen3": {
        "head_dim": ([OUT], []),
        "num_key_value_heads": ([None], [OUT]),  # Qwen3Config's 32 do not divide the heads
        "use_sliding_window": ([], [True]),
        "mlp_bias": ([], [True]),
    },
    "mistral": {
        "sliding_window": ([OUT, 2], []),
        "attention_bias": ([], [True]),
        "mlp_bias": ([], [True]),
        "rope_parameters.rope_type": ([], ["llama3"]),
    },
    "mixtral": {
        "rope_parameters": ([OUT], []),
        "attention_bias": ([], [True]),
        "router_jitter_noise": ([], [0.1]),
        "sliding_window": ([], [2]),
    },
    "gemma2": {
        "attn_logit_softcapping": ([OUT, None, 30.0, 1.0], [0.0, 0, -0.0, -30.0]),
        "final_logit_softcapping": ([OUT, None, 30.0, 1.0], [0.0, 0, -0.0, -30.0]),
        "hidden_activation": ([], ["gelu"]),
        "use_bidirectional_attention": ([], [True]),
        "mlp_bias": ([], [True]),
    },
    "gemma3": {
        "layer_types": ([OUT], []),
        "attn_logit_softcapping": ([], [3.0]),
        "final_logit_softcapping": ([OUT, 3.0], [0.0]),
        "rope_parameters.full_attention.rope_type": ([], ["yarn"]),
        "rope_parameters.sliding_attention.rope_type": ([], ["linear"]),
    },
    "phi3": {
        "rope_parameters.partial_rotary_factor": ([], [0.5]),
        "rope_scaling": ([], [YARN]),
        "hidden_act": ([], ["gelu"]),
    },
    "olmo2": {"attention_bias": ([True], []), "mlp_bias": ([], [True])},
    "gpt2": {
        "activation_function": (["gelu"], ["relu"]),
        "scale_attn_by_inverse_layer_idx": ([], [True]),
        "scale_attn_weights": ([], [False]),
        "add_cross_attention": ([], [True]),
        "tie_word_embeddings": ([], [False]),
    },
    "falcon": {
        "alibi": ([], [True]),
        "parallel_attn": ([], [False]),
        "activation": ([], ["relu"]),
        "num_kv_heads": ([OUT, None], []),
        "ffn_hidden_size": ([OUT, None, 5], []),
        "multi_query": ([OUT], []),
        "attention_dropout": ([0.1], []),
        "rope_parameters": ([OUT, None], []),
        "rope_parameters.rope_type": ([], ["dynamic"]),
    },
    "gpt-neox": {
        "hidden_act": ([], ["gelu_new"]),
        "attention_bias": ([OUT], []),
        "rope_parameters": ([OUT, None], []),
        "rope_parameters.rope_type": ([], ["linear"]),
        "rope_parameters.rope_theta": ([OUT], []),
        "max_position_embeddings": ([7], []),
    },
    "opt": {
        "activation_function": (["gelu"], ["silu", "gelu_new"]),
        "word_embed_proj_dim": ([OUT, None], []),
        "pad_token_id": ([None, 2], []),
        "_remove_final_layer_norm": ([OUT], [True]),
        "layerdrop": ([], [0.1]),
        "tie_word_embeddings": ([True, False], []),
    },
    "mamba": {
        "use_bias": ([True], []),
        "hidden_act": ([], ["gelu"]),
        "time_step_rank": ([], ["auto"]),
        "expand": ([3], []),  # intermediate_size counts
        "intermediate_size": ([OUT, 5], []),
        "d_inner": ([], [5]),
        "n_layer": ([], [7]),
    },
    "t5": {
        "dense_act_fn": (["gelu_new"], ["silu"]),
        "is_gated_act": ([True], []),
        "feed_forward_proj": ([], ["gated-silu"]),
        "scale_decoder_outputs": ([None], []),
        "tie_word_embeddings": ([False], []),
    },
    "bart": {
        "activation_function": (["relu"], ["silu"]),
        "scale_embedding": ([True], []),
        "pad_token_id": ([None, 2], []),
        "encoder_layerdrop": ([], [0.1]),
        "tie_word_embeddings": ([], [False]),
        "normalize_before": ([], [True]),
    },
    "whisper": {
        "activation_function": ([], ["relu"]),
        "scale_embedding": ([], [True]),
        "tie_word_embeddings": ([], [False]),
    },
    "wav2vec2": {
        "hidden_act": ([], ["relu"]),
        "feat_extract_activation": ([], ["relu"]),
        "add_adapter": ([], [True]),
    },
    "segformer-b0": {
        "hidden_act": ([], ["relu"]),
        "layer_norm_eps": ([0.1], []),
        "num_channels": ([], [1]),
        "reshape_last_stage": ([], [False]),
        "strides": ([[4, 2, 1, 2]], []),
    },
    "clip": {
        "text_config.tie_word_embeddings": ([True, False], []),
        "vision_config.tie_word_embeddings": ([True, False], []),
        "text_config.hidden_act": ([], ["relu"]),
        "vision_config.layer_norm_eps": ([], [0.1]),
        "text_config.eos_token_id": ([2], []),
        "text_config_dict": ([None], [{"hidden_act": "gelu"}, {}]),
        "vision_config_dict": ([], [{"hidden_size": 7}]),
    },
    "siglip": {
        "text_config.layer_norm_eps": ([OUT], []),
        "text_config.projection_size": ([], [3]),
        "text_config.hidden_act": ([], [OUT]),  # it is not the usual one in either part
        "vision_config.vision_use_head": ([], [False]),
    },
    "roberta": {
        "position_embedding_type": ([], ["relative_key"]),
        "hidden_act": ([], ["silu"]),
        "is_decoder": ([], [True]),
    },
    "electra": {"embedding_size": ([5], []), "position_embedding_type": ([], ["relative_key"])},
    "albert": {"hidden_act": ([], ["relu"]), "position_embedding_type": ([], ["relative_key"])},
    "distilbert": {"sinusoidal_pos_embds": ([], [True]), "activation": ([], ["silu"])},
    "mpnet": {"relative_attention_num_buckets": ([40], [8]), "hidden_act": ([], ["relu"])},
    "modernbert": {
        "classifier_pooling": (["mean", "cls"], []),
        "local_attention": ([4], []),
        "rope_parameters.full_attention.rope_type": ([], ["dynamic"]),
        "classifier_activation": ([], ["relu"]),
    },
    "deberta-v3": {
        "max_position_embeddings": ([7], []),
        "pos_att_type": ([], [OUT, None, ["c2p"]]),
        "relative_attention": ([], [OUT, False]),
        "position_biased_input": ([], [OUT, True]),
        "share_att_key": ([], [OUT, False]),
        "norm_rel_ebd": ([], [OUT, "none"]),
        "type_vocab_size": ([], [2]),
        "conv_kernel_size": ([], [3]),
        "pooler_hidden_act": ([], ["tanh"]),
        "pooler_hidden_size": ([], [8]),
    },
}


def changed(config: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    config = copy.deepcopy(config)
    *above, last = key.split(".")
    place = config
    for step in above:
        place = place[step]
    if value is OUT:
        del place[last]
    else:
        place[last] = value
    return config


def without_padding(name: str) -> Small:
    """The small model of the zoo; what attends to padding alone is not the same everywhere."""
    case = small(name, 0)
    args = (*case.args[:1], *map(torch.ones_like, case.args[1:]))  # of decoders: tokens and mask
    masks = {key: torch.ones_like(value) for key, value in case.kwargs.items() if "mask" in key}
    return Small(case.theirs, case.params, case.config, args, {**case.kwargs, **masks})


def difference(name: str, config: dict[str, Any], folder: Path) -> str:
    """How a family's model differs from theirs; "" if it does not."""
    reference, case, path = REFERENCES[name], without_padding(name), folder / "config.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    spec = archspec.load(name, config=path, **case.params)
    cls: Any = type(case.theirs)
    theirs = cls(cls.config_class.from_json_file(path)).eval()
    fill(theirs, 0)
    save_file({n: t.clone() for n, t in theirs.state_dict().items()}, folder / "w.safetensors")
    layout = reference.layout or "archspec"
    try:
        ours = archspec.build(
            spec, device="cpu", weights=folder / "w.safetensors", layout=layout
        ).eval()
    except archspec.WeightsError as error:
        return error.message
    with torch.inference_mode():
        found = dict(leaves(run(ours, case)))
        expected = dict(leaves(reference.outputs(run(theirs, case))))
    off = {
        key: (found[key] - value).abs().max().item()
        for key, value in expected.items()
        if value.numel() and not torch.allclose(found[key], value, atol=2e-5, rtol=2e-5)
    }
    return f"{off}" if off else ""


def numbers(config: dict[str, Any], above: str = "") -> list[str]:
    """The keys of whole numbers, also of those inside objects."""
    found = list[str]()
    for key, value in config.items():
        if isinstance(value, dict):
            found += numbers(value, f"{above}{key}.")
        elif isinstance(value, int) and not isinstance(value, bool):
            found.append(above + key)
    return found


@pytest.mark.parametrize("name", TABLE)
def test_numbers_without_sense_are_built_or_refused(name: str, tmp_path: Path) -> None:
    """Whatever one of the numbers is: no other exception, and no tensor of that size."""
    case, path, draw = small(name, 0), tmp_path / "config.json", Random(name)
    base = json.loads(json.dumps(case.config))
    path.write_text(json.dumps(base), encoding="utf-8")
    ignored = archspec.load(name, config=path, **case.params).ignored
    for key in numbers(base):
        if key in ignored:
            continue
        value = 2**62 if key.endswith("head") else draw.choice([0, 1, -1, 2**62])
        path.write_text(json.dumps(changed(base, key, value)), encoding="utf-8")
        try:
            archspec.build(name, config=path, device="meta", **case.params)
        except (SpecError, BuildError, ShapeError):
            continue


@pytest.mark.parametrize("name", TABLE)
def test_the_same_function_or_refused(name: str, tmp_path: Path) -> None:
    base = json.loads(json.dumps(small(name, 0).config))
    wrong: list[str] = []
    for key, (built, refused) in TABLE[name].items():
        for value in (*built, *refused):
            given = changed(base, key, value)
            try:
                is_built, message = True, difference(name, given, tmp_path)
            except (SpecError, BuildError, ShapeError) as error:
                is_built, message = False, error.message
            if is_built is not any(value is one for one in built) or (is_built and message):
                wrong.append(f"{key}: {value!r} is {'built' if is_built else 'refused'}: {message}")
    assert not wrong, "\n".join(wrong)
