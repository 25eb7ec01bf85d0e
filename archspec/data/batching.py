"""Batches: rows of similar length together, in an order that seed and epoch alone decide."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from archspec.data.checking import image_fault
from archspec.data.images import ImageEncoder
from archspec.data.report import Integers, Rows
from archspec.data.texts import TextEncoder
from archspec.data.token_counts import TokenCounts, total
from archspec.errors import DataError, Problem, UsageError

Batch = dict[str, torch.Tensor]
Item = tuple[int, int]  # row, epoch
POOL = 50  # batches among which rows are sorted by length: more pad less, fewer mix better


def batches(
    rows: Rows,
    encoder: TextEncoder | ImageEncoder,
    *,
    batch_size: int,
    shuffle: bool,
    seed: int = 0,
    epoch: int = 0,
    start: int = 0,
    num_workers: int = 0,
    by_length: bool = True,
    rank: int = 0,
    world: int = 1,
    drop_last: bool = False,
    context: str | None = None,
    images: bool = True,
) -> DataLoader[Batch]:
    """Batches of rows, as the model takes them.

    Each batch is a dict of the model's inputs by name, with ``labels`` (int64 [batch], left out
    where the rows have none) and ``rows`` (int64 [batch]: places in ``rows``). Texts are padded to
    the longest of their batch; unless they are shuffled, those for a model that takes no mask are
    not padded, and each batch has texts of one length. ``loader.batch_sampler.set_epoch(n)``,
    which Lightning calls by itself, goes on to another epoch, from its first batch.

    Args:
        rows: a split.
        encoder: what makes the model's input of a row.
        batch_size: rows a process.
        shuffle: whether rows come in another order each epoch; without it texts come longest
            first, or as they are if ``by_length`` is False.
        seed: decides the order, and how images vary, together with the epoch.
        epoch: from 0.
        start: batches of this epoch to leave out, for going on in its middle.
        num_workers: processes that decode images; texts need none.
        by_length: whether texts of similar length go together.
        rank, world: which of how many processes this is: each takes its part of the same batches
            of ``batch_size × world`` rows. Rows of the last are repeated if they would not go
            round: ``rows`` tells which.
        drop_last: whether rows are left out, by chance, that would make an incomplete batch.
        context: how workers start, ``fork`` or ``spawn``; left out: as Python does.
        images: whether images are read; without them a batch has ``labels`` and ``rows`` alone.

    Raises:
        UsageError: E801, a number is out of range.
    """
    _check(batch_size, epoch, start, num_workers, rank, world)
    apart = False
    if isinstance(encoder, TextEncoder):
        apart = by_length and not shuffle and not encoder.has_mask
        encoded = _encoded(encoder, rows)
        dataset: Dataset[Any] = _Texts(encoded, rows.labels)
        lengths = encoded.lengths if by_length else None
        collate: Any = _CollateTexts(encoder)
        num_workers = 0
    elif images:
        dataset, lengths, collate = _Images(rows, encoder, seed), None, _collate_images
    else:
        dataset, lengths, collate, num_workers = _Labels(rows), None, _ends, 0
    order = BatchOrder(
        len(rows), lengths, batch_size, shuffle, seed, epoch, start, rank, world, drop_last, apart
    )
    return _Loader(
        dataset,
        batch_sampler=order,
        collate_fn=collate,
        num_workers=num_workers,
        multiprocessing_context=context if num_workers else None,
        persistent_workers=num_workers > 0,
    )


class _Loader(DataLoader[Batch]):
    """Raises what went wrong in a worker: torch would make a traceback of it, as text."""

    def __iter__(self) -> Iterator[Batch]:  # pyright: ignore[reportIncompatibleMethodOverride]
        for batch in super().__iter__():
            if isinstance(batch, DataError):
                raise batch
            yield batch


def _check(
    batch_size: int, epoch: int, start: int, num_workers: int, rank: int, world: int
) -> None:
    least = {"batch_size": (batch_size, 1), "epoch": (epoch, 0), "start": (start, 0),
             "num_workers": (num_workers, 0), "rank": (rank, 0), "world": (world, 1)}  # fmt: skip
    for name, (value, floor) in least.items():
        if value < floor:
            raise UsageError(Problem("E801", f"{name} is {floor} or more, not {value}"))
    if rank >= world:
        raise UsageError(Problem("E801", f"rank {rank} is none of {world} processes"))


class BatchOrder(Sampler[list[Item]]):
    """Which rows make up which batch; each row with the epoch it is wanted for."""

    def __init__(
        self,
        n: int,
        lengths: Integers | None,
        batch_size: int,
        shuffle: bool,
        seed: int,
        epoch: int,
        start: int,
        rank: int,
        world: int,
        drop_last: bool,
        apart: bool = False,
    ) -> None:
        self.n, self.lengths, self.batch_size = n, lengths, batch_size
        self.shuffle, self.seed, self.epoch, self.start = shuffle, seed, epoch, start
        self.rank, self.world, self.drop_last, self.apart = rank, world, drop_last, apart

    @property
    def sampler(self) -> BatchOrder:
        """Itself: where Lightning looks for a ``set_epoch`` to call."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Go on to another epoch, from its first batch; nothing happens if it is this one."""
        if epoch != self.epoch:
            self.epoch, self.start = epoch, 0

    def go_to(self, epoch: int, start: int) -> None:
        """Go on with another epoch, from its ``start``-th batch."""
        self.epoch, self.start = epoch, start

    def __len__(self) -> int:
        if self.apart:
            return max(len(self.whole_batches()) - self.start, 0)
        size = self.batch_size * self.world
        whole = self.n // size if self.drop_last else -(-self.n // size)
        return max(whole - self.start, 0)

    def __iter__(self) -> Iterator[list[Item]]:
        for batch in self.whole_batches()[self.start :]:
            short = -len(batch) % self.world
            mine = np.concatenate([batch, np.resize(batch, short)])[self.rank :: self.world]
            yield [(int(row), self.epoch) for row in mine]

    def whole_batches(self) -> list[Integers]:
        """The rows of each batch of this epoch, those of all processes together."""
        size = self.batch_size * self.world
        chance = np.random.Generator(np.random.PCG64([self.seed, self.epoch]))
        rows = chance.permutation(self.n) if self.shuffle else np.arange(self.n)
        if self.drop_last:
            rows = rows[: self.n - self.n % size]
        if self.lengths is None:
            return cut(rows, size)
        pool = size * POOL if self.shuffle else max(self.n, 1)
        found: list[Integers] = []
        for part in cut(rows, pool):
            # Longest first: what does not fit into memory shows at once.
            part = part[np.argsort(-self.lengths[part], kind="stable")]
            parts = cut(part, size, self.lengths if self.apart else None)
            order = chance.permutation(len(parts)) if self.shuffle else range(len(parts))
            found += [parts[i] for i in order]
        return found


