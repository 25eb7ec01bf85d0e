"""Predicts on the rows of a file, window by window."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from archspec.data.checking import Fault, image_bytes
from archspec.data.columns import SAMPLE, find_columns
from archspec.data.extras import train_extra
from archspec.data.header_check import first_line_notes
from archspec.data.images import ImageEncoder, decoded
from archspec.data.language_columns import find_language_columns
from archspec.data.report import BadRow
from archspec.data.tables import Cells
from archspec.data.text_files import TextFormat
from archspec.data.texts import TextEncoder
from archspec.data.token_counts import TokenCounts, total
from archspec.errors import DataError, Note, Problem, UsageError, listing
from archspec.lang.schema import TaskKind
from archspec.predicting.answers import AnswerColumns, Answerer, prepare_answers
from archspec.predicting.batching import (
    Prepared,
    prefetched,
    prepare_images,
    prepare_texts,
    window_rows,
)
from archspec.predicting.continuations import ContinuationColumns, Continuer, prepare_prompts
from archspec.predicting.decisions import Decision
from archspec.predicting.engine import Engine, Scores
from archspec.predicting.masks import MaskColumns, MaskFiller, prepare_masks
from archspec.predicting.report import PredictedFile
from archspec.predicting.row_reader import RowFile, Window, check_source, row_file
from archspec.predicting.row_writer import replacing_output, writer_for
from archspec.predicting.segmentation import SegmentationColumns, Segmenter, prepare_tiles
from archspec.predicting.segmentation_files import check_mask_folder, replacing_masks
from archspec.predicting.words import WordColumns, WordTagger, prepare_words
from archspec.report.progress import counting
from archspec.tasks import (
    finds_answers,
    labels_pixels,
    models_language,
    ranks_names,
    tags_words,
)

with train_extra():
    import pyarrow as pa

_MAX_BAD = 100  # rows that are listed
_MAX_SHOWN = 10  # in an error
_DECIMALS = 6  # of a probability


@dataclass(frozen=True, slots=True)
class PredictionSettings:
    """What a ``Predictor`` predicts with.

    Attributes:
        labels: empty for embeddings and numbers.
        decision: which labels probabilities lead to.
    """

    engine: Engine
    encoder: TextEncoder | ImageEncoder
    kind: TaskKind
    pair: bool | None
    labels: tuple[str, ...]
    decision: Decision
    batch_size: int
    max_new_tokens: int


@dataclass(frozen=True, slots=True)
class FileRequest:
    """The arguments of ``Predictor.file``."""

    source: Path
    out: Path
    text: str | None
    text_pair: str | None
    image: str | None
    probabilities: bool
    top_k: int | None
    max_bad_rows: float
    overwrite: bool
    form: TextFormat


@dataclass(slots=True)
class _Tally:
    rows: int = 0
    bad_rows: int = 0
    bad: list[BadRow] = field(default_factory=list[BadRow])

    def add(self, file: RowFile, window: Window, faults: dict[int, Fault]) -> None:
        self.rows += len(window)
        self.bad_rows += len(faults)
        for i, (reason, detail) in sorted(faults.items())[: _MAX_BAD - len(self.bad)]:
            number, line = window.numbers[i], window.lines[i] or None
            self.bad.append(BadRow("all", file.path.name, number, line, reason, detail))

    def refuse(self, file: RowFile, max_bad_rows: float) -> None:
        if self.bad_rows <= max_bad_rows * file.total:
            return
        message = f"{self.bad_rows:,} of the {file.total:,} rows of {file.path.name} are bad"
        so_far = " so far" if self.rows < file.total else ""
        allowed = f"a fraction of {max_bad_rows:g} is allowed"
        hint = f"{allowed}: mend them, or allow more with max_bad_rows= (--max-bad-rows)"
        notes = tuple(Note(str(row)) for row in self.bad[:_MAX_SHOWN])
        raise DataError(Problem("E903", f"{message}{so_far}", hint=hint, notes=notes))


def check_pairs(pairs: Sequence[tuple[Path, Path]], *, overwrite: bool) -> None:
    """Check that files can be read and written, before any of them is.

    Args:
        pairs: each source with its output.
        overwrite: whether existing outputs may be replaced.

    Raises:
        DataError: E901 or E931, all problems.
    """
    problems: list[Problem] = []
    sources = [source for source, _ in pairs]
    for source, out in pairs:
        try:
            check_source(source)
            writer_for(out, sources, overwrite=overwrite)
        except DataError as error:
            problems += error.problems
    if problems:
        raise DataError(problems)


def predict_file(
    settings: PredictionSettings, request: FileRequest, *, progress: bool
) -> PredictedFile:
    """As ``Predictor.file``."""
    value: object = request.max_bad_rows
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        message = f"max_bad_rows must be a number from 0 to 1, not {value!r}"
        raise UsageError(Problem("E801", message))
    top: object = request.top_k
    if top is not None and (isinstance(top, bool) or not isinstance(top, int) or top < 1):
        raise UsageError(Problem("E801", f"top_k must be an integer of at least 1, not {top!r}"))
    has_masks = labels_pixels(settings.kind)
    if top is not None and not ranks_names(settings.kind):
        raise UsageError(Problem("E801", "top_k is for models that give labels or tokens"))
    if request.probabilities and has_masks:
        raise UsageError(Problem("E801", "probabilities of pixels are not written"))
    file = row_file(request.source, request.form)
    kind = writer_for(request.out, [request.source], overwrite=request.overwrite)
    if not file.schema:
        raise _all_rows_bad(file)
    columns, notes = input_columns(
        file, settings, text=request.text, text_pair=request.text_pair, image=request.image
    )
    if has_masks:
        check_mask_folder(request.out, overwrite=request.overwrite)
    tokens: list[TokenCounts] = []
    tally = _Tally()
    start = time.perf_counter()
    with (
        replacing_output(request.out) as out,
        replacing_masks(request.out) if has_masks else contextlib.nullcontext(Path()) as masks,
        contextlib.nullcontext(
            _AddedColumns(settings, file, request, masks, wide=kind.delimiter != "")
        ) as added,
        counting("rows", file.total, drawn=progress) as advance,
        contextlib.closing(kind(request.out, out, file.schema, added.schema)) as writer,
        contextlib.closing(prepared_windows(file, columns, settings)) as windows,
        contextlib.closing(prefetched(windows)) as prefetch,
    ):
        for window, prepared in prefetch:
            cells = added.columns(prepared, advance)
            tally.add(file, window, prepared.faults)
            tally.refuse(file, request.max_bad_rows)
            writer.add(window, cells)
            tokens += [prepared.tokens] if prepared.tokens else []
    return PredictedFile(
        source=request.source,
        out=request.out,
        rows=tally.rows,
        bad_rows=tally.bad_rows,
        bad=tuple(tally.bad),
        counts=added.counts,
        columns=tuple(added.schema),
        left_out=tuple(name for name in file.schema if name not in writer.schema),
        optimizations=settings.engine.optimizations,
        tokens=total(tokens),
        reading=(*file.notes, *notes),
        seconds=time.perf_counter() - start,
    )


def _all_rows_bad(file: RowFile) -> DataError:
    """The error for a file without columns, because no row could be parsed."""
    tally = _Tally()
    with contextlib.closing(file.windows(_MAX_BAD)) as windows:
        window = next(windows)
    tally.add(file, window, window.faults)
    notes = tuple(Note(str(row)) for row in tally.bad[:_MAX_SHOWN])
    message = f"all {file.total:,} rows of {file.path.name} are bad"
    return DataError(Problem("E903", message, hint="nothing can be predicted on", notes=notes))


def input_columns(
    file: RowFile,
    settings: PredictionSettings,
    *,
    text: str | None = None,
    text_pair: str | None = None,
    image: str | None = None,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The input columns, given or guessed, and notes on them.

    Raises:
        DataError: E902, they cannot be told.
    """
    sample = file.sample(SAMPLE)
    for name in filter(None, (text, text_pair, image)):
        if name in file.schema and name not in sample.dataset.column_names:
            message = f"{file.path.name}: column '{name}' holds {file.schema[name]}"
            raise DataError(Problem("E902", f"{message}, which is no text, image or path"))
    try:
        if models_language(settings.kind):
            columns = find_language_columns(
                sample, settings.kind, text=text, text_pair=text_pair, image=image, label=False
            )
        else:
            columns = find_columns(
                sample,
                settings.kind,
                text=text,
                text_pair=text_pair,
                pair=settings.pair,
                image=image,
                label=False,
            )
    except DataError as error:
        raise DataError([_with_predict_options(problem) for problem in error.problems]) from None
    notes = first_line_notes(sample, columns)
    if columns.text_pair is not None and settings.pair is None:
        notes = (*notes, f"{listing(columns.inputs)} are read as pairs of texts")
    return columns.inputs, notes


