"""Fills the feature cache before a phase: activations of frozen layers, for every row."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from archspec.errors import ArchspecError, UsageError
from archspec.feature_cache import CacheStore, Frontier, NoFrontier, activation_key, find_frontier
from archspec.freezing import freeze
from archspec.report.numbers import format_size
from archspec.report.progress import counting
from archspec.report.text import first_line
from archspec.training.cached_activations import CachedActivations, inputs_of, moved
from archspec.training.checkpoint_callback import CheckpointCallback
from archspec.training.classifier_module import MIXED, ClassifierModule
from archspec.training.data_feed import DataFeed
from archspec.training.lightning_import import pl
from archspec.training.options import TrainOptions
from archspec.training.run_folder import FREEZE, RunFolder
from archspec.training.signals import Stopped

AUTO, OFF = "auto", "off"
FOLDER = ".activations"  # beside the folders of runs
_ROWS = 32  # computed together, at most
_MISHAPS = (ArchspecError, RuntimeError, OSError)  # after these a run continues without the cache


class CacheFiller(pl.Callback):
    """Fills the cache of a phase before its first step, all processes together.

    Args:
        checkpoints: has the run's folder, and whether to stop.
        report: writes a line.
        drawn: whether to draw a progress bar.
    """

    def __init__(
        self, checkpoints: CheckpointCallback, report: Callable[[str], None], drawn: bool
    ) -> None:
        self.checkpoints, self.report, self.drawn = checkpoints, report, drawn

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, ClassifierModule) and self.checkpoints.path is not None
        feed, options = pl_module.feed, pl_module.options
        feed.reuse = None
        frontier = _frontier(pl_module.model, feed, options, pl_module.device)
        reuse, reason = None, frontier.reason if isinstance(frontier, NoFrontier) else ""
        if isinstance(frontier, Frontier):
            store = cache_store_of(options, self.checkpoints.path)
            try:
                key = _key(frontier, feed, options, pl_module.device)
                reuse = _opened(frontier, key, store, feed, options, pl_module.device)
            except _MISHAPS as error:
                reason = _reason(error)
        if _all(trainer, reuse is not None) and reuse is not None:
            reason = self._fill(trainer, reuse, feed)
        feed.reuse = reuse if _all(trainer, not reason) else None
        if feed.reuse is not None:
            self._note(pl_module, _work_record(feed.reuse))
        else:
            reason = reason or "another process has no room for it"
            self.report(f"nothing is computed only once: {reason}")
            self._note(pl_module, {"reason": reason})
        if not _all(trainer, not self.checkpoints.stop.is_set()):
            raise Stopped

    def _fill(self, trainer: pl.Trainer, reuse: CachedActivations, feed: DataFeed) -> str:
        """Fill the cache; the reason why that failed, or ""."""
        self.report(_format_work(reuse, len(reuse.cache)))
        began, reason, rows = time.monotonic(), "", 0
        # Then what other machines have computed, if they have disks of their own.
        for rank, world in (
            (trainer.global_rank, trainer.world_size),
            (trainer.local_rank, trainer.num_devices),
        ):
            try:
                if not self.checkpoints.stop.is_set():
                    rows += self._compute(reuse, feed, rank, world)
            except _MISHAPS as error:  # the others wait for this process
                reason = _reason(error)
            trainer.strategy.barrier()
        if rows and not reason:
            self.report(f"{rows:,} samples computed in {time.monotonic() - began:.1f} s")
        return reason

    def _compute(self, reuse: CachedActivations, feed: DataFeed, rank: int, world: int) -> int:
        splits = [name for name in ("train", "validation") if name in feed.data.splits]
        missing = {name: reuse.missing(name, rank, world) for name in splits}
        total, rows = sum(len(part) for some in missing.values() for part in some), 0
        with counting("done once", total, drawn=self.drawn and rank == 0) as count:
            for split, some in missing.items():
                for done in reuse.compute(split, some):
                    rows += done
                    count(done)
                    if self.checkpoints.stop.is_set():
                        return rows
        return rows

    def _note(self, classifier: ClassifierModule, content: dict[str, Any]) -> None:
        folder = self.checkpoints.folder
        if folder is not None:
            phases = folder.read_json(FREEZE)["phases"]
            phases[classifier.position.phase]["activations"] = content
            folder.write_json(FREEZE, {"phases": phases})


def for_test(
    model: nn.Module, feed: DataFeed, options: TrainOptions, folder: RunFolder, device: torch.device
) -> CachedActivations | None:
    """The cache of the last phase for testing the best weights, if its plan froze the same.

    A run that is resumed only for its test uses it as well.
    """
    phases = folder.read_json(FREEZE).get("phases") or [{}]
    record: Any = phases[-1].get("activations") or {}
    store = cache_store_of(options, folder.path)
    if str(record.get("key")) not in store:
        return None
    freeze(model, options.phases[-1].patterns)
    model.to(device).train()
    frontier = feed.reuse.frontier if feed.reuse else _frontier(model, feed, options, device)
    if isinstance(frontier, NoFrontier):
        return None
    key = _key(frontier, feed, options, device)
    if key != record["key"]:
        return None
    try:
        return _opened(frontier, key, store, feed, options, device)
    except UsageError:
        return None


def cache_store_of(options: TrainOptions, run: Path) -> CacheStore:
    """The cache of a run: beside its folder, or where its options say."""
    folder = run.parent / FOLDER if options.feature_cache == AUTO else Path(options.feature_cache)
    return CacheStore(folder, int(options.feature_cache_size * 2**30))


def _frontier(
    model: nn.Module, feed: DataFeed, options: TrainOptions, device: torch.device
) -> Frontier | NoFrontier:
    if options.feature_cache == OFF:
        return NoFrontier("the cache is off")
    if "fsdp" in options.strategy:
        return NoFrontier("the parameters are sharded over processes")
    try:
        example, lengths = feed.example()
        inputs = inputs_of(moved(example, device))
        return find_frontier(model, inputs, lengths=lengths, augmented=feed.is_varied)
    except _MISHAPS as error:
        return NoFrontier(_reason(error))


def _opened(
    frontier: Frontier,
    key: str,
    store: CacheStore,
    feed: DataFeed,
    options: TrainOptions,
    device: torch.device,
) -> CachedActivations:
    lengths: Mapping[str, list[int | None]] = {
        name: feed.lengths(name)
        for name in ("train", "validation", "test")
        if name in feed.data.splits
    }
    every = [length for of_rows in lengths.values() for length in of_rows]
    cache = store.open(key, frontier.values, every)
    dtype = MIXED.get(options.precision)
    return CachedActivations(frontier, cache, lengths, feed.of, _rows(options), device, dtype)


def _key(frontier: Frontier, feed: DataFeed, options: TrainOptions, device: torch.device) -> str:
    return activation_key(
        frontier,
        data=feed.data.fingerprint,
        preprocessing=hashlib.sha256(feed.encoder.definition.encode()).hexdigest(),
        precision=f"{arithmetic(device)}, {options.precision}, {_rows(options)} rows together",
    )


def arithmetic(device: torch.device) -> str:
    """The name of a device and the precision of its matrix products."""
    facts = [device.type, torch.get_float32_matmul_precision()]
    if device.type == "cuda":
        both = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
        facts += [torch.cuda.get_device_name(device), *map(str, both)]
    return ", ".join(facts)


def _rows(options: TrainOptions) -> int:
    return min(_ROWS, options.batch_size)


def _work_record(reuse: CachedActivations) -> dict[str, Any]:
    cache = reuse.cache
    return {
        **reuse.frontier.to_dict(),
        "samples": len(cache),
        "bytes": cache.total,
        "folder": str(cache.path.parent),
        "key": cache.path.name,
    }


def _format_work(reuse: CachedActivations, samples: int) -> str:
    names = ", ".join(value.name for value in reuse.frontier.values)
    size = format_size(reuse.cache.total)
    share = f"{reuse.frontier.share:.1%} of a forward pass"
    return f"done once: {share}, kept is {names} of {samples:,} samples, {size}"


def _reason(error: Exception) -> str:
    return first_line(error.message if isinstance(error, UsageError) else error)


def _all(trainer: pl.Trainer, decision: bool) -> bool:
    """Whether all processes say so."""
    if trainer.world_size == 1:
        return decision
    return trainer.strategy.reduce_boolean_decision(decision, all=True)
