"""The training loop: data, a step, an epoch, evaluation, saving, stopping, callbacks.

``TrainLoop.run`` is a run from its first step to its test, and the methods below it are in the
order in which they happen. Lightning Fabric gives devices, precision and processes (``engine``);
``feed`` has the batches and the task's loss and metrics, ``record`` writes the run's folder.

Whatever is random in a step depends on the seed and on ``at``, the position, alone: a run that is
resumed there does what one does that was never interrupted.
"""

from __future__ import annotations

import atexit
import copy
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from archspec.building.devices import out_of_memory_as_error
from archspec.freezing import freeze
from archspec.freezing.quantized import quantized_copy, quantized_line
from archspec.tasks.objective import Loss, Metrics, Scores
from archspec.training.cached_activations import CacheFiller, for_test
from archspec.training.callbacks import TrainCallback, TrainState
from archspec.training.checkpoints import (
    reading,
    restore,
    unfrozen_state,
    write_state,
    write_weights,
)
from archspec.training.data_feed import Batch, DataFeed, inputs_of, inputs_of_columns, moved
from archspec.training.engine import (
    any_process,
    compiled,
    compiling,
    gather,
    gathered,
    launched,
    leave_group,
    recomputing,
    scattered,
    share,
    share_buffers,
)
from archspec.training.final_report import FinalReport
from archspec.training.optimization import (
    MovingAverage,
    gradient_norm,
    lr_factor,
    optimizer_of,
)
from archspec.training.options import Phase, TrainOptions
from archspec.training.recorder import Recorder, Work
from archspec.training.reporting import ProgressBar
from archspec.training.run import Run
from archspec.training.run_folder import BEST, LAST
from archspec.training.state import BestScore, Position, Stopped, listening, seed_of, set_seed
from archspec.weights import load_weights


class TrainingStep(nn.Module):
    """A model with the loss of its task: what DDP and FSDP take for one module."""

    def __init__(self, model: nn.Module, feed: DataFeed, *, compiles: bool = False) -> None:
        super().__init__()
        self.model, self.feed, self.compiles = model, feed, compiles
        self.call = compiled(model) if compiles else model.__call__

    def forward(self, batch: Batch, rows: int) -> Loss:
        """The loss of the first ``rows`` of a batch, summed over them."""
        with compiling() if self.compiles else nullcontext():
            outputs = outputs_of(self.call, self.feed, "train", batch)
        return self.feed.objective.loss(outputs, batch, rows)


def outputs_of(model: Callable[..., Any], feed: DataFeed, split: str, batch: Batch) -> Any:
    """What a model returns for a batch, computed from the cache on where there is one."""
    if feed.reuse is not None and "values" in batch:
        return feed.reuse.outputs(model, split, batch)
    if "lengths" in batch:
        return [model(**inputs) for inputs in inputs_of_columns(batch)]
    return model(**inputs_of(batch))


