"""The Lightning module: training step, validation step and optimizer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, distributed, nn

from archspec.freezing import trainable_parameters
from archspec.tasks.objective import Scores
from archspec.training.cached_activations import Batch, inputs_of, moved
from archspec.training.data_feed import Batches, DataFeed
from archspec.training.lightning_import import pl
from archspec.training.options import TrainOptions
from archspec.training.schedules import lr_factor
from archspec.training.signals import Stopped

MIXED = {"bf16-mixed": torch.bfloat16, "fp16-mixed": torch.float16}
"""Precision → the dtype of matrix products."""


@dataclass(slots=True)
class Position:
    """Where a run stands: all that is to be done follows from it.

    Attributes:
        phase: counted from 0.
        phase_epoch: epochs of this phase that are done.
        epoch: epochs of the whole run that are done.
        batch: batches of this epoch that are done.
        step: steps of the optimizer that are done, over the whole run.
        loss, samples: sum of losses and number of their items in this epoch's training so far.
    """

    phase: int = 0
    phase_epoch: int = 0
    epoch: int = 0
    batch: int = 0
    step: int = 0
    loss: float = 0.0
    samples: int = 0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Position:
        return cls(**data)

    def next_epoch(self) -> None:
        self.epoch, self.phase_epoch = self.epoch + 1, self.phase_epoch + 1
        self.batch, self.loss, self.samples = 0, 0.0, 0

    def next_phase(self) -> None:
        self.phase, self.phase_epoch = self.phase + 1, 0


class ClassifierModule(pl.LightningModule):
    """Trains a model by the objective of its task, trainable parameters only.

    Attributes:
        position: advanced by ``CheckpointCallback``.
        scores: of the last validation; None before the first, or without such a split.
        losses: of each batch since they were last recorded: the sum over it, and its items.
    """

    def __init__(
        self, model: nn.Module, feed: DataFeed, options: TrainOptions, position: Position
    ) -> None:
        super().__init__()
        self.model, self.feed, self.options, self.position = model, feed, options, position
        self.scores: Scores | None = None
        self.losses: list[tuple[Tensor, int]] = []
        self.training_sizes: list[int] = []
        self.training_items: list[int] = []
        self.validation_sizes: list[int] = []

    def train_dataloader(self) -> Batches:
        batches = self.feed.train(self.position.epoch, self.position.batch)
        self.training_sizes, self.training_items = batches.sizes, batches.items
        return batches

    def val_dataloader(self) -> Batches | list[Batches]:
        if "validation" not in self.feed.data.splits:
            return []
        batches = self.feed.split("validation")
        self.validation_sizes = batches.sizes
        return batches

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        return moved(batch, device)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Everything random in a step depends on the seed and the step's number alone."""
        at = self.position
        _seed(seed_of(self.options.seed, at.epoch, at.batch, self.feed.rank), self.device)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        at = self.position.batch
        rows = own_rows(self.feed, self.training_sizes[at])
        outputs = outputs_of(self.model, self.feed, "train", batch)
        loss = self.feed.objective.loss(outputs, batch, rows)
        self.losses.append((loss.sum.detach(), loss.items))
        # Lightning averages over processes and batches: this makes it the mean over items.
        return loss.sum * (
            self.feed.world * self.options.accumulate_grad_batches / self._items_of_step(at)
        )

    def _items_of_step(self, batch: int) -> int:
        """Those of all batches that make one step of the optimizer, in all processes."""
        first = batch - batch % self.options.accumulate_grad_batches
        return sum(self.training_items[first : first + self.options.accumulate_grad_batches])

    def on_validation_epoch_start(self) -> None:
        self.metrics = self.feed.objective.metrics(self.device)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        rows = own_rows(self.feed, self.validation_sizes[batch_idx])
        self.metrics.add(outputs_of(self.model, self.feed, "validation", batch), batch, rows)

    def on_validation_epoch_end(self) -> None:
        if self.feed.world > 1:
            self.metrics.reduce()
        self.scores = self.metrics.scores()

    def configure_optimizers(self) -> Any:
        options = self.options
        groups = trainable_parameters(self.model, weight_decay=options.weight_decay)
        optimizer = _optimizer(groups, options)
        batches = self.feed.train_batches
        steps_per_epoch = -(-batches // options.accumulate_grad_batches)
        steps = steps_per_epoch * options.phases[self.position.phase].epochs
        assert options.warmup is not None  # resolved
        shape = lr_factor(options.schedule, steps, options.warmup)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, shape)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


def _optimizer(groups: list[dict[str, Any]], options: TrainOptions) -> torch.optim.Optimizer:
    rate = options.learning_rate
    # One pass over the weights, not ten; in mixed precision Lightning does not let it clip.
    fused = options.precision == "fp32"
    match options.optimizer:
        case "adamw":
            return torch.optim.AdamW(groups, lr=rate, fused=fused)
        case "adam":
            return torch.optim.Adam(groups, lr=rate, fused=fused)
        case "sgd":
            nesterov = options.momentum > 0
            momentum: Any = {"momentum": options.momentum, "nesterov": nesterov}
            return torch.optim.SGD(groups, lr=rate, fused=fused, **momentum)


def seed_of(*numbers: int) -> int:
    """A seed for PyTorch's generators that has nothing to do with that of other numbers."""
    digest = hashlib.sha256(repr(numbers).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _seed(seed: int, device: torch.device) -> None:
    """As ``torch.manual_seed``, for the CPU and one device.

    That one also makes a note, with the whole stack, for every kind of device that is not there.
    """
    torch.default_generator.manual_seed(seed)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(seed)


def outputs_of(model: nn.Module, feed: DataFeed, split: str, batch: Batch) -> Any:
    """What a model returns for a batch, from the cache on where there is one."""
    if feed.reuse is not None and "values" in batch:
        return feed.reuse.outputs(model, split, batch)
    return model(**inputs_of(batch))


def evaluated(
    model: nn.Module,
    feed: DataFeed,
    split: str,
    device: torch.device,
    dtype: torch.dtype | None,
    must_stop: Callable[[], bool] = lambda: False,
) -> Scores:
    """The scores of a model on a split, which joined processes share.

    Args:
        dtype: of matrix products, in mixed precision.
        must_stop: whether to stop, asked after each batch.

    Raises:
        Stopped: at least one process must stop.
    """
    is_shared = distributed.is_initialized()
    metrics = feed.objective.metrics(device)
    model.to(device).eval()
    mixed = torch.autocast(device.type, dtype, enabled=dtype is not None)
    batches = feed.split(split, whole=not is_shared)
    with torch.no_grad() if is_shared else torch.inference_mode(), mixed:
        for batch, total in zip(batches, batches.sizes, strict=True):
            rows = own_rows(feed, total) if is_shared else total
            batch = moved(batch, device)
            metrics.add(outputs_of(model, feed, split, batch), batch, rows)
            if _any(must_stop(), device):
                raise Stopped
    if is_shared:
        metrics.reduce()
    return metrics.scores()


def _any(wish: bool, device: torch.device) -> bool:
    if not distributed.is_initialized():
        return wish
    votes = torch.tensor(int(wish), dtype=torch.int32, device=device)
    distributed.all_reduce(votes)
    return bool(votes)


def own_rows(feed: DataFeed, total: int) -> int:
    """How many of this process's rows of a batch are its own: a few fill up the last batch."""
    return len(range(feed.rank, total, feed.world))
