"""Masks tokens of texts, others in each epoch."""

from __future__ import annotations

import numpy as np

from archspec.data.texts import TextEncoder
from archspec.errors import DataError, Problem
from archspec.tasks import IGNORED
from archspec.tasks.masked_lm import AS_MASK, AS_RANDOM, MASKED


class Masking:
    """What a model sees of some tokens, and which of them it is to predict.

    Each token of a text is masked with the same probability, special ones never. What is masked
    depends on seed and epoch alone, not on batches.

    Args:
        ids: of all tokens, int32 [tokens].
        encoder: says which tokens are special, and which stands for a mask.

    Raises:
        DataError: E905, the tokenizer has no mask.
    """

    def __init__(self, ids: np.ndarray, encoder: TextEncoder) -> None:
        if encoder.mask_id is None:
            message = f"{encoder.path} has no token for masks, such as [MASK]"
            hint = "masked-lm takes the tokenizer of a model that was trained with masks"
            raise DataError(Problem("E905", message, hint=hint))
        special = np.array(sorted(encoder.special_ids), dtype=np.int32)
        self._ids, self._mask = ids, encoder.mask_id
        self._is_text = ~np.isin(ids, special)
        self._words = np.setdiff1d(np.arange(encoder.size, dtype=np.int32), special)
        self._drawn: tuple[tuple[int, int], tuple[np.ndarray, np.ndarray]] | None = None

    def of(self, seed: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """The tokens as the model sees them, and the labels: ``IGNORED`` where none is masked."""
        if self._drawn is None or self._drawn[0] != (seed, epoch):
            self._drawn = (seed, epoch), self._draw(seed, epoch)
        return self._drawn[1]

    def _draw(self, seed: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.Generator(np.random.PCG64([seed, epoch, 1]))  # orders are of [seed, epoch]
        chance = rng.random(len(self._ids), dtype=np.float32)
        places = np.flatnonzero((chance < MASKED) & self._is_text)
        labels = np.full(len(self._ids), IGNORED, dtype=np.int32)
        labels[places] = self._ids[places]
        seen, how = self._ids.copy(), rng.random(len(places))
        seen[places[how < AS_MASK]] = self._mask
        others = places[how >= 1 - AS_RANDOM]
        seen[others] = rng.choice(self._words, len(others))
        return seen, labels