class TrainLoop:
    """Trains a run's phases one after the other, then tests the best weights.

    Args:
        model: whole, on the CPU, the same in every process.
        record: of the run's folder, whose lock the caller holds.
        saved: what the resume file says; None for a run that begins.

    Attributes:
        at: where the run stands.
        stop: set by Ctrl-C and by callbacks.
    """

    def __init__(
        self,
        model: nn.Module,
        feed: DataFeed,
        options: TrainOptions,
        record: Recorder,
        callbacks: Sequence[TrainCallback] = (),
        saved: dict[str, Any] | None = None,
    ) -> None:
        self.model, self.feed, self.options = model, feed, options
        self.record, self.callbacks, self.saved = record, callbacks, saved
        self.at, self.best, self.stop = Position(), BestScore(), threading.Event()
        self.is_split = options.strategy == "fsdp"
        self.batches = feed.train_batches  # of an epoch
        self.bar = ProgressBar(self.batches, options.total_epochs, self._batch_limit)
        self.trained = model
        self.optimizer: Any = None
        self.average: MovingAverage | None = None
        self.saved_at = time.monotonic()
        self.loss: Loss | None = None
        self.evaluated: tuple[str, Scores] | None = None

    @property
    def _batch_limit(self) -> int | None:
        """Batches that ``max_steps`` are made of."""
        limit = self.options.max_steps
        if limit is None:
            return None
        epochs, steps = divmod(limit, self.feed.train_steps)
        return epochs * self.batches + steps * self.options.accumulate_grad_batches

    # ------------------------------------------------------------------------------------------ run

    def run(self) -> Run:
        """Train the phases that are left, test, and return the run; raises as ``train``."""
        is_resumed = self.saved is not None
        with listening(self.stop), self.record.running(resumed=is_resumed), self._in_memory():
            self.fabric = launched(self.model, self.feed, self.options)
            self.record.join(self.fabric, self.feed.objective.monitors)
            if is_resumed:
                self._restore()
            else:
                self._save_weights(LAST)
                self._save()
            while self.at.phase < len(self.options.phases):
                self._train_phase(self.options.phases[self.at.phase])
                self.at.next_phase()
                if self._is_at_limit:  # further phases are left out
                    self.at.phase = len(self.options.phases)
                    if self.at.step < self.options.total_epochs * self.feed.train_steps:
                        self.record.reached_limit()
                self.best.waited, self.saved = 0, None
                self._save()
            self.record.verify()
            self._test()
        if self.fabric.world_size > 1:
            atexit.register(leave_group)
        return self.record.result()

    def _in_memory(self) -> AbstractContextManager[None]:
        """Raises E503 if memory runs out."""
        message = f"training in batches of {self.options.batch_size} does not fit into memory"
        hint = "a smaller batch_size with accumulate_grad_batches, or checkpoint_blocks"
        return out_of_memory_as_error(message, hint)

    # ---------------------------------------------------------------------------------------- phase

    def _train_phase(self, phase: Phase) -> None:
        """Train some epochs with one freeze plan, one optimizer and one schedule."""
        at = self.at
        report = freeze(self.model, phase.patterns)
        self.proof = self.record.proof(at.phase, self.model, report)
        if self._is_done(phase):
            return
        if at.phase_epoch == 0 and at.batch == 0:
            counts = f"{report.trainable:,} of {report.parameters:,} parameters"
            self.record.report(f"plan {phase.label}: {counts}")
            if self.options.quantize:
                self.record.report(quantized_line(self.model, self.options.quantize))
        self._set_up(phase)
        self._reuse_frozen_work()
        is_shown = self.record.report.verbose and self.fabric.is_global_zero
        blocks = self.options.checkpoint_blocks
        with self.bar.shown(is_shown), recomputing(self.trained, blocks):
            while not self._is_done(phase):
                self._train_epoch()
                self._finish_epoch()
        self.proof.verify(self.model)
        self.optimizer = None

    def _is_done(self, phase: Phase) -> bool:
        patience = self.options.patience
        is_out_of_patience = patience is not None and self.best.waited >= patience
        is_over = is_out_of_patience or self._is_at_limit
        return is_over or self.at.phase_epoch >= phase.epochs

    @property
    def _is_at_limit(self) -> bool:
        limit = self.options.max_steps
        return limit is not None and self.at.step >= limit

    def _set_up(self, phase: Phase) -> None:
        """Bring the model to its device, and make an optimizer of what is trained."""
        self.trained = self._computing_model()
        self.trained.train()
        step = TrainingStep(self.trained, self.feed, compiles=self.options.compile)
        self.step = self.fabric.setup_module(step)
        optimizer = optimizer_of(self.trained, self.options)
        self.optimizer = self.fabric.setup_optimizers(optimizer)
        options, decay = self.options, self.options.ema_decay
        assert options.warmup is not None  # resolved
        self.steps_per_epoch = self.feed.train_steps
        steps = self.steps_per_epoch * phase.epochs
        if options.max_steps is not None:
            steps = min(steps, self._phase_steps + options.max_steps - self.at.step)
        self.lr_factor = lr_factor(options.schedule, steps, options.warmup, options.cycles)
        self.average = None if decay is None else MovingAverage(self.trained, decay)
        saved = self.saved
        if saved is not None and saved["optimizer"] is not None:
            with reading():
                optimizer.load_state_dict(scattered(saved["optimizer"], optimizer))
                self.fabric.strategy.precision.load_state_dict(saved["precision"])
                if self.average is not None:
                    self.average.load(saved["average"])

    def _computing_model(self) -> nn.Module:
        """The model that computes; where that is split or quantized, the whole one is kept."""
        if self.options.quantize:
            return quantized_copy(self.model, self.options.quantize)
        return copy.deepcopy(self.model) if self.is_split else self.model

    def _reuse_frozen_work(self) -> None:
        """Compute what the plan leaves as it is once, for every row."""
        assert self.record.path is not None
        filler = CacheFiller(
            self.fabric, self.feed, self.options, self.record.path, self.stop, self.record.report,
            self.record.computing,
        )  # fmt: skip
        self.record.activations(self.at.phase, filler.fill(self.trained))
        if self._any(self.stop.is_set())[0]:
            raise Stopped

    # ---------------------------------------------------------------------------------------- epoch

    def _train_epoch(self) -> None:
        """Train on the batches of this epoch that are left."""
        at, every = self.at, self.options.accumulate_grad_batches
        batches = self.feed.train(at.epoch, at.batch)
        sizes, items = batches.sizes, batches.items  # of all batches, over all processes
        self.record.work = Work.of(sizes, batches.tokens)
        self.step.train()
        self.record.begin_epoch()
        self.bar.update(at)
        for batch in batches:
            first = at.batch - at.batch % every  # batch of this step
            is_last = at.batch + 1 == self.batches
            completes_step = is_last or at.batch + 1 == first + every
            rows = self._own_rows(sizes[at.batch])
            step_items = sum(items[first : first + every]) or 1  # no token may have a label
            self._train_batch(moved(batch, self.fabric.device), rows, step_items, completes_step)
            at.batch += 1
            if completes_step:
                self._take_step()
            self.bar.update(at)
            self._call("on_batch_end")
            if completes_step and self._is_at_limit:
                break
            if completes_step and not is_last:  # after the last one comes the evaluation
                self._save_if_due()

    def _train_batch(
        self, batch: Batch, rows: int, step_items: float, completes_step: bool
    ) -> None:
        """Add the gradients of a batch to those of its step, whose loss has ``step_items``."""
        at = self.at
        set_seed(seed_of(self.options.seed, at.epoch, at.batch, self.feed.rank), self.fabric.device)
        # Processes add up their gradients once a step; a split model would keep whole ones so long.
        waits = not completes_step and not self.is_split
        with self.fabric.no_backward_sync(self.step, enabled=waits):
            loss: Loss = self.step(batch, rows)
            # Processes are averaged over: this makes it the mean over the items of the step.
            self.fabric.backward(loss.sum * (self.fabric.world_size / step_items))
        self.loss = Loss(loss.sum.detach(), loss.items)
        self.record.batch(self.loss)

    def _take_step(self) -> None:
        """A step of the optimizer, with the gradients of one or several batches."""
        at, options = self.at, self.options
        factor = self.lr_factor(self._phase_steps - 1)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor
        norm = self._clip()
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.average is not None:
            self.average.update()
        at.step += 1
        self.record.step(at, options.learning_rate * factor, norm)

    @property
    def _phase_steps(self) -> int:
        """Steps of this phase, with the one whose batches are done."""
        at, every = self.at, self.options.accumulate_grad_batches
        return at.phase_epoch * self.steps_per_epoch + -(-at.batch // every)

    def _clip(self) -> Tensor:
        """Clip the gradients, if that is wished; returns their norm before."""
        if not self.options.max_grad_norm:
            # A scaler would do it in the optimizer's step, after which there are none.
            self.fabric.strategy.precision.unscale_gradients(self.optimizer.optimizer)
            return gradient_norm(self.optimizer.optimizer)
        norm = self.fabric.clip_gradients(
            self.step,
            self.optimizer,
            max_norm=self.options.max_grad_norm,
            error_if_nonfinite=False,
        )
        assert norm is not None
        return norm

    def _finish_epoch(self) -> None:
        """Evaluate, save, and keep the weights if they are the best so far; stop if asked to."""
        at, has_test = self.at, "test" in self.feed.data.splits
        self.record.flush(at)
        scores = None
        with self.average.applied() if self.average else nullcontext():
            if "validation" in self.feed.data.splits:
                self.bar.validating()
                scores = self._evaluate(self.trained, "validation")
            # Without a validation there is nothing to compare: the last epoch is the best.
            assert self.options.monitor is not None  # resolved
            score = scores.rank(self.options.monitor) if scores else (float(at.epoch), 0.0)
            is_best = self.best.is_better(score)
            self.record.epoch(at, scores, is_best=is_best)
            at.next_epoch()
            self._gather()
            if is_best:
                self._save_weights(BEST)
        if self.average is not None:
            self._gather()
        self.record.show_epoch()
        self._save(ends_epoch=True)
        self._call("on_epoch_end")
        is_trained = at.epoch == self.options.total_epochs or self._is_at_limit
        is_over = is_trained and not has_test
        if self._any(self.stop.is_set())[0] and not is_over:
            raise Stopped

    # ----------------------------------------------------------------------------------- evaluation

    def _evaluate(self, model: nn.Module, split: str) -> Scores:
        """The scores on a split, of which callbacks are told."""
        scores = self._measure(model, split, self.feed.metrics(split, self.fabric.device))
        return self._evaluated(split, scores)

    def _evaluated(self, split: str, scores: Scores) -> Scores:
        self.evaluated = (split, scores)
        self._call("on_evaluation_end")
        return scores

    def _measure(
        self, model: nn.Module, split: str, metrics: Metrics, *, may_stop: bool = False
    ) -> Scores:
        """The scores on a split, of which each process takes its part of every batch."""
        device, is_alone = self.fabric.device, self.fabric.world_size == 1
        batches = self.feed.split(split)
        if self.is_split:
            share_buffers(model)
        model.eval()
        total, done = sum(batches.sizes), 0
        self.record.evaluating(split, done, total)
        with torch.inference_mode() if is_alone else torch.no_grad(), self.fabric.autocast():
            for batch, size in zip(batches, batches.sizes, strict=True):
                batch = moved(batch, device)
                outputs = outputs_of(model, self.feed, split, batch)
                metrics.add(outputs, batch, self._own_rows(size))
                done += size
                self.record.evaluating(split, done, total)
                if may_stop and self._any(self.stop.is_set())[0]:
                    raise Stopped  # else the validation is completed first
        if not is_alone:
            metrics.reduce()
        return metrics.scores()

    def _test(self) -> None:
        """Test the best weights, and report on what they do."""
        report = FinalReport(self.feed)
        if not report.splits:
            return
        folder, device = self.record.folder, self.fabric.device
        if folder is not None:
            load_weights(self.model, folder / BEST)
        if self.fabric.world_size > 1:
            share(self.model, device)
            self.feed.reuse = None
        elif folder is not None:
            self.feed.reuse = for_test(self.model, self.feed, self.options, folder, device)
        if self.options.quantize:  # as it was validated
            freeze(self.model, self.options.phases[-1].patterns)
        model = self._computing_model()
        if self.is_split:
            self.fabric.setup_module(TrainingStep(model, self.feed))
        else:
            self.fabric.to_device(model)
        for split in report.splits:
            metrics = report.metrics(split, device)
            scores = self._measure(model, split, metrics, may_stop=split == "test")
            report.add(split, scores, metrics)
            if split == "test":
                self.record.test(self.at.step, self._evaluated(split, scores))
        if folder is not None:
            self.record.report_written(report.write(folder))

    def _own_rows(self, size: int) -> int:
        """How many of this process's rows of a batch are its own: a few fill up the last batch."""
        return len(range(self.feed.rank, size, self.feed.world))

    # -------------------------------------------------------------------------- saving and stopping

    def _save_if_due(self) -> None:
        """Save in the middle of an epoch now and then; stop if asked to."""
        is_due = time.monotonic() - self.saved_at >= self.options.save_interval
        must_stop, is_due = self._any(self.stop.is_set(), is_due)
        if must_stop or is_due:
            self._gather()
            self._save()
        if must_stop:
            raise Stopped

    def _save(self, *, ends_epoch: bool = False) -> None:
        """Write the resume file: what the next step needs and ``last.safetensors`` may lack.

        At the end of an epoch ``last.safetensors`` comes behind it: between two phases the resume
        file has no tensors, and those of an epoch that it does not know must not be there instead.
        """
        tensors, optimizer, precision, average = {}, None, None, None
        if self.optimizer is not None:  # else this is between two phases
            self.record.flush(self.at)
            optimizer = self.optimizer.optimizer.state_dict()
            optimizer = gathered(optimizer) if self.is_split else optimizer
            precision = self.fabric.strategy.precision.state_dict()
            tensors = unfrozen_state(self.model, self.proof)
            average = self.average.state() if self.average else None
        self.saved_at = time.monotonic()
        content = {
            "position": self.at.to_dict(),
            "best": [list(self.best.best), self.best.waited],
            "metrics": [self.record.lines, self.record.digest(self.record.lines)],
            "unfrozen_state": tensors,
            "optimizer": optimizer,
            "precision": precision,
            "average": average,
        }
        if self.record.folder is not None:
            write_state(self.record.folder, content)
        if ends_epoch:
            self._save_weights(LAST)
        if self.optimizer is not None:
            self._call("on_checkpoint")

    def _save_weights(self, name: str) -> None:
        if self.record.folder is not None:
            write_weights(self.record.folder, name, self.model)

    def _gather(self) -> None:
        """Bring the whole model up to date with the one that computes."""
        if self.is_split:
            share_buffers(self.trained)
        if self.trained is not self.model:
            gather(self.trained, self.model)

    def _restore(self) -> None:
        """Go back to where the run was saved; the optimizer follows when its phase begins."""
        assert self.saved is not None
        with reading():
            self.at = Position.from_dict(self.saved["position"])
            best, self.best.waited = self.saved["best"]
            self.best.best = (best[0], best[1])
            lines, digest = self.saved["metrics"]
            restore(self.model, self.saved["unfrozen_state"])
        self.record.go_back(lines, digest)
        if self.saved["unfrozen_state"] and self.at.batch == 0:  # it may not have come to that
            self._save_weights(LAST)

    def _any(self, *wishes: bool) -> list[bool]:
        return any_process(self.fabric, *wishes)

    # ------------------------------------------------------------------------------------ callbacks

    def _call(self, event: str) -> None:
        """Tell the callbacks of an event."""
        if not self.callbacks:
            return
        loss = self.loss.mean if self.loss else None
        split, scores = self.evaluated or (None, None)
        at, path = self.at, self.record.path
        assert path is not None
        state = TrainState(
            path, self.trained, self.optimizer, at.phase + 1, at.epoch + 1, at.batch, at.step,
            loss, split, scores, self.stop,
        )  # fmt: skip
        for callback in self.callbacks:
            getattr(callback, event)(state)
