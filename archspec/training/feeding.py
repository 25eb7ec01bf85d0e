"""The batches of a run: each process takes its part of the same ones."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from archspec.data import Data, batches, encoder_for
from archspec.errors import DataError, Problem, UsageError
from archspec.spec import Spec

if TYPE_CHECKING:
    from torch import Tensor
    from torch.utils.data import DataLoader

    from archspec.data import ImageEncoder, TextEncoder
    from archspec.training.options import Options


class Batches:
    """Batches without a handle by which Lightning would choose an epoch of its own.

    Attributes:
        sizes: rows of each batch, those of all processes together.
    """

    def __init__(self, loader: DataLoader[Any], sizes: Callable[[], list[int]]) -> None:
        self._loader, self._sizes = loader, sizes

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        return iter(self._loader)

    @property
    def sizes(self) -> list[int]:
        return self._sizes()


class Feed:
    """Data and what makes a model's input of it.

    Attributes:
        data: with a split ``train``.
        encoder: for validation and test; training has its own, which may vary images.
        rank, world: which process of how many this is.
    """

    def __init__(
        self,
        data: Data,
        encoders: tuple[TextEncoder | ImageEncoder, TextEncoder | ImageEncoder],
        options: Options,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.data, self.options, self.rank, self.world = data, options, rank, world
        self._varied, self.encoder = encoders
        if options.batch_size % world:
            message = f"a batch of {options.batch_size} cannot be shared by {world} processes alike"
            raise UsageError(Problem("E801", message))
        for split in ("train", "validation"):
            if split in data.splits and not len(data.splits[split]):
                raise DataError(Problem("E904", f"the split {split} has no rows"))
        if "train" not in data.splits:
            raise DataError(Problem("E904", "there is no train split"))

    @property
    def classes(self) -> int:
        return len(self.data.labels)

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
        loader = batches(
            self.data.splits[name],
            encoder,
            batch_size=self.options.batch_size // world,
            shuffle=shuffle,
            seed=self.options.seed,
            epoch=epoch,
            start=start,
            workers=self.options.workers,
            rank=rank,
            world=world,
        )
        order: Any = loader.batch_sampler
        return Batches(loader, lambda: [len(rows) for rows in order.whole_batches()])


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
