"""Where a run stands, which epoch is its best, its random numbers, and the wish to stop."""

from __future__ import annotations

import contextlib
import hashlib
import math
import signal
import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch


@dataclass(slots=True)
class Position:
    """Where a run stands: all that is to be done follows from it.

    Attributes:
        phase: counted from 0.
        phase_epoch: epochs of this phase that are done.
        epoch: epochs of the whole run that are done.
        batch: batches of this epoch that are done.
        step: steps of the optimizer that are done, over the whole run.
        loss, samples: sum of losses and of their items in this epoch's training so far.
    """

    phase: int = 0
    phase_epoch: int = 0
    epoch: int = 0
    batch: int = 0
    step: int = 0
    loss: float = 0.0
    samples: float = 0

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


@dataclass(slots=True)
class BestScore:
    """Decides which epoch is the best, and whether to continue.

    Attributes:
        best: the monitored score of the best epoch so far; higher is better.
        waited: epochs since then.
    """

    best: tuple[float, float] = (-math.inf, -math.inf)
    waited: int = 0

    def is_better(self, score: tuple[float, float]) -> bool:
        """Record the score of an epoch; whether it is the best."""
        better = score > self.best
        self.best, self.waited = (score, 0) if better else (self.best, self.waited + 1)
        return better


def seed_of(*numbers: int) -> int:
    """A seed for PyTorch's generators that has nothing to do with that of other numbers."""
    digest = hashlib.sha256(repr(numbers).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def set_seed(seed: int, device: torch.device) -> None:
    """As ``torch.manual_seed``, for the CPU and one device.

    That one also makes a note, with the whole stack, for every kind of device that is not there.
    """
    torch.default_generator.manual_seed(seed)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(seed)


class Stopped(Exception):
    """Ctrl-C, or SIGTERM: everything is saved, and the run can be resumed."""


@contextlib.contextmanager
def listening(stop: threading.Event) -> Iterator[None]:
    """Ctrl-C and SIGTERM ask to stop; a second one ends the process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {one: signal.signal(one, ask) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
