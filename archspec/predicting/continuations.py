"""Continues prompts with causal language models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from archspec.data import TextEncoder
from archspec.data.checking import Fault
from archspec.data.extras import train_extra
from archspec.errors import Problem, UsageError
from archspec.generation import MAX_NEW_TOKENS, generate
from archspec.predicting.batching import Prepared, by_length, input_fault, sorted_out
from archspec.predicting.engine import batch_in_memory
from archspec.predicting.token_report import ContinuationPrediction

with train_extra():
    import pyarrow as pa

NEW_TOKENS = 40
"""How many tokens are added at most, if nothing else is said."""


@dataclass(frozen=True, slots=True)
class PreparedPrompts(Prepared):
    """Prompts with their tokens: position of an input → prompt, and → tokens."""

    texts: Mapping[int, str] = field(default_factory=dict[int, str])
    ids: Mapping[int, list[int]] = field(default_factory=dict[int, list[int]])


def prepare_prompts(
    encoder: TextEncoder,
    inputs: Sequence[object],
    max_new_tokens: int,
    known_faults: Mapping[int, Fault] | None = None,
) -> PreparedPrompts:
    """The tokens of prompts.

    Args:
        inputs: anything but a text that leaves room for new tokens is a fault.
        known_faults: position → fault, of inputs that are already known to be bad.
    """
    faults, good = sorted_out(inputs, known_faults, lambda one: input_fault(one, pair=False))
    texts = {i: str(inputs[i]) for i in good}
    ids = dict(zip(good, encoder.encode_prompts([*texts.values()]), strict=True))
    for i, tokens in ids.items():
        if encoder.limit is not None and len(tokens) + max_new_tokens > encoder.limit:
            detail = f"{len(tokens):,} tokens and {max_new_tokens:,} new ones, of {encoder.limit:,}"
            faults[i] = ("too long a prompt", detail)
        elif not tokens:
            faults[i] = ("no text", "the tokenizer makes nothing of it")
    return PreparedPrompts(len(inputs), faults=faults, texts=texts, ids=ids)


@dataclass(frozen=True, slots=True)
class Continuer:
    """Continues prompts with the most probable tokens.

    Attributes:
        model: that ``build`` has made.
        max_new_tokens: how many tokens are added at most.
        batch_size: prompts at once; those of a batch have as many tokens.
    """

    model: nn.Module
    encoder: TextEncoder
    max_new_tokens: int
    batch_size: int

    def predictions(
        self, prepared: PreparedPrompts, advance: Callable[[int], object] = lambda count: None
    ) -> list[ContinuationPrediction | None]:
        """How the model continues each prompt; None where there is a fault.

        Raises:
            BuildError: E503, a batch does not fit into the device's memory.
            UsageError: E801, as ``generate``.
        """
        found: list[ContinuationPrediction | None] = [None] * prepared.count
        good = [i for i in prepared.ids if i not in prepared.faults]
        lengths = [len(prepared.ids[i]) for i in good]
        for places in by_length(lengths, self.batch_size, one_length=True):
            rows = [good[place] for place in places.tolist()]
            prompts = torch.tensor([prepared.ids[i] for i in rows])
            with batch_in_memory(len(rows)):
                continued = generate(
                    self.model, prompts, self.max_new_tokens, eos_token_id=self.encoder.end_id
                )
            for i, ids in zip(rows, continued.tolist(), strict=True):
                found[i] = self._prediction(prepared.texts[i], prepared.ids[i], ids)
            advance(len(rows))
        return found

    def _prediction(self, text: str, prompt: list[int], ids: list[int]) -> ContinuationPrediction:
        new, end = ids[len(prompt) :], self.encoder.end_id
        has_ended = end is not None and end in new
        new = new[: new.index(end)] if end is not None and has_ended else new
        before, whole = self.encoder.decode(prompt), self.encoder.decode([*prompt, *new])
        is_behind = whole.startswith(before)
        added = whole[len(before) :] if is_behind else self.encoder.decode(new)
        return ContinuationPrediction(text, added, len(new), has_ended)


class ContinuationColumns:
    """The columns that are added to a file: how each row goes on, and whether it has ended.

    Attributes:
        schema: name → type.
        counts: none: texts are no labels.
    """

    def __init__(self, continuer: Continuer) -> None:
        self._continuer = continuer
        self.counts = dict[str, int]()
        self.schema: dict[str, Any] = {"continuation": pa.string(), "ended": pa.bool_()}

    def columns(self, prepared: PreparedPrompts, advance: Callable[[int], object]) -> list[Any]:
        """The columns of a window of rows, empty where there is a fault."""
        rows = self._continuer.predictions(prepared, advance)
        cells = [(None, None) if row is None else (row.continuation, row.ended) for row in rows]
        return [
            pa.array([cell[i] for cell in cells], kind)
            for i, kind in enumerate(self.schema.values())
        ]


def new_tokens(kind: str, max_new_tokens: int | None) -> int:
    """How many tokens are added at most.

    Raises:
        UsageError: E801, nothing is added by models of this kind, or it is no such number.
    """
    if max_new_tokens is None:
        return NEW_TOKENS
    message = ""
    if kind != "causal-lm":
        message = f"max_new_tokens is for causal-lm, and the task is {kind}"
    elif type(max_new_tokens) is not int or not 1 <= max_new_tokens <= MAX_NEW_TOKENS:
        message = f"max_new_tokens is a whole number of 1 to {MAX_NEW_TOKENS:,}"
        message += f", not {max_new_tokens!r:.40}"
    if message:
        raise UsageError(Problem("E801", message))
    return max_new_tokens
