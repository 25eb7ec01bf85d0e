"""Predictions for the page: models that stay loaded, and their answers as plain data."""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast, get_args

import torch

import archspec
from archspec.data import tokenizer_files
from archspec.errors import ArchspecError, DataError, Problem, UsageError
from archspec.lang.schema import TaskKind
from archspec.lang.yaml import MAX_BYTES
from archspec.predicting.files import PredictionSettings, input_columns
from archspec.predicting.row_reader import row_file
from archspec.tasks import models_language, takes_pairs
from archspec.tasks.figures import figure_name
from archspec.training.run_folder import BEST, FACTS, SPEC
from archspec_app.activation_data import activation_data
from archspec_app.answers import image_answer, row_answers, text_answer, truncation
from archspec_app.example_inputs import examples_of
from archspec_app.training.job_status import read_text
from archspec_app.training.metric_points import number
from archspec_app.training.run_rows import timestamp
from archspec_app.weight_files import companion_files, stamp, weights_below
from archspec_app.workspace import inside, refuse_links_out, without_paths

MAX_TEXT_LENGTH = 100_000
MAX_IMAGE_BYTES = 20_000_000
MAX_TOKENS = 4_096
MAX_ROWS = 200  # of a file
MAX_AT_ONCE = 20  # texts in one request: a page asks for more of them in turn
MAX_HITS = 20
_BATCH_SIZE = 16
MAX_RUNS = 200
_TASK = re.compile(r"^task:.*\n(?: .*\n)*", re.MULTILINE)
_KIND = re.compile(r"\bkind: ([a-z-]+)")
_RUN_FILES = (BEST, FACTS, SPEC, "tokenizer.json", "vocab.txt", *tokenizer_files.BESIDE)


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
        _check_texts([text, second])

        def predict(model: archspec.Predictor) -> dict[str, Any]:
            answer = text_answer(model, text, second, explain)
            return {**answer, "truncated": truncation(model)}

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
        return self._predict(source, lambda model: image_answer(model, image))

    def look_inside(
        self, source: Source, texts: Sequence[str], image: bytes, chosen: int
    ) -> dict[str, Any]:
        """What is in a model for one input.

        Args:
            source: the model.
            texts: a text and a second one, which may be empty.
            image: the content of a file.
            chosen: the number of the attention map.

        Returns:
            As ``activation_data``.

        Raises:
            ArchspecError: the visitor's mistake; its text is safe to show.
        """
        _check_texts(texts)
        first, second = texts

        def look(model: archspec.Predictor) -> dict[str, Any]:
            return activation_data(model, first, second, image, chosen)

        return self._predict(source, look)

    def predict_rows(self, source: Source, inputs: Sequence[Sequence[str]]) -> dict[str, Any]:
        """The predictions for several texts, or pairs of texts.

        Args:
            source: the model.
            inputs: at most ``MAX_AT_ONCE``, of one or two texts each.

        Returns:
            ``rows``, as ``row_answers`` has them.

        Raises:
            ArchspecError: the visitor's mistake; its text is safe to show.
        """
        if not 0 < len(inputs) <= MAX_AT_ONCE:
            raise UsageError(Problem("E801", f"1 to {MAX_AT_ONCE} texts are predicted at once"))
        _check_texts([text for one in inputs for text in one])
        pairs = [tuple(one) if any(one[1:]) else (one[0],) for one in inputs]
        return self._predict(source, lambda model: {"rows": row_answers(model, pairs)})

    def inputs_of_file(self, source: Source, name: str) -> dict[str, Any]:
        """The first texts of a file, in the columns that the model would read.

        Args:
            source: the model.
            name: of the file, relative to the folder.

        Returns:
            ``inputs``, of one or two texts each, at most ``MAX_ROWS``; ``total``, the number of
            rows; ``columns``, their names.

        Raises:
            ArchspecError: the visitor's mistake; its text is safe to show.
        """
        path = self._file(name)

        def read(model: archspec.Predictor) -> dict[str, Any]:
            file = row_file(path)
            columns, _ = input_columns(file, _settings(model))
            window = file.first(MAX_ROWS)
            values = [[_cell(cell) for cell in window.values(name)] for name in columns]
            return {
                "inputs": [*zip(*values, strict=True)],
                "total": file.total,
                "columns": columns,
            }

        return self._predict(source, read)

    def nearest(self, source: Source, text: str, name: str) -> dict[str, Any]:
        """The rows of a file whose texts are nearest to a text.

        Args:
            source: a model that gives vectors.
            text: what is looked for.
            name: of the file, relative to the folder.

        Returns:
            ``hits``, the nearest first, each with ``row``, ``text`` and ``score``; ``rows``, the
            number of all; ``notes``.

        Raises:
            ArchspecError: the visitor's mistake; its text is safe to show.
        """
        _check_texts([text])
        path = self._file(name)

        def search(model: archspec.Predictor) -> dict[str, Any]:
            found = model.search(text, path, top=MAX_HITS)
            hits = [{"row": hit.row, "text": hit.text, "score": hit.score} for hit in found.hits]
            return {"kind": "nearest", "hits": hits, "rows": found.rows, "notes": [*found.notes]}

        return self._predict(source, search)

    def examples(self, name: str) -> list[dict[str, Any]]:
        """A few inputs from the data of a run, as ``examples_of`` has them.

        Raises:
            ArchspecError: there is no such run.
        """
        return examples_of(archspec.Run.of(inside(self.folder, name, must_exist=True)), self.folder)

    def _file(self, name: str) -> Path:
        path = inside(self.folder, name, must_exist=True)
        refuse_links_out(self.folder, path)
        return path

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
        predictor = archspec.Predictor(model, device=self.device, batch_size=_BATCH_SIZE, **options)
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
        is_pair = isinstance(columns, dict) and columns.get("text_pair") is not None
        kind = _kind(run)
        best = dict(run.best) if run.best else None
        options = run.facts.get("options")
        name = str(options.get("monitor")) if isinstance(options, dict) else ""
        value = number((best or {}).get(name))
        return {
            "name": run.path.relative_to(self.folder).as_posix(),
            "spec": run.facts.get("spec", ""),
            "status": run.status,
            "kind": kind,
            "pair": is_pair and takes_pairs(kind) and not models_language(kind),
            "classes": len(run.labels),
            "best": best,
            "score": None if value is None else {"name": figure_name(name), "value": value},
        }


