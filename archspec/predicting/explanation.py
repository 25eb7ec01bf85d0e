"""Explains the label of a text: its tokens, their places, and the contribution of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor, inference_mode, tensor

from archspec.data import ImageEncoder, TextEncoder
from archspec.data.texts import Pieces
from archspec.errors import DataError, Problem, UsageError, did_you_mean, shown
from archspec.lang.schema import TaskKind
from archspec.predicting.batching import input_fault
from archspec.predicting.report import Explanation, Prediction, Token
from archspec.predicting.saliency import Path
from archspec.predicting.variants import Variant

MAX_STEPS = 1_000


@dataclass(frozen=True, slots=True)
class ExplanationRequest:
    """The arguments of ``Predictor.explain``."""

    text: str
    label: str | None
    steps: int


def explain_text(
    variant: Variant,
    encoder: TextEncoder | ImageEncoder,
    kind: TaskKind,
    labels: Sequence[str],
    request: ExplanationRequest,
) -> Explanation:
    """As ``Predictor.explain``."""
    if variant.activation != "softmax" or not isinstance(encoder, TextEncoder):
        raise _usage(f"labels of texts can be explain_text, and the task is {kind}")
    _check(request, labels)
    if fault := input_fault(request.text, pair=False):
        raise DataError(Problem("E930", ": ".join(part for part in fault if part)))
    with inference_mode(False):  # inference mode has no gradients
        return _explain(variant, encoder, labels, request)


def _explain(
    variant: Variant, encoder: TextEncoder, labels: Sequence[str], request: ExplanationRequest
) -> Explanation:
    pieces = encoder.pieces(request.text)
    moved = tensor([0.0 if span is None else 1.0 for span in pieces.spans])
    path = Path(variant, encoder.collate([pieces.ids]), moved, encoder.blank)
    ends = path.ends()
    prediction = _prediction(labels, ends.text, truncated=pieces.truncated)
    target = labels.index(prediction.label if request.label is None else request.label)
    scores = path.attributions(target, request.steps).tolist()
    return Explanation(
        input=request.text,
        label=labels[target],
        prediction=prediction,
        logit=float(ends.text[target]),
        baseline=float(ends.baseline[target]),
        blank=None if encoder.blank is None else encoder.name(encoder.blank),
        tokens=tuple(_tokens(request.text, pieces, scores)),
        truncated=pieces.truncated,
        steps=request.steps,
    )


def _check(request: ExplanationRequest, labels: Sequence[str]) -> None:
    label, steps = request.label, request.steps
    if label is not None and label not in labels:
        hint = did_you_mean(label, labels) if isinstance(label, str) else ""
        raise _usage(f"{shown(label)} is none of the {len(labels)} labels", hint)
    if not isinstance(steps, int) or isinstance(steps, bool) or not 1 <= steps <= MAX_STEPS:
        raise _usage(f"steps is a whole number from 1 to {MAX_STEPS:,}, not {shown(steps)}")


def _prediction(labels: Sequence[str], logits: Tensor, *, truncated: bool) -> Prediction:
    shares = logits.softmax(0)
    best = labels[int(shares.argmax())]
    probabilities = dict(zip(labels, shares.tolist(), strict=True))
    return Prediction(best, probabilities[best], probabilities, truncated)


def _tokens(text: str, pieces: Pieces, scores: Sequence[float]) -> Iterator[Token]:
    previous_span: tuple[int, int] | None = None
    previous_word: int | None = None
    for name, span, word_number, score in zip(
        pieces.names, pieces.spans, pieces.words, scores, strict=True
    ):
        continues = (
            word_number is not None
            and word_number == previous_word
            and _are_adjacent(text, previous_span, span)
        )
        yield Token(name, span, score, continues)
        previous_span, previous_word = span, word_number


def _are_adjacent(text: str, first: tuple[int, int] | None, second: tuple[int, int] | None) -> bool:
    """Whether no space is between: some tokenizers take the whole text for one word."""
    if first is None or second is None:
        return False
    between = text[first[1] : second[0] + 1]
    return not any(map(str.isspace, between))


def _usage(message: str, hint: str = "") -> UsageError:
    return UsageError(Problem("E801", message, hint=hint))
