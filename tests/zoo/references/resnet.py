"""ResNets of torchvision."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import Any

from torchvision import models
from torchvision.models.resnet import BasicBlock, Bottleneck

from tests.zoo.reference import Reference, Small, image


def _small(block: type[BasicBlock | Bottleneck], random: Random) -> Small:
    depths, classes = [random.randint(1, 2) for _ in range(4)], random.randint(1, 9)
    sizes: dict[str, Any] = {
        "groups": random.choice([1, 4]),
        "width_per_group": random.choice([4, 8, 16]),
    }
    params: dict[str, Any] = {"depths": depths, "num_classes": classes}
    if block is BasicBlock:
        sizes = {}
    else:
        params |= {"groups": sizes["groups"], "base_width": sizes["width_per_group"]}
    theirs = models.ResNet(block, depths, num_classes=classes, **sizes)
    return Small(theirs, params, args=(image(random, 48, random.choice([48, 80])),))


SIZES = (
    "resnet34", "resnet101", "resnet152", "resnext50-32x4d", "resnext101-32x8d",
    "resnext101-64x4d", "wide-resnet50-2", "wide-resnet101-2",
)  # fmt: skip
REFERENCES = {
    "resnet18": Reference(models.resnet18, partial(_small, BasicBlock), layout="torchvision"),
    "resnet50": Reference(models.resnet50, partial(_small, Bottleneck), layout="torchvision"),
    **{
        name: Reference(getattr(models, name.replace("-", "_")), layout="torchvision")
        for name in SIZES
    },
}
