"""Writes the folder of a run: its description, its status, its metrics, its proofs."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import platform
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata
from itertools import accumulate
from pathlib import Path
from typing import Any

import lightning_fabric
import torch
from lightning_fabric import Fabric
from torch import Tensor, distributed, nn

from archspec import run_hashes
from archspec.builder import to_python
from archspec.data import TextEncoder, tokenizer_files
from archspec.differences.normal_form import content
from archspec.errors import ArchspecError, Problem, RunError
from archspec.freezing import FreezeProof
from archspec.freezing.report import FreezeReport
from archspec.lang.yaml import dump
from archspec.tasks import takes_pairs
from archspec.tasks.figures import FIGURES
from archspec.tasks.objective import Loss, Scores, format_numbers
from archspec.tracking import Rows, TrackedRun, Tracking
from archspec.training.data_feed import DataFeed, DataSource
from archspec.training.engine import whole_on_cpu
from archspec.training.model_setup import Prepared
from archspec.training.options import TrainOptions
from archspec.training.reporting import Logs, Reporter, curves
from archspec.training.run import Run
from archspec.training.run_folder import (
    CURVES,
    FACTS,
    FREEZE,
    LOG,
    METRICS,
    PAGE,
    REPORT,
    SOURCE,
    SPEC,
    RunFolder,
    lines_of,
)
from archspec.training.state import Position, Stopped

_RECORDED_AT_ONCE = 10  # steps: reading a loss waits for the device
_RECORDED_AFTER = 1.0  # seconds, where steps are slow
_EVALUATING_AFTER = 2.0  # seconds between two records of how far an evaluation is
_UNTRACKED = {
    "status", "started", "ended", "seconds", "resumed", "error", "trainable", "tracking",
    "computing", "evaluating", "metrics_hash",
}  # fmt: skip
_PACKAGES = (
    "archspec-nn",
    "datasets",
    "tokenizers",
    "numpy",
    "safetensors",
)


def new_folder(
    ready: Prepared, source: DataSource, feed: DataFeed, options: TrainOptions, notes: list[str]
) -> RunFolder:
    """Create a run's folder with all that is known before it starts.

    Raises:
        RunError: E921, it cannot be written.
    """
    plan = "+".join(phase.label for phase in options.phases)
    folder = RunFolder.create(Path(options.output_dir), f"{ready.spec.name}-{plan}", options.name)
    try:
        folder.write(SPEC, dump(_resolved(ready, feed)))
        folder.write(SOURCE, to_python(ready.spec))
        if isinstance(feed.encoder, TextEncoder):
            _copy_tokenizer(folder, feed.encoder)
        folder.write_json(FREEZE, {"phases": []})
        folder.write_json(FACTS, _facts(ready, source, feed, options, plan, notes))
        folder.check()
    except BaseException:  # an empty folder helps nobody
        shutil.rmtree(folder.path, ignore_errors=True)
        raise
    return folder


def _resolved(ready: Prepared, feed: DataFeed) -> dict[str, Any]:
    """The spec with all parents and values in it, the classes' names, and the text's settings."""
    resolved = content(ready.spec)
    resolved["task"] = {**resolved.get("task", {}), "kind": feed.data.task_kind}
    resolved["task"].pop("labels", None)
    if feed.data.labels:
        resolved["task"] |= {"labels": list(feed.data.labels), "multi_label": feed.data.multi_label}
    if isinstance(feed.encoder, TextEncoder):
        text = resolved["task"].get("text") or {}
        text |= {"tokenizer": feed.encoder.path.name, "max_length": feed.encoder.max_length}
        takes_pair = takes_pairs(feed.data.task_kind)
        text["pair"] = takes_pair and feed.data.columns.text_pair is not None
        resolved["task"]["text"] = text
    return resolved


def _copy_tokenizer(folder: RunFolder, encoder: TextEncoder) -> None:
    """Copy a tokenizer's files, with what they leave open written down."""
    for one in tokenizer_files.needed_files(encoder.path):
        try:
            content = one.read_bytes()
        except OSError as error:
            raise RunError(Problem("E921", f"{one}: cannot be read: {error.strerror}")) from None
        folder.write(one.name, content)
    if encoder.guessed_settings:
        folder.write_json(tokenizer_files.CONFIG, dict(encoder.guessed_settings))


