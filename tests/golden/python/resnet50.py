"""ResNet-50, ImageNet classification, stride on the 3×3 convolution as in torchvision.

He et al. 2015, Deep Residual Learning, arXiv:1512.03385
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Config:
    expansion: int = 4  # output channels of the block as a multiple of its planes
    depths: tuple[int, ...] = (3, 4, 6, 3)  # blocks in each of the four stages
    num_classes: int = 1000
    groups: int = 1  # of the 3×3 convolution
    base_width: int = 64  # channels of one group in the first stage


class Bottleneck(nn.Module):
    def __init__(self, config: Config, in_planes: int, planes: int, stride: int = 1):
        super().__init__()
        inner = planes * config.base_width // 64 * config.groups
        self.conv1 = nn.Conv2d(in_planes, inner, kernel_size=1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(
            inner,
            inner,
            kernel_size=3,
            stride=stride,
            padding=1,
            groups=config.groups,
            bias=False,
        )
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(
            inner, planes * config.expansion, kernel_size=1, bias=False
        )
        self.bn3 = nn.BatchNorm2d(planes * config.expansion)
        if stride != 1 or in_planes != planes * config.expansion:
            self.shortcut = nn.Sequential(
                nn.Conv2d(
                    in_planes,
                    planes * config.expansion,
                    kernel_size=1,
                    stride=stride,
                    bias=False,
                ),
                nn.BatchNorm2d(planes * config.expansion),
            )
        else:
            self.shortcut = nn.Sequential()

    def forward(self, x: Tensor):
        """x: [batch, in_planes, height, width]."""
        out = F.relu_(self.bn1(self.conv1(x)))
        out = F.relu_(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return F.relu_(out.add_(self.shortcut(x)))


@torch.no_grad()
def initialize(module: nn.Module, generator: torch.Generator | None = None):
    """Give the parameters that a module itself holds their first values."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(
            module.weight, mode="fan_out", nonlinearity="relu", generator=generator
        )
    if isinstance(module, nn.BatchNorm2d):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)


class ResNet(nn.Module):
    def __init__(self, config: Config = Config()):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = nn.Sequential(
            Bottleneck(config, in_planes=64, planes=64),
            *[
                Bottleneck(config, in_planes=64 * config.expansion, planes=64)
                for _ in range(config.depths[0] - 1)
            ],
        )
        self.layer2 = nn.Sequential(
            Bottleneck(config, in_planes=64 * config.expansion, planes=128, stride=2),
            *[
                Bottleneck(config, in_planes=128 * config.expansion, planes=128)
                for _ in range(config.depths[1] - 1)
            ],
        )
        self.layer3 = nn.Sequential(
            Bottleneck(config, in_planes=128 * config.expansion, planes=256, stride=2),
            *[
                Bottleneck(config, in_planes=256 * config.expansion, planes=256)
                for _ in range(config.depths[2] - 1)
            ],
        )
        self.layer4 = nn.Sequential(
            Bottleneck(config, in_planes=256 * config.expansion, planes=512, stride=2),
            *[
                Bottleneck(config, in_planes=512 * config.expansion, planes=512)
                for _ in range(config.depths[3] - 1)
            ],
        )
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(512 * config.expansion, config.num_classes)
        for module in self.modules():
            initialize(module)

    def forward(self, x: Tensor):
        """x: [batch, 3, height, width]."""
        x = self.maxpool(F.relu_(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))