_PREDICT_OPTIONS = {
    r"text_column= and text_pair_column= \(--text-column, --text-pair-column\)": "text= and "
    "text_pair= (--column, --pair-column)",
    r"(text|image)_column= \(--\1-column\)": r"\1= (--column)",
    r"text_pair_column=": "text_pair= (--pair-column)",
}


def _with_predict_options(problem: Problem) -> Problem:
    """``archspec predict`` has another name for the option."""
    hint = problem.hint
    for pattern, ours in _PREDICT_OPTIONS.items():
        hint = re.sub(pattern, ours, hint)
    return replace(problem, hint=hint)


def prepared_windows(
    file: RowFile, columns: tuple[str, ...], settings: PredictionSettings
) -> Generator[tuple[Window, Prepared]]:
    """The rows of a file, window by window, and the batches that are made of them."""
    encoder, size = settings.encoder, settings.batch_size
    for window in file.windows(window_rows(encoder, size)):
        if isinstance(encoder, ImageEncoder):
            read = _reader(window, columns[0], file.path)
            if labels_pixels(settings.kind):
                yield (
                    window,
                    prepare_tiles(
                        encoder,
                        lambda i, read=read: decoded(read(i)),
                        len(window),
                        size,
                        window.faults,
                    ),
                )
                continue
            yield (
                window,
                prepare_images(
                    encoder,
                    lambda i, read=read: encoder.encode(read(i)),
                    len(window),
                    size,
                    window.faults,
                ),
            )
        else:
            texts = [window.values(column) for column in columns]
            inputs = texts[0] if len(texts) == 1 else [*zip(*texts, strict=True)]
            if tags_words(settings.kind):
                yield window, prepare_words(encoder, inputs, size, window.faults)
                continue
            if finds_answers(settings.kind):
                yield window, prepare_answers(encoder, inputs, size, window.faults)
                continue
            if settings.kind == "causal-lm":
                most = settings.max_new_tokens
                yield window, prepare_prompts(encoder, inputs, most, window.faults)
                continue
            if settings.kind == "masked-lm":
                yield window, prepare_masks(encoder, inputs, size, window.faults)
                continue
            pair = len(texts) == 2
            yield window, prepare_texts(encoder, inputs, size, window.faults, pair=pair)


