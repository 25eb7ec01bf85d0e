"""Batches: rows of similar length together, in an order that depends only on seed and epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from archspec.data.causal_rows import causal_items
from archspec.data.checking import image_fault
from archspec.data.images import ImageEncoder, RandomKey
from archspec.data.masking import Masking
from archspec.data.masks import encode_mask
from archspec.data.report import Integers, Rows
from archspec.data.tables import joined
from archspec.data.texts import TextEncoder, word_starts
from archspec.data.token_counts import TokenCounts, total
from archspec.data.windows import AnswerWindows
from archspec.errors import DataError, Problem, UsageError
from archspec.tasks import IGNORED

Batch = dict[str, Any]  # tensors, and lengths
Item = tuple[int, int]  # row, epoch
# Rows are sorted by length within pools: large ones pad less, many mix better. With fewer than some
# eight pools an epoch has much the same batches as the one before, and models learn less by it.
_POOLS = 8
_POOL_BATCHES = (4, 50)  # the least and the most of a pool


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
    pin_memory: bool = False,
) -> DataLoader[Batch]:
    """Batches of rows, as the model takes them.

    Each batch is a dict of the model's inputs by name, with ``labels`` (int64 [batch]; of numbers
    float32 [batch], of several labels float32 [batch, classes], of tags int64 [batch, seq] with
    ``IGNORED`` for tokens that begin no word, of language models int64 [batch, seq] with
    ``IGNORED`` for tokens that are not predicted, of masks of images int64 [batch, height, width]
    with ``IGNORED`` for pixels without a class; left out where the rows have none)
    and ``rows`` (int64 [batch]: places in ``rows``). Of rows with answers, windows of their
    contexts take the place of rows, and ``labels`` are int64 [batch, 2]: the answer's first and
    last token. Of language models, parts of texts do, or blocks. Where each text of a row is an
    input of its own, a batch has the first texts of its rows, then the second ones, and so on;
    ``rows`` counts on with each column of texts, and ``lengths`` are the tokens of the longest in
    each.

    Texts are padded to the longest of their batch. For a model without a mask, texts that are not
    shuffled are not padded: each batch has texts of one length.
    ``loader.batch_sampler.set_epoch(n)``, which Lightning calls itself, moves to the start of
    another epoch.

    Args:
        rows: a split.
        encoder: what makes the model's input of a row.
        batch_size: rows per process.
        shuffle: whether each epoch has another order; otherwise the longest texts come first, or
            rows keep their order if ``by_length`` is False.
        seed: decides the order, the augmentation of images and the masking of tokens, together
            with the epoch. Tokens of rows that are not shuffled are always masked alike.
        epoch: from 0.
        start: batches of this epoch to skip, to resume in its middle.
        num_workers: processes that decode images; not used for texts.
        by_length: whether texts of similar length go together.
        rank, world: the number of this process, and of all: each takes its part of the same
            batches of ``batch_size × world`` rows. Rows of the last batch are repeated if there
            are too few for all processes: ``rows`` says which.
        drop_last: whether to leave out random rows instead of making an incomplete batch.
        context: how workers start, ``fork`` or ``spawn``. Default: as Python does.
        images: whether to read images; without them a batch has only ``labels`` and ``rows``.
        pin_memory: whether batches are in memory from which a GPU copies while it computes.

    Raises:
        UsageError: E801, a number is out of range.
    """
    _check(batch_size, epoch, start, num_workers, rank, world)
    one_length, lengths, columns, count = False, None, len(rows.columns), len(rows)
    dataset: Dataset[Any]
    collate: Any
    if isinstance(encoder, TextEncoder):
        # What is behind a token of a causal model, such as padding, changes nothing at it.
        needs_mask = not encoder.has_mask and rows.language != "causal-lm"
        one_length = by_length and not shuffle and needs_mask
        encoded = _encoded(encoder, rows)
        dataset = _Texts(encoded, rows, seed if shuffle else None)
        collate = _CollateTexts(encoder, columns, per_token=encoded.per_token)
        count = len(dataset) // columns
        if by_length:
            of_texts = encoded.lengths.reshape(columns, count)
            lengths = of_texts.sum(0)
            if one_length and columns > 1:  # of each column
                lengths = np.unique(of_texts, axis=1, return_inverse=True)[1].reshape(-1)
        num_workers = 0
    elif images:
        dataset, collate = _Images(rows, encoder, seed), _collate_images
    else:
        dataset, collate, num_workers = _Labels(rows, encoder, seed), _labels_and_rows, 0
    order = BatchOrder(
        count,
        lengths,
        batch_size,
        shuffle,
        seed,
        epoch,
        start,
        rank,
        world,
        drop_last,
        one_length,
        columns,
    )
    return _Loader(
        dataset,
        batch_sampler=order,
        collate_fn=collate,
        num_workers=num_workers,
        multiprocessing_context=context if num_workers else None,
        persistent_workers=num_workers > 0,
        pin_memory=pin_memory,
    )


def batches_of(
    rows: Rows,
    encoder: TextEncoder | ImageEncoder,
    parts: Sequence[Sequence[int]],
    *,
    num_workers: int = 0,
) -> DataLoader[Batch]:
    """The batches of these inputs, which ``rows`` of a batch count, without any variation."""
    if isinstance(encoder, TextEncoder):
        encoded = _encoded(encoder, rows)
        dataset: Dataset[Any] = _Texts(encoded, rows)
        collate: Any = _CollateTexts(encoder, per_token=encoded.per_token)
        num_workers = 0
    else:
        dataset, collate = _Images(rows, encoder, 0), _collate_images
    wanted = [[(row, 0) for row in part] for part in parts]
    return DataLoader(dataset, batch_sampler=wanted, collate_fn=collate, num_workers=num_workers)


class _Loader(DataLoader[Batch]):
    """Raises the error of a worker itself: torch would raise its traceback as text."""

    def __iter__(self) -> Iterator[Batch]:  # pyright: ignore[reportIncompatibleMethodOverride]
        for batch in super().__iter__():
            if isinstance(batch, DataError):
                raise batch
            yield batch


def _check(
    batch_size: int, epoch: int, start: int, num_workers: int, rank: int, world: int
) -> None:
    minimums = {"batch_size": (batch_size, 1), "epoch": (epoch, 0), "start": (start, 0),
             "num_workers": (num_workers, 0), "rank": (rank, 0), "world": (world, 1)}  # fmt: skip
    for name, (value, minimum) in minimums.items():
        if value < minimum:
            raise UsageError(Problem("E801", f"{name} is {minimum} or more, not {value}"))
    if rank >= world:
        raise UsageError(Problem("E801", f"rank {rank} is none of {world} processes"))


class BatchOrder(Sampler[list[Item]]):
    """Which rows are in which batch; each row comes with the epoch."""

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
        one_length: bool = False,
        columns: int = 1,
    ) -> None:
        self.columns = columns
        self.n, self.lengths, self.batch_size = n, lengths, batch_size
        self.shuffle, self.seed, self.epoch, self.start = shuffle, seed, epoch, start
        self.rank, self.world, self.drop_last, self.one_length = rank, world, drop_last, one_length

    @property
    def sampler(self) -> BatchOrder:
        """The object itself: Lightning calls ``set_epoch`` on it."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Move to the first batch of another epoch; does nothing if it is the current one."""
        if epoch != self.epoch:
            self.epoch, self.start = epoch, 0

    def go_to(self, epoch: int, start: int) -> None:
        """Move to the ``start``-th batch of an epoch."""
        self.epoch, self.start = epoch, start

    def __len__(self) -> int:
        if self.one_length:
            return max(len(self.all_batches()) - self.start, 0)
        size = self.batch_size * self.world
        count = self.n // size if self.drop_last else -(-self.n // size)
        return max(count - self.start, 0)

    def __iter__(self) -> Iterator[list[Item]]:
        for batch in self.all_batches()[self.start :]:
            missing = -len(batch) % self.world
            own_rows = np.concatenate([batch, np.resize(batch, missing)])[self.rank :: self.world]
            texts = (own_rows + column * self.n for column in range(self.columns))
            yield [(int(text), self.epoch) for of_column in texts for text in of_column]

    @property
    def _pool_batches(self) -> int:
        least, most = _POOL_BATCHES
        return min(max(self.n // (self.batch_size * self.world * _POOLS), least), most)

    def all_batches(self) -> list[Integers]:
        """The rows of each batch of this epoch, those of all processes together."""
        size = self.batch_size * self.world
        generator = np.random.Generator(np.random.PCG64([self.seed, self.epoch]))
        rows = generator.permutation(self.n) if self.shuffle else np.arange(self.n)
        if self.drop_last:
            rows = rows[: self.n - self.n % size]
        if self.lengths is None:
            return chunk_rows(rows, size)
        pool_size = size * self._pool_batches if self.shuffle else max(self.n, 1)
        batches: list[Integers] = []
        for pool_rows in chunk_rows(rows, pool_size):
            # Longest first, so that a batch that does not fit into memory fails at once.
            pool_rows = pool_rows[np.argsort(-self.lengths[pool_rows], kind="stable")]
            pool_batches = chunk_rows(pool_rows, size, self.lengths if self.one_length else None)
            order = (
                generator.permutation(len(pool_batches))
                if self.shuffle
                else range(len(pool_batches))
            )
            batches += [pool_batches[i] for i in order]
        return batches


def chunk_rows(rows: Integers, size: int, lengths: Integers | None = None) -> list[Integers]:
    """Cut rows into parts of at most ``size``; each of one length if ``lengths`` are given."""
    runs = [rows]
    if lengths is not None:
        runs = np.split(rows, np.flatnonzero(np.diff(lengths[rows])) + 1)
    return [run[i : i + size] for run in runs for i in range(0, len(run), size)]


# -------------------------------------------------------------------------------------------- texts


@dataclass(frozen=True, slots=True)
class _Encoded:
    """The token ids and types of all texts, concatenated, and where those of each text start.

    Attributes:
        targets: of each token, ``IGNORED`` for none; None where rows have the labels.
        windows: of contexts, where these are what has tokens, not rows.
        answers: of each window the first and last token of its answer.
        masking: what makes tokens and targets of an epoch; None where nothing is masked.
    """

    ids: np.ndarray
    types: np.ndarray | None
    starts: Integers
    counts: TokenCounts | None
    targets: np.ndarray | None = None
    windows: AnswerWindows | None = None
    answers: Integers | None = None
    masking: Masking | None = None

    @property
    def per_token(self) -> bool:
        """Whether each token has a target."""
        return self.targets is not None or self.masking is not None

    def seen(self, seed: int, epoch: int) -> tuple[np.ndarray, np.ndarray | None]:
        """The tokens and their targets in an epoch."""
        if self.masking is None:
            return self.ids, self.targets
        return self.masking.of(seed, epoch)

    @property
    def lengths(self) -> Integers:
        return np.diff(self.starts)


_Tokens = list[torch.Tensor]  # the ids of a text, and of a pair the types
_CHUNK = 10_000  # rows
_cache: WeakKeyDictionary[TextEncoder, WeakKeyDictionary[Rows, _Encoded]] = WeakKeyDictionary()


def token_counts(rows: Rows, encoder: TextEncoder) -> TokenCounts | None:
    """The tokens of a split's texts, and what is lost of them; None if it has no rows."""
    return _encoded(encoder, rows).counts


def text_lengths(rows: Rows, encoder: TextEncoder) -> Integers:
    """The number of tokens of each text, those of each column after the other."""
    return _encoded(encoder, rows).lengths


def text_items(rows: Rows, encoder: TextEncoder, seed: int = 0, epoch: int = 0) -> Integers | None:
    """What the loss of each text is summed over, if its labels do not say: tokens, or windows.

    Args:
        seed, epoch: of masks.
    """
    encoded = _encoded(encoder, rows)
    if encoded.answers is not None:
        return np.ones(len(encoded.answers), dtype=np.int64)
    _, targets = encoded.seen(seed, epoch)
    if targets is None:
        return None
    counts = np.cumsum(targets != IGNORED)
    return np.diff(np.concatenate([[0], counts])[encoded.starts])


def _encoded(encoder: TextEncoder, rows: Rows) -> _Encoded:
    """Computed once for each encoder and split."""
    cache = _cache.setdefault(encoder, WeakKeyDictionary())
    if rows not in cache and rows.language == "causal-lm":
        cache[rows] = _encoded_causal(encoder, rows)
    if rows not in cache and rows.has_answers:
        cache[rows] = _encoded_windows(encoder, rows)
    if rows not in cache:
        parts: list[np.ndarray] = []
        types: list[np.ndarray] = []
        targets: list[np.ndarray] = []
        lengths: list[int] = []
        counts: list[TokenCounts] = []
        starts = range(0, len(rows), _CHUNK)
        for column, start in ((column, start) for column in rows.columns for start in starts):
            chunk = column.select(np.arange(start, min(start + _CHUNK, len(rows))))
            if chunk.has_tags and chunk.labels is not None:
                words = chunk.words()
                begins = [*map(word_starts, words)]
                encoded, firsts = encoder.encode_words([*map(joined, words)], begins)
                targets += map(_token_targets, encoded.ids, firsts, chunk.labels)
            elif chunk.language:
                encoded = encoder.encode_parts(chunk.cells.texts(chunk.positions))
            else:
                encoded = encoder.encode_counted(chunk.texts())
            counts.append(encoded.counts)
            lengths += map(len, encoded.ids)
            parts += [np.array([i for ids in encoded.ids for i in ids], dtype=np.int32)]
            types += [np.array([i for ids in encoded.types or () for i in ids], dtype=np.int8)]
        ids = np.concatenate(parts) if parts else np.array([], dtype=np.int32)
        places = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        segments = np.concatenate(types) if types and rows.pair is not None else None
        of_tokens = np.concatenate(targets) if targets else None
        masking = Masking(ids, encoder) if rows.language else None
        cache[rows] = _Encoded(ids, segments, places, total(counts), of_tokens, masking=masking)
    return cache[rows]


def answer_windows(rows: Rows, encoder: TextEncoder) -> AnswerWindows:
    """The windows of the contexts of rows with answers, in the order of their numbers."""
    windows = _encoded(encoder, rows).windows
    assert windows is not None
    return windows


def _encoded_causal(encoder: TextEncoder, rows: Rows) -> _Encoded:
    ids, starts, counts, targets = causal_items(rows, encoder)
    return _Encoded(ids, None, starts, counts, targets)


def _encoded_windows(encoder: TextEncoder, rows: Rows) -> _Encoded:
    pairs = [(question, context) for question, context in rows.texts()]
    found = encoder.encode_windows(pairs)
    if found.too_long:
        first = int(rows.numbers[min(found.too_long)])
        count = f"{len(found.too_long):,} questions of {rows.split}, as that of row {first:,},"
        message = f"{count} leave too little of {encoder.max_length:,} tokens to their contexts"
        hint = "give a larger max_length= (--max-length), or take them out"
        raise DataError(Problem("E905", message, hint=hint))
    windows = AnswerWindows(found.owners, found.places, [one for _, one in pairs], rows.labels)
    answers, lost = windows.targets()
    encoded = found.encoded
    counts = replace(encoded.counts, targets=len(rows), lost=lost)
    ids = np.array([i for one in encoded.ids for i in one], dtype=np.int32)
    types = np.array([i for one in encoded.types or () for i in one], dtype=np.int8)
    starts = np.concatenate([[0], np.cumsum([*map(len, encoded.ids)], dtype=np.int64)])
    return _Encoded(ids, types, starts, counts, windows=windows, answers=answers)


def _token_targets(ids: Sequence[int], firsts: Sequence[int], tags: Integers) -> np.ndarray:
    """The tag of each token: that of its word for the first one of a word, else ``IGNORED``."""
    targets = np.full(len(ids), IGNORED, dtype=np.int32)
    places = np.array(firsts)
    targets[places[places >= 0]] = tags[places >= 0]
    return targets


@dataclass(frozen=True, slots=True)
class _Texts(Dataset[Any]):
    encoded: _Encoded
    rows: Rows
    seed: int | None = None  # of masks; None: the same in every epoch

    def __len__(self) -> int:
        return len(self.encoded.starts) - 1

    def __getitem__(self, item: Item) -> tuple[int, _Tokens, Any]:
        text, epoch = item
        part = slice(*self.encoded.starts[text : text + 2])
        masks = (0, 0) if self.seed is None else (self.seed, epoch)
        ids, targets = self.encoded.seen(*masks)
        columns = (ids, self.encoded.types)
        tokens = [torch.from_numpy(one[part]) for one in columns if one is not None]
        if targets is not None:
            return text, tokens, targets[part]
        if self.encoded.answers is not None:
            return text, tokens, self.encoded.answers[text]
        labels = self.rows.labels
        return text, tokens, None if labels is None else labels[text % len(self.rows)]


@dataclass(frozen=True, slots=True)
class _CollateTexts:
    encoder: TextEncoder
    columns: int = 1  # of texts that are inputs of their own
    per_token: bool = False

    def __call__(self, items: Sequence[tuple[int, _Tokens, Any]]) -> Batch:
        columns = zip(*(tokens for _, tokens, _ in items), strict=True)
        if self.per_token:
            size = max(len(targets) for *_, targets in items)
            items = [(row, tokens, _padded(targets, size)) for row, tokens, targets in items]
        batch = {**self.encoder.collate(*map(list, columns)), **_labels_and_rows(items)}
        if self.columns > 1:
            size = len(items) // self.columns
            batch["labels"] = batch["labels"][:size]
            sizes = [len(tokens[0]) for _, tokens, _ in items]
            batch["lengths"] = tuple(max(sizes[i : i + size]) for i in range(0, len(items), size))
        return batch


def _padded(targets: np.ndarray, size: int) -> Integers:
    more = np.full(size - len(targets), IGNORED)
    return np.concatenate([targets, more]).astype(np.int64)


# ------------------------------------------------------------------------------------------- images


_Image = tuple[int, Batch, Any] | DataError  # row, pixels, label


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
            key = (self.seed, epoch, row)
            pixels = self.encoder.encode(data, key)
            return row, {self.encoder.name: pixels}, _target(self.rows, row, self.encoder, key)
        except Exception as error:  # decoders of broken files raise errors of any type
            return _changed(self.rows, row, error)


@dataclass(frozen=True, slots=True)
class _Labels(Dataset[Any]):
    rows: Rows
    encoder: ImageEncoder
    seed: int

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, item: Item) -> tuple[int, None, Any]:
        row, epoch = item
        try:
            return row, None, _target(self.rows, row, self.encoder, (self.seed, epoch, row))
        except Exception as error:
            raise _changed(self.rows, row, error) from None


def _target(rows: Rows, row: int, encoder: ImageEncoder, key: RandomKey) -> Any:
    """The label of an image, or those of its pixels, which vary as it does."""
    if rows.masks is not None:
        return encode_mask(encoder, rows.mask(row), key)
    return None if rows.labels is None else rows.labels[row]


def _changed(rows: Rows, row: int, error: Exception) -> DataError:
    fault = ": ".join(filter(None, image_fault(error)))
    message = f"row {int(rows.numbers[row])} of {rows.split} is not what was checked: {fault}"
    hint = "its file has changed, or the task's image settings have"
    return DataError(Problem("E901", message, hint=hint))


def _collate_images(items: Sequence[_Image]) -> Batch | DataError:
    images: list[tuple[int, Batch, Any]] = []
    for item in items:
        if isinstance(item, DataError):
            return item
        images.append(item)
    (name,) = images[0][1]
    pixels = torch.stack([batch[name] for _, batch, _ in images])
    return {name: pixels, **_labels_and_rows(images)}


def _labels_and_rows(items: Sequence[tuple[int, Any, Any]]) -> Batch:
    rows = torch.tensor([row for row, _, _ in items], dtype=torch.int64)
    labels = [label for _, _, label in items]
    if any(label is None for label in labels):
        return {"rows": rows}
    targets = np.stack(labels)
    kind = np.int64 if targets.dtype == np.int64 else np.float32  # what losses take
    return {"labels": torch.from_numpy(targets.astype(kind)), "rows": rows}
