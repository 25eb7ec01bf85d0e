"""Checkpoints of timm in the layouts of specs that have torchvision's names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from timm.models.convnext import ConvNeXt
from timm.models.swin_transformer import SwinTransformer
from timm.models.vgg import VGG
from timm.models.vision_transformer import VisionTransformer
from torch import nn

import archspec
from tests.zoo.reference import fill

VIT = {"num_heads": 3, "num_classes": 5}
SWIN: dict[str, Any] = {
    "embed_dim": 8,
    "depths": [1, 2, 1, 1],
    "num_heads": [1, 2, 2, 4],
    "window_size": 4,
    "num_classes": 5,
}
CASES: dict[str, tuple[nn.Module, int, dict[str, Any]]] = {
    "vit-b-16": (
        VisionTransformer(24, 8, embed_dim=12, depth=2, mlp_ratio=2, **VIT),
        24,
        {
            "image_size": 24,
            "patch_size": 8,
            "hidden_dim": 12,
            "num_layers": 2,
            "mlp_dim": 24,
            **VIT,
        },
    ),
    "swin-t": (SwinTransformer(128, 4, **SWIN), 128, SWIN),
    "convnext-tiny": (
        ConvNeXt(num_classes=5, depths=(1, 2, 2, 1), dims=(4, 8, 12, 16)),
        64,
        {"num_classes": 5, "depths": [1, 2, 2, 1], "dims": [4, 8, 12, 16]},
    ),
    "vgg16-bn": (
        VGG([4, "M", 8, "M", 8, "M", 12, "M", 12, "M"], num_classes=5, norm_layer=nn.BatchNorm2d),
        224,
        {"num_classes": 5, "stages": [[4], [8], [8], [12], [12]]},
    ),
    "efficientnet-b0": (
        timm.create_model("efficientnet_b0", num_classes=5),
        64,
        {"num_classes": 5},
    ),
    "mobilenet-v2": (
        timm.create_model("mobilenetv2_050", num_classes=5),
        64,
        {"num_classes": 5, "width_mult": 0.5},
    ),
    "mobilenet-v3-large": (
        timm.create_model("mobilenetv3_large_100", num_classes=5),
        64,
        {"num_classes": 5, "norm_eps": 1e-5},
    ),
    "mobilenet-v3-small": (
        timm.create_model("mobilenetv3_small_100", num_classes=5),
        64,
        {"num_classes": 5, "norm_eps": 1e-5},
    ),
    "regnet-y-400mf": (timm.create_model("regnety_004", num_classes=5), 64, {"num_classes": 5}),
    "regnet-x-400mf": (timm.create_model("regnetx_004_tv", num_classes=5), 64, {"num_classes": 5}),
}


@pytest.mark.parametrize("name", CASES)
def test_files_of_timm(name: str, tmp_path: Path) -> None:
    theirs, size, params = CASES[name]
    fill(theirs.eval(), 0)
    state = theirs.state_dict()
    save_file(state, tmp_path / "theirs.safetensors")
    ours = archspec.build(name, device="cpu", seed=1, **params).eval()
    report = archspec.load_weights(ours, tmp_path / "theirs.safetensors", layout="timm")
    assert report.complete and not report.counts.get("ignored"), report

    images = torch.randn(2, 3, size, size)
    with torch.inference_mode():
        torch.testing.assert_close(ours(images), theirs(images), rtol=0, atol=1e-5)

    archspec.save_weights(ours, tmp_path / "ours.safetensors", layout="timm")
    saved = load_file(tmp_path / "ours.safetensors")
    computed = {n for n in saved if n.endswith("relative_position_index")}
    assert saved.keys() - computed == state.keys()
    assert all(torch.equal(saved[n], tensor) for n, tensor in state.items())
