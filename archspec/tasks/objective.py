"""What a task is for training: a loss, scores, and the shape of the model's output."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, distributed

from archspec.errors import DataError, Problem
from archspec.tasks.figures import LOWER_IS_BETTER, figure_name

Activation = Literal["softmax", "sigmoid", ""]
Batch = Mapping[str, Any]


class Loss(NamedTuple):
    """The loss of a batch: ``sum`` over its ``items``: rows, or tokens, or what they weigh."""

    sum: Tensor
    items: float | Tensor

    @property
    def mean(self) -> Tensor:
        """The loss of one item; 0 of none."""
        return self.sum / self.items if self.items else self.sum


@dataclass(frozen=True, slots=True)
class Scores:
    """What a model does on one split.

    Attributes:
        count: items: rows, or tokens.
        loss: mean over the items.
        figures: name → value, in the order in which they are shown.
        details: name → plain data that is more than a number, such as a confusion matrix.
    """

    count: int
    loss: float
    figures: Mapping[str, float]
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def to_dict(self) -> dict[str, Any]:
        """The scores as plain data."""
        return {"count": self.count, "loss": self.loss, **self.figures, **self.details}

    @property
    def numbers(self) -> dict[str, float]:
        """The loss and the figures."""
        return {"loss": self.loss, **self.figures}

    def rank(self, monitor: str) -> tuple[float, float]:
        """Higher is better: the monitored figure, then what decides between equal ones."""
        if monitor == "loss":
            return (-self.loss, next(iter(self.figures.values())))
        value = self.figures[monitor]
        return (-value if monitor in LOWER_IS_BETTER else value, -self.loss)


class Metrics(ABC):
    """Adds up what scores are made of, batch by batch.

    Attributes:
        sums: float64; those of several processes are added by ``reduce``.
    """

    def __init__(self, size: int, device: torch.device) -> None:
        kind = torch.float32 if device.type == "mps" else torch.float64  # exact beyond 10^15
        self.sums: Tensor = torch.zeros(size, dtype=kind, device=device)

    @abstractmethod
    def add(self, outputs: Any, batch: Batch, rows: int) -> None:
        """Add what the model returned for a batch, of which the first ``rows`` count."""

    def reduce(self) -> None:
        """Add up over all processes, which must all call this."""
        distributed.all_reduce(self.sums)

    @abstractmethod
    def scores(self) -> Scores:
        """The scores of what has been added."""


class RowMetrics(Metrics):
    """Metrics that need what is said of every row at once: it is kept, and gathered in the end."""

    def __init__(self, size: int, device: torch.device) -> None:
        super().__init__(size, device)
        self._parts: list[tuple[Tensor, ...]] = []

    def keep(self, *tensors: Tensor) -> None:
        """Keep some tensors of a batch, [rows, …] each; always as many."""
        self._parts.append(tuple(one.detach() for one in tensors))

    def kept(self) -> tuple[Tensor, ...]:
        """Each of the kept tensors, of all batches together, on the CPU."""
        return tuple(torch.cat(parts).cpu() for parts in zip(*self._parts, strict=True))

    def reduce(self) -> None:
        """As ``Metrics.reduce``: then every process has the rows of all."""
        super().reduce()
        every: list[Any] = [None] * distributed.get_world_size()
        distributed.all_gather_object(every, self.kept())
        self._parts = [tuple(parts) for parts in every if parts]


class Objective(ABC):
    """What a model is trained for, given the labels of some data.

    Attributes:
        kind: as in a spec's ``task``.
        activation: what makes predictions of the model's numbers; empty: they are predictions.
        monitors: what the best epoch can be chosen by; the first is the default.
        takes_pairs: whether a row may have two texts.
        per_token: whether each token has labels and outputs of its own, not the row.
    """

    kind: ClassVar[str]
    monitors: tuple[str, ...]
    takes_pairs: ClassVar[bool] = False
    per_token: ClassVar[bool] = False
    activation: ClassVar[Activation] = ""

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = tuple(labels)

    @property
    def outputs(self) -> int:
        """How many numbers the model gives for each item, if ``sizes_outputs`` of the task."""
        return len(self.labels)

    @abstractmethod
    def loss(self, outputs: Any, batch: Batch, rows: int) -> Loss:
        """The loss of the first ``rows`` of a batch; the others only fill it up.

        Args:
            outputs: what the model returned.
            batch: with ``labels``, beside the model's inputs.

        Raises:
            DataError: E906, the outputs have other shapes than the task needs.
        """

    def items(self, labels: Any) -> float:
        """What the loss of rows with these labels is summed over: their number, or weight."""
        return len(labels)

    @abstractmethod
    def metrics(self, device: torch.device) -> Metrics:
        """Metrics to which nothing was added yet."""


def first_rows(tensor: Tensor, rows: int) -> Tensor:
    """The first rows of a batch; the tensor itself where it has no others.

    The gradient of a part is a copy of the whole, which takes time where there are many logits.
    """
    return tensor if rows == len(tensor) else tensor[:rows]


def tensors_of(outputs: Any) -> list[Tensor]:
    """The tensors among a model's outputs, in order, whatever they are called."""
    several: Sequence[Any] = outputs if isinstance(outputs, tuple | list) else (outputs,)
    if isinstance(outputs, Mapping):
        several = [*outputs.values()]
    return [one for one in several if isinstance(one, Tensor)]


def output_of_shape(outputs: Any, shape: tuple[int, ...], why: str) -> Tensor:
    """The first of a model's outputs with this shape, in float32.

    Args:
        why: begins the message of an error, such as ``the data has 3 labels``.

    Raises:
        DataError: E906, there is none.
    """
    tensors = tensors_of(outputs)
    for tensor in tensors:
        if tuple(tensor.shape) == shape:
            return tensor.float()
    shapes = ", ".join(str(list(tensor.shape)) for tensor in tensors)
    message = f"{why}: the model should give {list(shape)}, not {shapes}"
    raise DataError(Problem("E906", message))


def correlations(numbers: Tensor, targets: Tensor) -> dict[str, float]:
    """``pearson`` and ``spearman`` of two rows of numbers; 0 where they are not defined."""
    from torchmetrics.functional.regression import pearson_corrcoef, spearman_corrcoef

    figures = {"pearson": 0.0, "spearman": 0.0}
    numbers, targets = numbers.double(), targets.double()
    if len(numbers) > 1 and float(numbers.std()) and float(targets.std()):
        figures["pearson"] = float(pearson_corrcoef(numbers, targets))
        figures["spearman"] = float(spearman_corrcoef(numbers, targets))
    return {key: value if math.isfinite(value) else 0.0 for key, value in figures.items()}


def format_numbers(numbers: Mapping[str, float]) -> str:
    """The numbers of ``Scores`` in a line of a log.

    >>> format_numbers({"loss": 0.5, "macro_f1": 0.25})
    'loss 0.5000, macro F1 0.2500'
    """
    return ", ".join(f"{figure_name(key)} {value:.4f}" for key, value in numbers.items())