def _facts(
    ready: Prepared,
    source: DataSource,
    feed: DataFeed,
    options: TrainOptions,
    plan: str,
    notes: list[str],
) -> dict[str, Any]:
    weights = ready.weights
    return {
        "status": "running",
        "spec": ready.spec.name,
        "model": ready.spec.architecture.model,
        "plan": plan,
        "epochs": options.total_epochs,
        "seed": options.seed,
        "labels": list(source.data.labels),
        "parameters": sum(p.numel() for p in ready.model.parameters()),
        "trainable": None,
        "options": options.to_dict(),
        "loss": feed.own_loss.name if feed.own_loss else None,
        "data": source.to_dict(),
        "weights": {
            "files": list(weights.files) if weights else [],
            "layout": weights.layout if weights else None,
            "fresh": list(ready.fresh),
            "notes": notes,
        },
        "versions": versions(),
        "threads": torch.get_num_threads(),
        "started": now(),
        "ended": None,
        "ended_by": None,
        "seconds": 0.0,
        "resumed": [],
        "computing": None,
        "evaluating": None,
        "error": None,
    }


def versions() -> dict[str, str]:
    """The versions of Python, archspec and the packages that a run uses."""
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    versions["torch"] = str(torch.__version__)  # with the CUDA that it was built for
    # It may have come as a part of another package.
    return {**versions, "lightning-fabric": str(vars(lightning_fabric)["__version__"])}


