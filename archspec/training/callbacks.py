"""Your own code in a run: what it is called with, and how it stops the run."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor, nn
from torch.optim import Optimizer

from archspec.errors import Problem, UsageError, did_you_mean, shown
from archspec.tasks.objective import Scores


@dataclass(frozen=True, slots=True)
class TrainState:
    """Where a run stands, as callbacks see it.

    Attributes:
        path: of the run's folder; only the first process writes there.
        model: the model that is trained, on its device; with ``fsdp`` its parameters are sharded.
        optimizer: of this phase, with the learning rates of the last step; None in the test.
        phase: number of the phase, from 1.
        epoch: number of the epoch, from 1, over all phases.
        batch: batches of this epoch that are done.
        step: steps of the optimizer that are done, over all phases.
        loss: of the last batch, this process's part of it: the mean over its samples, []; None
            before the first. Reading it waits for the device.
        split: what was evaluated last: ``validation``, ``test``, or None before the first.
        scores: of that evaluation; the same in every process.
    """

    path: Path
    model: nn.Module
    optimizer: Optimizer | None
    phase: int
    epoch: int
    batch: int
    step: int
    loss: Tensor | None
    split: str | None
    scores: Scores | None
    _stop: threading.Event = field(repr=False)

    def stop(self) -> None:
        """Stop the run as Ctrl-C does: after this step all is saved, and ``resume`` goes on.

        In several processes one is enough.
        """
        self._stop.set()


class TrainCallback:
    """Base class of callbacks: override the methods for the events that you need.

    Every process calls them, and an exception ends the run with status ``failed``. A callback is
    not saved: give it to ``resume`` again.

    Example:
        >>> import archspec
        >>> class StopAtLoss(archspec.TrainCallback):
        ...     def on_evaluation_end(self, state: archspec.TrainState) -> None:
        ...         if state.scores.loss < 0.9:
        ...             state.stop()
        >>> run = archspec.train(
        ...     "tests/training/tiny.yaml",
        ...     "tests/training/tiny.csv",
        ...     output_dir=getfixture("tmp_path"),
        ...     callbacks=[StopAtLoss()],
        ...     device="cpu",
        ...     progress=False,
        ... )
        >>> run.status, len(run.epochs)
        ('stopped', 1)
    """

    def on_batch_end(self, state: TrainState) -> None:
        """A batch is done, and the optimizer's step if it completes one."""

    def on_evaluation_end(self, state: TrainState) -> None:
        """The validation of an epoch, or the test of the best weights, is done."""

    def on_checkpoint(self, state: TrainState) -> None:
        """All that resuming needs has been saved."""

    def on_epoch_end(self, state: TrainState) -> None:
        """An epoch is done, with its validation, and all is saved."""


_EVENTS = [name for name in vars(TrainCallback) if name.startswith("on_")]


def check_callbacks(callbacks: Iterable[TrainCallback]) -> tuple[TrainCallback, ...]:
    """The callbacks of a run.

    Raises:
        UsageError: E801, one of them is none, or has a method for an event that there is not.
    """
    if not isinstance(callbacks, list | tuple):
        hint = "callbacks=[MyCallback()]"
        raise UsageError(Problem("E801", "callbacks must be a list", hint=hint))
    problems: list[Problem] = []
    for one in callbacks:
        if not isinstance(one, TrainCallback):  # pyright: ignore[reportUnnecessaryIsInstance]
            hint = "derive its class from archspec.TrainCallback, and give an instance"
            problems.append(Problem("E801", f"{shown(one)} is no callback", hint=hint))
            continue
        for name in dir(one):
            if name.startswith("on_") and name not in _EVENTS:
                hint = did_you_mean(name, _EVENTS) or f"events: {', '.join(_EVENTS)}"
                message = f"{type(one).__name__}.{name}: there is no such event"
                problems.append(Problem("E801", message, hint=hint))
    if problems:
        raise UsageError(problems)
    return tuple(callbacks)