def cut(rows: Integers, size: int, lengths: Integers | None = None) -> list[Integers]:
    """Rows in parts of ``size`` at most; each of one length, where ``lengths`` are given."""
    runs = [rows]
    if lengths is not None:
        runs = np.split(rows, np.flatnonzero(np.diff(lengths[rows])) + 1)
    return [run[i : i + size] for run in runs for i in range(0, len(run), size)]


# -------------------------------------------------------------------------------------------- texts


@dataclass(frozen=True, slots=True)
class _Encoded:
    """The token ids of all rows, one after the other, and where each row's begin."""

    ids: np.ndarray
    starts: Integers
    counts: TokenCounts | None

    @property
    def lengths(self) -> Integers:
        return np.diff(self.starts)


_CHUNK = 10_000  # rows
_known: WeakKeyDictionary[TextEncoder, WeakKeyDictionary[Rows, _Encoded]] = WeakKeyDictionary()


def token_counts(rows: Rows, encoder: TextEncoder) -> TokenCounts | None:
    """The tokens of a split's texts, and what is lost of them; None if it has no rows."""
    return _encoded(encoder, rows).counts


def _encoded(encoder: TextEncoder, rows: Rows) -> _Encoded:
    """Made once for each encoder and split."""
    known = _known.setdefault(encoder, WeakKeyDictionary())
    if rows not in known:
        parts: list[np.ndarray] = []
        lengths: list[int] = []
        counts: list[TokenCounts] = []
        for start in range(0, len(rows), _CHUNK):
            some = rows.select(np.arange(start, min(start + _CHUNK, len(rows))))
            found = encoder.encode_counted(some.texts())
            counts.append(found.counts)
            lengths += map(len, found.ids)
            parts += [np.array([i for ids in found.ids for i in ids], dtype=np.int32)]
        ids = np.concatenate(parts) if parts else np.array([], dtype=np.int32)
        starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        known[rows] = _Encoded(ids, starts, total(counts))
    return known[rows]


