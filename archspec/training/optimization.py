"""The optimizer of a phase, and its learning rate over time."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from archspec.errors import Problem, UsageError
from archspec.freezing import trainable_parameters
from archspec.freezing.plans import ResolvedPlan
from archspec.freezing.selection import Selection
from archspec.lang.schema import FreezePlan
from archspec.training.engine import part_of, repeated_blocks, whole_on_cpu
from archspec.training.option_info import pattern_and_rate
from archspec.training.options import Schedule, TrainOptions

_START, _END = 1 / 25, 1e-4
"""Of one cycle (Smith and Topin 2017, Super-Convergence, arXiv:1708.07120)."""


def optimizer_of(model: nn.Module, options: TrainOptions) -> torch.optim.Optimizer:
    """An optimizer of what is trained; ``peak`` of a group is its peak learning rate."""
    groups = trainable_parameters(model, weight_decay=options.weight_decay)
    groups = _by_rate(groups, peak_rates(model, options))
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


def _by_rate(
    groups: list[dict[str, Any]], rates: Mapping[nn.Parameter, float]
) -> list[dict[str, Any]]:
    """The groups cut into groups of one learning rate, in the order of their parameters."""
    cut: list[dict[str, Any]] = []
    for group in groups:
        members: dict[float, list[nn.Parameter]] = {}
        for parameter in group["params"]:
            members.setdefault(rates[parameter], []).append(parameter)
        cut += [{**group, "params": some, "peak": rate} for rate, some in members.items()]
    return cut


def peak_rates(model: nn.Module, options: TrainOptions) -> dict[nn.Parameter, float]:
    """The peak learning rate of each parameter: by patterns, by its block, or the common one.

    With ``layer_decay`` (Clark et al. 2020, ELECTRA, arXiv:2003.10555) parameters in front of the
    blocks, such as embeddings, are one layer, and those after the last one have the common rate.
    A shared parameter has the rate of its first name.

    Raises:
        FreezeError: E701, E702, a pattern is wrong or selects nothing.
        UsageError: E801, ``layer_decay`` is given, and there are no blocks.
    """
    depths, top = _depths(model)
    if not top and options.layer_decay != 1:
        message = "layer_decay has no effect: the model has no repeated blocks"
        raise UsageError(Problem("E801", message, hint="learning_rates, with patterns"))
    plan = [pattern_and_rate(text) for text in options.learning_rates]
    patterns = [pattern for pattern, _ in plan]
    resolved = ResolvedPlan(None, FreezePlan(patterns=patterns), (None,) * len(plan))
    decided_by = Selection(model, resolved).decided_by if plan else {}
    rates: dict[nn.Parameter, float] = {}
    for name, parameter in model.named_parameters():
        index = decided_by.get(name)
        decay = options.layer_decay ** (top - depths[name])
        rates[parameter] = options.learning_rate * decay if index is None else plan[index][1]
    return rates


def _depths(model: nn.Module) -> tuple[dict[str, int], int]:
    """Of each parameter how many blocks come before it, with its own; and the depth after all."""
    paths = {id(module): path for path, module in reversed([*model.named_modules()])}
    blocks = [f"{paths[id(block)]}." for block in repeated_blocks(model)]
    depths: dict[str, int] = {}
    depth = 0
    for name, _ in model.named_parameters():
        own = next((i for i, block in enumerate(blocks, 1) if name.startswith(block)), None)
        depth = own if own is not None else depth + 1 if depth == len(blocks) > 0 else depth
        depths[name] = min(depth, len(blocks) + 1)
    return depths, len(blocks) + 1 if blocks else 0


def gradient_norm(optimizer: torch.optim.Optimizer) -> torch.Tensor:
    """The norm of all gradients together, of split ones a ``DTensor``; they stay as they are."""
    parameters = (one for group in optimizer.param_groups for one in group["params"])
    gradients = [one.grad for one in parameters if one.grad is not None]
    return nn.utils.get_total_norm(gradients)


class MovingAverage:
    """An exponential moving average of what is trained, which takes its place for a while.

    Polyak and Juditsky 1992, Acceleration of Stochastic Approximation by Averaging,
    doi:10.1137/0330046; ``average = decay · average + (1 - decay) · weight`` after each step.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        named = {n: one for n, one in model.named_parameters() if one.requires_grad}
        self.weights, self._update = named, get_ema_multi_avg_fn(decay)
        self.average = {name: one.detach().clone() for name, one in named.items()}

    def update(self) -> None:
        """A step is done."""
        weights = [one.detach() for one in self.weights.values()]
        self._update([*self.average.values()], weights, None)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """The model has the average inside, and its own weights again after it."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        """In place: DDP, FSDP, the optimizer and the cache of frozen work hold these tensors."""
        with torch.no_grad():
            for name, one in self.weights.items():
                own = one.detach().clone()
                one.copy_(self.average[name])
                self.average[name].copy_(own)

    def state(self) -> dict[str, Any]:
        """The average as whole tensors on the CPU; all processes must ask for it."""
        return {name: whole_on_cpu(one) for name, one in self.average.items()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state`` gave."""
        for name, one in self.weights.items():
            self.average[name].copy_(part_of(state[name], one))


def lr_factor(
    schedule: Schedule, steps: int, warmup: float, cycles: int = 1
) -> Callable[[int], float]:
    """The factor at each step of the optimizer, counted from 0.

    Args:
        schedule: ``one-cycle`` rises and falls as a cosine; the others rise in a line, and then
            fall in a line, fall as a cosine, once or in several cycles of equal length (Loshchilov
            and Hutter 2017, SGDR, arXiv:1608.03983), or stay.
        steps: of the whole phase.
        warmup: the share of steps in which it rises.
        cycles: of ``cosine-restarts``.

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
            case "cosine-restarts":
                return _between(1, 0, math.fmod(done * cycles, 1) if done < 1 else 1.0)
            case "one-cycle":
                return _between(1, _START * _END, done)

    return at


def _between(first: float, last: float, done: float) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * done)) / 2
