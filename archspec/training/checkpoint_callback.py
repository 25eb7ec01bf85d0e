"""Saves a run while it trains: metrics, the best weights, and what resuming needs."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from archspec.errors import Problem, RunError
from archspec.freezing import FreezeProof
from archspec.training.classifier_module import ClassifierModule, Position
from archspec.training.curves import curves
from archspec.training.lightning_import import pl
from archspec.training.logs import Logs
from archspec.training.options import TrainOptions
from archspec.training.resume_file import reading, unfrozen_state, write_state, write_weights
from archspec.training.run_folder import BEST, CURVES, LAST, METRICS, RunFolder
from archspec.training.sharding import gather, gathered, scattered, share_buffers
from archspec.training.signals import Stopped

_RECORDED_AT_ONCE = 10  # steps: reading a loss waits for the device
_RECORDED_AFTER = 1.0  # seconds, where steps are slow


@dataclass(slots=True)
class BestScore:
    """Decides which epoch is the best, and whether to continue.

    Attributes:
        best: the monitored score of the best epoch so far; higher is better.
        waited: epochs since then.
        lines: how many lines ``metrics.jsonl`` has.
    """

    best: tuple[float, float] = (-math.inf, -math.inf)
    waited: int = 0
    lines: int = 0

    def is_better(self, score: tuple[float, float]) -> bool:
        """Record the score of an epoch; whether it is the best."""
        better = score > self.best
        self.best, self.waited = (score, 0) if better else (self.best, self.waited + 1)
        return better


class CheckpointCallback(pl.Callback):
    """Records metrics and saves checkpoints, in the first process only.

    Attributes:
        folder: of the run; None in other processes than the first.
        path: of the folder, in all processes once they are set up.
        full_model: the model; if it is split over processes, up to date whenever it is saved.
        state: an optimizer's and a schedule's state to begin with, from a resume file.
        report: writes the line of an epoch.
        logs: None in other processes than the first.
        stop: set by Ctrl-C.
    """

    def __init__(
        self,
        folder: RunFolder | None,
        path: Path | None,
        options: TrainOptions,
        full_model: nn.Module,
        proof: FreezeProof,
        best_score: BestScore,
        epochs: list[dict[str, Any]],
        state: dict[str, Any] | None,
        report: Callable[[str], None],
        logs: Logs | None,
        stop: threading.Event,
    ) -> None:
        self.folder, self.path, self.options = folder, path, options
        self.full_model, self.proof, self.report = full_model, proof, report
        self.best_score, self.epochs, self.state = best_score, epochs, state
        self.logs, self.stop = logs, stop
        self.started = self.saved = self.recorded = time.monotonic()
        self.rate = 0.0
        self.pending: list[dict[str, Any]] = []
        self.window: list[tuple[torch.Tensor, int]] = []

    # -------------------------------------------------------------------------------- while it runs

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Tell all processes the folder that the first has made."""
        self.path = trainer.strategy.broadcast(self.path)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.state is not None:
            optimizer = trainer.optimizers[0]
            with reading():
                optimizer.load_state_dict(scattered(self.state["optimizer"], optimizer))
                trainer.lr_scheduler_configs[0].scheduler.load_state_dict(self.state["schedule"])
                trainer.precision_plugin.load_state_dict(self.state["precision"])
            self.state = None

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.rate = trainer.optimizers[0].param_groups[0]["lr"]

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.started = time.monotonic()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._is_split(_classifier(pl_module)):
            share_buffers(_classifier(pl_module).model)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        classifier = _classifier(pl_module)
        at = classifier.position
        at.batch += 1
        self.window += classifier.losses
        classifier.losses.clear()
        is_last = at.batch == classifier.feed.train_batches
        if at.batch % self.options.accumulate_grad_batches and not is_last:
            return
        at.step += 1
        self._note(trainer, at)
        if is_last:  # what follows is the validation, and then all is saved
            return
        is_due = time.monotonic() - self.saved >= self.options.save_interval
        must_stop, is_due = self._any(trainer, self.stop.is_set(), is_due)
        if must_stop or is_due:
            self._gather(classifier)
            self._save(trainer, classifier)
        if must_stop:
            raise Stopped

    def _note(self, trainer: pl.Trainer, at: Position) -> None:
        line: dict[str, Any] = {"kind": "step", "step": at.step, "epoch": at.epoch + 1}
        line["seconds"] = round(time.monotonic() - self.started, 3)
        self.pending.append({**line, "learning_rate": self.rate, "losses": self.window})
        self.window = []
        # Several processes record together, and their clocks differ.
        waited = time.monotonic() - self.recorded if trainer.world_size == 1 else 0.0
        if len(self.pending) >= _RECORDED_AT_ONCE or waited >= _RECORDED_AFTER:
            self._record(trainer, at)

    def _record(self, trainer: pl.Trainer, at: Position) -> None:
        """Write the steps that are waiting.

        Raises:
            RunError: E922, a loss is not finite.
        """
        lines: list[dict[str, Any]] = []
        self.recorded = time.monotonic()
        for line in self.pending:
            losses = line.pop("losses")
            sums = torch.stack([loss for loss, _ in losses]).double().sum()
            counts = torch.tensor(float(sum(n for _, n in losses)), device=sums.device)
            pair = torch.stack([sums, counts.double()])
            if trainer.world_size > 1:
                pair = trainer.strategy.reduce(pair, reduce_op="sum")
            total, count = map(float, pair)
            if not math.isfinite(total):
                raise _diverged(line["step"], self.options)
            at.loss, at.samples = at.loss + total, at.samples + int(count)
            lines.append({**line, "loss": total / count})
        self.pending = []
        self._write(lines)
        for line in lines:
            values = {"train/loss": line["loss"], "learning_rate": line["learning_rate"]}
            self._log(values, line["step"])

    def _write(self, lines: list[dict[str, Any]]) -> None:
        self.best_score.lines += len(lines)
        if self.folder is not None:
            self.folder.append(METRICS, [json.dumps(_finite(line)) for line in lines])

    def _log(self, values: dict[str, float], step: int) -> None:
        if self.logs is not None:
            self.logs.record(values, step)

    def _any(self, trainer: pl.Trainer, *wishes: bool) -> list[bool]:
        """What at least one process wishes: all must do the same, or they would wait forever."""
        if trainer.world_size == 1:
            return [*wishes]
        votes = torch.tensor(wishes, dtype=torch.int32, device=trainer.strategy.root_device)
        return [bool(count) for count in trainer.strategy.reduce(votes, reduce_op="sum").tolist()]

    # --------------------------------------------------------------------------- when an epoch ends

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        classifier = _classifier(pl_module)
        at = classifier.position
        self._record(trainer, at)
        scores = classifier.scores
        better = self.best_score.is_better(_score(classifier, self.options))
        phase = self.options.phases[at.phase]
        line = {
            "kind": "epoch",
            "epoch": at.epoch + 1,
            "phase": at.phase + 1,
            "plan": phase.label,
            "step": at.step,
            "train_loss": at.loss / max(at.samples, 1),
            **(scores.to_dict() if scores else {}),
            "best": better,
            "seconds": round(time.monotonic() - self.started, 3),
        }
        self._write([line])
        if scores is not None:
            self._log({f"validation/{key}": n for key, n in scores.numbers.items()}, at.step)
        self.epochs.append(line)
        at.next_epoch()
        self._keep(trainer, classifier, better=better)
        is_left = at.epoch < self.options.total_epochs or "test" in classifier.feed.data.splits
        if self._any(trainer, self.stop.is_set())[0] and is_left:
            raise Stopped
        if self.options.patience is not None and self.best_score.waited >= self.options.patience:
            trainer.should_stop = True

    def _keep(self, trainer: pl.Trainer, classifier: ClassifierModule, *, better: bool) -> None:
        self._gather(classifier)
        if self.folder is not None:
            if better:
                write_weights(self.folder, BEST, self.full_model)
            write_weights(self.folder, LAST, self.full_model)
            self.folder.write(CURVES, curves(self.epochs))
            self.report(format_epoch(self.epochs[-1]))
        self._save(trainer, classifier)

    def _save(self, trainer: pl.Trainer, classifier: ClassifierModule) -> None:
        """Write the resume file: what the next step needs and ``last.safetensors`` may lack."""
        self._record(trainer, classifier.position)
        self.saved = time.monotonic()
        optimizer = trainer.optimizers[0].state_dict()
        if self._is_split(classifier):
            optimizer = gathered(optimizer)
        if self.folder is None:
            return
        content = {
            "position": classifier.position.to_dict(),
            "standing": [list(self.best_score.best), self.best_score.waited, self.best_score.lines],
            "unfrozen_state": unfrozen_state(self.full_model, self.proof),
            "optimizer": optimizer,
            "schedule": trainer.lr_scheduler_configs[0].scheduler.state_dict(),
            "precision": trainer.precision_plugin.state_dict(),
        }
        write_state(self.folder, content)

    def _is_split(self, classifier: ClassifierModule) -> bool:
        return classifier.model is not self.full_model

    def _gather(self, classifier: ClassifierModule) -> None:
        if self._is_split(classifier):
            gather(classifier.model, self.full_model)


