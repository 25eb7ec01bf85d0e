"""Convolutional networks of four stages, and Swin transformers, of torchvision."""

from __future__ import annotations

from random import Random
from typing import Any

from torchvision import models
from torchvision.models.convnext import CNBlockConfig, ConvNeXt
from torchvision.models.swin_transformer import SwinTransformer

from tests.zoo.reference import Reference, Small, image


def _convnext(random: Random) -> Small:
    params: dict[str, Any] = {
        "dims": [random.randint(2, 9) for _ in range(4)],
        "depths": [random.randint(1, 2) for _ in range(4)],
        "num_classes": random.randint(1, 9),
    }
    widths = [*params["dims"], None]
    stages = [
        CNBlockConfig(*sizes)
        for sizes in zip(widths[:-1], widths[1:], params["depths"], strict=True)
    ]
    theirs = ConvNeXt(stages, num_classes=params["num_classes"])
    return Small(theirs, params, args=(image(random, 64, 96),))


def _swin(random: Random) -> Small:
    window = random.choice([2, 3, 4])
    heads = [random.randint(1, 2) for _ in range(4)]
    params: dict[str, Any] = {
        "embed_dim": 4 * random.randint(1, 3),
        "depths": [random.randint(1, 2), 2, random.randint(1, 2), 1],
        "num_heads": heads,
        "patch_size": random.choice([2, 4]),
        "window_size": window,
        "num_classes": random.randint(1, 9),
    }
    patch = params["patch_size"]
    theirs = SwinTransformer(
        [patch, patch],
        params["embed_dim"],
        params["depths"],
        heads,
        [window, window],
        num_classes=params["num_classes"],
    )
    # Sides that are no whole windows, and in the last stages smaller than one.
    return Small(theirs, params, args=(image(random, 13 * patch, 18 * patch),))


REFERENCES = {
    "convnext-tiny": Reference(models.convnext_tiny, _convnext, layout="torchvision"),
    "convnext-small": Reference(models.convnext_small, layout="torchvision"),
    "convnext-base": Reference(models.convnext_base, layout="torchvision"),
    "convnext-large": Reference(models.convnext_large, layout="torchvision"),
    "swin-t": Reference(models.swin_t, _swin),
    "swin-s": Reference(models.swin_s),
    "swin-b": Reference(models.swin_b),
}
