"""``hf:FOLDER``: a folder with a config.json and safetensors stands for a spec with weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import archspec
from archspec import SpecError, UsageError, WeightsError
from archspec.lang.catalog import catalog
from archspec.lang.config_specs import fitting_specs, packaged_of

SMALL: dict[str, Any] = {
    "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8,
    "vocab_size": 20, "max_position_embeddings": 6,
}  # fmt: skip
CONFIG = {"model_type": "bert", **SMALL, "id2label": {"0": "no", "1": "maybe", "2": "yes"}}


def folder_of(path: Path, config: dict[str, Any], weights: str = "bert") -> str:
    (path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    if weights:
        model = archspec.build(weights, device="cpu", num_labels=3, **SMALL)
        archspec.save_weights(model, path / "model.safetensors", layout="transformers")
    return f"hf:{path}"


def test_spec_values_labels_and_weights(tmp_path: Path) -> None:
    config = {**CONFIG, "architectures": ["BertForSequenceClassification"]}
    source = folder_of(tmp_path, config)
    spec = archspec.load(source)
    assert (spec.name, spec.values["hidden_size"], spec.weights) == ("bert", 8, tmp_path)
    assert spec.labels == ("no", "maybe", "yes") and "architectures" in spec.ignored
    models = [archspec.build(one, device="cpu") for one in (source, spec, spec.with_params())]
    expected = archspec.build("bert", weights=tmp_path, device="cpu", num_labels=3, **SMALL)
    for model in models:
        torch.testing.assert_close(model.state_dict(), expected.state_dict(), rtol=0, atol=0)
    # Without weights, another number of labels is as good as any.
    other = archspec.build(source, device="meta", num_labels=5)
    assert other.get_parameter("classifier.weight").shape == (5, 8)
    with pytest.raises(UsageError, match=r"has a config\.json of its own"):
        archspec.load(source, config=tmp_path / "config.json")


def test_another_class_of_a_type_is_no_spec_of_it(tmp_path: Path) -> None:
    """Though the type has one packaged spec: its model would have other weights, or lack some."""
    llama = {"model_type": "llama", **SMALL}
    for classes in (["LlamaModel"], ["LlamaForSequenceClassification"]):
        config = {**llama, "architectures": classes}
        with pytest.raises(SpecError, match=f"no packaged spec builds {classes[0]}") as caught:
            archspec.load(folder_of(tmp_path, config, weights=""))
        assert caught.value.code == "E108" and "of llama there are llama" in str(caught.value)
    for config in (llama, {**llama, "architectures": ["LlamaForCausalLM"]}):
        assert archspec.load(folder_of(tmp_path, config, weights="")).name == "llama"


def test_every_packaged_contract_is_found_by_a_file_of_its_own() -> None:
    types = {one for entry in catalog() if entry.model_type for one in entry.model_type.split(", ")}
    assert {"bert", "resnet", "llama"} <= types
    for model_type in types:
        for name, contract in packaged_of(model_type).items():
            for of_class in contract.classes:
                config: dict[str, Any] = {"model_type": model_type, "architectures": [of_class]}
                for key, values in contract.require.items():
                    *above, last = key.split(".")
                    inner = config
                    for step in above:
                        inner = inner.setdefault(step, {})
                    inner[last] = values[0]
                assert fitting_specs(config) == ([name], "")


def test_what_is_no_model_folder(tmp_path: Path) -> None:
    rows = [
        ({"architectures": ["BertForMultipleChoice"]}, "no packaged spec builds BertForMultipleC"),
        ({"architectures": [1, None]}, "no packaged spec builds 1, null"),
        ({}, "no architectures"),
        ({"model_type": "nobody"}, "no packaged spec is of the model_type 'nobody'"),
        ({"architectures": ["BertModel"], "window": 4}, "'window' is not read"),
    ]
    for config, message in rows:
        with pytest.raises(SpecError, match=message) as caught:
            archspec.load(folder_of(tmp_path, {**CONFIG, **config}, weights=""))
        place = caught.value.problems[0].place
        assert place is not None and place.file == str(tmp_path / "config.json"), message
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(SpecError, match="holds a model and an adapter of PEFT") as caught:
        archspec.load(f"hf:{tmp_path}")
    assert f"--adapter {tmp_path} adds it" in caught.value.problems[0].hint
    (tmp_path / "adapter_config.json").unlink()
    with pytest.raises(SpecError, match="hf:nowhere: no such folder"):
        archspec.load("hf:nowhere")
    (tmp_path / "config.json").unlink()
    for name, message, hint in (
        ("x/config.json", "no config.json in it", "there is one in x"),
        ("0_Transformer/config.json", "a sentence transformer, whose model is in 0_Transformer",
         f"hf:{tmp_path}/0_Transformer"),
        ("model_index.json", "a pipeline of several models", "give the folder of one of them"),
        ("adapter_config.json", "an adapter of PEFT, not a model", f"--adapter {tmp_path},"),
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
        with pytest.raises(SpecError) as caught:
            archspec.load(f"hf:{tmp_path}")
        problem = caught.value.problems[0]
        assert problem.message == f"hf:{tmp_path}: {message}" and problem.hint.startswith(hint)


def test_weights_with_an_adapter_inside_are_called_so(tmp_path: Path) -> None:
    """No hint leaves the trained tensors unread, also where the spec may do without them."""
    folder = folder_of(tmp_path, {**CONFIG, "architectures": ["BertForSequenceClassification"]})
    plain = load_file(tmp_path / "model.safetensors")
    query = "bert.encoder.layer.0.attention.self.query"
    lora = {f"{query}.lora_A.default.weight": torch.ones(2, 8),
            f"{query}.lora_B.default.weight": torch.ones(8, 2)}  # fmt: skip
    saved = {
        name.replace("classifier.", "classifier.modules_to_save.default."): tensor
        for name, tensor in plain.items()
    }
    for state in (plain | lora, saved, {f"base_model.model.{n}": t for n, t in saved.items()}):
        save_file(state, tmp_path / "model.safetensors")
        with pytest.raises(WeightsError) as caught:
            archspec.build(folder, device="cpu")
        for problem in caught.value.problems:
            assert problem.code == "E602" and problem.hint.startswith("these are names of a model")
            assert "ignore" not in problem.hint and not problem.notes
