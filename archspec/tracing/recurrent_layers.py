"""LSTMs on ``meta``: each step has the shapes of the first."""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode


class OneStep(TorchFunctionMode):
    """While entered, an LSTM runs one step on ``meta`` and gives the shapes of all.

    PyTorch has a loop over the steps of a sequence, whose operations would be counted one by one.
    An LSTM without projection is one operation to inspection, too; others run step by step.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.lstm and _is_plain(*args):
            return _one_step(*args)
        return func(*args, **(kwargs or {}))


def _is_plain(data: Any, state: Any, *others: Any) -> bool:
    """Whether it is no packed sequence, of steps of different sizes, and has no projection."""
    is_sequence = data.ndim == 3 and isinstance(state, tuple | list)
    return is_sequence and data.is_meta and state[0].shape[-1] == state[1].shape[-1]


def _one_step(data: torch.Tensor, state: Any, *others: Any) -> tuple[torch.Tensor, ...]:
    *between, batch_first = others
    run: Any = torch.lstm
    steps = data.shape[1] if batch_first else data.shape[0]
    first = data.narrow(1 if batch_first else 0, 0, min(steps, 1))
    outputs, *last = run(first, state, *between, batch_first)
    outputs = outputs.transpose(0, 1) if batch_first else outputs
    outputs = outputs.expand(steps, -1, -1).contiguous()
    return outputs.transpose(0, 1) if batch_first else outputs, *last
