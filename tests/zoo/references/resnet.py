"""ResNets of torchvision."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import Any

from torchvision import models
from torchvision.models.resnet import BasicBlock, Bottleneck

from tests.zoo.reference import Reference, Small, image


def _small(block: type[BasicBlock | Bottleneck], random: Random) -> Small:
    depths = [random.randint(1, 2) for _ in range(4)]
    classes = random.randint(1, 9)
    theirs = models.ResNet(block, depths, num_classes=classes)
    params: dict[str, Any] = {"depths": depths, "num_classes": classes}
    return Small(theirs, params, args=(image(random, 48, random.choice([48, 80])),))


REFERENCES = {
    "resnet18": Reference(models.resnet18, partial(_small, BasicBlock), layout="torchvision"),
    "resnet34": Reference(models.resnet34, layout="torchvision"),
    "resnet50": Reference(models.resnet50, partial(_small, Bottleneck), layout="torchvision"),
    "resnet101": Reference(models.resnet101, layout="torchvision"),
    "resnet152": Reference(models.resnet152, layout="torchvision"),
}
