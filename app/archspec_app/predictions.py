"""Predictions for the page: models that stay loaded, and their answers as plain data."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import archspec
from archspec.data import tokenizer_files
from archspec.errors import ArchspecError, DataError, Problem, UsageError
from archspec.predicting.report import MultiLabelPrediction, NumberPrediction
from archspec.predicting.token_report import ContinuationPrediction, MaskPrediction
from archspec.tasks import labels_pixels, takes_images
from archspec.tasks.figures import figure_name
from archspec.training.run_folder import BEST, FACTS, SPEC
from archspec_app.training.metric_points import number
from archspec_app.training.run_rows import timestamp
from archspec_app.weight_files import companion_files, stamp, weights_below
from archspec_app.workspace import inside, refuse_links_out, without_paths

MAX_TEXT_LENGTH = 100_000
MAX_IMAGE_BYTES = 20_000_000
MAX_TOKENS = 4_096
MAX_EXPLAINED_TOKENS = 512
MAX_LABELS = 20
MAX_COMPONENTS = 16  # of an embedding
MAX_RUNS = 200
_RUN_FILES = (BEST, FACTS, SPEC, "tokenizer.json", "vocab.txt", *tokenizer_files.BESIDE)
_MIN_STEPS, _MAX_STEPS = 8, 16  # of an explanation
_FULL_TOKENS = 128  # texts of up to so many tokens are explained in the most steps


@dataclass(frozen=True, slots=True)
class RunSource:
    """The best weights of a run.

    Attributes:
        name: of its folder, relative to the page's.
    """

    name: str


@dataclass(frozen=True, slots=True, eq=False)
class SpecSource:
    """A spec with weights.

    Attributes:
        spec: of the visitor's session.
        weights: a file or folder, relative to the page's.
        key: of the state dict in the file, as ``Predictor`` takes it.
    """

    spec: archspec.Spec
    weights: str
    key: str | None = None


Source = RunSource | SpecSource
Key = tuple[object, ...]


@dataclass(slots=True, eq=False)
class _LoadedModel:
    predictor: archspec.Predictor
    size: int  # bytes
    lock: threading.Lock = field(default_factory=threading.Lock)


class Models:
    """Models for predictions; those used last stay in memory.

    All names are relative to one folder, and nothing outside it is read; errors do not show its
    path. May be used from several threads.

    Args:
        folder: that the page works in.
        max_models: in memory at once.
        max_bytes: of their parameters and buffers together; a larger model is refused.
        device: as ``Predictor`` takes it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_models: int = 2,
        max_bytes: int = 4_000_000_000,
        device: str = "auto",
    ) -> None:
        self.folder = Path(os.path.realpath(folder))
        self.device = device
        self.max_models, self.max_bytes = max_models, max_bytes
        self._models: OrderedDict[Key, _LoadedModel] = OrderedDict()
        self._lock, self._loading = threading.Lock(), threading.Lock()

    def __len__(self) -> int:
        return len(self._models)

    def sources(self) -> dict[str, Any]:
        """The runs and weights that can be used.

        Returns:
            ``runs``, those that ended last first, each with ``name``, ``spec``, ``status``,
            ``kind``, ``pair`` (whether it takes two texts), ``classes``, ``best`` (the metrics of
            the epoch) and ``score`` (name and value of the monitored one); ``weights``, each with
            ``name`` and ``bytes``.
        """
        return {"runs": self._runs(), "weights": weights_below(self.folder)}

    def predict_text(
        self, source: Source, text: str, second: str = "", *, explain: bool = False
    ) -> dict[str, Any]:
        """The prediction for a text, or for a pair of texts.

        Args:
            source: the model.
            text: at most ``MAX_TEXT_LENGTH`` characters.
            second: of a pair; "" for a single text.
            explain: whether to compute how much each word contributes to the label: of one text
                with one label.

        Returns:
            ``kind``; for a classifier ``labels`` (the most probable with ``label`` and
            ``probability``), ``rest`` (``count`` and ``probability`` of the others, or None),
            ``threshold`` (from which probability on a label is given; None where there is one
            label) and
            ``saliency`` (see ``saliency``; None without ``explain``, or only ``too_long`` where the
            text has more than ``MAX_EXPLAINED_TOKENS``); for embeddings ``size``, ``norm`` and
            ``first``, the first numbers; for numbers ``value``; for a mask ``labels`` and ``rest``,
            which are of tokens; for a prompt what ``ContinuationPrediction`` has. ``truncated`` has
            the number of ``tokens`` of a truncated text and ``max_length``, how many were read;
            otherwise it is None.

        Raises:
            ArchspecError: the visitor's mistake; its text is safe to show.
        """
        for one in (text, second):
            if not isinstance(one, str):
                raise DataError(Problem("E930", "no text"))
            if len(one) > MAX_TEXT_LENGTH:
                message = f"a text of {len(one):,} characters; the maximum is {MAX_TEXT_LENGTH:,}"
                raise DataError(Problem("E930", message))

        def predict(model: archspec.Predictor) -> dict[str, Any]:
            answer = _text_answer(model, text, second, explain)
            return {**answer, "truncated": _truncation(model)}

        return self._predict(source, predict)

    def predict_image(self, source: Source, image: bytes) -> dict[str, Any]:
        """The prediction for an image.

        Args:
            source: the model.
            image: the content of a file.

        Returns:
            As ``predict_text`` for a classifier.

        Raises:
            ArchspecError: the visitor's mistake; its text is safe to show.
        """
        if len(image) > MAX_IMAGE_BYTES:
            message = f"a file of {len(image):,} bytes; the maximum is {MAX_IMAGE_BYTES:,}"
            raise DataError(Problem("E930", message))
        return self._predict(source, lambda model: _image_answer(model, image))

    # ---------------------------------------------------------------------------------- models

    def _predict(
        self, source: Source, predict: Callable[[archspec.Predictor], dict[str, Any]]
    ) -> dict[str, Any]:
        try:
            model = self._model(source)
            with model.lock:
                return predict(model.predictor)
        except ArchspecError as error:
            problems = [without_paths(problem, self.folder) for problem in error.problems]
            raise type(error)(problems) from None

    def _model(self, source: Source) -> _LoadedModel:
        """The model of a source, loaded if it is not in memory or its files have changed."""
        key = self._key(source)
        if model := self._in_memory(key):
            return model
        with self._loading:  # one at a time: memory is bounded
            model = self._in_memory(key)
            if model is None:
                model = self._load(source)
                with self._lock:
                    self._models[key] = model
            return model

    def _in_memory(self, key: Key) -> _LoadedModel | None:
        with self._lock:
            if key in self._models:
                self._models.move_to_end(key)
            return self._models.get(key)

    def _key(self, source: Source) -> Key:
        if isinstance(source, RunSource):
            path = inside(self.folder, source.name, must_exist=True)
            return ("run", path, stamp(self.folder, [path / name for name in _RUN_FILES]))
        if not isinstance(source, SpecSource):
            raise UsageError(Problem("E801", "neither a run nor a spec with weights"))
        path = inside(self.folder, source.weights, must_exist=True)
        refuse_links_out(self.folder, path)
        text = source.spec.architecture.model_dump_json() + repr(sorted(source.spec.values.items()))
        digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
        files = stamp(self.folder, companion_files(path))
        return ("spec", digest, path, source.key, files)

    def _load(self, source: Source) -> _LoadedModel:
        spec, model, options = self._predictor_arguments(source)
        size = _tensor_bytes(spec)
        if size > self.max_bytes:
            message = (
                f"{spec.name} has {size:,} bytes of tensors; the maximum is {self.max_bytes:,}"
            )
            raise UsageError(Problem("E801", message))
        self._make_room(size)
        task = spec.architecture.task
        if task and task.text and task.text.max_length > MAX_TOKENS:
            options["max_length"] = MAX_TOKENS
        predictor = archspec.Predictor(model, device=self.device, batch_size=1, **options)
        return _LoadedModel(predictor, size)

    def _predictor_arguments(self, source: Source) -> tuple[archspec.Spec, Any, dict[str, Any]]:
        if isinstance(source, RunSource):
            run = archspec.Run.of(inside(self.folder, source.name, must_exist=True))
            return archspec.load(run.path / SPEC), run, {}
        weights = inside(self.folder, source.weights, must_exist=True)
        options = {"weights": weights, "key": source.key}
        return source.spec, source.spec, options

    def _make_room(self, size: int) -> None:
        """Drop the models that were used longest ago, before another is loaded."""
        with self._lock:
            while self._models and (
                len(self._models) >= self.max_models
                or size + sum(model.size for model in self._models.values()) > self.max_bytes
            ):
                self._models.popitem(last=False)

    def _runs(self) -> list[dict[str, Any]]:
        try:
            runs = archspec.runs(inside(self.folder, "runs", must_exist=True))
        except UsageError:
            return []
        usable = [run for run in runs if (run.path / BEST).is_file() and self._is_inside(run.path)]
        return [self._run_data(run) for run in sorted(usable, key=_end)[: -MAX_RUNS - 1 : -1]]

    def _is_inside(self, run: Path) -> bool:
        """Whether all files of a run lie in the folder."""
        try:
            stamp(self.folder, [run, *(run / name for name in _RUN_FILES)])
        except UsageError:
            return False
        return not run.is_symlink()

    def _run_data(self, run: archspec.Run) -> dict[str, Any]:
        columns = run.facts.get("data", {}).get("columns") or {}
        is_image = isinstance(columns, dict) and columns.get("image") is not None
        is_pair = isinstance(columns, dict) and columns.get("text_pair") is not None
        is_pair = is_pair and "perplexity" not in (run.best or {})  # answers are not read
        best = dict(run.best) if run.best else None
        options = run.facts.get("options")
        name = str(options.get("monitor")) if isinstance(options, dict) else ""
        value = number((best or {}).get(name))
        return {
            "name": run.path.relative_to(self.folder).as_posix(),
            "spec": run.facts.get("spec", ""),
            "status": run.status,
            "kind": "image-classification" if is_image else "text-classification",
            "pair": is_pair,
            "classes": len(run.labels),
            "best": best,
            "score": None if value is None else {"name": figure_name(name), "value": value},
        }


