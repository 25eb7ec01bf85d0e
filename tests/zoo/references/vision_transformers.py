"""Vision transformers and mixers, of torchvision, timm and transformers."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import Any

import timm
import torch
import torch.nn.functional as F
from timm.models.deit import VisionTransformerDistilled
from timm.models.mlp_mixer import MlpMixer
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from torchvision import models
from transformers import SegformerConfig, SegformerForSemanticSegmentation

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


def _segformer(random: Random) -> Small:
    heads = [random.randint(1, 3) for _ in range(4)]
    config = SegformerConfig(
        depths=[random.randint(1, 2) for _ in range(4)],
        hidden_sizes=[count * random.randint(2, 5) for count in heads],
        num_attention_heads=heads,
        sr_ratios=[4, random.randint(1, 2), random.randint(1, 2), 1],
        mlp_ratios=[random.randint(1, 4) for _ in range(4)],
        decoder_hidden_size=random.randint(3, 12),
        num_labels=random.randint(2, 5),
        attn_implementation=random.choice(["eager", "sdpa"]),
    )
    theirs = SegformerForSemanticSegmentation(config)
    return Small(theirs, config=config.to_dict(), args=(image(random, 64, 96),))


def _as_large_as_the_image(output: Any) -> torch.Tensor:
    return F.interpolate(output.logits, scale_factor=4, mode="bilinear")


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
    "segformer-b0": Reference(
        partial(SegformerForSemanticSegmentation, SegformerConfig(num_labels=150)),
        _segformer,
        outputs=_as_large_as_the_image,
    ),
    "mixer-s-16": Reference(_timm("mixer_s16_224")),
    "mixer-b-16": Reference(_timm("mixer_b16_224"), _mixer),
    "mixer-l-16": Reference(_timm("mixer_l16_224")),
}
