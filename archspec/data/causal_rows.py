"""Rows of causal language models: texts packed into blocks, and prompts with their answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from archspec.data.report import Integers, Rows
from archspec.data.texts import TextEncoder
from archspec.data.token_counts import TokenCounts
from archspec.errors import DataError, Problem
from archspec.tasks import IGNORED

Items = tuple[np.ndarray, Integers, TokenCounts, np.ndarray]
"""The tokens of all rows, concatenated, where those of each start, counts, and labels of tokens."""

_CHUNK = 10_000  # texts that are encoded at once


def causal_items(rows: Rows, encoder: TextEncoder) -> Items:
    """The rows that a causal language model learns from.

    Raises:
        DataError: E905, nothing of them fits into the model's maximum length.
    """
    return _blocks(rows, encoder) if rows.pair is None else _answers(rows, encoder)


def _blocks(rows: Rows, encoder: TextEncoder) -> Items:
    """All texts one after the other, cut into blocks of the maximum length: none is padded."""
    size, parts = encoder.max_length, [np.array([], dtype=np.int32)]
    for chunk in _chunks(rows):
        encoded = encoder.encode_whole(chunk.cells.texts(chunk.positions))
        parts.append(np.array([token for ids in encoded for token in ids], dtype=np.int32))
    ids = np.concatenate(parts)
    count = len(ids) // size
    if not count:
        message = f"the {rows.split} split has {len(ids):,} tokens: no block of {size:,}"
        hint = "give a smaller max_length= (--max-length), or more texts"
        raise DataError(Problem("E905", message, hint=hint))
    starts = np.arange(count + 1, dtype=np.int64) * size
    counts = _counts(encoder, len(rows), ids)
    counts = replace(counts, blocks=count, unused=len(ids) - count * size, ends=encoder.has_end)
    ids = ids[: count * size]
    labels = ids.copy()
    labels[starts[:-1]] = IGNORED  # nothing stands before them
    return ids, starts, counts, labels


def _answers(rows: Rows, encoder: TextEncoder) -> Items:
    """Each prompt with its answer, cut at the maximum length; the answers' tokens are learned."""
    size = encoder.max_length
    parts: list[Sequence[int]] = []
    labels: list[np.ndarray] = []
    longest = cut = lost = 0
    for chunk in _chunks(rows):
        pairs: list[Any] = chunk.texts()
        for ids, first in encoder.encode_answers(pairs):
            kept = ids[:size]
            targets = np.array(kept, dtype=np.int32)
            targets[: max(first, 1)] = IGNORED
            longest, cut = max(longest, len(ids)), cut + (len(ids) > size)
            lost += bool((targets == IGNORED).all())
            parts.append(kept)
            labels.append(targets)
    if lost == len(rows):
        message = f"no answer of {rows.split} has a token among the first {size:,} of its row"
        hint = "give a larger max_length= (--max-length), or shorter prompts"
        raise DataError(Problem("E905", message, hint=hint))
    ids = np.array([token for kept in parts for token in kept], dtype=np.int32)
    starts = np.cumsum([0, *map(len, parts)], dtype=np.int64)
    counts = _counts(encoder, len(rows), ids)
    counts = replace(counts, truncated=cut, longest=longest, targets=len(rows), lost=lost)
    return ids, starts, replace(counts, prompts=True), np.concatenate(labels)


def _counts(encoder: TextEncoder, texts: int, ids: np.ndarray) -> TokenCounts:
    limits = encoder.max_length, encoder.limit
    unknown = encoder.count_unknown(ids)
    return TokenCounts(texts, 0, 0, *limits, len(ids), unknown, guesses=encoder.guesses)


def _chunks(rows: Rows) -> list[Rows]:
    starts = range(0, len(rows), _CHUNK)
    return [rows.select(np.arange(i, min(i + _CHUNK, len(rows)))) for i in starts]
