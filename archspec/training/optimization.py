"""The optimizer of a phase, and its learning rate over time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from archspec.freezing import trainable_parameters
from archspec.training.options import Schedule, TrainOptions

_START, _END = 1 / 25, 1e-4
"""Of one cycle (Smith and Topin 2017, Super-Convergence, arXiv:1708.07120)."""


def optimizer_of(model: nn.Module, options: TrainOptions) -> torch.optim.Optimizer:
    """An optimizer of what is trained."""
    groups = trainable_parameters(model, weight_decay=options.weight_decay)
    rate = options.learning_rate
    # One pass over the weights, not ten; a gradient scaler does not let it clip.
    fused = options.precision != "fp16-mixed"
    match options.optimizer:
        case "adamw":
            return torch.optim.AdamW(groups, lr=rate, fused=fused)
        case "adam":
            return torch.optim.Adam(groups, lr=rate, fused=fused)
        case "sgd":
            nesterov = options.momentum > 0
            momentum: Any = {"momentum": options.momentum, "nesterov": nesterov}
            return torch.optim.SGD(groups, lr=rate, fused=fused, **momentum)


def lr_factor(schedule: Schedule, steps: int, warmup: float) -> Callable[[int], float]:
    """The factor at each step of the optimizer, counted from 0.

    Args:
        schedule: ``one-cycle`` rises and falls as a cosine; the others rise in a line, and then
            fall in a line, fall as a cosine, or stay.
        steps: of the whole phase.
        warmup: the share of steps in which it rises.

    >>> linear = lr_factor("linear", 10, 0.2)
    >>> [round(linear(step), 2) for step in range(10)]
    [0.5, 1.0, 1.0, 0.88, 0.75, 0.62, 0.5, 0.38, 0.25, 0.12]
    """
    rising = round(steps * warmup)

    def at(step: int) -> float:
        if step < rising:
            if schedule == "one-cycle":
                return _between(_START, 1, step / rising)
            return (step + 1) / rising
        done = min(1.0, (step - rising) / max(1, steps - rising))
        match schedule:
            case "constant":
                return 1.0
            case "linear":
                return 1 - done
            case "cosine":
                return _between(1, 0, done)
            case "one-cycle":
                return _between(1, _START * _END, done)

    return at


def _between(first: float, last: float, done: float) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * done)) / 2