def _reader(window: Window, column: str, file: Path) -> Callable[[int], bytes]:
    """Position → the bytes of an image."""
    data = window.as_data(file)
    cells = Cells(data.dataset, column, data.base)
    return lambda i: image_bytes(cells, i)


# ------------------------------------------------------------------------------------------ columns


class _AddedColumns:
    """The columns that are added to a file.

    Args:
        masks: the folder in which masks are written; not used for other tasks.

    Attributes:
        schema: their names and types.
    """

    def __init__(
        self,
        settings: PredictionSettings,
        file: RowFile,
        request: FileRequest,
        masks: Path,
        *,
        wide: bool,
    ) -> None:
        given: dict[str, Any] = {"probabilities": request.probabilities, "wide": wide}
        encoder, top_k = settings.encoder, request.top_k or 0
        self._made: (
            RowColumns
            | WordColumns
            | AnswerColumns
            | MaskColumns
            | ContinuationColumns
            | SegmentationColumns
        )
        if tags_words(settings.kind):
            self._made = WordColumns(WordTagger(settings.engine, settings.labels), **given)
        elif finds_answers(settings.kind):
            self._made = AnswerColumns(Answerer(settings.engine))
        elif settings.kind == "causal-lm" and isinstance(encoder, TextEncoder):
            model, size = settings.engine.plain.model, settings.batch_size
            self._made = ContinuationColumns(
                Continuer(model, encoder, settings.max_new_tokens, size)
            )
        elif settings.kind == "masked-lm" and isinstance(encoder, TextEncoder):
            filler = MaskFiller(settings.engine, encoder)
            self._made = MaskColumns(filler, wide=wide, top_k=top_k)
        elif labels_pixels(settings.kind):
            segmenter = Segmenter(settings.engine, settings.labels)
            self._made = SegmentationColumns(segmenter, settings.labels, request.out, masks)
        else:
            self._made = RowColumns(settings, top_k=top_k, **given)
        of_texts = isinstance(settings.encoder, TextEncoder)
        is_whole = finds_answers(settings.kind) or settings.kind == "causal-lm"  # never cut
        self._of_texts = of_texts and not is_whole
        names = {**self._made.schema, **({"truncated": pa.bool_()} if self._of_texts else {})}
        names["error"] = pa.string()
        while not names.keys().isdisjoint(file.schema):
            names = {f"predicted_{name}": kind for name, kind in names.items()}
        self.schema: dict[str, Any] = names

    @property
    def counts(self) -> dict[str, int]:
        """How often each label was predicted so far."""
        return self._made.counts

    def columns(self, prepared: Any, advance: Callable[[int], object]) -> dict[str, Any]:
        """The added columns of a window, empty where there is a fault."""
        arrays, faults = self._made.columns(prepared, advance), prepared.faults
        rows = range(prepared.count)
        if self._of_texts:
            cut = [None if i in faults else i in prepared.truncated for i in rows]
            arrays.append(pa.array(cut, pa.bool_()))
        reasons = {i: ": ".join(filter(None, fault)) for i, fault in faults.items()}
        arrays.append(pa.array([reasons.get(i) for i in rows], pa.string()))
        return dict(zip(self.schema, arrays, strict=True))


