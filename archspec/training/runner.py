"""A run under way: phase after phase through Lightning's trainer, then the test."""

from __future__ import annotations

import atexit
import contextlib
import copy
import json
import logging
import os
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import distributed, nn

from archspec.building.devices import pick_device
from archspec.errors import ArchspecError
from archspec.freezing import FreezeProof, freeze
from archspec.tasks.objective import format_numbers
from archspec.training import environment
from archspec.training.cache_filler import CacheFiller, for_test
from archspec.training.cached_activations import CachedActivations
from archspec.training.checkpoint_callback import BestScore, CheckpointCallback
from archspec.training.classifier_module import MIXED, ClassifierModule, Position, evaluated
from archspec.training.data_feed import DataFeed
from archspec.training.lightning_import import pl
from archspec.training.logs import Logs
from archspec.training.options import Phase, TrainOptions
from archspec.training.progress_bar import Bar
from archspec.training.reporter import Reporter
from archspec.training.resume_file import reading, restore, write_state, write_weights
from archspec.training.run import Run
from archspec.training.run_description import now
from archspec.training.run_folder import (
    BEST,
    FACTS,
    FREEZE,
    LAST,
    LOG,
    METRICS,
    RunFolder,
    lines_of,
)
from archspec.training.sharding import shard, share
from archspec.training.signals import Stopped, listening
from archspec.training.strategy import Sharded
from archspec.training.unused_parameters import has_unused
from archspec.weights import load_weights

_PRECISIONS = {"fp32": "32-true", "bf16-mixed": "bf16-mixed", "fp16-mixed": "16-mixed"}