def _finite(line: dict[str, Any]) -> dict[str, Any]:
    """The line with null for infinity and NaN, which JSON lacks."""
    is_odd = {k: isinstance(v, float) and not math.isfinite(v) for k, v in line.items()}
    return {key: None if is_odd[key] else value for key, value in line.items()}


def format_epoch(line: dict[str, Any]) -> str:
    """The line of the log for an epoch."""
    parts = [f"epoch {line['epoch']}: train loss {line['train_loss']:.4f}"]
    if "accuracy" in line:
        parts.append(f"validation loss {line['loss']:.4f}, accuracy {line['accuracy']:.4f}")
        parts.append(f"macro F1 {line['macro_f1']:.4f}")
    parts.append(f"{line['seconds']:.1f} s{', best so far' if line['best'] else ''}")
    return ", ".join(parts)


def _score(classifier: ClassifierModule, options: TrainOptions) -> tuple[float, float]:
    """The score of an epoch, higher is better; ties are decided by the loss."""
    scores = classifier.scores
    if scores is None:
        return (float(classifier.position.epoch), 0.0)  # nothing to compare: the last is the best
    return scores.rank(options.monitor)


def _classifier(module: pl.LightningModule) -> ClassifierModule:
    assert isinstance(module, ClassifierModule)
    return module


def _diverged(step: int, options: TrainOptions) -> RunError:
    message = f"the loss of step {step} is not finite"
    hint = f"a lower learning rate than {options.learning_rate:g} may help"
    return RunError(Problem("E922", message, hint=hint))
