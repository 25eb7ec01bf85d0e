"""Answers of models as plain data for the page: labels, words that speak for them, masks, rows."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image

import archspec
from archspec.data.images import decoded
from archspec.errors import DataError, Problem, UsageError
from archspec.predicting.report import MultiLabelPrediction, NumberPrediction
from archspec.predicting.segmentation_report import SegmentationPrediction
from archspec.predicting.span_report import AnswerPrediction, TokenPrediction
from archspec.predicting.token_report import ContinuationPrediction, MaskPrediction
from archspec.tasks import labels_pixels, takes_images

MAX_EXPLAINED_TOKENS = 512
MAX_LABELS = 20
MAX_COMPONENTS = 16  # of an embedding
MAX_SIDE = 1_024  # pixels of a picture with its mask
COLORS = (
    (31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189), (140, 86, 75),
    (227, 119, 194), (188, 189, 34), (23, 190, 207), (255, 215, 0), (0, 0, 128), (128, 255, 0),
)  # fmt: skip
"""Of classes of pixels, by their numbers; those of more classes are these again."""
_MIN_STEPS, _MAX_STEPS = 8, 16  # of an explanation
_FULL_TOKENS = 128  # texts of up to so many tokens are explained in the most steps


def row_answers(model: archspec.Predictor, inputs: Sequence[Sequence[str]]) -> list[Any]:
    """An answer in a line for each input.

    Args:
        model: of any task but embeddings.
        inputs: texts, or pairs of them.

    Returns:
        For each ``label`` (what is given: one label, several, a number, tokens, a continuation) and
        ``probability`` (None where there is no single one), or ``error``.
    """
    if takes_images(model.kind):
        raise UsageError(Problem("E801", f"{model.spec.name} takes images, not text"))
    if model.kind == "text-embedding":
        hint = "enter one text, and choose a file to find its neighbours in"
        raise UsageError(Problem("E801", f"{model.spec.name} gives no labels", hint=hint))
    asked = [one[0] if len(one) == 1 else one for one in inputs]
    try:
        return [_row(one) for one in model(asked)]
    except DataError:  # each has an answer of its own
        return [_row_or_error(model, one) for one in asked]


def _row_or_error(model: archspec.Predictor, asked: Any) -> dict[str, Any]:
    try:
        return _row(model([asked])[0])
    except DataError as error:
        return {"error": error.message}


def _row(prediction: Any) -> dict[str, Any]:
    if isinstance(prediction, archspec.Prediction):
        return {"label": prediction.label, "probability": prediction.probability}
    label, share = prediction.summary
    return {"label": label, "probability": float(share) if share else None}


def overlay(data: bytes, prediction: SegmentationPrediction) -> dict[str, Any]:
    """An image beneath the colours of its classes.

    Args:
        data: of the file that was predicted on.
        prediction: of the same image.

    Returns:
        ``image``, a PNG in base64; ``classes``, the most frequent first, each with ``label``,
        ``share`` of the pixels, and ``color``, three numbers from 0 to 255.
    """
    picture = decoded(data).convert("RGB")
    mask = Image.fromarray(prediction.mask)
    scale = min(1.0, MAX_SIDE / max(picture.size))
    width, height = (max(1, round(side * scale)) for side in picture.size)
    colors = np.array([COLORS[i % len(COLORS)] for i in range(256)], dtype=np.uint8)
    classes = np.asarray(mask.resize((width, height), Image.Resampling.NEAREST))
    blended = (np.asarray(picture.resize((width, height)), dtype=np.uint16) + colors[classes]) // 2
    file = io.BytesIO()
    Image.fromarray(blended.astype(np.uint8)).save(file, "PNG")
    shares = [
        {"label": label, "share": count / prediction.mask.size, "color": colors[i].tolist()}
        for i, (label, count) in enumerate(prediction.pixels.items())
        if count
    ]
    ordered = sorted(shares, key=lambda one: -one["share"])[:MAX_LABELS]
    return {"image": base64.b64encode(file.getvalue()).decode(), "classes": ordered}


def text_answer(model: archspec.Predictor, text: str, second: str, explain: bool) -> dict[str, Any]:
    if takes_images(model.kind):
        raise UsageError(Problem("E801", f"{model.spec.name} takes images, not text"))
    if model.pair and not second:
        hint = "enter the second text"
        raise UsageError(Problem("E801", f"{model.spec.name} takes pairs of texts", hint=hint))
    if second and model.pair is False:
        hint = "leave the second text empty"
        raise UsageError(Problem("E801", f"{model.spec.name} takes one text", hint=hint))
    if model.kind == "text-embedding":
        vector = model(text)
        norm, first = float(vector.norm()), vector[:MAX_COMPONENTS].tolist()
        return {"kind": model.kind, "size": model.size, "norm": norm, "first": first}
    (prediction,) = model([(text, second) if second else text])
    if isinstance(prediction, TokenPrediction):
        return {"kind": model.kind, "parts": _parts(prediction)}
    if isinstance(prediction, AnswerPrediction):
        parts = _marked(second, [(prediction.start, prediction.end, "answer")])
        return {"kind": model.kind, "parts": parts, "probability": prediction.probability}
    if isinstance(prediction, MaskPrediction):
        return _tokens(model, prediction)
    if isinstance(prediction, ContinuationPrediction):
        return {"kind": model.kind, **prediction.to_dict()}
    if isinstance(prediction, NumberPrediction):
        return {"kind": model.kind, "value": prediction.value}
    if not explain or second or model.decision.several:
        return {**_labels(model, prediction), "saliency": None}
    count = len(model.encoder.encode([text])[0])  # pyright: ignore[reportArgumentType, reportCallIssue]
    if count > MAX_EXPLAINED_TOKENS:
        return {**_labels(model, prediction), "saliency": {"too_long": count}}
    explanation = model.explain(
        text, steps=max(_MIN_STEPS, min(_MAX_STEPS, _MAX_STEPS * _FULL_TOKENS // count))
    )
    return {**_labels(model, explanation.prediction), "saliency": saliency(explanation)}


def truncation(model: archspec.Predictor) -> dict[str, int] | None:
    counts = model.tokens
    if counts is None or not counts.truncated:
        return None
    return {"tokens": counts.longest, "max_length": counts.max_length}


def image_answer(model: archspec.Predictor, data: bytes) -> dict[str, Any]:
    if not takes_images(model.kind):
        raise UsageError(Problem("E801", f"{model.spec.name} takes text, not images"))
    if labels_pixels(model.kind):
        return {"kind": model.kind, "mask": overlay(data, model(data))}
    return _labels(model, model(data))


def _labels(
    model: archspec.Predictor, prediction: archspec.Prediction | MultiLabelPrediction
) -> dict[str, Any]:
    ordered = sorted(prediction.probabilities.items(), key=lambda item: -item[1])
    shown = [{"label": name, "probability": value} for name, value in ordered[:MAX_LABELS]]
    others = [value for _, value in ordered[MAX_LABELS:]]
    # Each of several labels has a probability by itself: there is none of all others.
    several = model.decision.several
    total = None if several else sum(others)
    rest = {"count": len(others), "probability": total} if others else None
    threshold = model.decision.thresholds[0] if several else None  # one for all labels
    return {"kind": model.kind, "labels": shown, "rest": rest, "threshold": threshold}


def _parts(prediction: TokenPrediction) -> list[dict[str, Any]]:
    """A text in segments: its entities, or the words with a tag where tags mark none."""
    if prediction.spans:
        found = [(span.start, span.end, span.label) for span in prediction.spans]
    else:
        found = [(word.start, word.end, word.tag) for word in prediction.words if word.tag]
    return _marked(prediction.input, [one for one in found if one[2] != "O"])


def _marked(text: str, spans: Sequence[tuple[int, int, str]]) -> list[dict[str, Any]]:
    """Segments that together are the text: ``text``, and ``label`` or None."""
    parts: list[dict[str, Any]] = []
    position = 0
    for start, end, label in spans:
        parts.append({"text": text[position:start], "label": None})
        parts.append({"text": text[start:end], "label": label})
        position = end
    parts.append({"text": text[position:], "label": None})
    return [part for part in parts if part["text"]]


def _tokens(model: archspec.Predictor, prediction: MaskPrediction) -> dict[str, Any]:
    """The tokens for a mask, as ``_labels`` has labels."""
    if len(prediction.masks) > 1:
        message = f"the text has {len(prediction.masks)} masks: one at a time is shown here"
        raise UsageError(Problem("E801", message, hint="archspec predict RUN --text TEXT"))
    tokens = prediction.top(MAX_LABELS).masks[0]
    shown = [{"label": name, "probability": value} for name, value in tokens.items()]
    others = max(model.encoder.size - len(shown), 0)  # pyright: ignore[reportAttributeAccessIssue]
    rest = {"count": others, "probability": max(1 - sum(tokens.values()), 0.0)} if others else None
    answer = {"kind": model.kind, "labels": shown, "rest": rest, "threshold": None}
    return {**answer, "saliency": None}


def saliency(explanation: archspec.Explanation) -> dict[str, Any]:
    """An explanation for the page, in segments of text, so that no offsets are needed.

    Returns:
        ``label``, ``logit``, ``baseline``, ``gap`` and ``steps``, as ``Explanation`` has them;
        ``segments``, which together are the text: ``text``, ``score`` (None between words), and
        ``share``, the score divided by the largest of all, -1 to 1; ``tokens``; ``unread``, the
        number of characters beyond the model's maximum length.
    """
    largest = max((abs(word.score) for word in explanation.words()), default=0.0) or 1.0
    return {
        "label": explanation.label,
        "logit": explanation.logit,
        "baseline": explanation.baseline,
        "gap": explanation.gap,
        "steps": explanation.steps,
        "segments": [
            {"text": text, "score": score, "share": None if score is None else score / largest}
            for text, score in _segments(explanation)
        ],
        "tokens": [
            {"name": t.name, "score": t.score, "added": t.added, "continues": t.continues}
            for t in explanation.tokens
        ],
        "unread": len(explanation.input) - explanation.read if explanation.truncated else 0,
    }


def _segments(explanation: archspec.Explanation) -> Iterator[tuple[str, float | None]]:
    position = 0
    for word in explanation.words():
        if word.end <= position:
            continue
        start = max(word.start, position)  # two tokens may share a character
        if start > position:
            yield explanation.input[position:start], None
        yield explanation.input[start : word.end], word.score
        position = word.end
    if position < len(explanation.input):
        yield explanation.input[position:], None
