"""The server's side of the tab Predict: models that stay loaded, their answers as plain data."""

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
from archspec.data.checking import check_file
from archspec.data.images import UnreadableImage
from archspec.errors import ArchspecError, DataError, Problem, UsageError
from archspec.training.run_folder import BEST, FACTS, SPEC
from archspec_app.weight_files import beside, stamp, weights_below
from archspec_app.workspace import inside, refuse_links_out, without_paths

MOST_LETTERS = 100_000
MOST_IMAGE_BYTES = 20_000_000
MOST_TOKENS = 4_096
MOST_EXPLAINED = 512  # tokens
MOST_LABELS = 20
MOST_NUMBERS = 16  # of an embedding
MOST_RUNS = 200
_OF_RUN = (BEST, FACTS, SPEC, "tokenizer.json", "vocab.txt", *tokenizer_files.BESIDE)
_STEPS, _FEWEST_STEPS, _FULL = 16, 8, 128  # of an explanation; tokens up to which it has all


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
        spec: as it is on the visitor's desk.
        weights: a file or folder, relative to the page's.
        layout: how the weights name the tensors; None for the one that fits best.
        key: under which the weights stand in the file, as ``Predictor`` takes it.
    """

    spec: archspec.Spec
    weights: str
    layout: str | None = None
    key: str | None = None


Source = RunSource | SpecSource
Key = tuple[object, ...]


@dataclass(slots=True, eq=False)
class _Kept:
    predictor: archspec.Predictor
    size: int
    lock: threading.Lock = field(default_factory=threading.Lock)


class Models:
    """Models that texts and images are predicted with: the last few stay in memory.

    All names are relative to one folder, and nothing outside it is read; errors do not tell where
    it is. May be used from several threads.

    Args:
        folder: where the page was started.
        runs: of the runs, below it.
        most: models in memory at once.
        most_bytes: of their parameters and buffers together; a larger model is refused.
        device: as ``Predictor`` takes it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        runs: str = "runs",
        most: int = 2,
        most_bytes: int = 4_000_000_000,
        device: str = "auto",
    ) -> None:
        self.folder = Path(os.path.realpath(folder))
        self.runs, self.most, self.most_bytes, self.device = runs, most, most_bytes, device
        self._kept: OrderedDict[Key, _Kept] = OrderedDict()
        self._guard, self._loading = threading.Lock(), threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def sources(self) -> dict[str, Any]:
        """What can be predicted with.

        Returns:
            ``runs``, newest first, each with ``name``, ``spec``, ``status``, ``kind``, ``classes``
            and ``best`` (the metrics of the epoch); ``weights``, each with ``name`` and ``bytes``.
        """
        return {
            "runs": self._runs(),
            "weights": weights_below(self.folder),
        }

    def predict_text(self, source: Source, text: str, *, explain: bool = False) -> dict[str, Any]:
        """What a model says of a text.

        Args:
            source: what to predict with.
            text: at most ``MOST_LETTERS`` characters.
            explain: whether the words that speak for the label are told, too.

        Returns:
            ``kind``; for a classifier ``labels`` (the most probable with ``label`` and
            ``probability``), ``rest`` (``count`` and ``probability`` of the others, or None) and
            ``saliency`` (see ``saliency``; None if not asked for, or with ``too_long`` where the
            text has more than ``MOST_EXPLAINED`` tokens); for embeddings ``size``, ``norm`` and
            ``first``, the first numbers. ``truncated`` has the ``tokens`` of a text that was cut
            and ``max_length``, how many were read; else it is None.

        Raises:
            ArchspecError: the visitor's mistake; its text can be shown as it is.
        """
        if not isinstance(text, str):
            raise DataError(Problem("E930", "no text"))
        if len(text) > MOST_LETTERS:
            message = f"a text of {len(text):,} characters; {MOST_LETTERS:,} are the most"
            raise DataError(Problem("E930", message))
        return self._asked(
            source, lambda model: {**_of_text(model, text, explain), "truncated": _cut(model)}
        )

    def predict_image(self, source: Source, image: bytes | Path) -> dict[str, Any]:
        """What a model says of an image.

        Args:
            source: what to predict with.
            image: the bytes of a file, or the path of an upload; never a visitor's string.

        Returns:
            As ``predict_text`` of a classifier.

        Raises:
            ArchspecError: the visitor's mistake; its text can be shown as it is.
        """
        data = image if isinstance(image, bytes) else _uploaded(image)
        if len(data) > MOST_IMAGE_BYTES:
            message = f"a file of {len(data):,} bytes; {MOST_IMAGE_BYTES:,} are the most"
            raise DataError(Problem("E930", message))
        return self._asked(source, lambda model: _of_image(model, data))

    # ---------------------------------------------------------------------------------- models

    def _asked(
        self, source: Source, ask: Callable[[archspec.Predictor], dict[str, Any]]
    ) -> dict[str, Any]:
        try:
            kept = self._model(source)
            with kept.lock:
                return ask(kept.predictor)
        except ArchspecError as error:
            shown = [without_paths(problem, self.folder) for problem in error.problems]
            raise type(error)(shown) from None

    def _model(self, source: Source) -> _Kept:
        """The model of a source, loaded if it is not there or its files have changed."""
        key = self._key(source)
        if found := self._at_hand(key):
            return found
        with self._loading:  # one at a time: memory is bounded
            found = self._at_hand(key)
            if found is None:
                found = self._loaded(source)
                with self._guard:
                    self._kept[key] = found
            return found

    def _at_hand(self, key: Key) -> _Kept | None:
        with self._guard:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def _key(self, source: Source) -> Key:
        if isinstance(source, RunSource):
            place = inside(self.folder, source.name, there=True)
            return ("run", place, stamp(self.folder, [place / name for name in _OF_RUN]))
        if not isinstance(source, SpecSource):
            raise UsageError(Problem("E801", "neither a run nor a spec with weights"))
        place = inside(self.folder, source.weights, there=True)
        refuse_links_out(self.folder, place)
        text = source.spec.architecture.model_dump_json() + repr(sorted(source.spec.values.items()))
        digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
        return ("spec", digest, place, source.layout, source.key, stamp(self.folder, beside(place)))

    def _loaded(self, source: Source) -> _Kept:
        spec, model, given = self._given(source)
        size = _bytes_of(spec)
        if size > self.most_bytes:
            message = f"{spec.name} has {size:,} bytes of tensors; {self.most_bytes:,} are the most"
            raise UsageError(Problem("E801", message))
        self._make_room(size)
        task = spec.architecture.task
        if task and task.text and task.text.max_length > MOST_TOKENS:
            given["max_length"] = MOST_TOKENS
        predictor = archspec.Predictor(model, device=self.device, batch_size=1, **given)
        return _Kept(predictor, size)

    def _given(self, source: Source) -> tuple[archspec.Spec, Any, dict[str, Any]]:
        if isinstance(source, RunSource):
            run = archspec.Run.of(inside(self.folder, source.name, there=True))
            return archspec.load(run.path / SPEC), run, {}
        weights = inside(self.folder, source.weights, there=True)
        given = {"weights": weights, "layout": source.layout, "key": source.key}
        return source.spec, source.spec, given

    def _make_room(self, size: int) -> None:
        """Forget what was used longest ago, before more is loaded."""
        with self._guard:
            while self._kept and (
                len(self._kept) >= self.most
                or size + sum(kept.size for kept in self._kept.values()) > self.most_bytes
            ):
                self._kept.popitem(last=False)

    def _runs(self) -> list[dict[str, Any]]:
        try:
            found = archspec.runs(inside(self.folder, self.runs, there=True))
        except UsageError:
            return []
        whole = [run for run in found if (run.path / BEST).is_file() and self._is_own(run.path)]
        return [self._told(run) for run in reversed(whole[-MOST_RUNS:])]

    def _is_own(self, run: Path) -> bool:
        """Whether all that is told of a run lies in the folder."""
        try:
            stamp(self.folder, [run, *(run / name for name in _OF_RUN)])
        except UsageError:
            return False
        return not run.is_symlink()

    def _told(self, run: archspec.Run) -> dict[str, Any]:
        columns = run.facts.get("data", {}).get("columns") or {}
        is_image = isinstance(columns, dict) and columns.get("image") is not None
        return {
            "name": run.path.relative_to(self.folder).as_posix(),
            "spec": run.facts.get("spec", ""),
            "status": run.status,
            "kind": "image-classification" if is_image else "text-classification",
            "classes": len(run.labels),
            "best": dict(run.best) if run.best else None,
        }


