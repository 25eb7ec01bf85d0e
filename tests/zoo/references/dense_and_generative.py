"""Models that no library has: a U-Net, a DCGAN and a variational autoencoder, in plain PyTorch.

The names of their modules are those of widely used implementations: the U-Net for the Carvana data,
and PyTorch's tutorial and examples.
"""

from __future__ import annotations

from random import Random
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.reference import Reference, Small, image


class DoubleConv(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels in (inputs, outputs):
            layers += [nn.Conv2d(channels, outputs, 3, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(outputs), nn.ReLU()]
        self.double_conv = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.double_conv(x)


class Down(nn.Module):
    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), DoubleConv(inputs, 2 * inputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.maxpool_conv(x)


class Up(nn.Module):
    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(inputs, inputs // 2, 2, stride=2)
        self.conv = DoubleConv(inputs, inputs // 2)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = self.up(x)
        rows, columns = skip.shape[2] - x.shape[2], skip.shape[3] - x.shape[3]
        x = F.pad(x, [columns // 2, columns - columns // 2, rows // 2, rows - rows // 2])
        return self.conv(torch.cat([skip, x], dim=1))


class OutConv(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class UNet(nn.Module):
    def __init__(self, channels: int = 3, classes: int = 2, base: int = 64) -> None:
        super().__init__()
        self.inc = DoubleConv(channels, base)
        self.down1, self.down2 = Down(base), Down(2 * base)
        self.down3, self.down4 = Down(4 * base), Down(8 * base)
        self.up1, self.up2 = Up(16 * base), Up(8 * base)
        self.up3, self.up4 = Up(4 * base), Up(2 * base)
        self.outc = OutConv(base, classes)

    def forward(self, x: Tensor) -> Tensor:
        skips = [self.inc(x)]
        for down in (self.down1, self.down2, self.down3, self.down4):
            skips.append(down(skips[-1]))
        x = skips.pop()
        for up in (self.up1, self.up2, self.up3, self.up4):
            x = up(x, skips.pop())
        return self.outc(x)


class Generator(nn.Module):
    def __init__(self, nz: int = 100, ngf: int = 64, nc: int = 3) -> None:
        super().__init__()
        widths = [8 * ngf, 4 * ngf, 2 * ngf, ngf]
        layers: list[nn.Module] = [nn.ConvTranspose2d(nz, widths[0], 4, 1, 0, bias=False)]
        for width, after in zip(widths, [*widths[1:], nc], strict=True):
            layers += [nn.BatchNorm2d(width), nn.ReLU()]
            layers += [nn.ConvTranspose2d(width, after, 4, 2, 1, bias=False)]
        self.main = nn.Sequential(*layers, nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        return self.main(z)


class Discriminator(nn.Module):
    def __init__(self, ndf: int = 64, nc: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(nc, ndf, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
        for width in (ndf, 2 * ndf, 4 * ndf):
            layers += [nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False)]
            layers += [nn.BatchNorm2d(2 * width), nn.LeakyReLU(0.2)]
        self.main = nn.Sequential(*layers, nn.Conv2d(8 * ndf, 1, 4, bias=False), nn.Sigmoid())

    def forward(self, image: Tensor) -> Tensor:
        return self.main(image)


class VAE(nn.Module):
    def __init__(self, pixels: int = 784, hidden: int = 400, latent: int = 20) -> None:
        super().__init__()
        self.fc1, self.fc21 = nn.Linear(pixels, hidden), nn.Linear(hidden, latent)
        self.fc22, self.fc3 = nn.Linear(hidden, latent), nn.Linear(latent, hidden)
        self.fc4 = nn.Linear(hidden, pixels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = F.relu(self.fc1(x))
        mu, logvar = self.fc21(h), self.fc22(h)
        std = torch.exp(0.5 * logvar)
        z = mu + torch.randn_like(std) * std
        return torch.sigmoid(self.fc4(F.relu(self.fc3(z)))), mu, logvar


def _unet(random: Random) -> Small:
    base, classes = random.randint(1, 4), random.randint(1, 4)
    # Sides that are no multiple of 16: what the pooling cuts off is padded.
    sides = random.choice([(32, 32), (45, 50), (33, 47)])
    params: dict[str, Any] = {"base": base, "n_classes": classes}
    return Small(UNet(classes=classes, base=base), params, args=(image(random, *sides),))


def _generator(random: Random) -> Small:
    params: dict[str, Any] = {
        "nz": random.randint(1, 9),
        "ngf": random.randint(1, 4),
        "nc": random.randint(1, 3),
    }
    noise = torch.randn(3, params["nz"], 1, 1)
    return Small(Generator(**params), params, args=(noise,))


def _discriminator(random: Random) -> Small:
    params: dict[str, Any] = {"ndf": random.randint(1, 4)}
    return Small(Discriminator(**params), params, args=(image(random, 64),))


def _vae(random: Random) -> Small:
    sizes = ("pixels", "hidden", "latent")
    params: dict[str, Any] = {name: random.randint(2, 20) for name in sizes}
    return Small(VAE(**params), params, args=(torch.rand(3, params["pixels"]),))


REFERENCES = {
    "unet": Reference(UNet, _unet),
    "dcgan": Reference(Generator, _generator),
    "dcgan-discriminator": Reference(Discriminator, _discriminator),
    "vae": Reference(VAE, _vae),
}
