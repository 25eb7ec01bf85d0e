"""Layers that are made of others, or hold tensors of odd names."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Config:
    width: int = 8
    heads: int = 2


@torch.no_grad()
def initialize(module: nn.Module, generator: torch.Generator | None = None):
    """Give the parameters that a module itself holds their first values."""
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, std=0.02, generator=generator)
        nn.init.zeros_(module.bias)


class Recogniser(nn.Module):
    def __init__(self, config: Config = Config()):
        super().__init__()
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(
                config.width,
                config.heads,
                dim_feedforward=2 * config.width,
                activation="gelu",
                batch_first=True,
            ),
            2,
            enable_nested_tensor=False,
            norm=nn.LayerNorm(config.width),
        )
        self.lstm = nn.LSTM(
            config.width,
            config.width,
            num_layers=2,
            bidirectional=True,
            batch_first=True,
            proj_size=4,
        )
        self.gru = nn.GRU(config.width, config.width, bias=False, batch_first=True)
        self.attention = nn.MultiheadAttention(
            config.width,
            config.heads,
            kdim=4,
            vdim=4,
            add_bias_kv=True,
            batch_first=True,
        )
        self.whole = nn.Transformer(
            d_model=config.width,
            nhead=config.heads,
            num_encoder_layers=1,
            num_decoder_layers=1,
            dim_feedforward=16,
            batch_first=True,
        )
        self.prelu = nn.PReLU(num_parameters=config.width)
        self.bilinear = nn.Bilinear(
            config.width, config.width, out_features=config.width
        )
        self.group = nn.GroupNorm(2, config.width)
        self.instance = nn.InstanceNorm1d(
            config.width, affine=True, track_running_stats=True
        )
        self.batch = nn.BatchNorm1d(config.width, affine=False)
        self.fold = nn.Conv2d(
            1, 4, kernel_size=(3, 1), padding="same", padding_mode="reflect"
        )
        self.unfold = nn.ConvTranspose1d(
            config.width, config.width, kernel_size=2, stride=2, groups=2
        )
        self.rms = nn.RMSNorm((config.width,))
        for module in self.modules():
            initialize(module)

    def forward(self, x: Tensor):
        """x: [batch, time, width]."""
        x = self.encoder(x)
        y, _ = self.lstm(x)
        z, _ = self.gru(y)
        a, _ = self.attention(x, z[:, :, :4], z[:, :, 4:])
        x = self.whole(a, x)
        x = self.bilinear(x, y)
        c = torch.transpose(x, 1, 2)
        c = self.prelu(c) + self.group(c) + self.instance(c) + self.batch(c)
        c = self.unfold(c)[:, :, ::2]
        x = self.rms(torch.transpose(c, 1, 2)) + torch.squeeze(
            torch.mean(self.fold(torch.unsqueeze(x, 1)), 1, keepdim=True), 1
        )
        return x
