"""Convolutional classifiers of torchvision."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import Any

import torch
from torch import nn
from torchvision import models
from torchvision.models.efficientnet import EfficientNet, MBConvConfig
from torchvision.models.mobilenetv3 import InvertedResidualConfig, MobileNetV3
from torchvision.models.vgg import make_layers

from tests.zoo.reference import Reference, Small, image


def _googlenet(random: Random) -> Small:
    classes = random.randint(1, 9)
    theirs = models.GoogLeNet(classes, aux_logits=False, init_weights=False)
    return Small(theirs, {"num_classes": classes}, args=(image(random, 48, 56),))


def _inception(random: Random) -> Small:
    classes, aux = random.randint(1, 9), random.choice([True, False])
    theirs = models.Inception3(classes, aux_logits=aux, init_weights=False)
    params = {"num_classes": classes, "aux_logits": aux}
    return Small(theirs, params, args=(image(random, 75, 80),))


def _squeezenet(version: str, random: Random) -> Small:
    classes = random.randint(2, 9)
    params = {"num_classes": classes}
    return Small(models.SqueezeNet(version, classes), params, args=(image(random, 56, 40),))


def _shufflenet(random: Random) -> Small:
    depths = [random.randint(1, 2) for _ in range(3)]
    widths = [2 * random.randint(2, 12) for _ in range(5)]
    classes = random.randint(1, 9)
    params = {"depths": depths, "widths": widths, "num_classes": classes}
    return Small(models.ShuffleNetV2(depths, widths, classes), params, args=(image(random),))


def _vgg(batch_norm: bool, random: Random) -> Small:
    stages = [[random.randint(2, 6) for _ in range(random.randint(1, 2))] for _ in range(3)]
    hidden, classes = random.randint(2, 9), random.randint(1, 9)
    sizes = [size for stage in stages for size in (*stage, "M")]
    with torch.device("meta"):  # its first layer is that of a large model
        theirs = models.VGG(nn.Module(), classes)
    theirs.features = make_layers(sizes, batch_norm=batch_norm)
    theirs.classifier[0] = nn.Linear(49 * stages[-1][-1], hidden)
    theirs.classifier[3], theirs.classifier[6] = (
        nn.Linear(hidden, hidden),
        nn.Linear(hidden, classes),
    )
    params = {"stages": stages, "hidden": hidden, "num_classes": classes, "batch_norm": batch_norm}
    return Small(theirs, params, args=(image(random, 56, 64),))


def _densenet(random: Random) -> Small:
    params: dict[str, Any] = {
        "growth_rate": random.randint(1, 6),
        "block_config": [random.randint(1, 3) for _ in range(4)],
        "num_init_features": random.randint(2, 8),
        "bn_size": random.randint(1, 4),
        "num_classes": random.randint(1, 9),
    }
    return Small(models.DenseNet(**params), params, args=(image(random, 64, 80),))


def _mobilenet_v2(random: Random) -> Small:
    settings = [
        [random.choice([1, 2, 6]), random.choice([8, 16, 24]), random.randint(1, 2), stride]
        for stride in (1, 2, 1)
    ]
    width, classes = random.choice([0.5, 1.0, 1.3]), random.randint(1, 9)
    theirs = models.MobileNetV2(classes, width, settings)
    params = {"settings": settings, "width_mult": width, "num_classes": classes}
    return Small(theirs, params, args=(image(random, 32, 48),))


def _mobilenet_v3(random: Random) -> Small:
    width, classes = random.choice([0.75, 1.0, 1.25]), random.randint(1, 9)
    outputs = [random.choice([8, 16]), random.choice([16, 24]), 16]
    settings = [
        [
            random.choice([3, 5]),
            random.choice([16, 40]),
            channels,
            random.random() < 0.5,
            random.random() < 0.5,
            stride,
        ]
        for channels, stride in zip(outputs, (1, 2, 1), strict=True)
    ]
    blocks = [
        InvertedResidualConfig(before, k, e, c, se, "HS" if act else "RE", s, 1, width)
        for before, (k, e, c, se, act, s) in zip([16, *outputs], settings, strict=False)
    ]
    last = InvertedResidualConfig.adjust_channels(32, width)
    params = {"settings": settings, "last_channels": 32, "width_mult": width}
    params["num_classes"] = classes
    return Small(MobileNetV3(blocks, last, classes), params, args=(image(random, 32, 48),))


def _efficientnet(random: Random) -> Small:
    width, depth = random.choice([0.5, 1.0, 1.2]), random.choice([1.0, 1.4])
    outputs = [random.choice([8, 16]) for _ in range(3)]
    settings = [
        [random.choice([1, 4]), random.choice([3, 5]), stride, channels, random.randint(1, 2)]
        for stride, channels in zip((1, 2, 1), outputs, strict=True)
    ]
    stages = [
        MBConvConfig(t, k, s, before, c, n, width, depth)
        for before, (t, k, s, c, n) in zip([32, *outputs], settings, strict=False)
    ]
    classes, norm = random.randint(1, 9), {"eps": 1e-3, "momentum": 0.01}
    theirs = EfficientNet(
        stages, 0.2, num_classes=classes, norm_layer=partial(nn.BatchNorm2d, **norm)
    )
    params: dict[str, Any] = {"settings": settings, "width_mult": width, "depth_mult": depth}
    params |= {"num_classes": classes, "norm_eps": 1e-3, "norm_momentum": 0.01}
    return Small(theirs, params, args=(image(random, 32, 48),))


REFERENCES = {
    "googlenet": Reference(
        partial(models.googlenet, aux_logits=False, init_weights=False), _googlenet
    ),
    "inception-v3": Reference(
        partial(models.inception_v3, init_weights=False),
        _inception,
        outputs=lambda output: {"logits": output},
    ),
    "squeezenet1-0": Reference(models.squeezenet1_0, partial(_squeezenet, "1_0")),
    "squeezenet1-1": Reference(models.squeezenet1_1, partial(_squeezenet, "1_1")),
    "shufflenet-v2-x0-5": Reference(models.shufflenet_v2_x0_5),
    "shufflenet-v2-x1-0": Reference(models.shufflenet_v2_x1_0, _shufflenet),
    "shufflenet-v2-x1-5": Reference(models.shufflenet_v2_x1_5),
    "shufflenet-v2-x2-0": Reference(models.shufflenet_v2_x2_0),
    "vgg16": Reference(models.vgg16, partial(_vgg, False)),
    **{
        f"vgg{n}-bn": Reference(getattr(models, f"vgg{n}_bn"), partial(_vgg, True))
        for n in (11, 13, 16, 19)
    },
    **{f"vgg{n}": Reference(getattr(models, f"vgg{n}")) for n in (11, 13, 19)},
    "densenet121": Reference(models.densenet121, _densenet),
    "densenet161": Reference(models.densenet161),
    "densenet169": Reference(models.densenet169),
    "densenet201": Reference(models.densenet201),
    "mobilenet-v2": Reference(models.mobilenet_v2, _mobilenet_v2),
    "mobilenet-v3-large": Reference(models.mobilenet_v3_large, _mobilenet_v3),
    "mobilenet-v3-small": Reference(models.mobilenet_v3_small, _mobilenet_v3),
    "efficientnet-b0": Reference(models.efficientnet_b0, _efficientnet),
    **{f"efficientnet-b{n}": Reference(getattr(models, f"efficientnet_b{n}")) for n in range(1, 8)},
}
