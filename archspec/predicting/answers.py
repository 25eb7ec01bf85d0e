"""Answers to questions: pairs of a question and a context in, places in contexts out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from archspec.data import TextEncoder
from archspec.data.checking import Fault
from archspec.data.extras import train_extra
from archspec.data.windows import AnswerWindows
from archspec.predicting.batching import Prepared, input_fault, sorted_out, text_batches
from archspec.predicting.engine import NOT_FINITE, Engine
from archspec.predicting.span_report import AnswerPrediction
from archspec.tasks.question_answering import answer_logits, best_span

with train_extra():
    import pyarrow as pa

_TOO_LONG = "too long a question"


class AnswerSelector:
    """Selects the logits of first and last tokens among a model's outputs: [batch, seq, 2]."""

    def __call__(self, output: Any) -> Tensor | None:
        return answer_logits(tuple(output) if isinstance(output, list) else output)


@dataclass(frozen=True, slots=True)
class PreparedWindows(Prepared):
    """Inputs whose batches are of windows.

    Attributes:
        owners: the input of each window.
        windows: what they show of the contexts.
    """

    owners: Sequence[int] = ()
    windows: AnswerWindows | None = None


def prepare_answers(
    encoder: TextEncoder,
    inputs: Sequence[object],
    batch_size: int,
    known_faults: Mapping[int, Fault] | None = None,
) -> PreparedWindows:
    """Make padded batches of windows of contexts with their questions, longest first.

    Args:
        inputs: anything but a pair of texts is a fault.
        known_faults: position → fault, of inputs that are already known to be bad.
    """
    faults, good = sorted_out(inputs, known_faults, lambda one: input_fault(one, pair=True))
    pairs: list[Any] = [inputs[i] for i in good]
    found = encoder.encode_windows([(str(one[0]), str(one[1])) for one in pairs])
    for i in found.too_long:
        detail = f"it leaves too little of {encoder.max_length:,} tokens to its context"
        faults[good[i]] = (_TOO_LONG, detail)
    numbers = np.arange(len(found.owners))
    of_windows = found.encoded
    batches = text_batches(encoder, of_windows.ids, of_windows.types, numbers, batch_size)
    windows = AnswerWindows(found.owners, found.places, [str(one[1]) for one in pairs])
    owners = [good[i] for i in found.owners]
    counts = of_windows.counts
    return PreparedWindows(len(inputs), batches, faults, frozenset(), counts, owners, windows)


@dataclass(frozen=True, slots=True)
class Answerer:
    """Finds answers with a model."""

    engine: Engine

    def predictions(
        self, prepared: PreparedWindows, advance: Callable[[int], object] = lambda count: None
    ) -> list[AnswerPrediction | None]:
        """The most probable answer to each input, over its windows; None where there is a fault.

        Raises:
            BuildError: E503, a batch does not fit into the device's memory.
        """
        windows, owners = prepared.windows, prepared.owners
        assert windows is not None
        known = [windows(number)[1] for number in range(len(owners))]
        of_windows = Prepared(len(owners), prepared.batches)
        scores = self.engine.token_scores(of_windows, dict(enumerate(known)))
        best: dict[int, tuple[float, AnswerPrediction]] = {}
        for number, (i, logits) in enumerate(zip(owners, scores, strict=True)):
            if logits is None:
                prepared.faults[i] = NOT_FINITE
            elif known[number]:
                found = _answer(windows, number, logits, known[number])
                best[i] = max(best.get(i, found), found, key=lambda one: one[0])
        advance(prepared.count)
        for i in {*owners} - {*best} - {*prepared.faults}:
            prepared.faults[i] = ("no text", "the tokenizer makes nothing of the context")
        return [
            best[i][1] if i in best and i not in prepared.faults else None
            for i in range(prepared.count)
        ]


def _answer(
    windows: AnswerWindows, number: int, logits: Any, tokens: Sequence[int]
) -> tuple[float, AnswerPrediction]:
    score, first, last = best_span(logits, range(len(tokens)))
    shares = torch.from_numpy(logits).softmax(0)
    probability = float(shares[first, 0] * shares[last, 1])
    start, end = windows.span(number, tokens[first], tokens[last])
    text = windows.contexts[windows.owners[number]][start:end]
    return score, AnswerPrediction(text, start, end, probability)


class AnswerColumns:
    """The columns that are added to a file: the answer, its place, and its probability.

    Attributes:
        schema: name → type.
        counts: none: answers are no labels.
    """

    def __init__(self, answerer: Answerer) -> None:
        self._answerer = answerer
        self.counts = dict[str, int]()
        self.schema: dict[str, Any] = {
            "answer": pa.string(), "start": pa.int64(), "end": pa.int64(),
            "probability": pa.float64(),
        }  # fmt: skip

    def columns(self, prepared: PreparedWindows, advance: Callable[[int], object]) -> list[Any]:
        """The columns of a window of rows, empty where there is a fault."""
        rows = [
            None if row is None else (row.answer, row.start, row.end, round(row.probability, 6))
            for row in self._answerer.predictions(prepared, advance)
        ]
        return [
            pa.array([None if row is None else row[i] for row in rows], kind)
            for i, kind in enumerate(self.schema.values())
        ]
