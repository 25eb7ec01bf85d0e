"""``Predictor``: predicts labels or embeddings for texts or images."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from archspec.data import ImageEncoder, TextEncoder
from archspec.data.text_files import TextFormat
from archspec.data.token_counts import TokenCounts, total
from archspec.errors import DataError, Problem, UsageError
from archspec.lang.schema import TaskKind
from archspec.predicting.answers import Answerer, prepare_answers
from archspec.predicting.arguments import check_arguments
from archspec.predicting.batching import (
    Prepared,
    prepare_images,
    prepare_texts,
    problems_of,
    window_rows,
)
from archspec.predicting.continuations import Continuer, new_tokens, prepare_prompts
from archspec.predicting.decisions import Decision, Threshold, decision
from archspec.predicting.engine import Scores
from archspec.predicting.engine_setup import (
    check_language,
    input_is_pair,
    objective_of,
    prepared_engine,
)
from archspec.predicting.image_inputs import is_image, opened_image, pixels
from archspec.predicting.masks import MaskFiller, prepare_masks
from archspec.predicting.model_source import (
    Source,
    SourceOptions,
    label_names,
    load_model,
)
from archspec.predicting.report import (
    AnyPrediction,
    Explanation,
    MultiLabelPrediction,
    NumberPrediction,
    PredictedFile,
    Prediction,
)
from archspec.predicting.segmentation import Segmenter, prepare_tiles
from archspec.predicting.segmentation_report import SegmentationPrediction
from archspec.predicting.span_report import AnswerPrediction, TokenPrediction
from archspec.predicting.token_report import ContinuationPrediction, MaskPrediction
from archspec.predicting.words import WordTagger, prepare_words
from archspec.tasks import (
    finds_answers,
    labels_pixels,
    tags_words,
)
from archspec.tasks.language_model import LanguageModel

if TYPE_CHECKING:
    from archspec.lang.spec import Spec
    from archspec.predicting.activations import Activations
    from archspec.predicting.files import PredictionSettings
    from archspec.predicting.search import SearchResult
    from archspec.weights.tensor_names import Resize

_OfTokens = TokenPrediction | AnswerPrediction | MaskPrediction | ContinuationPrediction


class Predictor:
    """Predicts on texts or images, as the spec's ``task`` says.

    Args:
        source: a run's folder, a ``Run``, a spec's path or packaged name, a ``Spec``, or a module
            that ``build`` made; the module is used as it is, and left in the mode it is in.
        weights: what ``load_weights`` takes; a spec needs them. Of a run: ``best`` or ``last``
            instead; left out, the best.
        layout: how ``weights`` names the tensors; left out, the one that fits best.
        key: under which the weights stand in the file, as ``load_weights`` takes it.
        ignore: tensors of the weights that are left unread, as ``load_weights`` takes it.
        allow_missing: tensors that the weights may lack; these get initial values, also where
            predictions depend on them.
        resize: tensors that may have another shape in the weights, as ``load_weights`` takes it.
        allow_partial: whether most of the model may take nothing of the weights.
        device: ``auto`` (a GPU if there is one), ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
        batch_size: texts or images at once, at most.
        optimize: whether the model may be changed to be faster, where the first batch shows that
            it still says the same: BatchNorm folded into convolutions, channels-last, bfloat16.
            ``optimizations`` tells what was done. Where a built module has been changed since, as
            by an optimizer or ``load_state_dict``, it is looked for anew.
        tokenizer: a ``tokenizer.json`` or ``vocab.txt``; left out: beside the weights or the spec.
        max_length: tokens of a text at most; left out: as the task says.
        labels: the names of the classes, in the order of the model's outputs; left out: those of
            the run or of the task, else numbers from 0. They set the number of a spec's outputs.
        threshold: the probability from which on a label is given, 0 to 1: of several labels each,
            left out 0.5; of two labels the second one. ``best``: those that the run's report has.
        calibrate: whether logits are divided by the temperature of the run's report.
        max_new_tokens: how many tokens are added to a prompt at most, by a model of ``causal-lm``;
            left out: 40.
        **params: values for the spec's parameters.

    Attributes:
        spec: what the model is.
        model: the module, as it was before any optimization.
        kind: of the spec's task, such as ``text-classification``.
        objective: what the task is for training; None for embeddings.
        pair: whether an input is a pair of texts; None: a text or a pair.
        labels: the names of the classes; none for embeddings and numbers.
        decision: which labels probabilities lead to.
        size: how many numbers the model gives for each input.
        max_new_tokens: how many tokens are added to a prompt at most.
        encoder: what makes the model's input of a text or an image.
        engine: what runs the model.
        tokens: of the texts of the last call, and how many of them were cut; None for images.

    Raises:
        UsageError: E801, an argument makes no sense, a spec comes without weights or a task, or
            the extra ``train`` is not installed.
        RunError: E920, the folder holds no run.
        SpecError: the spec is wrong.
        WeightsError: E6xx, the weights cannot be read, or do not fit.
        DataError: E902 or E905, there is no way from a text or image to the model's input; E906,
            the labels do not fit the model.
        BuildError: E5xx, the model does not fit into the device's memory, or cannot run.

    Example:
        >>> import archspec
        >>> model = archspec.build("tests/training/tiny.yaml", device="cpu", seed=0)
        >>> predictor = archspec.Predictor(model, labels=["no", "yes"])
        >>> [prediction.label for prediction in predictor(["a warm film", "sad"])]
        ['yes', 'yes']
    """

    def __init__(
        self,
        source: Source,
        *,
        weights: str | os.PathLike[str] | None = None,
        layout: str | None = None,
        key: str | None = None,
        ignore: Iterable[str] = (),
        allow_missing: Iterable[str] = (),
        resize: Mapping[str, Resize] | None = None,
        allow_partial: bool = False,
        device: str | torch.device = "auto",
        batch_size: int = 32,
        optimize: bool = False,
        tokenizer: str | os.PathLike[str] | None = None,
        max_length: int | None = None,
        labels: Sequence[str] | None = None,
        threshold: Threshold | None = None,
        calibrate: bool = False,
        max_new_tokens: int | None = None,
        **params: Any,
    ) -> None:
        check_arguments(batch_size, max_length, tokenizer, labels)
        names = None if labels is None else tuple(labels)
        loading = {
            "layout": layout, "key": key, "ignore": ignore, "allow_missing": allow_missing,
            "resize": resize, "allow_partial": allow_partial,
        }  # fmt: skip
        options = SourceOptions(weights, loading, device, tokenizer, max_length, names, params)
        loaded = load_model(source, options)
        task = loaded.spec.architecture.task
        assert task is not None  # else there is no encoder
        self.spec: Spec = loaded.spec
        self.model, self.batch_size = loaded.model, batch_size
        self.kind: TaskKind = task.kind
        self.pair = input_is_pair(task)
        self.encoder = loaded.encoder
        self.tokens: TokenCounts | None = None
        self.objective = objective_of(task)
        self.max_new_tokens = new_tokens(task.kind, max_new_tokens)
        activation = self.objective.activation if self.objective else ""
        if names is not None and self.objective is not None and not activation:
            raise UsageError(Problem("E801", f"the task is {task.kind}: there are no labels"))
        axes = 3 if self.objective and self.objective.per_token else 2
        axes = 4 if labels_pixels(task.kind) else axes
        self.engine = prepared_engine(
            loaded, task.kind, self.pair, activation, axes, optimize=optimize
        )
        if isinstance(self.objective, LanguageModel) and isinstance(self.encoder, TextEncoder):
            check_language(loaded, self.objective, self.encoder)
        self.size = self.engine.size
        self.labels = label_names(loaded, self.size) if activation else ()
        of_rows = activation if axes == 2 else ""
        self.decision = decision(self.labels, of_rows, threshold, calibrate, loaded.report)
        self.engine.plain = replace(self.engine.plain, temperature=self.decision.temperature)

    @property
    def optimizations(self) -> tuple[str, ...]:
        """What was done to be faster, and what was not and why; known after the first batch."""
        return self.engine.optimizations

    def __call__(self, inputs: Any) -> Any:
        """Predict on one input, or on several.

        Args:
            inputs: for a text task, a text, or a list of them; where pairs are taken, each may be a
                tuple of two texts, and where words are tagged, a tuple of words. For images: a
                path, the bytes of a file, an image of Pillow's, or a uint8 array [height, width] or
                [height, width, channels]; or a list of these.

        Returns:
            A ``Prediction``, or a list of them in the order of the inputs; where an input may have
            several labels, ``MultiLabelPrediction``, for numbers ``NumberPrediction``, and for
            tags of words ``TokenPrediction``, for answers ``AnswerPrediction``. Of a
            ``text-embedding`` task, a float32 tensor [size], or [n, size]. Of ``masked-lm``, whose
            texts have masks such as ``[MASK]``, a ``MaskPrediction``; of ``causal-lm`` a
            ``ContinuationPrediction``; of ``image-segmentation`` a ``SegmentationPrediction``.

        Raises:
            DataError: E930, inputs that nothing can be predicted on; all of them are reported.
            UsageError: E801, the inputs are a dict or a set, which has no order of its own.
        """
        if isinstance(inputs, Mapping | Set):
            message = f"inputs are one, or a list of them, not a {type(inputs).__name__}"
            raise UsageError(Problem("E801", message))
        is_one = isinstance(inputs, str | bytes | os.PathLike | np.ndarray) or is_image(inputs)
        is_one = is_one or (bool(self.pair) and _are_texts(inputs, 2))
        is_one = is_one or (tags_words(self.kind) and _are_texts(inputs))
        try:
            items: list[Any] = [inputs] if is_one else [*inputs]  # pyright: ignore[reportGeneralTypeIssues]
        except TypeError:
            message = f"{type(inputs).__name__} is neither an input nor a list of them"
            raise DataError(Problem("E930", message)) from None
        if labels_pixels(self.kind):
            found = self._segmented(items)
            return found[0] if is_one else found
        if self.objective is not None and self.objective.per_token:
            found = self._of_tokens(items)
            return found[0] if is_one else found
        scores, truncated = self._scores(items)
        if self.objective is None:
            vectors = torch.from_numpy(scores)
            return vectors[0] if is_one else vectors
        predictions = [self._prediction(row, i in truncated) for i, row in enumerate(scores)]
        return predictions[0] if is_one else predictions

    def explain(self, text: str, *, label: str | None = None, steps: int = 16) -> Explanation:
        """Say which tokens of a text a label comes from.

        Integrated gradients (Sundararajan et al. 2017, Axiomatic Attribution for Deep Networks,
        arXiv:1703.01365) of the label's logit with respect to the token embeddings, which are those
        of every ``Embedding`` that takes the token ids. The way is straight, from a baseline where
        each token of the text is that of unknown words, to the text; tokens that the tokenizer
        adds, such as ``[CLS]``, stay as they are, and so score 0. Nothing is random, and the model
        stays as it was; it is explained without any optimization.

        Args:
            text: what is predicted on.
            label: the label to explain; left out, the predicted one.
            steps: of the numerical integration, 1 to 1,000. Each takes a run forwards and back;
                ``Explanation.gap`` tells what so many miss.

        Returns:
            The score of each token, in units of the logit.

        Raises:
            DataError: E930, nothing can be predicted on the text.
            UsageError: E801, the model does not classify texts, has no such label, or its token
                ids go through no ``Embedding``.
            BuildError: E503 or E512, the model cannot be run back on the text.

        Example:
            >>> import archspec
            >>> model = archspec.build("tests/training/tiny.yaml", device="cpu", seed=0)
            >>> why = archspec.Predictor(model, labels=["no", "yes"]).explain("a warm film")
            >>> why.label, [word.text for word in why.words()]
            ('yes', ['a', 'warm', 'film'])
        """
        from archspec.predicting.explanation import ExplanationRequest, explain_text

        if self.pair:
            hint = "explain takes models of one text"
            raise UsageError(Problem("E801", f"{self.spec.name} takes pairs of texts", hint=hint))
        if not self.decision.several and self.decision != Decision(False):
            hint = "make another Predictor for it"
            message = "explain takes neither a threshold nor calibration"
            raise UsageError(Problem("E801", message, hint=hint))
        request = ExplanationRequest(text, label, steps)
        explanation = explain_text(self.engine.plain, self.encoder, self.kind, self.labels, request)
        assert isinstance(self.encoder, TextEncoder)
        self.tokens = self.encoder.encode_counted([text]).counts
        return explanation

    def activations(self, input: Any) -> Activations:
        """Look into the model while it predicts on one input.

        The model runs once, in evaluation mode and without any optimization, and stays as it was.
        Notes are made of outputs that are dead (all values are equal) or explode (values are not
        finite, or too large for float16), of units that are zero everywhere, and of a standard
        deviation that is ten times larger or smaller than the median of modules alike.

        Args:
            input: a text, a pair of texts as a tuple, or an image, as for a call.

        Returns:
            Figures of the output of each module, and the attention weights of those that compute
            them with ``scaled_dot_product_attention`` or ``softmax``.

        Raises:
            DataError: E930, nothing can be predicted on the input.
            BuildError: E503 or E512, the model cannot be run on it.

        Example:
            >>> import archspec
            >>> model = archspec.build("tests/training/tiny.yaml", device="cpu", seed=0)
            >>> inside = archspec.Predictor(model, labels=["no", "yes"]).activations("a warm film")
            >>> inside.modules[0].path, inside.modules[0].shape
            ('', (1, 2))
        """
        from archspec.predicting.activations import observe

        if isinstance(self.encoder, TextEncoder):
            prepared = prepare_texts(self.encoder, [input], 1, pair=self.pair)
        else:
            encoder = self.encoder
            prepared = prepare_images(encoder, lambda i: pixels(encoder, input), 1, 1)
        if prepared.faults:
            raise DataError(problems_of(prepared.faults, 0, 1))
        self.tokens = prepared.tokens
        names: list[str] = []
        if isinstance(self.encoder, TextEncoder):
            names = [self.encoder.name(token) for token in self.encoder.encode([input])[0]]
        return observe(self.engine.plain, prepared.batches[0][1], names)

    def file(
        self,
        source: str | os.PathLike[str],
        out: str | os.PathLike[str],
        *,
        text: str | None = None,
        text_pair: str | None = None,
        image: str | None = None,
        probabilities: bool = False,
        top_k: int | None = None,
        max_bad_rows: float = 1.0,
        header: bool | None = None,
        encoding: str | None = None,
        overwrite: bool = False,
        progress: bool = False,
    ) -> PredictedFile:
        """Predict on every row of a file, and write the rows with what was predicted.

        Rows stay in their order. A row that cannot be predicted on stays, too: without a
        prediction, and with the reason in the column ``error``. The file is read in windows, and
        may be larger than memory; what is written takes its place as a whole, at the end.

        Args:
            source: CSV, TSV, JSON lines, JSON, Parquet or Arrow.
            out: CSV, TSV, JSON lines or Parquet, by its suffix.
            text: the column of texts; left out: guessed.
            text_pair: the column of the second texts of pairs; left out: guessed, unless ``text``
                is given to a model that takes texts as well.
            image: the column of images, or of their paths; left out: guessed.
            probabilities: whether there is a column for the probability of each label, or, where
                words are tagged, one for those of their tags.
            top_k: how many of the most probable labels, with their probabilities, get columns.
            max_bad_rows: fraction of bad rows, 0 to 1, above which nothing is written.
            header: whether the first line of a CSV or TSV has the names of the columns; left out:
                it has, and one that looks like a row is an error.
            encoding: of a file of text; left out: UTF-8.
            overwrite: whether a file that is there may be replaced.
            progress: whether a bar with the time left is shown, where standard error is a terminal.

        Returns:
            What became of the rows.

        Raises:
            DataError: E901 or E902, the file cannot be read, or its columns are ambiguous; E903,
                too many rows are bad; E931, the output cannot be written.
            UsageError: E801, an argument makes no sense.
        """
        from archspec.predicting.files import FileRequest, predict_file

        form = TextFormat(header, encoding)
        request = FileRequest(
            Path(source),
            Path(out),
            text,
            text_pair,
            image,
            probabilities,
            top_k,
            max_bad_rows,
            overwrite,
            form,
        )
        return predict_file(self._settings(), request, progress=progress)

    def search(
        self,
        query: str,
        source: str | os.PathLike[str],
        *,
        top: int = 10,
        text: str | None = None,
        header: bool | None = None,
        encoding: str | None = None,
        progress: bool = False,
    ) -> SearchResult:
        """Find the rows of a file whose texts are nearest to a query.

        Every text becomes a vector, as the query does, and their cosines decide. The file is read
        in windows, and may be larger than memory.

        Args:
            query: a text.
            source: CSV, TSV, JSON lines, JSON, Parquet or Arrow.
            top: how many rows are found at most, 1 to 10,000.
            text: the column of texts; left out: guessed.
            header: as ``file`` takes it.
            encoding: as ``file`` takes it.
            progress: as ``file`` takes it.

        Raises:
            UsageError: E801, the model gives no vectors, or an argument makes no sense.
            DataError: E901 or E902, the file cannot be read, or its column cannot be told; E903, it
                has no rows that can be read; E930, the query is no text.

        Example:
            >>> import archspec
            >>> task = archspec.load("tests/training/tiny.yaml").for_task("text-embedding")
            >>> model = archspec.build(task, device="cpu", seed=0)
            >>> found = archspec.Predictor(model).search("sad", "tests/training/tiny.csv", top=2)
            >>> len(found.hits), found.rows
            (2, 90)
        """
        from archspec.predicting.search import search_file

        if self.kind != "text-embedding":
            hint = "search takes models of text-embedding"
            raise UsageError(Problem("E801", f"the task is {self.kind}: no vectors", hint=hint))
        if not isinstance(query, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise UsageError(
                Problem("E801", f"query is a text, not of type {type(query).__name__}")
            )
        vector = self(query).numpy()
        return search_file(
            self._settings(),
            vector,
            query,
            Path(source),
            top=top,
            text=text,
            form=TextFormat(header, encoding),
            progress=progress,
        )

    def _settings(self) -> PredictionSettings:
        from archspec.predicting.files import PredictionSettings

        return PredictionSettings(
            self.engine,
            self.encoder,
            self.kind,
            self.pair,
            self.labels,
            self.decision,
            self.batch_size,
            self.max_new_tokens,
        )

    def _prediction(self, scores: Scores, truncated: bool) -> AnyPrediction:
        if not self.labels:
            return NumberPrediction(float(scores[0]), truncated)
        probabilities = dict(zip(self.labels, scores.tolist(), strict=True))
        if self.decision.several:
            return MultiLabelPrediction.of(
                probabilities, self.decision.given(scores).tolist(), truncated
            )
        best = self.labels[int(self.decision.best(scores[None])[0])]
        return Prediction(best, probabilities[best], probabilities, truncated)

    def _of_tokens(self, inputs: list[Any]) -> list[Any]:
        """What tokens lead to: tags of words, an answer, tokens for masks, or a continuation."""
        encoder = self.encoder
        assert isinstance(encoder, TextEncoder)
        step = window_rows(encoder, self.batch_size)
        answerer, tagger = Answerer(self.engine), WordTagger(self.engine, self.labels)
        filler = MaskFiller(self.engine, encoder)
        continuer = Continuer(self.model, encoder, self.max_new_tokens, self.batch_size)
        predictions: list[_OfTokens | None] = []
        tokens: list[TokenCounts] = []
        problems: list[Problem] = []
        for start in range(0, len(inputs), step):
            window = inputs[start : start + step]
            if finds_answers(self.kind):
                prepared = prepare_answers(encoder, window, self.batch_size)
                predictions += answerer.predictions(prepared)
            elif self.kind == "causal-lm":
                prepared = prepare_prompts(encoder, window, self.max_new_tokens)
                predictions += continuer.predictions(prepared)
            elif self.kind == "masked-lm":
                prepared = prepare_masks(encoder, window, self.batch_size)
                predictions += filler.predictions(prepared)
            else:
                prepared = prepare_words(encoder, window, self.batch_size)
                predictions += tagger.predictions(prepared)
            problems += problems_of(prepared.faults, start, len(inputs))
            tokens += [prepared.tokens] if prepared.tokens else []
        self.tokens = total(tokens)
        if problems:
            raise DataError(problems)
        return predictions

    def _segmented(self, inputs: list[Any]) -> list[Any]:
        """The mask of each image."""
        encoder, step = self.encoder, self.batch_size
        assert isinstance(encoder, ImageEncoder)
        segmenter = Segmenter(self.engine, self.labels)
        predictions: list[SegmentationPrediction | None] = []
        problems: list[Problem] = []
        for start in range(0, len(inputs), step):
            window = inputs[start : start + step]
            prepared = prepare_tiles(
                encoder, lambda i, window=window: opened_image(window[i]), len(window), step
            )
            predictions += segmenter.predictions(prepared)
            problems += problems_of(prepared.faults, start, len(inputs))
        if problems:
            raise DataError(problems)
        return predictions

    def _scores(self, inputs: list[Any]) -> tuple[Scores, Set[int]]:
        """The scores of each input, and the positions of the texts that were cut."""
        parts: list[Scores] = []
        truncated: set[int] = set()
        tokens: list[TokenCounts] = []
        problems: list[Problem] = []
        start = 0
        for prepared in self._prepared(inputs):
            parts.append(self.engine.scores(prepared))
            problems += problems_of(prepared.faults, start, len(inputs))
            truncated |= {start + i for i in prepared.truncated}
            tokens += [prepared.tokens] if prepared.tokens else []
            start += prepared.count
        self.tokens = total(tokens)
        if problems:
            raise DataError(problems)
        scores = np.concatenate([np.empty((0, self.size), dtype=np.float32), *parts])
        return scores, truncated

    def _prepared(self, inputs: list[Any]) -> Iterator[Prepared]:
        encoder, step = self.encoder, window_rows(self.encoder, self.batch_size)
        for start in range(0, len(inputs), step):
            window = inputs[start : start + step]
            if isinstance(encoder, TextEncoder):
                yield prepare_texts(encoder, window, self.batch_size, pair=self.pair)
            else:
                yield prepare_images(
                    encoder,
                    lambda i, window=window: pixels(encoder, window[i]),
                    len(window),
                    self.batch_size,
                )


def _are_texts(inputs: object, count: int | None = None) -> bool:
    """Whether it is a tuple of texts: of so many, or of any number."""
    if not isinstance(inputs, tuple) or count not in (None, len(inputs)):
        return False
    return all(isinstance(one, str) for one in inputs)
