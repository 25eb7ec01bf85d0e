"""Frozen work done once: activations of frozen layers for every row, on disk, and read back."""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from archspec.errors import ArchspecError, UsageError
from archspec.feature_cache import (
    ActivationCache,
    CacheStore,
    Frontier,
    NoFrontier,
    activation_key,
    find_frontier,
)
from archspec.freezing import freeze
from archspec.report.numbers import format_size
from archspec.report.progress import counting
from archspec.report.text import first_line
from archspec.training import environment
from archspec.training.data_feed import Batch, DataFeed, inputs_of, inputs_of_columns, moved
from archspec.training.engine import any_process, compiled
from archspec.training.options import TrainOptions
from archspec.training.reporting import Reporter
from archspec.training.run_folder import FREEZE, RunFolder

_TRIES = 3
Inputs = Callable[[str, Sequence[Sequence[int]]], Iterator[Batch]]


class CachedActivations:
    """Values from a cache, and the model from there on.

    Rows are computed in parts of fixed rows, whichever batch asks for one of them: the bytes in the
    cache do not depend on the order of training, nor on where a run was interrupted.

    Args:
        cache: with the rows of one split after the other, as ``lengths`` has them.
        lengths: split → of each row, in positions; None for rows that have none.
        inputs: the batches of some parts of a split.
        size: rows of a part, at most.
        dtype: of matrix products, in mixed precision.
    """

    def __init__(
        self,
        frontier: Frontier,
        cache: ActivationCache,
        lengths: Mapping[str, Sequence[int | None]],
        inputs: Inputs,
        size: int,
        device: torch.device,
        dtype: torch.dtype | None,
    ) -> None:
        self.frontier, self.cache, self._inputs = frontier, cache, inputs
        self._device, self._dtype = device, dtype
        self._starts: dict[str, int] = {}
        self._parts: dict[str, list[list[int]]] = {}
        self._shapes: dict[str, torch.Size] = {}
        start = 0
        for split, of_rows in lengths.items():
            self._starts[split], start = start, start + len(of_rows)
            self._parts[split] = parts(of_rows, size)

    @property
    def needs_inputs(self) -> bool:
        """Whether the rest takes more of the inputs than their shapes."""
        return bool(self.frontier.passed)

    def missing(self, split: str, rank: int = 0, world: int = 1) -> list[list[int]]:
        """The parts with rows that nobody has computed yet, of those that are this process's."""
        absent = set(self.cache.missing())
        start = self._starts[split]
        mine = self._parts[split][rank::world]
        return [part for part in mine if any(start + row in absent for row in part)]

    def compute(self, split: str, some: Sequence[Sequence[int]]) -> Iterator[int]:
        """Compute what is missing of some parts; gives the rows of each when it is done."""
        start = self._starts[split]
        mixed = torch.autocast(self._device.type, self._dtype, enabled=self._dtype is not None)
        for part, batch in zip(some, self._inputs(split, some), strict=True):
            with mixed:
                values = self.frontier.frozen(inputs_of(moved(batch, self._device)))
            absent = set(self.cache.absent([start + row for row in part]))
            at = [i for i, row in enumerate(part) if start + row in absent]
            chosen = torch.tensor(at, device=self._device)
            taken = {
                value.name: values[value.name].index_select(value.axis, chosen)
                for value in self.frontier.values
            }
            self.cache.write([start + part[i] for i in at], taken)
            yield len(part)

    def completed(self, split: str, batch: Batch) -> Batch:
        """A batch with the values of its rows; inputs that it lacks are there in shape only.

        Where the cache fails it has all inputs, and no values: the whole model is for it.
        """
        rows = batch["rows"].tolist()
        given = inputs_of(batch) or self._stand_ins(split, len(rows))
        padded = next(iter(given.values())).shape[1] if self._is_ragged else None
        for _ in range(_TRIES):  # another process may find a row damaged, and write it anew
            with contextlib.suppress(UsageError):
                return {**batch, **given, "values": self._values(split, rows, padded)}
        (whole,) = self._inputs(split, [rows])
        return {**batch, **inputs_of(whole)}

    def _values(self, split: str, rows: Sequence[int], padded: int | None) -> dict[str, Tensor]:
        start = self._starts[split]
        if absent := set(self.cache.absent([start + row for row in rows])):
            some = [p for p in self._parts[split] if any(start + row in absent for row in p)]
            for _ in self.compute(split, some):
                pass
        return self.cache.read([start + row for row in rows], length=padded)

    def outputs(self, model: Callable[..., Any], split: str, batch: Batch) -> Any:
        """What the model returns for a batch, from the values on."""
        try:
            if "lengths" not in batch:
                return self.frontier.rest(batch["values"], inputs_of(batch))
            parts = zip(self._values_of_columns(batch), inputs_of_columns(batch), strict=True)
            return [self.frontier.rest(values, inputs) for values, inputs in parts]
        except UsageError:  # for sizes like these the model does something else
            (whole,) = self._inputs(split, [batch["rows"].tolist()])
            return model(**inputs_of(moved(whole, self._device)))

    def _values_of_columns(self, batch: Batch) -> Iterator[dict[str, Tensor]]:
        """The values of a batch, cut as ``inputs_of_columns`` cuts its inputs."""
        size = len(batch["labels"])
        for i, length in enumerate(batch["lengths"]):
            values: dict[str, Tensor] = {}
            for stored in self.frontier.values:
                value = batch["values"][stored.name].narrow(stored.axis, i * size, size)
                for dim, known in enumerate(stored.shape):
                    if known is None:
                        value = value.narrow(dim + (dim >= stored.axis), 0, length)
                values[stored.name] = value
            yield values

    @property
    def _is_ragged(self) -> bool:
        return any(None in value.shape for value in self.cache.values)

    def _stand_ins(self, split: str, count: int) -> dict[str, Tensor]:
        if not self._shapes:
            (batch,) = self._inputs(split, [[0]])
            self._shapes = {name: value.shape[1:] for name, value in inputs_of(batch).items()}
        return {n: torch.zeros(()).expand(count, *shape) for n, shape in self._shapes.items()}


