"""The data of a run: opened, and opened again; and its batches, a part for each process."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from archspec.building.devices import pick_device
from archspec.data import Data, TextEncoder, batches, encoder_for, open_data
from archspec.data.batching import (
    answer_windows,
    batches_of,
    text_items,
    text_lengths,
    token_counts,
)
from archspec.data.class_weights import class_weights
from archspec.data.in_memory import is_in_memory
from archspec.data.report import Integers
from archspec.data.token_counts import TokenCounts, total
from archspec.errors import DataError, Problem, RunError, UsageError, listing
from archspec.freezing.modes import evaluating
from archspec.lang.spec import Spec
from archspec.tasks import find, models_language, takes_images
from archspec.tasks.classification import Criterion, WeightedObjective
from archspec.tasks.image_segmentation import ImageSegmentation
from archspec.tasks.language_model import LanguageModel
from archspec.tasks.objective import Metrics
from archspec.tasks.own_loss import OwnLoss
from archspec.tasks.question_answering import QuestionAnswering
from archspec.training.options import TrainOptions
from archspec.training.run import Run

if TYPE_CHECKING:
    from archspec.data import ImageEncoder

Batch = dict[str, Any]
_FEW_TOKENS = 16  # that a model is tried out on
BESIDE = ("labels", "rows", "lengths", "values")  # what a batch holds that is no input


class Reuse(Protocol):
    """What was computed before an epoch, and need not be computed again."""

    @property
    def needs_inputs(self) -> bool: ...

    def completed(self, split: str, batch: Batch) -> Batch: ...

    def outputs(self, model: Callable[..., Any], split: str, batch: Batch) -> Any: ...


def inputs_of(batch: Batch) -> dict[str, Tensor]:
    """What of a batch goes into the model."""
    return {name: value for name, value in batch.items() if name not in BESIDE}


def moved(batch: Batch, device: torch.device) -> Batch:
    """A batch on a device."""

    def move(value: Any) -> Any:
        if isinstance(value, dict):
            return moved(value, device)
        return value.to(device, non_blocking=True) if isinstance(value, Tensor) else value

    return {name: move(value) for name, value in batch.items()}


def inputs_of_columns(batch: Batch) -> list[dict[str, Tensor]]:
    """The inputs of a batch, cut where each column of texts ends, and to its longest text.

    A batch of texts that are learned from together has all first ones, then all second ones;
    ``lengths`` are those of the longest in each column.
    """
    lengths, size = batch["lengths"], len(batch["labels"])
    return [
        {
            name: value[i * size : (i + 1) * size, :length]
            for name, value in inputs_of(batch).items()
        }
        for i, length in enumerate(lengths)
    ]


class Batches:
    """The batches of an epoch, in this process, with what is in the cache.

    Args:
        loader: made for batches with images, or without.
        reuse: what is in the cache, when the first batch is asked for.
        items: what the loss of rows is summed over.
        lengths: tokens of each row; None for images.
    """

    def __init__(
        self,
        split: str,
        loader: Callable[[bool], DataLoader[Any]],
        reuse: Callable[[], Any],
        items: Callable[[Integers], float],
        lengths: Integers | None,
    ) -> None:
        self._split, self._loader, self._items, self._lengths = split, loader, items, lengths
        self._reuse: Callable[[], Reuse | None] = reuse
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
        return [len(rows) for rows in self._rows]

    @property
    def items(self) -> list[float]:
        """What the loss of each batch is summed over, of all processes together."""
        return [self._items(rows) for rows in self._rows]

    @property
    def tokens(self) -> list[int] | None:
        """Tokens of each batch without padding, of all processes together; None of images."""
        if self._lengths is None:
            return None
        return [int(self._lengths[rows].sum()) for rows in self._rows]

    @cached_property
    def _rows(self) -> list[Integers]:
        return self._order.all_batches()


class DataFeed:
    """Data and what makes a model's input of it.

    Attributes:
        data: with a split ``train``.
        encoder: for validation and test; training has its own, which may vary images.
        objective: the loss and the scores.
        own_loss: in place of the task's loss; None if that is used.
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
        loss: OwnLoss | None = None,
    ) -> None:
        self.data, self.options, self.rank, self.world = data, options, rank, world
        self._varied, self.encoder = encoders
        kind, scored = data.task_kind, data.scored
        self.objective = find(kind, multi_label=data.multi_label, scored=scored)(data.labels)
        if isinstance(self.objective, WeightedObjective):
            weights = class_weights(data, options.class_weights)
            self.objective.criterion = Criterion(
                weights, options.label_smoothing, options.focal_gamma
            )
        self.own_loss = loss
        if loss is not None and kind == "text-embedding":
            message = "a loss function of your own takes one output of each row"
            hint = "text-embedding compares the texts of all rows: leave loss out"
            raise UsageError(Problem("E801", message, hint=hint))
        if loss is not None:
            self.objective.loss = loss  # its metrics use it as well
        self.reuse: Reuse | None = None
        self._kept: dict[tuple[Any, ...], DataLoader[Any]] = {}
        if options.batch_size % world:
            message = f"a batch of {options.batch_size} cannot be shared by {world} processes alike"
            raise UsageError(Problem("E801", message))
        for split in ("train", "validation"):
            if split in data.splits and not len(data.splits[split]):
                raise DataError(Problem("E904", f"the split {split} has no rows"))
        if "train" not in data.splits:
            raise DataError(Problem("E904", "there is no train split"))
        if kind == "text-embedding" and not scored and options.batch_size // world < 2:
            message = "a batch of one row has no other texts to tell its own from"
            hint = "give a batch_size of 2 or more for each process"
            raise UsageError(Problem("E801", message, hint=hint))

    def token_counts(self) -> TokenCounts | None:
        """Of the texts of all splits; None for images."""
        encoder = self.encoder
        if not isinstance(encoder, TextEncoder):
            return None
        counts = [token_counts(rows, encoder) for rows in self.data.splits.values()]
        return total([one for one in counts if one is not None])

    def metrics(self, split: str, device: torch.device) -> Metrics:
        """Metrics of a split to which nothing was added yet."""
        if isinstance(self.objective, QuestionAnswering):
            assert isinstance(self.encoder, TextEncoder)
            windows = answer_windows(self.data.splits[split], self.encoder)
            return self.objective.metrics(device, windows)
        return self.objective.metrics(device)

    @property
    def train_batches(self) -> int:
        """Batches of an epoch."""
        count = len(self.lengths("train")) // len(self.data.splits["train"].columns)
        return -(-count // self.options.batch_size)

    @property
    def train_steps(self) -> int:
        """Steps of the optimizer in an epoch."""
        return -(-self.train_batches // self.options.accumulate_grad_batches)

    def train(self, epoch: int, start: int) -> Batches:
        """The batches of an epoch, from its ``start``-th."""
        return self._batches("train", self._varied, True, epoch, start)

    def split(self, name: str) -> Batches:
        """The batches of a split, in a fixed order."""
        return self._batches(name, self.encoder, False, 0, 0)

    @property
    def is_masked(self) -> bool:
        """Whether other tokens are masked in every epoch."""
        return self.data.splits["train"].language == "masked-lm"

    @property
    def is_varied(self) -> bool:
        """Whether a row looks different in every epoch."""
        return self._varied.definition != self.encoder.definition

    def lengths(self, split: str) -> list[int | None]:
        """Of each input, in positions; None for images, and for blocks, which have one length.

        A row may be several texts, or windows; or there are blocks in place of rows.
        """
        rows = self.data.splits[split]
        if not isinstance(self.encoder, TextEncoder):
            return [None] * len(rows)
        lengths = text_lengths(rows, self.encoder).tolist()
        return (
            [None] * len(lengths) if rows.language == "causal-lm" and rows.pair is None else lengths
        )

    def of(self, split: str, parts: Sequence[Sequence[int]]) -> Iterator[Batch]:
        """The batches of these inputs, as they are: nothing varies."""
        workers = min(self.options.num_workers, len(parts))
        return iter(batches_of(self.data.splits[split], self.encoder, parts, num_workers=workers))

    def example(self) -> tuple[Batch, list[int] | None]:
        """A batch of training of different lengths, always the same; and these lengths."""
        lengths = self.lengths("train")
        order = sorted(range(len(lengths)), key=lambda row: (lengths[row] or 0, row))
        rows = [order[i * (len(order) - 1) // 3] for i in (3, 2, 1, 0)]
        (batch,) = self.of("train", [rows])
        known = [length for row in rows if (length := lengths[row]) is not None]
        return batch, known or None

    def check(self, model: nn.Module) -> None:
        """Check that a model on the CPU is one of language, or gives a mask.

        Raises:
            DataError: E906, it is not.
        """
        if isinstance(self.encoder, TextEncoder) and isinstance(self.objective, LanguageModel):
            (batch,) = self.of("train", [[0]])
            inputs = {name: one[:, :_FEW_TOKENS] for name, one in inputs_of(batch).items()}
            with evaluating(model), torch.inference_mode():
                self.objective.check(model, inputs, self.encoder.size)
        if isinstance(self.objective, ImageSegmentation) and self.own_loss is None:
            (batch,) = self.of("train", [[0]])
            with evaluating(model), torch.inference_mode():
                self.objective.loss(model(**inputs_of(batch)), batch, 1)

    def rows_for_loss(self) -> Batch:
        """A few rows of training with all that their loss takes, always the same."""
        rows = self.data.splits["train"]
        columns, size = len(rows.columns), min(len(rows), 2)
        if columns == 1:
            return self.example()[0]
        texts = [column * len(rows) + row for column in range(columns) for row in range(size)]
        (batch,) = self.of("train", [texts])
        return {**batch, "labels": batch["labels"][:size]}

    def _batches(
        self,
        name: str,
        encoder: TextEncoder | ImageEncoder,
        shuffle: bool,
        epoch: int,
        start: int,
    ) -> Batches:
        rank, world = self.rank, self.world

        def loader(images: bool) -> DataLoader[Any]:
            key = (name, shuffle, images)
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
                    pin_memory=pick_device(self.options.device).type == "cuda",
                )
            order: Any = self._kept[key].batch_sampler
            order.go_to(epoch, start)
            return self._kept[key]

        masks = (self.options.seed, epoch) if shuffle else (0, 0)  # as ``batches`` has them
        return Batches(
            name, loader, lambda: self.reuse, self._items(name, *masks), self._tokens(name)
        )

    def _tokens(self, split: str) -> Integers | None:
        """The tokens of each row of a split, those of all its texts; None of images."""
        if not isinstance(self.encoder, TextEncoder):
            return None
        rows = self.data.splits[split]
        return text_lengths(rows, self.encoder).reshape(len(rows.columns), -1).sum(0)

    def _items(self, split: str, seed: int, epoch: int) -> Callable[[Integers], float]:
        """What the loss of some rows is summed over, with the masks of a seed and an epoch."""
        labels = self.data.splits[split].labels
        if self.own_loss is not None:
            return len
        if isinstance(self.encoder, TextEncoder):
            each = text_items(self.data.splits[split], self.encoder, seed, epoch)
            if each is not None:
                return lambda rows: int(each[rows].sum())
        return len if labels is None else lambda rows: self.objective.items(labels[rows])


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
    from archspec.inspection.text_lengths import fit_length  # the package imports rich

    given: dict[str, Any] = {"weights": weights, "tokenizer": tokenizer, "max_length": max_length}
    plain = encoder_for(spec, **given)
    fit_length(spec, plain, max_length)
    is_image = spec.architecture.task and takes_images(spec.architecture.task.kind)
    return (encoder_for(spec, train=True, **given) if is_image else plain), plain


_SHARED = signature(open_data).parameters.keys() & TrainOptions.model_fields.keys()
OPEN_DATA_OPTIONS = _SHARED - {"task"}  # that is the spec's here
"""The options of a run that ``open_data`` takes."""


@dataclass(frozen=True, slots=True)
class DataSource:
    """Opened data, and how to open it again; ``source`` is None where it was given opened.

    Attributes:
        tokens: of its texts, once they are encoded; None for images.
    """

    data: Data
    source: Any
    tokens: TokenCounts | None = None

    def to_dict(self) -> dict[str, Any]:
        data = self.data
        return {
            "source": self.source,
            "fingerprint": data.fingerprint,
            "rule": data.rule,
            "columns": data.to_dict()["columns"],
            "counts": {name: len(rows) for name, rows in data.splits.items()},
            "classes": data.counts,
            "bad": [str(row) for row in data.bad],
            "unused": list(data.unused),
            "tokens": self.tokens.to_dict() if self.tokens else None,
            "notes": self.notes,
        }

    @property
    def notes(self) -> list[str]:
        """What to report about the data, a line each."""
        lost = self.tokens.notes if self.tokens else ()
        return [*_bad(self.data), *self.data.notes, *_unused(self.data), *lost]


def _bad(data: Data) -> list[str]:
    if not data.bad:
        return []
    reasons = Counter(row.reason for row in data.bad).most_common()
    counted = listing([f"{reason} {n:,}" for reason, n in reasons])
    total = len(data.bad) + sum(map(len, data.splits.values()))
    return [f"{len(data.bad):,} of {total:,} rows are bad and left out: {counted}"]


def _unused(data: Data) -> list[str]:
    return [f"not used: {listing(data.unused)}"] if data.unused else []


def opened(source: Any, spec: Spec, options: TrainOptions) -> DataSource:
    """The data behind ``train``'s argument.

    Raises:
        DataError: as ``open_data``; E902 or E906, it was opened for another task or without labels.
    """
    if isinstance(source, DataSource):
        return source
    if isinstance(source, Data):
        _check_opened(source, spec)
        return DataSource(source, None)
    data = open_data(source, task=spec.architecture.task, **_arguments(options))
    return DataSource(data, _located(source))


def _arguments(options: TrainOptions) -> dict[str, Any]:
    return {name: getattr(options, name) for name in OPEN_DATA_OPTIONS}


def _check_opened(data: Data, spec: Spec) -> None:
    task = spec.architecture.task
    if task is not None and data.task_kind != task.kind:
        message = f"the data was opened for {data.task_kind}, and {spec.name} is for {task.kind}"
        raise DataError(Problem("E902", message, hint="open it with task=spec.architecture.task"))
    is_unlabelled = data.columns.label is None and data.task_kind != "text-embedding"
    if models_language(data.task_kind):
        is_unlabelled = not all(rows.language for rows in data.splits.values())
    if is_unlabelled:
        message = "the data was opened without labels"
        raise DataError(Problem("E906", message, hint="open it without label_column=False"))


def reopened(run: Run, spec: Spec, data: Data | None) -> Data:
    """The data of a run, opened again.

    Raises:
        RunError: E920, it is not the same, or nothing tells where it is.
        DataError: it cannot be opened.
    """
    facts = run.facts.get("data")
    known: dict[str, Any] = dict(facts) if isinstance(facts, Mapping) else {}
    if data is None:
        source = known.get("source")
        if source is None:
            hint = "open it, and give it to archspec.resume(path, data=…)"
            raise RunError(Problem("E920", f"{run.path}: its data was in memory", hint=hint))
        arguments = {**_arguments(run.options), "labels": run.labels or None}
        data = open_data(source, task=spec.architecture.task, **arguments)
    elif not isinstance(data, Data):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise UsageError(Problem("E801", "data is what archspec.open_data gave"))
    _check_opened(data, spec)
    if data.fingerprint != known.get("fingerprint"):
        hint = "a resumed run goes on with the same data: train anew with this one"
        raise RunError(Problem("E920", f"{run.path}: its data has changed", hint=hint))
    return data


def _located(source: Any) -> Any:
    """A source as plain data, whatever the working folder; None of data in memory."""
    if is_in_memory(source):
        return None
    match source:
        case Mapping():
            items = cast("Mapping[Any, Any]", source).items()
            return {str(key): _located(value) for key, value in items}
        case list() | tuple():
            return [_located(item) for item in cast("list[Any]", source)]
        case str() | os.PathLike():
            path = Path(cast("str", source))
            return str(path.resolve()) if path.exists() else str(source)
        case _:
            return None