class RunTrainer:
    """Trains a run's phases one after the other, then tests.

    Args:
        folder: None in other processes than the first.
        state: what the resume file says; None for a run that begins.
        path: of the folder, where it is known.
    """

    def __init__(
        self,
        folder: RunFolder | None,
        model: nn.Module,
        feed: DataFeed,
        options: TrainOptions,
        report: Reporter,
        state: dict[str, Any] | None = None,
        path: Path | None = None,
    ) -> None:
        self.folder, self.model, self.feed, self.options = folder, model, feed, options
        self.report, self.state = report, state
        self.path = folder.path if folder else path
        self.position, self.best_score = Position(), BestScore()
        self.epochs: list[dict[str, Any]] = []
        self.device = pick_device(options.device)
        self.logs = Logs(folder / "logs", report) if folder else None
        self.stop = threading.Event()

    def run(self) -> Run:
        """Train the phases that are left, test, and return the run; raises as ``train``.

        The caller holds the folder's lock.
        """
        if self.folder is None:
            with listening(self.stop):
                self._train_and_test()
            return self._shared_result()
        self.report.log = self.folder / LOG
        began = time.monotonic()
        try:
            with listening(self.stop):
                self._begin()
                status = self._train_and_test()
        except BaseException as problem:
            # The first error is the one to report, also if the disk is too full to record it.
            with contextlib.suppress(ArchspecError):
                self._end(*_outcome(problem), time.monotonic() - began)
            if isinstance(problem, SystemExit) and self.stop.is_set():  # Lightning's, at Ctrl-C
                raise KeyboardInterrupt from None
            raise
        self._end(status, "", time.monotonic() - began)
        return self._shared_result()

    def _shared_result(self) -> Run:
        """The run as the first process reads it: others may not see its folder."""
        assert self.path is not None
        result = [Run.of(self.path) if self.folder or not distributed.is_initialized() else None]
        if distributed.is_initialized():
            distributed.broadcast_object_list(result, 0)
            atexit.register(_leave_group)
        assert result[0] is not None
        return result[0]

    def _begin(self) -> None:
        folder = self.folder
        assert folder is not None
        facts = folder.read_json(FACTS)
        if self.state is not None:
            facts["resumed"] = [*facts.get("resumed", []), now()]
        folder.write_json(FACTS, {**facts, "status": "running", "error": None, "ended": None})
        self.report(f"{folder.path}{': resumed' if self.state else ''}")
        if self.state is None:
            write_weights(folder, LAST, self.model)
            self._save_between()

    def _end(self, status: str, error: str, seconds: float) -> None:
        folder = self.folder
        assert folder is not None
        facts = folder.read_json(FACTS)
        total = round(facts.get("seconds", 0.0) + seconds, 3)
        facts |= {"status": status, "error": error or None, "ended": now(), "seconds": total}
        folder.write_json(FACTS, facts)

    # --------------------------------------------------------------------------------------- phases

    def _train_and_test(self) -> str:
        """Run the phases that are left and the test; how the run ended."""
        state = self._restored()
        try:
            while self.position.phase < len(self.options.phases):
                self._run_phase(state)
                state = None
                self.position.next_phase()
                self.best_score.waited = 0
                self._save_between()
            self._verify()
            self._test()
        except Stopped:
            self.report("stopped: 'archspec resume' goes on")
            return "stopped"
        finally:
            if self.logs is not None:
                self.logs.close()
        return "finished"

    def _restored(self) -> dict[str, Any] | None:
        """Restore the state of the resume file; what is left of it is the optimizer's."""
        state = self.state
        if state is None:
            return None
        with reading():
            self.position = Position.from_dict(state["position"])
            best, self.best_score.waited, self.best_score.lines = state["standing"]
            self.best_score.best = (best[0], best[1])
            restore(self.model, state["unfrozen_state"])
        if self.folder is not None:
            self.folder.keep_lines(METRICS, self.best_score.lines)
            if (self.folder / METRICS).is_file():
                lines = lines_of(self.folder.read(METRICS))
                self.epochs = [dict(line) for line in lines if line.get("kind") == "epoch"]
        return state if state["optimizer"] is not None else None

    def _run_phase(self, state: dict[str, Any] | None) -> None:
        phase = self.options.phases[self.position.phase]
        report = freeze(
            self.model, phase.plan if isinstance(phase.plan, str) else [*(phase.plan or ())]
        )
        proof = self._proof(report.to_dict())
        if self._is_done(phase):
            return
        if self.position.phase_epoch == 0 and self.position.batch == 0:
            self.report(
                f"plan {phase.label}: {report.trainable:,} of {report.parameters:,} parameters"
            )
        self.model.train()
        checkpoints = CheckpointCallback(
            self.folder,
            self.path,
            self.options,
            self.model,
            proof,
            self.best_score,
            self.epochs,
            state,
            self.report,
            self.logs,
            self.stop,
        )
        trainer = self._trainer(checkpoints, phase.epochs - self.position.phase_epoch)
        # A split model stays split: the full model is kept beside it.
        model = copy.deepcopy(self.model) if self._is_split else self.model
        classifier = ClassifierModule(model, self.feed, self.options, self.position)
        with quiet():
            trainer.fit(classifier)
        self.path = checkpoints.path
        proof.verify(self.model)

    @property
    def _is_split(self) -> bool:
        return self.options.strategy == "fsdp"

    def _is_done(self, phase: Phase) -> bool:
        patience = self.options.patience
        is_out_of_patience = patience is not None and self.best_score.waited >= patience
        return is_out_of_patience or self.position.phase_epoch >= phase.epochs

    def _proof(self, report: dict[str, Any]) -> FreezeProof:
        """Hashes of the frozen tensors: those in the folder, if the phase had begun before."""
        proof = FreezeProof.of(self.model)
        if self.folder is None:
            return proof
        phases = self.folder.read_json(FREEZE).get("phases", [])
        if len(phases) > self.position.phase:
            known = FreezeProof.from_dict(phases[self.position.phase]["proof"])
            known.verify(self.model)
            return known
        phases = [*phases, {"report": report, "proof": proof.to_dict()}]
        self.folder.write_json(FREEZE, {"phases": phases})
        facts = self.folder.read_json(FACTS)
        self.folder.write_json(FACTS, {**facts, "trainable": report["trainable"]})
        return proof

    def _save_between(self) -> None:
        """The state between two phases: ``last.safetensors`` has every weight."""
        if self.folder is not None:
            best_score = self.best_score
            content: dict[str, Any] = {
                "position": self.position.to_dict(),
                "standing": [list(best_score.best), best_score.waited, best_score.lines],
                "unfrozen_state": {},
            }
            nothing = dict.fromkeys(("optimizer", "schedule", "precision"))
            write_state(self.folder, {**content, **nothing})

    # -------------------------------------------------------------------------------------- trainer

    def _trainer(self, checkpoints: CheckpointCallback, epochs: int) -> pl.Trainer:
        options = self.options
        callbacks: list[pl.Callback] = [
            checkpoints,
            CacheFiller(checkpoints, self.report, self.report.verbose),
        ]
        if self.report.verbose:
            callbacks.append(Bar(options.total_epochs))
        started: Any = environment.processes()
        with quiet():
            return pl.Trainer(
                accelerator={"cuda": "gpu"}.get(self.device.type, self.device.type),
                devices=started.local if started else self._devices(),
                num_nodes=started.nodes if started else 1,
                strategy=self._strategy(),
                precision=_PRECISIONS[options.precision],  # pyright: ignore[reportArgumentType]
                max_epochs=epochs,
                accumulate_grad_batches=options.accumulate_grad_batches,
                gradient_clip_val=options.max_grad_norm or None,
                logger=False,
                callbacks=callbacks,
                reload_dataloaders_every_n_epochs=1,
                num_sanity_val_steps=0,
                use_distributed_sampler=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                default_root_dir=str(self.path) if self.path else os.devnull,
            )

    def _strategy(self) -> str | Sharded:
        if self._is_split:
            return Sharded()
        if environment.world(self.options.devices) > 1 and has_unused(self.model, self.feed):
            return "ddp_find_unused_parameters_true"
        return self.options.strategy

    def _devices(self) -> int | list[int]:
        if self.device.index is not None:
            return [self.device.index]
        return self.options.devices

    # ----------------------------------------------------------------------------------------- test

    def _verify(self) -> None:
        """Verify the saved files, not the model in memory, and record which phase each is of."""
        if self.folder is None:
            return
        run = Run.of(self.folder.path)
        run.verify()
        phases = {Path(name).name: phase + 1 for name, phase in run.weight_phases.items()}
        record = self.folder.read_json(FREEZE)
        self.folder.write_json(FREEZE, {**record, "weights": phases})

    def _test(self) -> None:
        """Test the best weights, by all processes together if they are still joined."""
        if "test" not in self.feed.data.splits:
            return
        if self.folder is not None:
            load_weights(self.model, self.folder / BEST)
        elif not distributed.is_initialized():
            return
        model = self.model
        if distributed.is_initialized():
            share(self.model, self.device)
        if self._is_split and distributed.is_initialized():
            model = copy.deepcopy(self.model)
            shard(model, self.device)
        self.feed.reuse = self._reuse_for_test()
        dtype = MIXED.get(self.options.precision)
        scores = evaluated(model, self.feed, "test", self.device, dtype, self.stop.is_set)
        if self.folder is not None:
            self.folder.append(METRICS, [json.dumps({"kind": "test", **scores.to_dict()})])
            self.report(f"test: {format_numbers(scores.numbers)}")

    def _reuse_for_test(self) -> CachedActivations | None:
        """The cache of the last phase; processes that share the test do without."""
        if self.folder is None or distributed.is_initialized():
            return None
        return for_test(self.model, self.feed, self.options, self.folder, self.device)


def _outcome(problem: BaseException) -> tuple[str, str]:
    """The status of a run that ends so, and its error if it is one."""
    if isinstance(problem, KeyboardInterrupt | SystemExit):  # at a second Ctrl-C
        return "stopped", ""
    if isinstance(problem, ArchspecError):
        return "failed", str(problem.problems[0])
    return "failed", type(problem).__name__


def _leave_group() -> None:
    """Leave the process group: gloo's threads crash a process that exits without it."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence Lightning: its advice is for authors of loops, and would bury a run's own lines."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    loggers += [logging.getLogger(f"{logger.name}.utilities.rank_zero") for logger in loggers]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