def parts(lengths: Sequence[int | None], size: int) -> list[list[int]]:
    """The rows that are computed together: of similar length, the longest first.

    >>> parts([3, 9, 5], 2), parts([None, None, None], 2)
    ([[1, 2], [0]], [[0, 1], [2]])
    """
    order = np.argsort([-(length or 0) for length in lengths], kind="stable").tolist()
    return [order[i : i + size] for i in range(0, len(order), size)]


AUTO, OFF = "auto", "off"
FOLDER = ".activations"  # beside the folders of runs
_TOLD_EVERY = 5.0  # seconds, in the log
_ROWS = 32  # computed together, at most
_MIXED = {"bf16-mixed": torch.bfloat16, "fp16-mixed": torch.float16}  # of matrix products
_MISHAPS = (ArchspecError, RuntimeError, OSError)  # after these a run continues without the cache


class CacheFiller:
    """Fills the cache of a phase before its first step, all processes together.

    Args:
        fabric: of the run.
        path: of the run's folder.
        stop: asked after each part.
        report: writes a line; says whether to draw a progress bar.
        computed: told at first, and from time to time, how many samples are computed, of how many,
            and in how many seconds.
    """

    def __init__(
        self,
        fabric: Fabric,
        feed: DataFeed,
        options: TrainOptions,
        path: Path,
        stop: threading.Event,
        report: Reporter,
        computed: Callable[[int, int, float], None],
    ) -> None:
        self.fabric, self.feed, self.options, self.path = fabric, feed, options, path
        self.stop, self.report, self.computed = stop, report, computed

    def fill(self, model: nn.Module) -> dict[str, Any]:
        """Set ``feed.reuse`` for a model with its plan; what was done for ``freeze.json``."""
        feed, options, device = self.feed, self.options, self.fabric.device
        feed.reuse = None
        frontier = _frontier(model, feed, options, device)
        reuse, reason = None, frontier.reason if isinstance(frontier, NoFrontier) else ""
        if isinstance(frontier, Frontier):
            store = cache_store_of(options, self.path)
            try:
                key = _key(frontier, feed, options, device)
                reuse = _opened(frontier, key, store, feed, options, device)
                if options.compile:
                    frontier.split.first.rest.compile(compiled)
            except _MISHAPS as error:
                reason = _reason(error)
        if self._all(reuse is not None) and reuse is not None:
            reason = self._fill(reuse)
        feed.reuse = reuse if self._all(not reason) else None
        if feed.reuse is not None and reuse is not None:
            return _work_record(reuse)
        reason = reason or "another process has no room for it"
        self.report(f"nothing is computed only once: {reason}")
        return {"reason": reason}

    def _fill(self, reuse: CachedActivations) -> str:
        """Fill the cache; the reason why that failed, or ""."""
        self.report(_format_work(reuse, len(reuse.cache)))
        began, reason, rows = time.monotonic(), "", 0
        fabric, started = self.fabric, environment.processes()
        local = started.local if started else fabric.world_size
        # Then what other machines have computed, if they have disks of their own.
        for rank, world in (
            (fabric.global_rank, fabric.world_size),
            (fabric.local_rank, local),
        ):
            try:
                if not self.stop.is_set():
                    rows += self._compute(reuse, rank, world)
            except _MISHAPS as error:  # the others wait for this process
                reason = _reason(error)
            fabric.barrier()
        if rows and not reason:
            self.report(f"{rows:,} samples computed in {time.monotonic() - began:.1f} s")
        return reason

    def _compute(self, reuse: CachedActivations, rank: int, world: int) -> int:
        splits = [name for name in ("train", "validation") if name in self.feed.data.splits]
        missing = {name: reuse.missing(name, rank, world) for name in splits}
        total, rows = sum(len(part) for some in missing.values() for part in some), 0
        began = told = time.monotonic()
        if rank == 0 and total:
            self.computed(0, total, 0.0)
        with counting("done once", total, drawn=self.report.verbose and rank == 0) as count:
            for split, some in missing.items():
                for done in reuse.compute(split, some):
                    rows += done
                    count(done)
                    if rank == 0 and rows < total and time.monotonic() - told > _TOLD_EVERY:
                        told = time.monotonic()
                        self.report.to_log(
                            f"frozen part computed once: {rows:,} of {total:,} samples"
                        )
                        self.computed(rows, total, told - began)
                    if self.stop.is_set():
                        return rows
        return rows

    def _all(self, decision: bool) -> bool:
        """Whether all processes say so."""
        return not any_process(self.fabric, not decision)[0]


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
    known = feed.reuse if isinstance(feed.reuse, CachedActivations) else None
    frontier = known.frontier if known else _frontier(model, feed, options, device)
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
    if options.checkpoint_blocks:
        return NoFrontier("activations are recomputed block by block")
    if options.quantize:
        return NoFrontier("the frozen weights are quantized")
    if options.max_steps is not None and options.max_steps < feed.train_steps:
        return NoFrontier("the run ends within its first epoch")
    if feed.is_masked:
        return NoFrontier("other tokens are masked in every epoch")
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
    dtype = _MIXED.get(options.precision)
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
