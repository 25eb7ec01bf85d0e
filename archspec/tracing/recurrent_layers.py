"""Recurrent layers on ``meta``, where each step has the shapes of the first."""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_LAYERS: tuple[Any, ...] = (torch.lstm, torch.gru, torch.rnn_tanh, torch.rnn_relu)


class OneStep(TorchFunctionMode):
    """While entered, a recurrent layer runs one step on ``meta`` and gives the shapes of all.

    PyTorch has a loop over the steps of a sequence, whose operations would be counted one by one.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if is_stepwise(func, args):
            return of_all_steps(args, *func(*first_steps(args, 1)))
        return func(*args, **(kwargs or {}))


def is_stepwise(function: Any, args: Any) -> bool:
    """Whether a call is one of a recurrent layer, and not on a packed sequence."""
    return function in _LAYERS and len(args) == 9 and args[0].ndim == 3 and args[0].is_meta


def steps_of(args: Any) -> int:
    return args[0].shape[_time(args)]


def first_steps(args: Any, count: int) -> tuple[Any, ...]:
    """The arguments of a call that goes through the first steps only."""
    return (args[0].narrow(_time(args), 0, min(count, steps_of(args))), *args[1:])


def of_all_steps(args: Any, outputs: torch.Tensor, *last: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The results of a call, of those of its first steps: they have the same shape at each step."""
    batch_first = bool(_time(args))
    outputs = outputs.transpose(0, 1) if batch_first else outputs
    outputs = outputs[:1].expand(steps_of(args), -1, -1).contiguous()
    return outputs.transpose(0, 1) if batch_first else outputs, *last


def _time(args: Any) -> int:
    """The dimension of the steps, by ``batch_first``."""
    return 1 if args[-1] else 0
