"""Tokens for the masks of texts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from archspec.data import TextEncoder
from archspec.data.checking import Fault
from archspec.data.extras import train_extra
from archspec.predicting.batching import Prepared, input_fault, sorted_out, text_batches
from archspec.predicting.engine import Engine
from archspec.predicting.token_report import MAX_TOKENS, MaskPrediction, check_top

with train_extra():
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class PreparedMasks(Prepared):
    """Texts with their masks.

    Attributes:
        texts: position of an input → the text.
        places: position of an input → positions of its masks among its tokens.
    """

    texts: Mapping[int, str] = field(default_factory=dict[int, str])
    places: Mapping[int, Sequence[int]] = field(default_factory=dict[int, "Sequence[int]"])


def prepare_masks(
    encoder: TextEncoder,
    inputs: Sequence[object],
    batch_size: int,
    known_faults: Mapping[int, Fault] | None = None,
) -> PreparedMasks:
    """Make padded batches of texts with masks, longest first.

    Args:
        inputs: anything but a text with a mask among the tokens that the model sees is a fault.
        known_faults: position → fault, of inputs that are already known to be bad.
    """
    faults, good = sorted_out(inputs, known_faults, lambda one: input_fault(one, pair=False))
    encoded = encoder.encode_counted([str(inputs[i]) for i in good])
    places: dict[int, Sequence[int]] = {}
    mask, mark = encoder.mask_id, encoder.name(encoder.mask_id or 0)
    for number, (i, ids) in enumerate(zip(good, encoded.ids, strict=True)):
        places[i] = [place for place, token in enumerate(ids) if token == mask]
        if not places[i]:
            seen = f" among its first {len(ids):,} tokens" if number in encoded.truncated else ""
            faults[i] = ("no mask", f"write {mark} in place of a word: there is none{seen}")
    kept = [number for number, i in enumerate(good) if i not in faults]
    positions = np.array([good[number] for number in kept], dtype=np.int64)
    batches = text_batches(encoder, [encoded.ids[n] for n in kept], None, positions, batch_size)
    truncated = frozenset(good[number] for number in encoded.truncated)
    texts = {good[number]: str(inputs[good[number]]) for number in kept}
    return PreparedMasks(len(inputs), batches, faults, truncated, encoded.counts, texts, places)


@dataclass(frozen=True, slots=True)
class MaskFiller:
    """Predicts the tokens behind masks with a model."""

    engine: Engine
    encoder: TextEncoder

    def predictions(
        self, prepared: PreparedMasks, advance: Callable[[int], object] = lambda count: None
    ) -> list[MaskPrediction | None]:
        """What the model expects at the masks of each input; None where there is a fault.

        Raises:
            BuildError: E503, a batch does not fit into the device's memory.
        """
        logits = self.engine.token_scores(prepared, prepared.places, advance)
        return [
            None
            if of_row is None
            else MaskPrediction(
                prepared.texts[i], tuple(map(self._tokens, of_row)), i in prepared.truncated
            )
            for i, of_row in enumerate(logits)
        ]

    def _tokens(self, logits: Any) -> dict[str, float]:
        """The most probable tokens of the vocabulary, by their text where no other has the same."""
        shares = torch.from_numpy(logits).softmax(-1)[: self.encoder.size]
        best = shares.topk(min(MAX_TOKENS, len(shares)))
        found: dict[str, float] = {}
        for share, token in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            text = self.encoder.text(token)
            found[self.encoder.name(token) if not text.strip() or text in found else text] = share
        return found


class MaskColumns:
    """The columns that are added to a file: the tokens for the masks of each row.

    Args:
        wide: whether lists are written as JSON.
        top_k: how many tokens for each mask get columns; 0: none beside the best.

    Attributes:
        schema: name → type.
        counts: none: tokens are no labels.
    """

    def __init__(self, filler: MaskFiller, *, wide: bool, top_k: int) -> None:
        check_top(top_k)
        self._filler, self._wide, self._top_k = filler, wide, top_k
        self.counts = dict[str, int]()
        kinds: dict[str, Any] = {"tokens": pa.string(), "probabilities": pa.float64()}
        if top_k:
            kinds |= {"top_tokens": pa.list_(pa.string())}
            kinds |= {"top_probabilities": pa.list_(pa.float64())}
        self.schema: dict[str, Any] = {
            name: pa.string() if wide else pa.list_(kind) for name, kind in kinds.items()
        }

    def columns(self, prepared: PreparedMasks, advance: Callable[[int], object]) -> list[Any]:
        """The columns of a window of rows, empty where there is a fault."""
        rows = [
            None if row is None else self._cells(row)
            for row in self._filler.predictions(prepared, advance)
        ]
        return [
            pa.array([None if row is None else self._written(row[i]) for row in rows], kind)
            for i, kind in enumerate(self.schema.values())
        ]

    def _cells(self, row: MaskPrediction) -> list[list[Any]]:
        best = [round(mask[token], 6) for mask, token in zip(row.masks, row.tokens, strict=True)]
        if not self._top_k:
            return [[*row.tokens], best]
        top = row.top(self._top_k).masks
        shares = [[round(share, 6) for share in mask.values()] for mask in top]
        return [[*row.tokens], best, [[*mask] for mask in top], shares]

    def _written(self, cell: list[Any]) -> Any:
        return json.dumps(cell, ensure_ascii=False) if self._wide else cell
