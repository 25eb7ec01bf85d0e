"""A loss function that a user gives, in place of the task's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from archspec.errors import Problem, UsageError, shown
from archspec.tasks.objective import Batch, Loss

LossFunction = Callable[[Any, Batch], Tensor]
"""Of a model's outputs and a batch: one number for each row, [rows], or their mean, []."""


class OwnLoss:
    """What ``Objective.loss`` does, with a function of the user's.

    >>> import torch
    >>> squares = OwnLoss(lambda outputs, batch: (outputs - batch["labels"]) ** 2)
    >>> squares(torch.tensor([1.0, 2.0, 9.0]), {"labels": torch.zeros(3), "rows": range(3)}, 2)
    Loss(sum=tensor(5.), items=2)
    """

    def __init__(self, function: LossFunction) -> None:
        if not callable(function):
            hint = "loss=my_loss, a function of the model's outputs and the batch"
            raise UsageError(Problem("E801", f"loss is no function: {shown(function)}", hint=hint))
        self.function = function

    @property
    def name(self) -> str:
        """Where the function comes from, such as ``losses.smooth``."""
        function: Any = self.function
        kind = function if hasattr(function, "__qualname__") else type(function)
        return f"{kind.__module__}.{kind.__qualname__}"

    def __call__(self, outputs: Any, batch: Batch, rows: int) -> Loss:
        """The loss of the first ``rows``, of which there may be none.

        Raises:
            UsageError: E801, the function gave something else than numbers that can be trained on.
        """
        size, taken = len(batch["rows"]), max(rows, 1)
        if taken < size:
            outputs = _first(outputs, taken, size)
            batch = {name: _first(value, taken, size) for name, value in batch.items()}
        loss = self.function(outputs, batch)
        if not isinstance(loss, Tensor) or loss.shape not in ((), (taken,)):  # pyright: ignore[reportUnnecessaryIsInstance]
            kind = f"a tensor {list(loss.shape)}" if isinstance(loss, Tensor) else shown(loss)  # pyright: ignore[reportUnnecessaryIsInstance]
            hint = f"one number for each row, [{taken}], or their mean, []"
            raise UsageError(Problem("E801", f"{self.name} gave {kind}", hint=hint))
        return Loss(loss.float().mean() * rows, rows)


def _first(value: Any, rows: int, size: int) -> Any:
    """What belongs to the first rows, of a tensor, or of several in a tuple or a mapping."""
    if isinstance(value, tuple):
        return tuple(_first(one, rows, size) for one in value)
    if isinstance(value, dict):
        return {name: _first(one, rows, size) for name, one in value.items()}
    is_of_rows = isinstance(value, Tensor) and value.ndim and len(value) == size
    return value[:rows] if is_of_rows else value
