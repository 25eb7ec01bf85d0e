"""Inputs as batches for the model: texts of similar length together, images decoded in threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from torch import Tensor, stack

from archspec.data import ImageEncoder, TextEncoder
from archspec.data.batching import cut
from archspec.data.checking import Fault, image_fault, text_fault
from archspec.data.images import without_size_warnings
from archspec.data.report import Integers
from archspec.data.token_counts import TokenCounts

T = TypeVar("T")
WINDOW = 64  # batches among which texts are sorted by length
_END = object()


@dataclass(frozen=True, slots=True)
class Prepared:
    """Some inputs, ready for the model.

    Attributes:
        count: how many there are.
        batches: the places of those that can be predicted on, and the model's input for them.
        faults: place → why it cannot be, of the others.
        truncated: places of the texts that were cut.
        tokens: of all texts that can be predicted on; None for images.
    """

    count: int
    batches: list[tuple[Integers, dict[str, Tensor]]] = field(default_factory=list)  # pyright: ignore[reportUnknownVariableType]
    faults: dict[int, Fault] = field(default_factory=dict[int, Fault])
    truncated: frozenset[int] = frozenset()
    tokens: TokenCounts | None = None


def window_rows(encoder: TextEncoder | ImageEncoder, batch_size: int) -> int:
    """How many rows are prepared at once: images take much memory, and have all one size."""
    return batch_size * (WINDOW if isinstance(encoder, TextEncoder) else 1)


def prepared_texts(
    encoder: TextEncoder,
    texts: Sequence[object],
    batch_size: int,
    known: dict[int, Fault] | None = None,
) -> Prepared:
    """Texts as padded batches, the longest first; not padded where the model takes no mask.

    Args:
        texts: anything but a text is a fault.
        known: faults that were found before.
    """
    faults = dict(known or {})
    for i, text in enumerate(texts):
        if i not in faults and (fault := text_fault_of(text)):
            faults[i] = fault
    good = [i for i in range(len(texts)) if i not in faults]
    found = encoder.encode_counted([str(texts[i]) for i in good])
    ids = found.ids
    places = np.array(good, dtype=np.int64)
    batches = [
        (places[rows], encoder.collate([ids[row] for row in rows]))
        for rows in by_length(list(map(len, ids)), batch_size, apart=not encoder.has_mask)
    ]
    truncated = frozenset(good[i] for i in found.truncated)
    return Prepared(len(texts), batches, faults, truncated, found.counts)


def by_length(lengths: Sequence[int], batch_size: int, *, apart: bool = False) -> list[Integers]:
    """Places in batches, the longest first; those of one length in their order.

    Args:
        apart: whether a batch has one length only.

    >>> [batch.tolist() for batch in by_length([3, 9, 5, 9, 1], 2)]
    [[1, 3], [2, 0], [4]]
    >>> [batch.tolist() for batch in by_length([3, 9, 5, 9, 1], 2, apart=True)]
    [[1, 3], [2], [0], [4]]
    """
    known = np.asarray(lengths, dtype=np.int64)
    order = np.argsort(-known, kind="stable")
    return cut(order, batch_size, known if apart else None)


def text_fault_of(text: object) -> Fault | None:
    """Why nothing can be predicted on it; None if something can."""
    if text is not None and not isinstance(text, str):
        return "wrong type", f"{type(text).__name__}, not text"
    return text_fault(text)


def prepared_images(
    encoder: ImageEncoder,
    read: Callable[[int], Tensor],
    count: int,
    batch_size: int,
    known: dict[int, Fault] | None = None,
) -> Prepared:
    """Images as batches, in their order.

    Args:
        read: the pixels of one, as the encoder gives them; what it raises makes a fault.
        count: how many there are.
        known: faults that were found before.
    """
    faults = dict(known or {})

    def pixels(i: int) -> Tensor | Fault:
        try:
            return read(i)
        except Exception as error:
            return image_fault(error)

    places = [i for i in range(count) if i not in faults]
    with without_size_warnings(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        found = dict(zip(places, pool.map(pixels, places), strict=True))
    faults |= {i: one for i, one in found.items() if not isinstance(one, Tensor)}
    good = [(i, one) for i, one in found.items() if isinstance(one, Tensor)]
    parts = [good[i : i + batch_size] for i in range(0, len(good), batch_size)]
    batches = [
        (np.array([i for i, _ in part]), {encoder.name: stack([one for _, one in part])})
        for part in parts
    ]
    return Prepared(count, batches, faults)


def ahead(items: Iterator[T]) -> Generator[T]:
    """The same items; the next is made in a thread while one is used.

    >>> list(ahead(iter("abc")))
    ['a', 'b', 'c']
    """
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(next, items, _END)
        while (item := following.result()) is not _END:
            following = pool.submit(next, items, _END)
            yield item  # pyright: ignore[reportReturnType]
