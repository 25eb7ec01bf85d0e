"""Convolutional classifiers of torchvision."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import Any

from torchvision import models

from tests.zoo.reference import Reference, Small, image


def _googlenet(random: Random) -> Small:
    classes = random.randint(1, 9)
    theirs = models.GoogLeNet(classes, aux_logits=False, init_weights=False)
    return Small(theirs, {"num_classes": classes}, args=(image(random, 48, 56),))


def _squeezenet(version: str, random: Random) -> Small:
    classes = random.randint(2, 9)
    params: dict[str, Any] = {"num_classes": classes}
    return Small(models.SqueezeNet(version, classes), params, args=(image(random, 56, 40),))


def _shufflenet(random: Random) -> Small:
    depths = [random.randint(1, 2) for _ in range(3)]
    widths = [2 * random.randint(2, 12) for _ in range(5)]
    classes = random.randint(1, 9)
    params: dict[str, Any] = {"depths": depths, "widths": widths, "num_classes": classes}
    return Small(models.ShuffleNetV2(depths, widths, classes), params, args=(image(random),))


REFERENCES = {
    "googlenet": Reference(
        partial(models.googlenet, aux_logits=False, init_weights=False), _googlenet
    ),
    "squeezenet1-0": Reference(models.squeezenet1_0, partial(_squeezenet, "1_0")),
    "squeezenet1-1": Reference(models.squeezenet1_1, partial(_squeezenet, "1_1")),
    "shufflenet-v2-x0-5": Reference(models.shufflenet_v2_x0_5),
    "shufflenet-v2-x1-0": Reference(models.shufflenet_v2_x1_0, _shufflenet),
    "shufflenet-v2-x1-5": Reference(models.shufflenet_v2_x1_5),
    "shufflenet-v2-x2-0": Reference(models.shufflenet_v2_x2_0),
}
