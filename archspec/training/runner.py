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
from archspec.training import environment
from archspec.training.cache_filler import CacheFiller, for_test
from archspec.training.checkpoint_callback import BestScore, CheckpointCallback
from archspec.training.classifier_module import MIXED, ClassifierModule, Position, evaluated
from archspec.training.data_feed import DataFeed
from archspec.training.frozen_work import FrozenWork
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
    """Everything that a run needs while it goes on.

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
        say: Reporter,
        state: dict[str, Any] | None = None,
        path: Path | None = None,
    ) -> None:
        self.folder, self.model, self.feed, self.options = folder, model, feed, options
        self.say, self.state = say, state
        self.path = folder.path if folder else path
        self.position, self.standing = Position(), BestScore()
        self.epochs: list[dict[str, Any]] = []
        self.device = pick_device(options.device)
        self.logs = Logs(folder / "logs", say) if folder else None
        self.stop = threading.Event()

    def go(self) -> Run:
        """Train what is left to train, test, and tell; see ``train`` for what is raised.

        The folder is held meanwhile.
        """
        if self.folder is None:
            with listening(self.stop):
                self._through()
            return self._told()
        self.say.log = self.folder / LOG
        began = time.monotonic()
        try:
            with listening(self.stop):
                self._begin()
                status = self._through()
        except BaseException as problem:
            # What went wrong first is what is told, also if the disk is too full to write it down.
            with contextlib.suppress(ArchspecError):
                self._end(*_fate(problem), time.monotonic() - began)
            if isinstance(problem, SystemExit) and self.stop.is_set():  # Lightning's, at Ctrl-C
                raise KeyboardInterrupt from None
            raise
        self._end(status, "", time.monotonic() - began)
        return self._told()

    def _told(self) -> Run:
        """The run, as the first process finds it, in all of them: others may not see its folder."""
        assert self.path is not None
        found = [Run.of(self.path) if self.folder or not distributed.is_initialized() else None]
        if distributed.is_initialized():
            distributed.broadcast_object_list(found, 0)
            atexit.register(_leave)
        assert found[0] is not None
        return found[0]

    def _begin(self) -> None:
        folder = self.folder
        assert folder is not None
        facts = folder.read_json(FACTS)
        if self.state is not None:
            facts["resumed"] = [*facts.get("resumed", []), now()]
        folder.write_json(FACTS, {**facts, "status": "running", "error": None, "ended": None})
        self.say(f"{folder.path}{': resumed' if self.state else ''}")
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

    def _through(self) -> str:
        """All that is left; how it ended."""
        state = self._restored()
        try:
            while self.position.phase < len(self.options.phases):
                self._run_phase(state)
                state = None
                self.position.next_phase()
                self.standing.waited = 0
                self._save_between()
            self._verify()
            self._test()
        except Stopped:
            self.say("stopped: 'archspec resume' goes on")
            return "stopped"
        finally:
            if self.logs is not None:
                self.logs.close()
        return "finished"

    def _restored(self) -> dict[str, Any] | None:
        """Put things back as the resume file has them; what is left of it for the optimizer."""
        state = self.state
        if state is None:
            return None
        with reading():
            self.position = Position.from_dict(state["position"])
            best, self.standing.waited, self.standing.lines = state["standing"]
            self.standing.best = (best[0], best[1])
            restore(self.model, state["moving"])
        if self.folder is not None:
            self.folder.keep_lines(METRICS, self.standing.lines)
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
            self.say(
                f"plan {phase.label}: {report.trainable:,} of {report.parameters:,} parameters"
            )
        self.model.train()
        keeper = CheckpointCallback(
            self.folder,
            self.path,
            self.options,
            self.model,
            proof,
            self.standing,
            self.epochs,
            state,
            self.say,
            self.logs,
            self.stop,
        )
        trainer = self._trainer(keeper, phase.epochs - self.position.phase_epoch)
        # What is split stays so: the whole model is kept beside it.
        model = copy.deepcopy(self.model) if self._is_split else self.model
        fitting = ClassifierModule(model, self.feed, self.options, self.position)
        with quiet():
            trainer.fit(fitting)
        self.path = keeper.path
        proof.verify(self.model)

    @property
    def _is_split(self) -> bool:
        return self.options.strategy == "fsdp"

    def _is_done(self, phase: Phase) -> bool:
        patience = self.options.patience
        tired = patience is not None and self.standing.waited >= patience
        return tired or self.position.phase_epoch >= phase.epochs

    def _proof(self, report: dict[str, Any]) -> FreezeProof:
        """Hashes of what is frozen: those of the folder, if the phase had begun before."""
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
            standing = self.standing
            content: dict[str, Any] = {
                "position": self.position.to_dict(),
                "standing": [list(standing.best), standing.waited, standing.lines],
                "moving": {},
            }
            nothing = dict.fromkeys(("optimizer", "schedule", "precision"))
            write_state(self.folder, {**content, **nothing})

    # -------------------------------------------------------------------------------------- trainer

    def _trainer(self, keeper: CheckpointCallback, epochs: int) -> pl.Trainer:
        given = self.options
        callbacks: list[pl.Callback] = [keeper, CacheFiller(keeper, self.say, self.say.aloud)]
        if self.say.aloud:
            callbacks.append(Bar(given.total_epochs))
        started: Any = environment.processes()
        with quiet():
            return pl.Trainer(
                accelerator={"cuda": "gpu"}.get(self.device.type, self.device.type),
                devices=started.local if started else self._devices(),
                num_nodes=started.nodes if started else 1,
                strategy=self._strategy(),
                precision=_PRECISIONS[given.precision],  # pyright: ignore[reportArgumentType]
                max_epochs=epochs,
                accumulate_grad_batches=given.accumulate_grad_batches,
                gradient_clip_val=given.max_grad_norm or None,
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
        given = self.options
        if self._is_split:
            return Sharded()
        if environment.world(given.devices) > 1 and has_unused(self.model, self.feed):
            return "ddp_find_unused_parameters_true"
        return given.strategy

    def _devices(self) -> int | list[int]:
        if self.device.index is not None:
            return [self.device.index]
        return self.options.devices

    # ----------------------------------------------------------------------------------------- test

    def _verify(self) -> None:
        """What the files hold, not the model in memory; and of which phase they are."""
        if self.folder is None:
            return
        run = Run.of(self.folder.path)
        run.verify()
        phases = {Path(name).name: phase + 1 for name, phase in run.weight_phases.items()}
        said = self.folder.read_json(FREEZE)
        self.folder.write_json(FREEZE, {**said, "weights": phases})

    def _test(self) -> None:
        """The best weights on the test split, by all processes together if they still are."""
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
            shown = f"loss {scores.loss:.4f}, accuracy {scores.accuracy:.4f}"
            self.say(f"test: {shown}, macro F1 {scores.macro_f1:.4f}")

    def _reuse_for_test(self) -> FrozenWork | None:
        """What was computed only once; processes that share out the test do without."""
        if self.folder is None or distributed.is_initialized():
            return None
        return for_test(self.model, self.feed, self.options, self.folder, self.device)


def _fate(problem: BaseException) -> tuple[str, str]:
    """What a run's folder says of an end like this: a status, and an error if it is one."""
    if isinstance(problem, KeyboardInterrupt | SystemExit):  # at a second Ctrl-C
        return "stopped", ""
    if isinstance(problem, ArchspecError):
        return "failed", str(problem.problems[0])
    return "failed", type(problem).__name__


def _leave() -> None:
    """Part from the other processes: gloo's threads end a process badly that just exits."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Lightning's advice is for people who write loops: it would drown what a run says."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    loggers += [logging.getLogger(f"{one.name}.utilities.rank_zero") for one in loggers]
    levels = [one.level for one in loggers]
    try:
        for one in loggers:
            one.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for one, level in zip(loggers, levels, strict=True):
            one.setLevel(level)
