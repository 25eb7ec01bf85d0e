"""Two trainings that take turns, an epoch each, in two threads of one process.

Neither is in the main thread, whose memory is managed in another way: either side was up to 3 %
slower there. A time is that of an epoch's steps: ours as in ``metrics.jsonl``, theirs between
``Epochs.begin`` and ``Epochs.end``. What ours computes before the first epoch is not in these
times, and the first epoch of each side is left out. Both use AdamW, warm-up over a tenth of the
steps, clipping, and dropout as each library has it by default. ``Trainer`` runs without
evaluation, logging, saving and progress.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers.trainer_callback import TrainerCallback

import archspec
from benchmarks.pairs import Result

BATCH = 32
RATE, DECAY, CLIP, WARM_UP = 2e-4, 0.01, 1.0, 0.1
OPTIONS: dict[str, Any] = {
    "batch_size": BATCH, "learning_rate": RATE, "weight_decay": DECAY, "max_grad_norm": CLIP,
    "validation_fraction": 0, "device": "cpu", "progress": False,
}  # fmt: skip
"""Of ``archspec.train``, in every measurement."""


class Epochs:
    """Times the epochs of their side, and lets ours run between two of them.

    Attributes:
        count: how many epochs are trained.
        seconds: of the epochs so far.
    """

    def __init__(self, count: int, turns: Turns) -> None:
        self.count = count
        self.seconds: list[float] = []
        self._turns = turns

    def begin(self) -> None:
        self._began = time.perf_counter()

    def end(self) -> None:
        self.seconds.append(time.perf_counter() - self._began)
        self._turns.swap("theirs")


def measured(
    result: Result,
    ours: Callable[[int, archspec.TrainCallback], archspec.Run],
    theirs: Callable[[Epochs], object],
    runs: int,
) -> Result:
    """Add the times of ``runs`` epochs of each side to ``result``.

    Args:
        ours: trains for a number of epochs with a callback.
        theirs: trains for ``Epochs.count`` epochs, and tells when each begins and ends.
    """
    turns = Turns()
    epochs = Epochs(runs + 1, turns)
    sides = {
        "ours": partial(ours, runs + 1, _InTurn(turns)),
        "theirs": partial(theirs, epochs),
    }
    done: dict[str, Any] = {}
    errors: list[BaseException] = []

    def run(side: str) -> None:
        turns.wait(side)
        try:
            done[side] = sides[side]()
        except BaseException as error:
            errors.append(error)
        finally:
            turns.leave(side)

    threads = [threading.Thread(target=run, args=[side]) for side in sides]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    finished = done["ours"]
    result.ours.extend(float(line["seconds"]) for line in finished.epochs[1:])
    result.theirs.extend(epochs.seconds[1:])
    return result


class Turns:
    """Two sides of which one runs, while the other waits."""

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._left = set[str]()
        self._now = "ours"

    def swap(self, side: str) -> None:
        """Let the other side run until it does the same, or is done."""
        with self._change:
            self._now = _other(side)
            self._change.notify_all()
            self._change.wait_for(lambda: self._now == side or _other(side) in self._left)

    def wait(self, side: str) -> None:
        with self._change:
            self._change.wait_for(lambda: self._now == side or _other(side) in self._left)

    def leave(self, side: str) -> None:
        with self._change:
            self._left.add(side)
            self._change.notify_all()


def _other(side: str) -> str:
    return "theirs" if side == "ours" else "ours"


class _InTurn(archspec.TrainCallback):
    """Lets the other side run between two epochs, when nothing of ours is going on."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns

    def on_epoch_end(self, state: archspec.TrainState) -> None:
        self.turns.swap("ours")


def train_with_trainer(
    epochs: Epochs,
    folder: Path,
    model: nn.Module,
    rows: Sequence[Any],
    collate: Callable[[Any], dict[str, Tensor]],
) -> None:
    """Their side, where ``transformers.Trainer`` has the task; ``folder`` is for its output."""
    given: Any = {
        "output_dir": str(folder),
        "per_device_train_batch_size": BATCH,
        "num_train_epochs": epochs.count,
        "learning_rate": RATE,
        "weight_decay": DECAY,
        "max_grad_norm": CLIP,
        "warmup_steps": WARM_UP,
        "lr_scheduler_type": "linear",
        "logging_strategy": "no",
        "save_strategy": "no",
        "eval_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "use_cpu": True,
        "remove_unused_columns": False,
    }
    data: Any = rows
    trainer = transformers.Trainer(
        model,
        transformers.TrainingArguments(**given),
        data_collator=collate,
        train_dataset=data,
        callbacks=[_TrainerTimes(epochs)],
    )
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train()


class _TrainerTimes(TrainerCallback):
    def __init__(self, epochs: Epochs) -> None:
        self.epochs = epochs

    def on_epoch_begin(self, *given: Any, **named: Any) -> None:
        self.epochs.begin()

    def on_epoch_end(self, *given: Any, **named: Any) -> None:
        self.epochs.end()


def train_in_a_loop(
    epochs: Epochs,
    model: nn.Module,
    batches: Iterable[Any],
    loss: Callable[[nn.Module, Any], Tensor],
    steps: int,
) -> None:
    """Their side, as a loop in plain PyTorch over ``steps`` batches an epoch."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY)
    total = steps * epochs.count
    warm = max(1, round(WARM_UP * total))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(step / warm, (total - step) / (total - warm))
    )
    model.train()
    for _ in range(epochs.count):
        epochs.begin()
        for batch in batches:
            loss(model, batch).backward()
            nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        epochs.end()
