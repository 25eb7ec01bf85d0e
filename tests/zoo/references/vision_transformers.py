"""Vision transformers and mixers, of torchvision and timm."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import Any

import timm
from timm.models.deit import VisionTransformerDistilled
from timm.models.mlp_mixer import MlpMixer
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from torchvision import models

from tests.zoo.reference import Reference, Small, image


def _of_torchvision(random: Random) -> Small:
    heads = random.randint(1, 4)
    params: dict[str, Any] = {
        "image_size": 24,
        "patch_size": random.choice([4, 8]),
        "num_layers": random.randint(1, 3),
        "num_heads": heads,
        "hidden_dim": heads * random.randint(2, 6),
        "mlp_dim": random.randint(3, 20),
        "num_classes": random.randint(1, 9),
    }
    return Small(models.VisionTransformer(**params), params, args=(image(random, 24),))


def _of_timm(random: Random, kind: type[VisionTransformer] = VisionTransformer) -> Small:
    heads = random.randint(1, 4)
    params: dict[str, Any] = {
        "img_size": 24,
        "patch_size": random.choice([4, 8]),
        "depth": random.randint(1, 3),
        "num_heads": heads,
        "embed_dim": heads * random.randint(2, 6),
        "mlp_ratio": random.randint(1, 4),
        "num_classes": random.randint(1, 9),
    }
    return Small(kind(**params), params, args=(image(random, 24),))


def _mixer(random: Random) -> Small:
    params: dict[str, Any] = {
        "img_size": 24,
        "patch_size": random.choice([4, 8]),
        "num_blocks": random.randint(1, 3),
        "embed_dim": 2 * random.randint(2, 9),
        "num_classes": random.randint(1, 9),
    }
    return Small(MlpMixer(**params), params, args=(image(random, 24),))


def _timm(name: str) -> partial[nn.Module]:
    return partial(timm.create_model, name)


REFERENCES = {
    "vit-b-16": Reference(models.vit_b_16, _of_torchvision),
    "vit-b-32": Reference(models.vit_b_32),
    "vit-l-16": Reference(models.vit_l_16),
    "vit-l-32": Reference(models.vit_l_32),
    "vit-s-16": Reference(_timm("vit_small_patch16_224")),
    "deit-tiny": Reference(_timm("deit_tiny_patch16_224")),
    "deit-small": Reference(_timm("deit_small_patch16_224"), _of_timm),
    "deit-base": Reference(_timm("deit_base_patch16_224")),
    "deit-tiny-distilled": Reference(_timm("deit_tiny_distilled_patch16_224")),
    "deit-small-distilled": Reference(
        _timm("deit_small_distilled_patch16_224"),
        partial(_of_timm, kind=VisionTransformerDistilled),
    ),
    "deit-base-distilled": Reference(_timm("deit_base_distilled_patch16_224")),
    "mixer-s-16": Reference(_timm("mixer_s16_224")),
    "mixer-b-16": Reference(_timm("mixer_b16_224"), _mixer),
    "mixer-l-16": Reference(_timm("mixer_l16_224")),
}
