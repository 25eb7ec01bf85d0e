"""How long the batches of a run take on this machine: a few are trained on, nothing is kept."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch

from archspec.builder import build
from archspec.data import Data, ImageEncoder, TextEncoder
from archspec.freezing import freeze
from archspec.freezing.quantized import quantized_copy
from archspec.lang.spec import Spec
from archspec.training.data_feed import DataFeed, moved
from archspec.training.engine import launched, recomputing
from archspec.training.loop import TrainingStep
from archspec.training.optimization import optimizer_of
from archspec.training.options import TrainOptions

MAX_BATCHES = 5  # of a phase; the first one warms up
MAX_SECONDS = 4.0  # of a phase, after which no further batch begins


@dataclass(frozen=True, slots=True)
class BatchTime:
    """What the batches of one phase take.

    Attributes:
        seconds: of a batch with a step of the optimizer, the mean of those that were measured.
        measured: how many batches were.
        batches: of an epoch.
        epochs: of the phase.
    """

    seconds: float
    measured: int
    batches: int
    epochs: int


def measure_batches(
    spec: Spec,
    data: Data,
    options: TrainOptions,
    encoders: tuple[TextEncoder | ImageEncoder, TextEncoder | ImageEncoder],
) -> tuple[BatchTime, ...]:
    """Train on a few batches of each phase, from initial weights, and take the time.

    Args:
        spec: with the classes of the data, and the adapter of the run.
        data: with a split ``train``.
        options: resolved; of one process, and not compiled.
        encoders: as ``DataFeed`` takes them.

    Returns:
        The time of each phase, by the clock: other work on the machine makes it longer.

    Raises:
        ArchspecError: the run cannot begin like this.
    """
    model = build(spec, device="cpu", seed=options.seed)
    feed = DataFeed(data, encoders, options)
    fabric = launched(model, feed, options)
    found: list[BatchTime] = []
    for phase in options.phases:
        freeze(model, phase.patterns)
        trained = quantized_copy(model, options.quantize) if options.quantize else model
        trained.train()
        step = fabric.setup_module(TrainingStep(trained, feed))
        optimizer: Any = fabric.setup_optimizers(optimizer_of(trained, options))
        batches = feed.train(0, 0)
        sizes, items = batches.sizes, batches.items
        seconds: list[float] = []
        with recomputing(trained, options.checkpoint_blocks):
            for i, batch in enumerate(islice(batches, MAX_BATCHES)):
                began = time.perf_counter()
                loss = step(moved(batch, fabric.device), sizes[i])
                fabric.backward(loss.sum / (items[i] or 1))
                optimizer.step()
                optimizer.zero_grad()
                if fabric.device.type == "cuda":
                    torch.cuda.synchronize(fabric.device)
                seconds.append(time.perf_counter() - began)
                if sum(seconds) > MAX_SECONDS:
                    break
        measured = seconds[1:] or seconds
        mean = sum(measured) / len(measured)
        found.append(BatchTime(mean, len(measured), feed.train_batches, phase.epochs))
    return tuple(found)
