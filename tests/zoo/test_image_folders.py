"""``hf:FOLDER`` of transformers' image models, in the layouts of torchvision's families."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file
from torch.nn.functional import interpolate

import archspec
from archspec import SpecError
from archspec.data import ImageEncoder
from archspec.lang.written_config import config_of
from tests.tables import every
from tests.zoo.reference import fill

VIT: dict[str, Any] = {
    "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 20,
    "image_size": 24, "patch_size": 8,
}  # fmt: skip
CASES: list[tuple[str, str, int, dict[str, Any]]] = [
    ("vit-b-16", "ViT", 24, {**VIT, "num_labels": 3}),
    ("vit-b-16", "ViT", 24, {**VIT, "layer_norm_eps": 1e-3}),
    ("deit-small-distilled", "DeiT", 24, {**VIT, "num_labels": 3, "layer_norm_eps": 1e-3}),
    ("convnext-tiny", "ConvNext", 64, {"hidden_sizes": [4, 8, 12, 16], "depths": [1, 2, 1, 1]}),
    (
        "convnext-tiny",
        "ConvNext",
        64,
        {"hidden_sizes": [8, 4, 4, 6], "depths": [2, 1, 3, 1], "layer_norm_eps": 0.1},
    ),
    (
        "swin-t",
        "Swin",
        128,
        {"embed_dim": 8, "depths": [1, 2, 2, 1], "num_heads": [1, 2, 4, 4], "window_size": 4,
         "image_size": 128, "num_labels": 5},
    ),
    (
        "swin-t",
        "Swin",
        64,
        {"embed_dim": 4, "depths": [2, 1, 1, 1], "num_heads": [2, 2, 2, 2], "window_size": 2,
         "image_size": 64, "mlp_ratio": 1.5},
    ),
    (
        "resnet18",
        "ResNet",
        64,
        {"layer_type": "basic", "hidden_sizes": [64, 128, 256, 512], "depths": [1, 2, 1, 1],
         "num_labels": 3},
    ),
    ("resnet50", "ResNet", 64, {"depths": [2, 1, 1, 2]}),
    (
        "segformer-b0",
        "Segformer",
        64,
        {"hidden_sizes": [8, 4, 10, 8], "depths": [1, 2, 1, 1], "num_labels": 5},
    ),
    ("resnet50", "ResNet", 48, {"depths": [1, 1, 3, 1], "num_labels": 7}),
    (
        "regnet-y-400mf",
        "RegNet",
        64,
        {"embedding_size": 6, "hidden_sizes": [8, 12, 20, 12], "depths": [1, 2, 1, 2],
         "groups_width": 4, "num_labels": 5},
    ),
    (
        "regnet-x-400mf",
        "RegNet",
        64,
        {"embedding_size": 8, "hidden_sizes": [8, 16, 24], "depths": [2, 1, 2],
         "groups_width": 16, "layer_type": "x"},
    ),
]  # fmt: skip
VALUES = {"size": {"height": 24, "width": 24}, "image_mean": [0.5] * 3, "image_std": [0.25] * 3}


def saved(path: Path, family: str, config: dict[str, Any]) -> Any:
    of: Any = getattr(transformers, f"{family}Config")
    head = "WithTeacher" if family == "DeiT" else ""
    kind = "SemanticSegmentation" if family == "Segformer" else "ImageClassification"
    of_class: Any = getattr(transformers, f"{family}For{kind}{head}")
    theirs: Any = of_class(of(**config)).eval()
    fill(theirs, 0)
    theirs.save_pretrained(path)
    return theirs


@pytest.mark.parametrize(("name", "family", "size", "config"), CASES)
def test_folders_of_transformers(
    name: str, family: str, size: int, config: dict[str, Any], tmp_path: Path
) -> None:
    # as transformers' Trainer leaves it
    theirs = saved(tmp_path, family, {**config, "problem_type": "single_label_classification"})
    spec = archspec.load(f"hf:{tmp_path}")
    assert spec.name == name
    ours = archspec.build(spec, device="cpu").eval()
    images = torch.randn(2, 3, size, size)
    with torch.inference_mode():
        expected = theirs(images).logits
        if expected.ndim == 4:  # of parts of an image
            expected = interpolate(expected, images.shape[2:], mode="bilinear")
        torch.testing.assert_close(ours(images), expected, rtol=0, atol=1e-5)

    archspec.save_weights(ours, tmp_path / "ours.safetensors", layout="transformers")
    written, state = (
        load_file(tmp_path / "ours.safetensors"),
        load_file(tmp_path / "model.safetensors"),
    )
    computed = {n for n in written if n.endswith("relative_position_index")}
    assert written.keys() - computed == state.keys()
    assert all(torch.equal(written[n], tensor) for n, tensor in state.items())


def test_other_functions_are_refused(tmp_path: Path) -> None:
    rows: list[tuple[str, dict[str, Any], str]] = [
        ("ViT", {**VIT, "problem_type": "regression"}, "'problem_type' is 'regression'"),
        ("ViT", {**VIT, "qkv_bias": False}, "'qkv_bias' is false"),
        ("ViT", {**VIT, "hidden_act": "relu"}, "'hidden_act' is 'relu'"),
        ("ViT", {**VIT, "num_channels": 1}, "'num_channels' is 1"),
        ("Swin", {"depths": [1, 1], "num_heads": [2, 2], "embed_dim": 8}, "'num_layers' is 2"),
        ("ResNet", {"downsample_in_bottleneck": True}, "'downsample_in_bottleneck' is true"),
        (
            "ResNet",
            {"layer_type": "basic"},
            r"'hidden_sizes' is \[256, 512, 1024, 2048\], and resnet18",
        ),
        ("RegNet", {"downsample_in_first_stage": False}, "'downsample_in_first_stage' is false"),
        ("Dinov2", VIT, "no packaged spec is of the model_type 'dinov2'"),
    ]
    for family, config, message in rows:
        saved(tmp_path, family, config)
        with pytest.raises(SpecError, match=message):
            archspec.load(f"hf:{tmp_path}")


@every(
    "config, expected",
    [
        ({"model_type": "resnet", "layer_type": "basic"}, "resnet18"),
        ({"model_type": "resnet", "layer_type": "bottleneck"}, "resnet50"),
        ({"model_type": "resnet", "layer_type": None}, "resnet50"),
        ({"model_type": "resnet"}, "resnet50"),
        ({"model_type": "resnet", "architectures": []}, "resnet50"),
        ({"model_type": "regnet"}, "regnet-y-400mf"),
        ({"model_type": "regnet", "layer_type": "x"}, "regnet-x-400mf"),
        (
            {"model_type": "resnet", "layer_type": "d"},
            "of resnet builds 'layer_type' 'd'",
        ),
        ({"model_type": "resnet", "architectures": ["ResNetBackbone"]}, "builds ResNetBackbone"),
    ],
)
def test_the_spec_of_a_class_that_several_build(
    config: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    """What one requires and the other does not decides; a key that is left out has its default."""
    family = {"resnet": "ResNet", "regnet": "RegNet"}[config["model_type"]]
    sizes = {"basic": {"hidden_sizes": [64, 128, 256, 512]}}.get(str(config.get("layer_type")), {})
    config = {"architectures": [f"{family}ForImageClassification"], **sizes, **config}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    if " " not in expected:
        assert archspec.load(f"hf:{tmp_path}").name == expected
        return
    with pytest.raises(SpecError, match=expected) as caught:
        archspec.load(f"hf:{tmp_path}")
    assert caught.value.code == "E108"
    assert "resnet18, resnet50: give one" in caught.value.problems[0].hint


def test_a_file_says_sizes_that_it_has_no_key_for(tmp_path: Path) -> None:
    """ResNets of transformers have one group; with another number, no file is written for it."""
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "resnet"}), encoding="utf-8")
    spec = archspec.load("resnext50-32x4d", config=tmp_path / "config.json")
    assert (spec.values["groups"], spec.values["base_width"]) == (1, 64)
    said = {"model_type": "resnet", **config_of(archspec.load("resnext50-32x4d", num_classes=2))}
    (tmp_path / "config.json").write_text(json.dumps(said), encoding="utf-8")
    with pytest.raises(SpecError, match="'groups' is 32, and resnet50 builds 1 only"):
        archspec.load("resnet50", config=tmp_path / "config.json")


def test_images_are_prepared_as_the_folder_says(tmp_path: Path) -> None:
    saved(tmp_path, "ViT", {**VIT, "num_labels": 3})
    usual = archspec.load(f"hf:{tmp_path}").architecture.task
    assert usual is not None and usual.image is not None and usual.image.crop == 224
    transformers.ViTImageProcessor(resample=3, **VALUES).save_pretrained(tmp_path)  # pyright: ignore
    spec = archspec.load(f"hf:{tmp_path}")
    for one in (spec, spec.with_params(num_classes=4), spec.with_params(num_layers=1)):
        task = one.architecture.task
        assert task is not None and task.image is not None
        assert (task.image.resize, task.image.crop, task.image.interpolation) == (24, 24, "bicubic")
        assert (task.image.mean, task.image.std) == ([0.5] * 3, [0.25] * 3)


@every(
    "settings, expected",
    [
        ({"size": {"height": 32, "width": 32}}, (32, 32, True)),
        ({"size": 32}, (32, 32, True)),
        (
            {"size": 32, "do_center_crop": True, "crop_size": {"height": 28, "width": 28}},
            (32, 28, True),
        ),
        ({"size": {"shortest_edge": 32}, "crop_size": 28}, (32, 32, False)),
        ({"size": {"shortest_edge": 224}, "crop_pct": 0.875}, (256, 224, False)),
        ({"size": {"shortest_edge": 384}, "crop_pct": 0.875}, (384, 384, True)),
        ({"do_normalize": False}, (256, 224, False)),
        (
            {"size": 384, "crop_pct": None, "do_normalize": None, "image_mean": None},
            (384, 384, True),
        ),
        ({"size": 32, "crop_pct": 1}, (32, 32, False)),
        ({"size": 32, "image_processor_type": "CLIPImageProcessor"}, (32, 32, False)),
        ({"size": 224, "feature_extractor_type": "ConvNextFeatureExtractor"}, (256, 224, False)),
        ({"size": 384, "feature_extractor_type": "ConvNextFeatureExtractor"}, (384, 384, True)),
        ({"size": 32, "feature_extractor_type": ["CLIP"]}, (32, 32, True)),
        ({"size": 32, "image_processor_type": "LevitImageProcessorFast"}, "images of Levit"),
        ({"size": {"height": 32, "width": 32, "shortest_edge": None}}, (32, 32, True)),
        ({"size": {"shortest_edge": 32, "longest_edge": 40}}, "size is"),
        ({"do_resize": False}, "do_resize is false"),
        ({"do_flip_channel_order": True}, "do_flip_channel_order is true"),
        ({"resample": [3]}, r"resample is \[3\], not 2 or 3"),
        ({"resample": True}, "resample is true, not 2 or 3"),
        ({"size": {"height": 32, "width": 24}}, "size is"),
        ({"size": True}, "size is true"),
        ({"size": {}}, "size is"),
        ({"size": 0}, "no image has the resize 0"),
        ({"resample": 0}, "resample is 0, not 2 or 3"),
        ({"rescale_factor": 1.0}, "pixels are not taken"),
        ({"do_rescale": False}, "pixels are not taken"),
        ({"image_mean": [0.5]}, "are not 3 numbers to use"),
        ({"image_std": [1, 0, 1]}, "are not 3 numbers to use"),
        ({"image_mean": "0.5"}, "no image has the mean"),
    ],
)
def test_settings_of_images(
    settings: dict[str, Any], expected: tuple[int, int, bool] | str, tmp_path: Path
) -> None:
    config = {"model_type": "vit", "architectures": ["ViTForImageClassification"]}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings), encoding="utf-8")
    if isinstance(expected, str):
        with pytest.raises(SpecError, match=expected) as caught:
            archspec.load(f"hf:{tmp_path}")
        assert caught.value.code == "E215"
        return
    task = archspec.load(f"hf:{tmp_path}").architecture.task
    assert task is not None and task.image is not None
    assert (task.image.resize, task.image.crop, task.image.stretch) == expected


@every(
    "processor",
    [
        transformers.ViTImageProcessor(size={"height": 32, "width": 32}, resample=3),
        transformers.ConvNextImageProcessor(size={"shortest_edge": 42}, crop_pct=0.875, resample=2),
        transformers.ConvNextImageProcessor(size={"shortest_edge": 384}, resample=3),
        transformers.CLIPImageProcessor(size=32, crop_size=28),
    ],
)
def test_images_of_any_shape_are_what_transformers_makes_of_them(
    processor: Any, tmp_path: Path
) -> None:
    config = {"model_type": "vit", "architectures": ["ViTForImageClassification"]}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    processor.save_pretrained(tmp_path)
    task = archspec.load(f"hf:{tmp_path}").architecture.task
    assert task is not None and task.image is not None
    encoder = ImageEncoder(task.image)
    for width, height in ((90, 50), (50, 90), (64, 64), (400, 384)):
        values = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
        image = Image.fromarray(values)
        expected = processor(image, return_tensors="pt")["pixel_values"][0]
        found = encoder.tensor(image)
        assert found.shape == expected.shape
        # Both round to 8 bits in between, transformers' torch backend by its own rules. Margins of
        # half a pixel, which torchvision rounds and transformers cuts, are not among these sizes.
        assert (found - expected).abs().max() < 0.02, (width, height)