# ---------------------------------------------------------------------------------------- answers


def _of_text(model: archspec.Predictor, text: str, explain: bool) -> dict[str, Any]:
    if model.kind == "image-classification":
        raise UsageError(Problem("E801", f"{model.spec.name} takes images, not texts"))
    if model.kind == "text-embedding":
        vector = model(text)
        norm, first = float(vector.norm()), vector[:MOST_NUMBERS].tolist()
        return {"kind": model.kind, "size": model.size, "norm": norm, "first": first}
    if not explain:
        return {**_labels(model, model(text)), "saliency": None}
    count = len(model.encoder.encode([text])[0])  # pyright: ignore[reportArgumentType, reportCallIssue]
    if count > MOST_EXPLAINED:
        return {**_labels(model, model(text)), "saliency": {"too_long": count}}
    why = model.explain(text, steps=max(_FEWEST_STEPS, min(_STEPS, _STEPS * _FULL // count)))
    return {**_labels(model, why.prediction), "saliency": saliency(why)}


def _cut(model: archspec.Predictor) -> dict[str, int] | None:
    counts = model.tokens
    if counts is None or not counts.truncated:
        return None
    return {"tokens": counts.longest, "max_length": counts.max_length}


def _of_image(model: archspec.Predictor, data: bytes) -> dict[str, Any]:
    if model.kind != "image-classification":
        raise UsageError(Problem("E801", f"{model.spec.name} takes texts, not images"))
    return _labels(model, model(data))


def _labels(model: archspec.Predictor, prediction: archspec.Prediction) -> dict[str, Any]:
    ordered = sorted(prediction.probabilities.items(), key=lambda one: -one[1])
    shown = [{"label": name, "probability": share} for name, share in ordered[:MOST_LABELS]]
    others = [share for _, share in ordered[MOST_LABELS:]]
    rest = {"count": len(others), "probability": sum(others)} if others else None
    return {"kind": model.kind, "labels": shown, "rest": rest}


def saliency(why: archspec.Explanation) -> dict[str, Any]:
    """An explanation for the page, in pieces of text: no place has to be counted in its letters.

    Returns:
        ``label``, ``logit``, ``baseline``, ``gap`` and ``steps``, as ``Explanation`` has them;
        ``segments``, which together are the text: ``text``, ``score`` (None between words), and
        ``share``, the score divided by the largest of all, -1 to 1; ``tokens``; ``unread``, how
        many characters at the end are beyond the model's maximum length.
    """
    most = max((abs(word.score) for word in why.words()), default=0.0) or 1.0
    return {
        "label": why.label,
        "logit": why.logit,
        "baseline": why.baseline,
        "gap": why.gap,
        "steps": why.steps,
        "segments": [
            {"text": text, "score": score, "share": None if score is None else score / most}
            for text, score in _segments(why)
        ],
        "tokens": [
            {"name": one.name, "score": one.score, "added": one.added, "continues": one.continues}
            for one in why.tokens
        ],
        "unread": len(why.input) - why.read if why.truncated else 0,
    }


def _segments(why: archspec.Explanation) -> Iterator[tuple[str, float | None]]:
    place = 0
    for word in why.words():
        if word.end <= place:
            continue
        start = max(word.start, place)  # two tokens may share a letter
        if start > place:
            yield why.input[place:start], None
        yield why.input[start : word.end], word.score
        place = word.end
    if place < len(why.input):
        yield why.input[place:], None


# ------------------------------------------------------------------------------------------ files


def _uploaded(path: Path) -> bytes:
    try:
        check_file(path)
        with path.open("rb") as file:
            return file.read(MOST_IMAGE_BYTES + 1)
    except UnreadableImage as error:
        raise DataError(Problem("E930", str(error))) from None
    except (OSError, ValueError):
        raise DataError(Problem("E930", "the upload cannot be read")) from None


def _bytes_of(spec: archspec.Spec) -> int:
    model = archspec.build(spec, device="meta")
    tensors: list[torch.Tensor] = [*model.parameters(), *model.buffers()]
    return sum(one.numel() * one.element_size() for one in tensors)
