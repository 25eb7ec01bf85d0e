"""What a packaged spec is tested against, and helpers of the entries in ``references/``."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True)
class Small:
    """A small model of theirs, what makes ours the same one, and inputs of both.

    Attributes:
        theirs: the model; its tensors get random values.
        params: of the spec.
        config: the content of a ``config.json`` that gives the parameters; None for no file.
        args, kwargs: of the forward, for both models. The batch is 2 or more.
    """

    theirs: nn.Module
    params: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] | None = None
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Reference:
    """The original of a packaged spec.

    Attributes:
        default: makes their model of the default size; it is called on ``meta``.
        small: makes a random small model, or, for a spec that only gives other sizes to its
            parent, is left out.
        layout: the spec's checkpoint layout in which names and tensors are theirs; None for the
            same names.
        outputs: what our forward returns, out of what theirs returns.
        dynamic: the symbolic sizes that ``torch.export`` keeps open.
        whole_graph: whether ``torch.compile`` makes one graph of it; not of shapes that depend on
            values, such as those of tokens that go to an expert.
    """

    default: Callable[[], nn.Module]
    small: Callable[[Random], Small] | None = None
    layout: str | None = None
    outputs: Callable[[Any], Any] = lambda output: output
    dynamic: tuple[str, ...] = ("batch",)
    whole_graph: bool = True


def fill(model: nn.Module, seed: int) -> None:
    """Random values for every tensor, such that none is neutral: scales, biases and statistics."""
    random = torch.Generator().manual_seed(seed)
    for name, tensor in model.named_parameters():
        if tensor.ndim > 1:
            std = 1 / math.sqrt(max(tensor.numel() // tensor.shape[0], 1))
            nn.init.normal_(tensor, std=std, generator=random)
        elif name.endswith("weight"):
            nn.init.uniform_(tensor, 0.5, 1.5, generator=random)
        else:
            nn.init.normal_(tensor, std=0.1, generator=random)
    for name, tensor in model.named_buffers():
        if name.endswith("running_mean"):
            nn.init.normal_(tensor, std=0.1, generator=random)
        elif name.endswith("running_var"):
            nn.init.uniform_(tensor, 0.5, 1.5, generator=random)


def image(random: Random, size: int = 32, width: int | None = None) -> torch.Tensor:
    """A batch of two or three images in three channels."""
    generator = torch.Generator().manual_seed(random.getrandbits(32))
    return torch.randn(random.randint(2, 3), 3, size, width or size, generator=generator)


def tokens(random: Random, vocabulary: int, length: int, batch: int = 3) -> torch.Tensor:
    """A batch of random tokens."""
    generator = torch.Generator().manual_seed(random.getrandbits(32))
    return torch.randint(vocabulary, (batch, length), generator=generator)


def padding_mask(random: Random, length: int, batch: int = 3) -> torch.Tensor:
    """A mask for ``tokens``: one row is whole, the others end in padding."""
    lengths = [length, *(random.randint(1, length - 1) for _ in range(batch - 1))]
    return (torch.arange(length) < torch.tensor(lengths)[:, None]).long()
