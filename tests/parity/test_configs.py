"""Files that ``transformers`` writes: each builds the same function here, or is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.testing import assert_close
from transformers import (
    AlbertConfig,
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    CamembertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    LlamaConfig,
    MPNetConfig,
    ResNetConfig,
    RobertaConfig,
    ViTConfig,
    XLMRobertaConfig,
)

from archspec import build, load
from archspec.errors import ArchspecError, SpecError
from archspec.lang.packaged import packaged_specs
from tests.loaded import packaged

OTHERS = (
    RobertaConfig, DistilBertConfig, ElectraConfig, CamembertConfig, AlbertConfig, DebertaV2Config,
    LlamaConfig, MPNetConfig, ResNetConfig, ViTConfig, XLMRobertaConfig,
)  # fmt: skip
CLASSES: dict[str, Any] = {"bert": BertForSequenceClassification, "bert-mlm": BertForMaskedLM}
SETTINGS: dict[str, list[Any]] = {  # the first of each is built by ``bert``
    "hidden_act": ["gelu", "gelu_new", "relu", "gelu_fast", "silu", "gelu_pytorch_tanh", "tanh"],
    "is_decoder": [False, True],
    "add_cross_attention": [False, True],
    "tie_word_embeddings": [True, False],
    "position_embedding_type": ["absolute", "relative_key"],
    "chunk_size_feed_forward": [0, 2],
    "layer_norm_eps": [1e-12, 1e-5, 0.1],
    "classifier_dropout": [None, 0.3, 0.0],
    "pad_token_id": [0, 1, 29, None],
    "type_vocab_size": [2, 1, 3],
    "num_attention_heads": [2, 3, 4, 5],  # 5 is refused by ``build``
    "problem_type": [
        None, "single_label_classification", "multi_label_classification", "regression",
    ],
    "num_labels": [2, 1, 3, 5],
    "id2label": [None, {0: "no", 1: "yes"}, {i: f"{i} stars" for i in range(5)}],
    "pruned_heads": [{}, {0: [1]}],
    "is_encoder_decoder": [False, True],
    "cross_attention_hidden_size": [None, 12],
    "auto_map": [None, {"AutoModel": "modeling.Other"}],
    "architectures": [None, ["BertForMaskedLM"]],
    "dtype": [None, "float32"],
    "use_cache": [True, False],
    "output_hidden_states": [False, True],
    "initializer_range": [0.5],  # far from zero, where every model gives the same
}  # fmt: skip
SMALL: dict[str, Any] = {
    "hidden_size": 12, "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 8,
    "vocab_size": 30, "max_position_embeddings": 10,
}  # fmt: skip
FREE = {  # whatever they are, they are built
    "tie_word_embeddings", "chunk_size_feed_forward", "layer_norm_eps", "classifier_dropout",
    "pad_token_id", "type_vocab_size", "num_attention_heads", "num_labels", "id2label", "dtype",
    "architectures", "use_cache", "output_hidden_states",
}  # fmt: skip
IDS = torch.tensor([[3, 29, 1, 0, 5, 7], [4, 0, 0, 29, 2, 1]])
MASK = torch.tensor([[1, 1, 1, 1, 1, 0], [1, 1, 1, 0, 0, 0]])


@st.composite
def files(draw: st.DrawFn) -> dict[str, Any]:
    """The content of a file; some of its keys are left out or null, as other versions have it."""
    chosen = dict(SMALL)
    unusual = draw(st.sets(st.sampled_from(sorted(SETTINGS)), max_size=4))
    for key, values in SETTINGS.items():
        chosen[key] = draw(st.sampled_from(values)) if key in unusual else values[0]
    if chosen["id2label"] is None:
        del chosen["id2label"]
    elif "num_labels" not in unusual:
        del chosen["num_labels"]
    written = json.loads(BertConfig(**chosen).to_json_string(use_diff=draw(st.booleans())))
    large = {"hidden_size", "vocab_size", "intermediate_size"}
    # Of transformers, chunk_size_feed_forward may not be null.
    small = sorted(written.keys() - large - {"chunk_size_feed_forward"})
    for key in draw(st.sets(st.sampled_from(small), max_size=2)):
        written.pop(key) if draw(st.booleans()) else written.update({key: None})
    return written


def config_of(path: Path) -> BertConfig | None:
    """Their reading of a file; None if they refuse it."""
    try:
        return BertConfig.from_json_file(path)
    except Exception:  # of any of their checks
        return None


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(CLASSES)), files())
def test_the_same_function_or_none(tmp_path: Path, name: str, written: dict[str, Any]) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(written), encoding="utf-8")
    try:
        ours = build(load(name, config=path), device="cpu").eval()
    except ArchspecError:
        return
    if (config := config_of(path)) is not None:
        theirs = CLASSES[name](config).eval()
        ours.load_state_dict(theirs.state_dict())
        with torch.inference_mode():
            expected = theirs(IDS, attention_mask=MASK, return_dict=True).logits
            assert_close(ours(IDS, attention_mask=MASK), expected, atol=1e-5, rtol=0)


def test_what_is_built_and_what_is_refused(tmp_path: Path) -> None:
    """One setting at a time: no file is refused that could be built, and none is built wrong."""
    built = {key: {repr(values[0])} for key, values in SETTINGS.items()}
    for key in FREE:
        built[key] = set(map(repr, SETTINGS[key]))
    built["hidden_act"] |= {"'gelu_new'"}
    built["problem_type"] |= {"'single_label_classification'"}
    path, wrong = tmp_path / "config.json", list[str]()
    for key, values in SETTINGS.items():
        for value in values:
            path.write_text(BertConfig(**{**SMALL, key: value}).to_json_string(), encoding="utf-8")
            try:
                spec = load("bert", config=path)
            except SpecError as error:
                spec = None
                places = [p.place.source for p in error.problems if p.place]
                if not any(f'"{key}"' in place for place in places):
                    wrong.append(f"{key}: {value!r} is told at {places}")
            if (spec is not None) != (repr(value) in built[key]):
                wrong.append(f"{key}: {value!r} is {'built' if spec else 'refused'}")
    for other in OTHERS:
        path.write_text(other().to_json_string(), encoding="utf-8")
        with pytest.raises(SpecError) as caught:
            load("bert", config=path)
        if caught.value.message != f"model_type is '{other.model_type}', and bert builds 'bert'":
            wrong.append(f"{other.__name__}: {caught.value.message}")
        # Without its type it is known by its class.
        written = {"architectures": [other.__name__.replace("Config", "Model")], "vocab_size": 9}
        path.write_text(json.dumps(written), encoding="utf-8")
        with pytest.raises(SpecError, match=r"there is no model_type, and architectures are"):
            load("bert", config=path)
    assert not wrong, "\n".join(wrong)


def test_a_spec_has_the_name_of_the_class_that_it_builds() -> None:
    """By the class that a file names, a folder finds its spec; it is one of the model's type."""
    wrong: list[str] = []
    for name in packaged_specs():
        architecture = packaged(name).architecture
        if architecture.config is None or not architecture.config.model_type or name == "minilm-l6":
            continue
        named = architecture.config.architectures or [architecture.model]
        theirs = getattr(transformers, named[0], None)
        if theirs is None or theirs.config_class.model_type not in architecture.config.model_type:
            wrong.append(f"{name}: {architecture.model}, {architecture.config.model_type}")
    assert not wrong, "\n".join(wrong)