class RowColumns:
    """The columns of one prediction for each row: a label, labels, a number or an embedding.

    Args:
        wide: whether each number of an embedding has its own column, and labels are one text.

    Attributes:
        schema: their names and types.
        counts: label → how many rows have it.
    """

    def __init__(
        self, settings: PredictionSettings, *, probabilities: bool, wide: bool, top_k: int
    ) -> None:
        self._settings, self._probabilities, self._wide = settings, probabilities, wide
        self._top_k = min(top_k, len(settings.labels))
        self.counts = dict.fromkeys(settings.labels, 0)
        self.schema: dict[str, Any]
        if settings.kind == "text-embedding":
            self._of, self.schema = self._vectors, {"embedding": pa.list_(pa.float32())}
            if wide:
                names = [f"embedding_{i}" for i in range(settings.engine.size)]
                self.schema = dict.fromkeys(names, pa.float32())
        elif not settings.labels:
            self._of, self.schema = self._values, {"value": pa.float64()}
        else:
            self._of = self._labels
            self.schema = {"label": pa.string(), "probability": pa.float64()}
            if settings.decision.several:
                self.schema = {"labels": pa.string() if wide else pa.list_(pa.string())}
            if probabilities:
                self.schema |= {f"p_{label}": pa.float64() for label in settings.labels}
            if self._top_k:
                self.schema["top_labels"] = pa.string() if wide else pa.list_(pa.string())
                self.schema["top_probabilities"] = pa.string() if wide else pa.list_(pa.float64())

    def columns(self, prepared: Prepared, advance: Callable[[int], object]) -> list[Any]:
        """The columns of a window, empty where there is a fault."""
        scores = self._settings.engine.scores(prepared, advance)
        bad = np.zeros(len(scores), dtype=bool)
        bad[[*prepared.faults]] = True
        return self._of(scores, bad)

    def _values(self, scores: Scores, bad: Any) -> list[Any]:
        values = np.where(bad, 0, scores[:, 0]).astype(np.float64)
        return [pa.array(np.round(values, _DECIMALS), mask=bad)]

    def _labels(self, scores: Scores, bad: Any) -> list[Any]:
        labels, decision = self._settings.labels, self._settings.decision
        shares = np.round(np.where(bad[:, None], 0, scores).astype(np.float64), _DECIMALS)
        rest = [pa.array(one, mask=bad) for one in shares.T] if self._probabilities else []
        if self._top_k:
            order = np.argsort(-shares, axis=1, kind="stable")[:, : self._top_k]
            rest.append(self._lists([[labels[i] for i in row] for row in order], bad))
            rest.append(self._lists(np.take_along_axis(shares, order, 1).tolist(), bad))
        if decision.several:
            given = decision.given(scores)
            self._count(given[~bad].sum(0))
            sets = [[labels[i] for i in np.flatnonzero(row).tolist()] for row in given]
            return [self._lists(sets, bad), *rest]
        best = decision.best(scores)  # meaningless for a row without scores
        self._count(np.bincount(best[~bad], minlength=len(labels)))
        names = pa.array(labels, pa.string()).take(pa.array(best, mask=bad))
        return [names, pa.array(shares[np.arange(len(shares)), best], mask=bad), *rest]

    def _lists(self, lists: Sequence[Sequence[Any]], bad: Any) -> Any:
        """A list for each row; in a file of text as JSON."""
        if self._wide:
            return pa.array([json.dumps(one, ensure_ascii=False) for one in lists], mask=bad)
        return pa.array([None if b else one for one, b in zip(lists, bad, strict=True)])

    def _count(self, counts: Any) -> None:
        for label, n in zip(self._settings.labels, counts.tolist(), strict=True):
            self.counts[label] += n

    def _vectors(self, scores: Scores, bad: Any) -> list[Any]:
        if self._wide:
            return [pa.array(one, mask=bad) for one in scores.T]
        ends = np.cumsum(~bad) * scores.shape[1]
        offsets = pa.array(np.concatenate([[0], ends]), pa.int32())
        flat = pa.array(scores[~bad].reshape(-1))
        return [pa.ListArray.from_arrays(offsets, flat, mask=pa.array(bad))]
