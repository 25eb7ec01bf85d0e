"""Every part of the language in one small model."""

from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Config:
    width: int = 8  # channels everywhere
    depth: int = 3
    sizes: tuple[int, ...] = (2, 3)
    scales: tuple[float, ...] = (0.5, 2.0)
    mode: str = "plain"
    bias: bool = True
    label: str | None = None
    dollars: str = "$5"

    @cached_property
    def inner(self) -> int:
        return 2 * self.width


class Gated(nn.Module):
    def __init__(self, config: Config, size: int, gate=None):
        super().__init__()
        if gate is None:
            gate = "Sigmoid" if config.mode == "plain" else "Tanh"
        self.value = nn.Linear(size, size)
        self.gate_of = nn.Linear(size, size, bias=False)
        self.squash = nn.Tanh() if config.mode == "gated" else nn.Sigmoid()

    def forward(self, x: Tensor):
        """x: [batch, time, size]."""
        return self.value(x) * self.squash(self.gate_of(x))


class Plain(nn.Module):
    def __init__(self, config: Config, size: int):
        super().__init__()
        self.linear = nn.Linear(size, size, bias=config.bias)
        self.activation = nn.SiLU()

    def forward(self, x: Tensor):
        """x: [batch, time, size]."""
        x = self.linear(x)
        return self.activation(x)


class Residual(nn.Module):
    def __init__(
        self,
        config: Config,
        size=None,
        inner_block: type[nn.Module] = Plain,
        twice=None,
        scale: float = 1.0,
    ):
        super().__init__()
        if size is None:
            size = config.width
        if twice is None:
            twice = 2 * config.width
        self.scale = scale
        self.norm = nn.LayerNorm(size)
        self.body = inner_block(config, size=size)
        if twice > size and scale != 1.0:
            self.extra = nn.Linear(size, twice)

    def forward(self, x: Tensor, skip: Tensor | None = None):
        """x: [batch, time, size]; skip: [batch, time, size] or None."""
        y = self.body(self.norm(x)) * self.scale
        y = y if skip is None else y + skip
        return x + y


class Mixer(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.steps = nn.ModuleDict(
            {
                "first": Residual(config, size=config.width),
                "second": Residual(
                    config, size=config.width, inner_block=Gated, scale=config.scales[0]
                ),
                **{
                    f"more_{i}": nn.Linear(config.width, config.width)
                    for i in range(len(config.sizes))
                },
            }
        )
        self.pairs = nn.ModuleList(
            [
                nn.Sequential(
                    nn.Linear(config.width, config.width + i),
                    nn.ReLU() if i % 2 == 0 else nn.GELU(),
                    *([nn.Dropout(p=0.25)] if i > 0 else []),
                    nn.Linear(config.width + i, config.width),
                )
                for i in range(config.depth)
            ]
        )
        self.gains = nn.ModuleList(
            [nn.Linear(config.width, 1, bias=False) for _ in range(config.depth)]
        )
        if config.mode == "gated":
            self.tail = nn.Sequential(
                OrderedDict(
                    {
                        "lift": nn.Linear(config.width, config.inner),
                        "drop": nn.Linear(config.inner, config.width),
                    }
                )
            )
        else:
            self.tail = nn.Sequential()
        self.temperature = nn.Parameter(torch.empty(()))
        self.table = nn.Parameter(torch.empty(len(config.sizes), config.width))
        self.register_buffer("count", torch.empty(1, dtype=torch.int64))
        self.register_buffer("window", torch.empty(config.sizes[1]), persistent=False)
        self.reset_parameters()

    def reset_parameters(self):
        nn.init.ones_(self.temperature)
        nn.init.normal_(self.table, std=0.5)
        nn.init.zeros_(self.count)
        nn.init.constant_(self.window, val=0.25)

    def forward(self, x: Tensor):
        """x: [batch, time, width]."""
        for step in self.steps.values():
            x = step(x)
        for i, pair in enumerate(self.pairs):
            x = x + pair(x) / (i + 1)
        for pair, gain in zip(self.pairs, self.gains):
            x = pair(x) * torch.sigmoid(gain(x))
        for k in range(len(self.gains)):
            x = x + k * 0.5
        x = self.tail(x) * self.temperature + torch.sum(self.table, 0)
        x = x * torch.sum(self.window) + self.count
        return x, torch.sum(x, [1, 2])


@torch.no_grad()
def initialize(
    module: nn.Module,
    name: str,
    config: Config,
    generator: torch.Generator | None = None,
):
    """Give the parameters that a module itself holds their first values."""
    if isinstance(module, (nn.Linear, nn.Conv1d)):
        nn.init.xavier_uniform_(module.weight, gain=0.5, generator=generator)
        if module.bias is not None:
            nn.init.constant_(module.bias, val=0.125)
    if name.endswith((".pairs.1.0", ".pairs.1.3", ".pairs.2.0", ".pairs.2.3")):
        nn.init.normal_(module.weight, std=1 / config.width, generator=generator)
    if name == "embed":
        nn.init.normal_(module.weight, std=0.02, generator=generator)
        nn.init.zeros_(module.weight[0])
    if isinstance(module, Mixer):
        nn.init.constant_(module.table[-1], val=3)
    if name.endswith(
        (".steps.more_0", ".steps.more_1", ".gains.0", ".gains.1", ".gains.2")
    ):
        nn.init.uniform_(module.weight, a=-0.25, b=0.25, generator=generator)
    if isinstance(module, nn.LayerNorm):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)


class Net(nn.Module):
    def __init__(self, config: Config = Config()):
        super().__init__()
        self.embed = nn.Embedding(11, config.width, padding_idx=0)
        self.mixer = Mixer(config)
        self.norm = nn.LayerNorm((config.width,), eps=1e-06)
        self.conv = nn.Conv1d(
            config.width,
            config.width,
            kernel_size=config.sizes[1],
            padding=config.sizes[1] // 2,
        )
        self.out = nn.Linear(config.width, 11)
        self.register_buffer("seen", torch.empty(2, config.width))
        self.reset_parameters()
        for name, module in self.named_modules():
            initialize(module, name, config)
        self.out.weight = self.embed.weight

    def reset_parameters(self):
        nn.init.ones_(self.seen)

    def forward(self, ids: Tensor, shift: Tensor | None = None):
        """ids: [batch, time]; shift: [batch, time, width] or None."""
        x = self.embed(ids)
        x = x if shift is None else x + shift
        x, total = self.mixer(x)
        x = torch.transpose(self.conv(torch.transpose(x, -1, -2)), -2, -1)
        x = (
            self.norm(x)
            + torch.mean(self.seen, 0, keepdim=True)
            - self.embed.weight[None, 0, :]
        )
        return self.out(x), total if self.training else -total