def _kind(run: archspec.Run) -> TaskKind:
    """Of its task, as the run has written its spec."""
    text = read_text(run.path / SPEC, MAX_BYTES) or ""
    task = _TASK.search(text)
    found = _KIND.search(task[0]) if task else None
    is_known = found is not None and found[1] in get_args(TaskKind)
    return cast("TaskKind", found[1]) if found and is_known else "text-classification"


def _settings(model: archspec.Predictor) -> PredictionSettings:
    return PredictionSettings(
        model.engine, model.encoder, model.kind, model.pair, model.labels, model.decision,
        model.batch_size, model.max_new_tokens,
    )  # fmt: skip


def _cell(value: object) -> str:
    """A text of a table; a broken row has none."""
    return value[:MAX_TEXT_LENGTH] if isinstance(value, str) else ""


def _check_texts(texts: Sequence[object]) -> None:
    for one in texts:
        if not isinstance(one, str):
            raise DataError(Problem("E930", "no text"))
        if len(one) > MAX_TEXT_LENGTH:
            message = f"a text of {len(one):,} characters; the maximum is {MAX_TEXT_LENGTH:,}"
            raise DataError(Problem("E930", message))


def _end(run: archspec.Run) -> tuple[float, str]:
    """When a run ended, or began to train last if it has not; the names of runs need no order."""
    resumed = run.facts.get("resumed")
    times = [run.facts.get("started"), *(resumed if isinstance(resumed, list) else [])]
    return timestamp(run.facts.get("ended")) or timestamp(times[-1]) or 0.0, run.path.name


def _tensor_bytes(spec: archspec.Spec) -> int:
    model = archspec.build(spec, device="meta")
    tensors: list[torch.Tensor] = [*model.parameters(), *model.buffers()]
    return sum(tensor.nbytes for tensor in tensors)
