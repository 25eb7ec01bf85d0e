"""The batches of a run: each process takes its part of the same ones."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from torch.utils.data import DataLoader

from archspec.data import Data, TextEncoder, batches, encoder_for
from archspec.data.batching import token_counts
from archspec.data.token_counts import TokenCounts, total
from archspec.errors import DataError, Problem, UsageError
from archspec.lang.spec import Spec
from archspec.tasks import find
from archspec.training.cached_activations import Batch, CachedActivations

if TYPE_CHECKING:
    from archspec.data import ImageEncoder
    from archspec.training.options import TrainOptions


class Batches:
    """Batches without a handle by which Lightning would choose an epoch of its own.

    Args:
        loader: made for batches with images, or without.
        reuse: what is in the cache, when the first batch is asked for.
    """

    def __init__(
        self, split: str, loader: Callable[[bool], DataLoader[Any]], reuse: Callable[[], Any]
    ) -> None:
        self._split, self._loader = split, loader
        self._reuse: Callable[[], CachedActivations | None] = reuse
        self._order: Any = loader(True).batch_sampler

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[Batch]:
        reuse = self._reuse()
        if reuse is None:
            yield from self._loader(True)
            return
        for batch in self._loader(reuse.needs_inputs):
            yield reuse.completed(self._split, batch)

    @property
    def sizes(self) -> list[int]:
        """Rows of each batch, those of all processes together."""
        return [len(rows) for rows in self._order.all_batches()]

    @property
    def items(self) -> list[int]:
        """What the loss of each batch is summed over, of all processes together: rows."""
        return self.sizes


class DataFeed:
    """Data and what makes a model's input of it.

    Attributes:
        data: with a split ``train``.
        encoder: for validation and test; training has its own, which may vary images.
        objective: the loss and the scores.
        rank, world: which process of how many this is.
        reuse: what this phase has in its cache; None if it has none.
    """

    def __init__(
        self,
        data: Data,
        encoders: tuple[TextEncoder | ImageEncoder, TextEncoder | ImageEncoder],
        options: TrainOptions,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.data, self.options, self.rank, self.world = data, options, rank, world
        self._varied, self.encoder = encoders
        self.objective = find(data.task_kind)(data.labels)
        self.reuse: CachedActivations | None = None
        self._kept: dict[tuple[Any, ...], DataLoader[Any]] = {}
        if options.batch_size % world:
            message = f"a batch of {options.batch_size} cannot be shared by {world} processes alike"
            raise UsageError(Problem("E801", message))
        for split in ("train", "validation"):
            if split in data.splits and not len(data.splits[split]):
                raise DataError(Problem("E904", f"the split {split} has no rows"))
        if "train" not in data.splits:
            raise DataError(Problem("E904", "there is no train split"))

    def token_counts(self) -> TokenCounts | None:
        """Of the texts of all splits; None for images."""
        encoder = self.encoder
        if not isinstance(encoder, TextEncoder):
            return None
        counts = [token_counts(rows, encoder) for rows in self.data.splits.values()]
        return total([one for one in counts if one is not None])

    @property
    def train_batches(self) -> int:
        """Batches of an epoch."""
        return -(-len(self.data.splits["train"]) // self.options.batch_size)

    def train(self, epoch: int, start: int) -> Batches:
        """The batches of an epoch, from its ``start``-th."""
        return self._batches("train", self._varied, True, epoch, start, self.rank, self.world)

    def split(self, name: str, *, whole: bool = False) -> Batches:
        """The batches of a split, in a fixed order; ``whole``: for one process alone."""
        rank, world = (0, 1) if whole else (self.rank, self.world)
        return self._batches(name, self.encoder, False, 0, 0, rank, world)

    @property
    def is_varied(self) -> bool:
        """Whether a row looks different in every epoch."""
        return self._varied.definition != self.encoder.definition

    def lengths(self, split: str) -> list[int | None]:
        """Of each row, in positions; None for images."""
        order: Any = self._plain(split).batch_sampler
        return [None] * order.n if order.lengths is None else order.lengths.tolist()

    def of(self, split: str, parts: Sequence[Sequence[int]]) -> Iterator[Batch]:
        """The batches of these rows, as they are: nothing varies."""
        plain = self._plain(split)
        wanted = [[(row, 0) for row in part] for part in parts]
        workers = 0 if plain.num_workers == 0 else min(plain.num_workers, len(parts))
        return iter(
            DataLoader(
                plain.dataset,
                batch_sampler=wanted,
                collate_fn=plain.collate_fn,
                num_workers=workers,
            )
        )

    def example(self) -> tuple[Batch, list[int] | None]:
        """A batch of training of different lengths, always the same; and these lengths."""
        lengths = self.lengths("train")
        order = sorted(range(len(lengths)), key=lambda row: (lengths[row] or 0, row))
        rows = [order[i * (len(order) - 1) // 3] for i in (3, 2, 1, 0)]
        (batch,) = self.of("train", [rows])
        known = [length for row in rows if (length := lengths[row]) is not None]
        return batch, known or None

    def _plain(self, split: str) -> DataLoader[Any]:
        return batches(
            self.data.splits[split],
            self.encoder,
            batch_size=1,
            shuffle=False,
            num_workers=self.options.num_workers,
        )

    def _batches(
        self,
        name: str,
        encoder: TextEncoder | ImageEncoder,
        shuffle: bool,
        epoch: int,
        start: int,
        rank: int,
        world: int,
    ) -> Batches:
        def loader(images: bool) -> DataLoader[Any]:
            key = (name, shuffle, rank, world, images)
            if key not in self._kept:  # its workers go on from epoch to epoch
                self._kept[key] = batches(
                    self.data.splits[name],
                    encoder,
                    batch_size=self.options.batch_size // world,
                    shuffle=shuffle,
                    seed=self.options.seed,
                    num_workers=self.options.num_workers,
                    rank=rank,
                    world=world,
                    images=images,
                )
            order: Any = self._kept[key].batch_sampler
            order.go_to(epoch, start)
            return self._kept[key]

        return Batches(name, loader, lambda: self.reuse)


def encoders(
    spec: Spec,
    weights: str | os.PathLike[str] | None,
    tokenizer: str | os.PathLike[str] | None,
    max_length: int | None,
) -> tuple[TextEncoder | ImageEncoder, TextEncoder | ImageEncoder]:
    """The encoders for training and for everything else; of texts they are one.

    Raises:
        DataError: E902 or E905, as ``encoder_for``.
    """
    given: dict[str, Any] = {"weights": weights, "tokenizer": tokenizer, "max_length": max_length}
    plain = encoder_for(spec, **given)
    is_image = spec.architecture.task and spec.architecture.task.kind == "image-classification"
    return (encoder_for(spec, train=True, **given) if is_image else plain), plain
