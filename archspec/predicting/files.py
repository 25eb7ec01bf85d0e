"""Predicts on the rows of a file, window by window."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from archspec.data.checking import Fault, image_bytes
from archspec.data.columns import SAMPLE, find_columns
from archspec.data.extras import train_extra
from archspec.data.header_check import first_line_notes
from archspec.data.images import ImageEncoder
from archspec.data.report import BadRow, Kind
from archspec.data.tables import Cells
from archspec.data.text_files import TextFormat
from archspec.data.texts import TextEncoder
from archspec.data.token_counts import TokenCounts, total
from archspec.errors import DataError, Note, Problem, UsageError, listing
from archspec.predicting.batching import (
    Prepared,
    prefetched,
    prepare_images,
    prepare_texts,
    window_rows,
)
from archspec.predicting.decisions import Decision
from archspec.predicting.engine import Engine, Scores
from archspec.predicting.report import PredictedFile
from archspec.predicting.row_reader import RowFile, Window, check_source, row_file
from archspec.predicting.row_writer import replacing_output, writer_for
from archspec.report.progress import counting

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
    kind: Kind
    pair: bool | None
    labels: tuple[str, ...]
    decision: Decision
    batch_size: int


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
    if top is not None and not settings.labels:
        raise UsageError(Problem("E801", "top_k is for models that give labels"))
    file = row_file(request.source, request.form)
    kind = writer_for(request.out, [request.source], overwrite=request.overwrite)
    if not file.schema:
        raise _all_rows_bad(file)
    columns, notes = input_columns(
        file, settings, text=request.text, text_pair=request.text_pair, image=request.image
    )
    added = _AddedColumns.of(settings, file, request, wide=kind.delimiter != "")
    tokens: list[TokenCounts] = []
    tally, counts = _Tally(), np.zeros(len(settings.labels), dtype=np.int64)
    start = time.perf_counter()
    with (
        replacing_output(request.out) as out,
        counting("rows", file.total, drawn=progress) as advance,
        contextlib.closing(kind(request.out, out, file.schema, added.schema)) as writer,
        contextlib.closing(prepared_windows(file, columns, settings)) as windows,
        contextlib.closing(prefetched(windows)) as prefetch,
    ):
        for window, prepared in prefetch:
            scores = settings.engine.scores(prepared, advance)
            tally.add(file, window, prepared.faults)
            tally.refuse(file, request.max_bad_rows)
            writer.add(window, added.columns(scores, prepared))
            tokens += [prepared.tokens] if prepared.tokens else []
            counts += _count_labels(scores, prepared.faults, settings.decision, len(counts))
    return PredictedFile(
        source=request.source,
        out=request.out,
        rows=tally.rows,
        bad_rows=tally.bad_rows,
        bad=tuple(tally.bad),
        counts=dict(zip(settings.labels, counts.tolist(), strict=True)),
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
            pixels = _reader(encoder, window, columns[0], file.path)
            yield window, prepare_images(encoder, pixels, len(window), size, window.faults)
        else:
            texts = [window.values(column) for column in columns]
            inputs = texts[0] if len(texts) == 1 else [*zip(*texts, strict=True)]
            pair = len(texts) == 2
            yield window, prepare_texts(encoder, inputs, size, window.faults, pair=pair)


def _reader(encoder: ImageEncoder, window: Window, column: str, file: Path) -> Callable[[int], Any]:
    data = window.as_data(file)
    cells = Cells(data.dataset, column, data.base)
    return lambda i: encoder.encode(image_bytes(cells, i))


def _count_labels(scores: Scores, faults: dict[int, Fault], decision: Decision, size: int) -> Any:
    good = np.setdiff1d(np.arange(len(scores)), [*faults])
    if decision.several:
        return decision.given(scores[good]).sum(0)
    return np.bincount(decision.best(scores[good]), minlength=size)[:size] if size else 0


# ------------------------------------------------------------------------------------------ columns


@dataclass(frozen=True, slots=True)
class _AddedColumns:
    """The columns that are added to a file.

    Attributes:
        schema: their names and types.
        kind: what each row has: a label, labels, a number or an embedding.
        labels: names of the classes; empty without.
        decision: which labels probabilities lead to.
        wide: whether each number of an embedding has its own column, and labels are one text.
        of_texts: whether there is a column ``truncated``.
    """

    schema: dict[str, Any]
    kind: Literal["label", "labels", "value", "embedding"]
    labels: tuple[str, ...]
    decision: Decision
    probabilities: bool
    top_k: int
    wide: bool
    of_texts: bool

    @classmethod
    def of(
        cls, settings: PredictionSettings, file: RowFile, request: FileRequest, *, wide: bool
    ) -> _AddedColumns:
        labels, names = settings.labels, dict[str, Any]()
        if settings.kind == "text-embedding":
            kind = "embedding"
            names = {"embedding": pa.list_(pa.float32())}
            if wide:
                names = {f"embedding_{i}": pa.float32() for i in range(settings.engine.size)}
        elif not labels:
            kind, names = "value", {"value": pa.float64()}
        elif settings.decision.several:
            kind, names = "labels", {"labels": pa.string() if wide else pa.list_(pa.string())}
        else:
            kind, names = "label", {"label": pa.string(), "probability": pa.float64()}
        if request.probabilities:
            names |= {f"p_{label}": pa.float64() for label in labels}
        top_k = min(request.top_k or 0, len(labels))
        if top_k:
            names["top_labels"] = pa.string() if wide else pa.list_(pa.string())
            names["top_probabilities"] = pa.string() if wide else pa.list_(pa.float64())
        of_texts = isinstance(settings.encoder, TextEncoder)
        if of_texts:
            names["truncated"] = pa.bool_()
        names["error"] = pa.string()
        while not names.keys().isdisjoint(file.schema):
            names = {f"predicted_{name}": kind for name, kind in names.items()}
        decision, shares = settings.decision, request.probabilities
        return cls(names, kind, labels, decision, shares, top_k, wide, of_texts)

    def columns(self, scores: Scores, prepared: Prepared) -> dict[str, Any]:
        """The added columns of a window, empty where there is a fault."""
        faults = prepared.faults
        bad = np.zeros(len(scores), dtype=bool)
        bad[[*faults]] = True
        match self.kind:
            case "embedding":
                arrays = self._vectors(scores, bad)
            case "value":
                values = np.where(bad, 0, scores[:, 0]).astype(np.float64)
                arrays = [pa.array(np.round(values, _DECIMALS), mask=bad)]
            case "label" | "labels":
                arrays = self._labels(scores, bad)
        if self.of_texts:
            cut = [i in prepared.truncated for i in range(len(scores))]
            arrays.append(pa.array(cut, pa.bool_(), mask=bad))
        errors = [None] * len(scores)
        for i, (reason, detail) in faults.items():
            errors[i] = f"{reason}: {detail}" if detail else reason  # pyright: ignore[reportCallIssue, reportArgumentType]
        arrays.append(pa.array(errors, pa.string()))
        return dict(zip(self.schema, arrays, strict=True))

    def _labels(self, scores: Scores, bad: Any) -> list[Any]:
        shares = np.round(np.where(bad[:, None], 0, scores).astype(np.float64), _DECIMALS)
        rest = [pa.array(one, mask=bad) for one in shares.T] if self.probabilities else []
        if self.top_k:
            order = np.argsort(-shares, axis=1, kind="stable")[:, : self.top_k]
            rest.append(self._lists([[self.labels[i] for i in row] for row in order], bad))
            rest.append(self._lists(np.take_along_axis(shares, order, 1).tolist(), bad))
        if self.decision.several:
            given = self.decision.given(scores)
            sets = [[self.labels[i] for i in np.flatnonzero(row).tolist()] for row in given]
            return [self._lists(sets, bad), *rest]
        best = self.decision.best(scores)  # meaningless for a row without scores
        names = pa.array(self.labels, pa.string()).take(pa.array(best, mask=bad))
        return [names, pa.array(shares[np.arange(len(shares)), best], mask=bad), *rest]

    def _lists(self, lists: Sequence[Sequence[Any]], bad: Any) -> Any:
        """A list for each row; in a file of text as JSON."""
        if self.wide:
            return pa.array([json.dumps(one, ensure_ascii=False) for one in lists], mask=bad)
        return pa.array([None if b else one for one, b in zip(lists, bad, strict=True)])

    def _vectors(self, scores: Scores, bad: Any) -> list[Any]:
        if self.wide:
            return [pa.array(one, mask=bad) for one in scores.T]
        ends = np.cumsum(~bad) * scores.shape[1]
        offsets = pa.array(np.concatenate([[0], ends]), pa.int32())
        flat = pa.array(scores[~bad].reshape(-1))
        return [pa.ListArray.from_arrays(offsets, flat, mask=pa.array(bad))]