def _end(run: archspec.Run) -> tuple[float, str]:
    """When a run ended, or began to train last if it has not; the names of runs need no order."""
    resumed = run.facts.get("resumed")
    times = [run.facts.get("started"), *(resumed if isinstance(resumed, list) else [])]
    return timestamp(run.facts.get("ended")) or timestamp(times[-1]) or 0.0, run.path.name


# ---------------------------------------------------------------------------------------- answers


def _text_answer(
    model: archspec.Predictor, text: str, second: str, explain: bool
) -> dict[str, Any]:
    if takes_images(model.kind):
        raise UsageError(Problem("E801", f"{model.spec.name} takes images, not text"))
    if model.kind in ("token-classification", "question-answering"):
        pair = " --text-pair CONTEXT" * bool(model.pair)
        message = f"{model.spec.name} gives parts of a text: not shown here yet"
        raise UsageError(Problem("E801", message, hint=f"archspec predict RUN --text TEXT{pair}"))
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


def _truncation(model: archspec.Predictor) -> dict[str, int] | None:
    counts = model.tokens
    if counts is None or not counts.truncated:
        return None
    return {"tokens": counts.longest, "max_length": counts.max_length}


def _image_answer(model: archspec.Predictor, data: bytes) -> dict[str, Any]:
    if not takes_images(model.kind):
        raise UsageError(Problem("E801", f"{model.spec.name} takes text, not images"))
    if labels_pixels(model.kind):
        message = f"{model.spec.name} gives masks: not shown here yet"
        hint = "archspec predict RUN --image FILE -o MASK.png"
        raise UsageError(Problem("E801", message, hint=hint))
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


def _tensor_bytes(spec: archspec.Spec) -> int:
    model = archspec.build(spec, device="meta")
    tensors: list[torch.Tensor] = [*model.parameters(), *model.buffers()]
    return sum(tensor.nbytes for tensor in tensors)
