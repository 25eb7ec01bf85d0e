"""A text's label explained: its tokens, their places in the text, and what each one adds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor, inference_mode, tensor

from archspec.data import ImageEncoder, TextEncoder
from archspec.data.report import Kind
from archspec.data.texts import Pieces
from archspec.errors import DataError, Problem, UsageError, did_you_mean, shown
from archspec.predicting.batching import text_fault_of
from archspec.predicting.report import Explanation, Prediction, Token
from archspec.predicting.saliency import Path
from archspec.predicting.variants import Variant

MOST_STEPS = 1_000


@dataclass(frozen=True, slots=True)
class ExplanationRequest:
    """What the arguments of ``Predictor.explain`` say."""

    text: str
    label: str | None
    steps: int


def explained(
    variant: Variant,
    encoder: TextEncoder | ImageEncoder,
    kind: Kind,
    labels: Sequence[str],
    asked: ExplanationRequest,
) -> Explanation:
    """As ``Predictor.explain``."""
    if kind != "text-classification" or not isinstance(encoder, TextEncoder):
        raise _usage(f"labels of texts can be explained, and the task is {kind}")
    _check(asked, labels)
    if fault := text_fault_of(asked.text):
        raise DataError(Problem("E930", ": ".join(part for part in fault if part)))
    with inference_mode(False):  # the caller's would keep every derivative out
        return _explained(variant, encoder, labels, asked)


def _explained(
    variant: Variant, encoder: TextEncoder, labels: Sequence[str], asked: ExplanationRequest
) -> Explanation:
    pieces = encoder.pieces(asked.text)
    moved = tensor([0.0 if span is None else 1.0 for span in pieces.spans])
    path = Path(variant, encoder.collate([pieces.ids]), moved, encoder.blank)
    ends = path.ends()
    prediction = _prediction(labels, ends.text, truncated=pieces.truncated)
    target = labels.index(prediction.label if asked.label is None else asked.label)
    scores = path.attributions(target, asked.steps).tolist()
    return Explanation(
        input=asked.text,
        label=labels[target],
        prediction=prediction,
        logit=float(ends.text[target]),
        baseline=float(ends.baseline[target]),
        blank=None if encoder.blank is None else encoder.name(encoder.blank),
        tokens=tuple(_tokens(asked.text, pieces, scores)),
        truncated=pieces.truncated,
        steps=asked.steps,
    )


def _check(asked: ExplanationRequest, labels: Sequence[str]) -> None:
    label, steps = asked.label, asked.steps
    if label is not None and label not in labels:
        hint = did_you_mean(label, labels) if isinstance(label, str) else ""
        raise _usage(f"{shown(label)} is none of the {len(labels)} labels", hint)
    if not isinstance(steps, int) or isinstance(steps, bool) or not 1 <= steps <= MOST_STEPS:
        raise _usage(f"steps is a whole number from 1 to {MOST_STEPS:,}, not {shown(steps)}")


def _prediction(labels: Sequence[str], logits: Tensor, *, truncated: bool) -> Prediction:
    shares = logits.softmax(0)
    best = labels[int(shares.argmax())]
    probabilities = dict(zip(labels, shares.tolist(), strict=True))
    return Prediction(best, probabilities[best], probabilities, truncated)


def _tokens(text: str, pieces: Pieces, scores: Sequence[float]) -> Iterator[Token]:
    before: tuple[int, int] | None = None
    word: int | None = None
    for name, span, at, score in zip(pieces.names, pieces.spans, pieces.words, scores, strict=True):
        continues = at is not None and at == word and _touch(text, before, span)
        yield Token(name, span, score, continues)
        before, word = span, at


def _touch(text: str, one: tuple[int, int] | None, other: tuple[int, int] | None) -> bool:
    """Whether no space stands between: some tokenizers take the whole text for one word."""
    if one is None or other is None:
        return False
    between = text[one[1] : other[0] + 1]
    return not any(map(str.isspace, between))


def _usage(message: str, hint: str = "") -> UsageError:
    return UsageError(Problem("E801", message, hint=hint))