def now() -> str:
    """The time, with its zone, to the second."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


# ------------------------------------------------------------------------------------ while it runs


@dataclass(frozen=True, slots=True)
class Work:
    """What the batches of an epoch are made of, added up from its first batch on.

    Attributes:
        samples: rows after each batch, over all processes.
        tokens: tokens after each batch, without padding; None of images.
    """

    samples: Sequence[int]
    tokens: Sequence[int] | None

    @classmethod
    def of(cls, sizes: Sequence[int], tokens: Sequence[int] | None) -> Work:
        """From what each batch has."""
        added = None if tokens is None else [*accumulate(tokens)]
        return cls([*accumulate(sizes)], added)

    def after(self, batches: int) -> dict[str, int]:
        """What is done after so many batches of the epoch."""
        done = {"samples": self.samples[batches - 1]}
        return done if self.tokens is None else {**done, "tokens": self.tokens[batches - 1]}


class Recorder:
    """Writes what happens in a run; in other processes than the first it only helps to add up.

    Attributes:
        folder: None in other processes than the first.
        path: of the folder, in all processes once ``fabric`` is set.
        lines: how many ``metrics.jsonl`` has.
        epochs: its lines of epochs.
        work: of the epoch that is under way.
    """

    work: Work

    def __init__(
        self,
        folder: RunFolder | None,
        path: Path | None,
        options: TrainOptions,
        report: Reporter,
    ) -> None:
        self.folder, self.options, self.report = folder, options, report
        self.path = folder.path if folder else path
        self.lines, self.epochs = 0, list[dict[str, Any]]()
        self.started = self.flushed = time.monotonic()
        self._evaluation = (0.0, 0.0)  # when it began, and when it was last recorded
        self._waiting: list[dict[str, Any]] = []
        self._losses: list[Loss] = []
        self._logs: Logs | None = None
        self._tracking: Tracking | None = None
        if folder is not None:
            report.log = folder / LOG

    def join(self, fabric: Fabric, scores: Sequence[str]) -> None:
        """Take part in what the processes of a run do together; ``scores`` are columns of logs."""
        self.fabric = fabric
        self.path = fabric.broadcast(self.path)
        if self.folder is not None:
            self._logs = Logs(self.folder / "logs", scores, self.report)
            if self.options.track is not None:
                self._track(self.folder, self.options.track)

    def _track(self, folder: RunFolder, service: str) -> None:
        """Begin the tracking, or go on in the service's run, whose id is in ``run.json``."""
        facts = folder.read_json(FACTS)
        before = (facts.get("tracking") or {}).get("id")
        told = {key: value for key, value in facts.items() if key not in _UNTRACKED}
        self._tracking = Tracking(service, self.report)
        found = self._tracking.begin(TrackedRun(folder.path, told, before))
        if found is not None and found != before:
            folder.write_json(FACTS, {**facts, "tracking": {"service": service, "id": found}})
        self._tracking.files([folder / SPEC])

    @contextlib.contextmanager
    def running(self, *, resumed: bool) -> Iterator[None]:
        """The run goes on inside: how it ends is what ``run.json`` says.

        ``Stopped`` ends here; every other exception is passed on.
        """
        began = time.monotonic()
        status, error = "finished", ""
        try:
            self._begin(resumed)
            yield
        except Stopped:
            self.report("stopped: 'archspec resume' goes on")
            status = "stopped"
        except BaseException as problem:
            # The first error is the one to report, also if the disk is too full to record it.
            with contextlib.suppress(ArchspecError):
                self._end(*_outcome(problem), time.monotonic() - began)
            raise
        finally:
            if self._logs is not None:
                self._logs.close()
        self._end(status, error, time.monotonic() - began)

    def _begin(self, resumed: bool) -> None:
        if self.folder is None:
            return
        facts = self.folder.read_json(FACTS)
        if resumed:
            facts["resumed"] = [*facts.get("resumed", []), now()]
        begun = {"status": "running", "error": None, "ended": None, "metrics_hash": None}
        self.folder.write_json(FACTS, {**facts, **begun, "computing": None, "evaluating": None})
        self.report(f"{self.folder.path}{': resumed' if resumed else ''}")

    def _end(self, status: str, error: str, seconds: float) -> None:
        if self.folder is None:
            return
        facts = self.folder.read_json(FACTS)
        total = round(facts.get("seconds", 0.0) + seconds, 3)
        facts |= {"status": status, "error": error or None, "ended": now(), "seconds": total}
        facts["evaluating"] = None
        if (self.folder / METRICS).is_file():  # from now on nobody adds lines
            facts["metrics_hash"] = run_hashes.digest(self.folder / METRICS)
        self.folder.write_json(FACTS, facts)
        if self._tracking is not None:
            names = (FACTS, FREEZE, CURVES, REPORT, PAGE)
            pictures = sorted(self.folder.path.glob("confusion-*.svg"))
            self._tracking.files([*map(self.folder.path.joinpath, names), *pictures])
            self._tracking.end(status)

    def result(self) -> Run:
        """The run as the first process reads it: others may not see its folder."""
        assert self.path is not None
        run = Run.of(self.path) if self.folder or self.fabric.world_size == 1 else None
        run = self.fabric.broadcast(run)
        assert run is not None
        return run

    def digest(self, lines: int) -> str:
        """The hash of the first lines of ``metrics.jsonl``; "" for a process without the folder."""
        if self.folder is None:
            return ""
        text = self.folder.read(METRICS) if (self.folder / METRICS).is_file() else ""
        kept = "".join(text.splitlines(keepends=True)[:lines])
        return hashlib.sha256(kept.encode()).hexdigest()

    def go_back(self, lines: int, digest: str) -> None:
        """Forget what was recorded after the last save, when a run is resumed.

        Args:
            lines: how many there were.
            digest: of them.

        Raises:
            RunError: E920, they are not as they were.
        """
        self.lines = lines
        if self.folder is not None:
            if self.digest(lines) != digest:
                message = f"{self.folder / METRICS}: is not as the run wrote it"
                hint = "put back a copy of the file, or train anew"
                raise RunError(Problem("E920", message, hint=hint))
            self.folder.keep_lines(METRICS, lines)
            if (self.folder / METRICS).is_file():
                kept = lines_of(self.folder.read(METRICS))
                self.epochs = [dict(line) for line in kept if line.get("kind") == "epoch"]
                if self._tracking is not None:
                    self._tracking.again(_rows(kept))

    # --------------------------------------------------------------------------------------- phases

    def proof(self, phase: int, model: nn.Module, report: FreezeReport) -> FreezeProof:
        """Hashes of the frozen tensors: those in the folder, if the phase had begun before."""
        proof = FreezeProof.of(model)
        if self.folder is None:
            return proof
        phases = self.folder.read_json(FREEZE).get("phases", [])
        if len(phases) > phase:
            known = FreezeProof.from_dict(phases[phase]["proof"])
            known.verify(model)
            return known
        phases = [*phases, {"report": report.to_dict(), "proof": proof.to_dict()}]
        self.folder.write_json(FREEZE, {"phases": phases})
        if self._tracking is not None:
            self._tracking.files([self.folder / FREEZE])
        facts = self.folder.read_json(FACTS)
        self.folder.write_json(FACTS, {**facts, "trainable": report.trainable})
        return proof

    def computing(self, samples: int, total: int, seconds: float) -> None:
        """Say how far what is computed only once has come, and in what time."""
        if self.folder is not None:
            done = {"samples": samples, "of": total, "seconds": round(seconds, 3)}
            self.folder.write_json(FACTS, {**self.folder.read_json(FACTS), "computing": done})

    def activations(self, phase: int, content: dict[str, Any]) -> None:
        """Say what of a phase is computed only once; all of it is."""
        if self.folder is not None:
            self.folder.write_json(FACTS, {**self.folder.read_json(FACTS), "computing": None})
            phases = self.folder.read_json(FREEZE)["phases"]
            phases[phase]["activations"] = content
            self.folder.write_json(FREEZE, {"phases": phases})

    def verify(self) -> None:
        """Verify the saved files, not the model in memory, and record which phase each is of."""
        if self.folder is not None:
            run = Run.of(self.folder.path)
            run.verify()
            phases = {Path(name).name: phase + 1 for name, phase in run.weight_phases.items()}
            record = self.folder.read_json(FREEZE)
            self.folder.write_json(FREEZE, {**record, "weights": phases})

    # ---------------------------------------------------------------------------------------- steps

    def begin_epoch(self) -> None:
        """The seconds of steps and of the epoch count from now."""
        self.started = time.monotonic()

    def batch(self, loss: Loss) -> None:
        """A batch is done; its loss is read later, since reading waits for the device."""
        self._losses.append(loss)

    def step(self, at: Position, rate: float, norm: Tensor) -> None:
        """A step is done: write it, with those that wait, if they are many or wait for long.

        Args:
            at: after it.
            rate: the peak learning rate.
            norm: of the gradients, before they were clipped; read later, as losses are.

        Raises:
            RunError: E922, a loss is not finite.
        """
        line: dict[str, Any] = {"kind": "step", "step": at.step, "epoch": at.epoch + 1}
        line["seconds"] = round(time.monotonic() - self.started, 3)
        line |= {"learning_rate": rate, "grad_norm": norm, **self.work.after(at.batch)}
        self._waiting.append({**line, "losses": self._losses})
        self._losses = []
        # Several processes record together, and their clocks differ.
        waited = time.monotonic() - self.flushed if self.fabric.world_size == 1 else 0.0
        if len(self._waiting) >= _RECORDED_AT_ONCE or waited >= _RECORDED_AFTER:
            self.flush(at)

    def flush(self, at: Position) -> None:
        """Write the steps that wait, and add their losses to the epoch's; raises as ``step``."""
        lines: list[dict[str, Any]] = []
        self.flushed = time.monotonic()
        for line in self._waiting:
            losses: list[Loss] = line.pop("losses")
            sums = torch.stack([loss.sum for loss in losses]).double().sum()
            items = torch.as_tensor(sum(loss.items for loss in losses), dtype=torch.float64)
            pair = torch.stack([sums, items.to(sums.device)])
            if self.fabric.world_size > 1:
                distributed.all_reduce(pair)
            total, count = map(float, pair)
            if not math.isfinite(total):
                raise _diverged(line["step"], self.options)
            at.loss, at.samples = at.loss + total, at.samples + count
            norm = float(whole_on_cpu(line["grad_norm"]))
            line["grad_norm"] = norm if math.isfinite(norm) else None
            lines.append({**line, "loss": total / (count or 1)})  # no token may have a label
        self._waiting = []
        self._write(lines)
        self._log(_rows(lines))

    def evaluating(self, split: str, samples: int, total: int) -> None:
        """Record how far the evaluation of a split is: at most every two seconds.

        Args:
            split: its name.
            samples: that are done, over all processes; 0 when it begins, ``total`` when it ends.
            total: of the split.
        """
        began, recorded = self._evaluation
        moment = time.monotonic()
        if samples in (0, total):
            self._evaluated()
            self._evaluation = moment, moment
        elif self.folder is not None and moment - recorded >= _EVALUATING_AFTER:
            self._evaluation = began, moment
            seconds = round(moment - began, 3)
            done = {"split": split, "samples": samples, "of": total, "seconds": seconds}
            self.folder.write_json(FACTS, {**self.folder.read_json(FACTS), "evaluating": done})

    def _evaluated(self) -> None:
        """Forget how far an evaluation was, if that was recorded."""
        began, recorded = self._evaluation
        if self.folder is not None and recorded > began:
            self.folder.write_json(FACTS, {**self.folder.read_json(FACTS), "evaluating": None})

    def epoch(self, at: Position, scores: Scores | None, *, is_best: bool) -> None:
        """An epoch is done and evaluated; ``flush`` was called."""
        line = {
            "kind": "epoch",
            "epoch": at.epoch + 1,
            "phase": at.phase + 1,
            "plan": self.options.phases[at.phase].label,
            "step": at.step,
            "train_loss": at.loss / (at.samples or 1),
            **(scores.to_dict() if scores else {}),
            "best": is_best,
            "seconds": round(time.monotonic() - self.started, 3),
        }
        self._write([line])
        parts = [f"epoch {line['epoch']}: train loss {line['train_loss']:.4f}"]
        if scores is not None:
            self._log(_rows([line]))
            parts.append(f"validation {format_numbers(scores.numbers)}")
        parts.append(f"{line['seconds']:.1f} s{', best so far' if is_best else ''}")
        self._line = ", ".join(parts)
        self.epochs.append(line)

    def show_epoch(self) -> None:
        """Draw the curves and report the last epoch, once its weights are saved."""
        if self.folder is not None:
            self.folder.write(CURVES, curves(self.epochs))
            self.report(self._line)

    def test(self, step: int, scores: Scores) -> None:
        """The test is done, after so many steps."""
        if self.folder is not None:
            self._write([{"kind": "test", **scores.to_dict()}])
            if self._tracking is not None:
                values = {f"test/{key}": n for key, n in scores.numbers.items()}
                self._tracking.result(step, values)
            self.report(f"test: {format_numbers(scores.numbers)}")

    def reached_limit(self) -> None:
        """Training has ended at ``max_steps``, before its epochs were over."""
        self.report(f"max_steps: training ends after {self.options.max_steps:,} steps")
        if self.folder is not None:
            facts = self.folder.read_json(FACTS)
            self.folder.write_json(FACTS, {**facts, "ended_by": "max_steps"})

    def report_written(self, name: str) -> None:
        """The report is there; empty: there is none for this task."""
        if name and self.folder is not None:
            self.report(f"report: {self.folder / name}")

    def _write(self, lines: list[dict[str, Any]]) -> None:
        self.lines += len(lines)
        if self.folder is not None:
            self.folder.append(METRICS, [json.dumps(_finite(line)) for line in lines])

    def _log(self, rows: Rows) -> None:
        if self._logs is not None:
            for step, values in rows:
                self._logs.record(values, step)
        if self._tracking is not None:
            self._tracking.metrics(rows)