@dataclass(frozen=True, slots=True)
class _Texts(Dataset[Any]):
    encoded: _Encoded
    labels: Integers | None

    def __len__(self) -> int:
        return len(self.encoded.starts) - 1

    def __getitem__(self, item: Item) -> tuple[int, torch.Tensor, int | None]:
        row, _ = item
        first, last = self.encoded.starts[row : row + 2]
        label = None if self.labels is None else int(self.labels[row])
        return row, torch.from_numpy(self.encoded.ids[first:last]), label


@dataclass(frozen=True, slots=True)
class _CollateTexts:
    encoder: TextEncoder

    def __call__(self, items: Sequence[tuple[int, torch.Tensor, int | None]]) -> Batch:
        return {**self.encoder.collate([ids for _, ids, _ in items]), **_ends(items)}


# ------------------------------------------------------------------------------------------- images


_Image = tuple[int, Batch, int | None] | DataError  # row, pixels, label


@dataclass(frozen=True, slots=True)
class _Images(Dataset[Any]):
    rows: Rows
    encoder: ImageEncoder
    seed: int

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, item: Item) -> _Image:
        row, epoch = item
        try:
            data = self.rows[row]
            assert isinstance(data, bytes)
            pixels = self.encoder.encode(data, (self.seed, epoch, row))
        except Exception as error:  # decoders of broken files raise whatever they come to
            return self._changed(row, error)
        label = None if self.rows.labels is None else int(self.rows.labels[row])
        return row, {self.encoder.name: pixels}, label

    def _changed(self, row: int, error: Exception) -> DataError:
        said = ": ".join(filter(None, image_fault(error)))
        number = int(self.rows.numbers[row])
        message = f"row {number} of {self.rows.split} is not what was checked: {said}"
        hint = "its file has changed, or the task's image settings have"
        return DataError(Problem("E901", message, hint=hint))


@dataclass(frozen=True, slots=True)
class _Labels(Dataset[Any]):
    rows: Rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, item: Item) -> tuple[int, None, int | None]:
        row, _ = item
        return row, None, None if self.rows.labels is None else int(self.rows.labels[row])


def _collate_images(items: Sequence[_Image]) -> Batch | DataError:
    found: list[tuple[int, Batch, int | None]] = []
    for item in items:
        if isinstance(item, DataError):
            return item
        found.append(item)
    (name,) = found[0][1]
    pixels = torch.stack([batch[name] for _, batch, _ in found])
    return {name: pixels, **_ends(found)}


def _ends(items: Sequence[tuple[int, Any, int | None]]) -> Batch:
    rows = torch.tensor([row for row, _, _ in items], dtype=torch.int64)
    labels = [label for _, _, label in items]
    if any(label is None for label in labels):
        return {"rows": rows}
    return {"labels": torch.tensor(labels, dtype=torch.int64), "rows": rows}
