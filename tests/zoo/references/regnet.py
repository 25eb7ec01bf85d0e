"""RegNets of torchvision."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import Any
from unittest import mock

import torch
from torch import nn
from torchvision import models
from torchvision.models.regnet import BlockParams, RegNet

from tests.zoo.reference import Reference, Small, image

NAMES = (
    "regnet-y-400mf", "regnet-y-800mf", "regnet-y-1-6gf", "regnet-y-3-2gf", "regnet-y-8gf",
    "regnet-y-16gf", "regnet-y-32gf", "regnet-y-128gf", "regnet-x-400mf", "regnet-x-800mf",
    "regnet-x-1-6gf", "regnet-x-3-2gf", "regnet-x-8gf", "regnet-x-16gf", "regnet-x-32gf",
)  # fmt: skip


def _small(ratios: tuple[float, ...], random: Random) -> Small:
    group = random.randint(1, 4)
    params: dict[str, Any] = {
        "stem_width": group * random.randint(1, 4),
        "widths": [group * random.randint(1, 4) for _ in range(4)],
        "depths": [random.randint(1, 2) for _ in range(4)],
        "group_width": group,
        "se_ratio": random.choice(ratios),
        "num_classes": random.randint(1, 9),
    }
    stem, widths = params["stem_width"], params["widths"]
    # Below one squeezed channel there is no such layer.
    params["se_ratio"] *= min(stem, *widths) * params["se_ratio"] > 0.5
    ratio = params["se_ratio"] or None
    settings = BlockParams(params["depths"], widths, [group] * 4, [1.0] * 4, [2] * 4, ratio)
    theirs = RegNet(settings, params["num_classes"], stem)
    return Small(theirs, params, args=(image(random, 64, 96),))


def _default(name: str) -> nn.Module:
    """torchvision finds the sizes by operations on tensors, which have no values on ``meta``."""
    sizes = BlockParams.from_init_params

    def with_values(**options: Any) -> BlockParams:
        with torch.device("cpu"):
            return sizes(**options)

    with mock.patch.object(BlockParams, "from_init_params", with_values):
        return getattr(models, name.replace("-", "_"))()


SMALL = {
    "regnet-y-400mf": partial(_small, (0.0, 0.25, 0.5)),
    "regnet-x-400mf": partial(_small, (0.0,)),
}
REFERENCES = {name: Reference(partial(_default, name), SMALL.get(name)) for name in NAMES}
