"""Segmentation and pyramids on ResNets, of torchvision."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import Any

from torch import nn
from torchvision.models.detection.backbone_utils import BackboneWithFPN, resnet_fpn_backbone
from torchvision.models.resnet import Bottleneck, ResNet
from torchvision.models.segmentation import deeplabv3_resnet50, deeplabv3_resnet101
from torchvision.models.segmentation.deeplabv3 import _deeplabv3_resnet

from tests.zoo.reference import Reference, Small, image


def _deeplab(random: Random) -> Small:
    params: dict[str, Any] = {
        "depths": [random.randint(1, 2) for _ in range(4)],
        "num_classes": random.randint(1, 5),
        "aux_loss": random.random() < 0.6,
    }
    dilated = [False, True, True]
    backbone = ResNet(Bottleneck, params["depths"], replace_stride_with_dilation=dilated)
    theirs = _deeplabv3_resnet(backbone, params["num_classes"], params["aux_loss"])
    return Small(theirs, params, args=(image(random, 48, 56),))


def _fpn(random: Random) -> Small:
    depths = [random.randint(1, 2) for _ in range(4)]
    channels = random.randint(2, 9)
    layers = {f"layer{i + 1}": str(i) for i in range(4)}
    body = ResNet(Bottleneck, depths)
    theirs = BackboneWithFPN(body, layers, [256, 512, 1024, 2048], channels)
    params = {"depths": depths, "out_channels": channels}
    return Small(theirs, params, args=(image(random, 64, 80),))


def _levels(output: dict[str, Any]) -> dict[str, Any]:
    names = {"0": "p2", "1": "p3", "2": "p4", "3": "p5", "pool": "pool"}
    return {names[name]: level for name, level in output.items()}


def _backbone() -> nn.Module:
    return resnet_fpn_backbone(
        backbone_name="resnet50", weights=None, norm_layer=nn.BatchNorm2d, trainable_layers=5
    )


def _full(model: Any) -> partial[nn.Module]:
    return partial(model, weights=None, weights_backbone=None, aux_loss=True)


REFERENCES = {
    "resnet50-fpn": Reference(_backbone, _fpn, layout="torchvision", outputs=_levels),
    "deeplabv3-resnet50": Reference(_full(deeplabv3_resnet50), _deeplab, layout="torchvision"),
    "deeplabv3-resnet101": Reference(_full(deeplabv3_resnet101), layout="torchvision"),
}