def _rows(lines: Sequence[Mapping[str, Any]]) -> Rows:
    """Lines of steps and epochs as logs and services have them, without null."""
    rows: list[tuple[int, dict[str, float]]] = []
    for line in lines:
        names = {"train/loss": "loss", "learning_rate": "learning_rate", "grad_norm": "grad_norm"}
        if line["kind"] == "epoch":
            names = {f"validation/{key}": key for key in FIGURES if key in line}
        found = ((name, line.get(key)) for name, key in names.items())  # older runs lack some
        values = {name: value for name, value in found if value is not None}
        rows.append((line["step"], values))
    return rows


def _outcome(problem: BaseException) -> tuple[str, str]:
    """The status of a run that ends so, and its error if it is one."""
    if isinstance(problem, KeyboardInterrupt | SystemExit):  # at a second Ctrl-C
        return "stopped", ""
    if isinstance(problem, ArchspecError):
        return "failed", str(problem.problems[0])
    return "failed", type(problem).__name__


def _finite(line: dict[str, Any]) -> dict[str, Any]:
    """The line with null for infinity and NaN, which JSON lacks."""
    is_odd = {k: isinstance(v, float) and not math.isfinite(v) for k, v in line.items()}
    return {key: None if is_odd[key] else value for key, value in line.items()}


def _diverged(step: int, options: TrainOptions) -> RunError:
    message = f"the loss of step {step} is not finite"
    hint = f"a lower learning rate than {options.learning_rate:g} may help"
    return RunError(Problem("E922", message, hint=hint))
