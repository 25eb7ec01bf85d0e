"""Makes batches of inputs: texts of similar length together, images decoded in threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import numpy as np
from torch import Tensor, stack

from archspec.data import ImageEncoder, TextEncoder
from archspec.data.batching import chunk_rows
from archspec.data.checking import Fault, image_fault, text_fault
from archspec.data.images import without_size_warnings
from archspec.data.report import Integers
from archspec.data.texts import Text
from archspec.data.token_counts import TokenCounts
from archspec.errors import Problem

T = TypeVar("T")
WINDOW_BATCHES = 64  # batches among which texts are sorted by length
_END = object()


@dataclass(frozen=True, slots=True)
class Prepared:
    """Inputs that are ready for the model.

    Attributes:
        count: number of inputs.
        batches: positions of the good inputs, and the model's input for them.
        faults: position → what is wrong with an input.
        truncated: positions of the texts that were chunk_rows.
        tokens: counts for all good texts; None for images.
    """

    count: int
    batches: list[tuple[Integers, dict[str, Tensor]]] = field(default_factory=list)  # pyright: ignore[reportUnknownVariableType]
    faults: dict[int, Fault] = field(default_factory=dict[int, Fault])
    truncated: frozenset[int] = frozenset()
    tokens: TokenCounts | None = None


def window_rows(encoder: TextEncoder | ImageEncoder, batch_size: int) -> int:
    """Number of rows that are prepared at once: images take much memory and all have one size."""
    return batch_size * (WINDOW_BATCHES if isinstance(encoder, TextEncoder) else 1)


def prepare_texts(
    encoder: TextEncoder,
    texts: Sequence[object],
    batch_size: int,
    known_faults: Mapping[int, Fault] | None = None,
    *,
    pair: bool | None = None,
) -> Prepared:
    """Make padded batches of texts, longest first; without padding if the model has no mask.

    Args:
        texts: anything but a text or a pair of texts, as a tuple or list, is a fault.
        pair: whether they must be pairs; None: either.
        known_faults: position → fault, of inputs that are already known to be bad.
    """
    faults, good = sorted_out(texts, known_faults, lambda text: input_fault(text, pair))
    encoded = encoder.encode_counted([_as_text(texts[i]) for i in good])
    positions = np.array(good, dtype=np.int64)
    batches = text_batches(encoder, encoded.ids, encoded.types, positions, batch_size)
    truncated = frozenset(good[i] for i in encoded.truncated)
    return Prepared(len(texts), batches, faults, truncated, encoded.counts)


def text_batches(
    encoder: TextEncoder,
    ids: Sequence[Sequence[int]],
    types: Sequence[Sequence[int]] | None,
    positions: Integers,
    batch_size: int,
) -> list[tuple[Integers, dict[str, Tensor]]]:
    """Encoded texts in batches, each with the positions of its inputs."""
    return [
        (
            positions[rows],
            encoder.collate([ids[row] for row in rows], types and [types[row] for row in rows]),
        )
        for rows in by_length(list(map(len, ids)), batch_size, one_length=not encoder.has_mask)
    ]


def by_length(
    lengths: Sequence[int], batch_size: int, *, one_length: bool = False
) -> list[Integers]:
    """Positions in batches, longest first; those of one length keep their order.

    Args:
        one_length: whether all texts of a batch have the same length.

    >>> [batch.tolist() for batch in by_length([3, 9, 5, 9, 1], 2)]
    [[1, 3], [2, 0], [4]]
    >>> [batch.tolist() for batch in by_length([3, 9, 5, 9, 1], 2, one_length=True)]
    [[1, 3], [2], [0], [4]]
    """
    sizes = np.asarray(lengths, dtype=np.int64)
    order = np.argsort(-sizes, kind="stable")
    return chunk_rows(order, batch_size, sizes if one_length else None)


def sorted_out(
    inputs: Sequence[Any],
    known_faults: Mapping[int, Fault] | None,
    fault_of: Callable[[Any], Fault | None],
) -> tuple[dict[int, Fault], list[int]]:
    """The faults of inputs by their positions, with those known before; the positions of others."""
    faults = dict(known_faults or {})
    for i, one in enumerate(inputs):
        if i not in faults and (fault := fault_of(one)):
            faults[i] = fault
    return faults, [i for i in range(len(inputs)) if i not in faults]


def problems_of(faults: Mapping[int, Fault], start: int, count: int) -> list[Problem]:
    """E930 for each fault of ``count`` inputs, whose positions count on from ``start``."""
    problems: list[Problem] = []
    for i, (reason, detail) in sorted(faults.items()):
        where = f"input {start + i + 1}: " if count > 1 else ""
        problems.append(Problem("E930", f"{where}{reason}{f': {detail}' if detail else ''}"))
    return problems


def input_fault(text: object, pair: bool | None) -> Fault | None:
    """Why an input of a text task is bad; None if it is good."""
    is_pair = isinstance(text, tuple | list)
    parts = cast("Sequence[Any]", text if is_pair else (text,))
    if is_pair and (len(parts) != 2 or pair is False):
        expected = "one text" if pair is False else "a text or a pair of texts"
        return "wrong type", f"{len(parts)} texts, not {expected}"
    if pair and not is_pair and (text is None or isinstance(text, str)):
        return "no pair", "the model takes pairs of texts"
    for part in parts:
        if part is not None and not isinstance(part, str):
            return "wrong type", f"{type(part).__name__}, not text"
    return next(filter(None, map(text_fault, parts)), None)


def _as_text(text: Any) -> Text:
    return text if isinstance(text, str) else (str(text[0]), str(text[1]))


def prepare_images(
    encoder: ImageEncoder,
    read: Callable[[int], Tensor],
    count: int,
    batch_size: int,
    known_faults: Mapping[int, Fault] | None = None,
) -> Prepared:
    """Make batches of images, in their order.

    Args:
        read: position → pixels, as the encoder gives them; an error that it raises is a fault.
        count: number of images.
        known_faults: position → fault, of inputs that are already known to be bad.
    """
    faults = dict(known_faults or {})

    def pixels(i: int) -> Tensor | Fault:
        try:
            return read(i)
        except Exception as error:
            return image_fault(error)

    positions = [i for i in range(count) if i not in faults]
    with without_size_warnings(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        results = dict(zip(positions, pool.map(pixels, positions), strict=True))
    faults |= {i: one for i, one in results.items() if not isinstance(one, Tensor)}
    good = [(i, one) for i, one in results.items() if isinstance(one, Tensor)]
    groups = [good[i : i + batch_size] for i in range(0, len(good), batch_size)]
    batches = [
        (np.array([i for i, _ in group]), {encoder.name: stack([one for _, one in group])})
        for group in groups
    ]
    return Prepared(count, batches, faults)


def prefetched(items: Iterator[T]) -> Generator[T]:
    """The same items; the next one is computed in a thread while one is used.

    >>> list(prefetched(iter("abc")))
    ['a', 'b', 'c']
    """
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(next, items, _END)
        while (item := following.result()) is not _END:
            following = pool.submit(next, items, _END)
            yield item  # pyright: ignore[reportReturnType]
