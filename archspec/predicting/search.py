"""Finds the rows of a file whose texts are nearest to a query, by the vectors of a model."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from archspec.data.text_files import TextFormat
from archspec.data.token_counts import TokenCounts, total
from archspec.errors import DataError, Problem, UsageError
from archspec.predicting.batching import prefetched
from archspec.predicting.engine import Scores
from archspec.predicting.files import PredictionSettings, input_columns, prepared_windows
from archspec.predicting.row_reader import row_file
from archspec.report.display import Displayed
from archspec.report.progress import counting
from archspec.report.text import printable

if TYPE_CHECKING:
    from rich.console import RenderableType

MAX_HITS = 10_000
_DECIMALS = 6
_MAX_CHARACTERS = 200  # of a text, shown


@dataclass(frozen=True, slots=True)
class SearchHit:
    """A row that was found.

    Attributes:
        row: its number in the file, from 1.
        line: its line in a text file, from 1; None for other files.
        text: as it stands there.
        score: cosine of its vector and the query's, -1 to 1.
    """

    row: int
    line: int | None
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class SearchResult(Displayed):
    """The rows of a file that are nearest to a query.

    Attributes:
        source: the file.
        query: what was searched for.
        hits: the nearest first; of equal ones the first row first.
        rows: how many there are, bad ones included.
        bad_rows: how many have no text that the model can read.
        notes: what was doubtful about the file, and lost of its texts, a line each.
    """

    source: Path
    query: str
    hits: tuple[SearchHit, ...]
    rows: int
    bad_rows: int
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The result as plain data, for ``--json``."""
        return {**asdict(self), "source": str(self.source)}

    def __rich__(self) -> RenderableType:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2, 0, 0))
        for hit in self.hits:
            text = printable(hit.text[:_MAX_CHARACTERS])
            table.add_row(f"{hit.score:.4f}", Text(f"row {hit.row:,}", style="dim"), Text(text))
        bad = f", {self.bad_rows:,} of them without a text" if self.bad_rows else ""
        lines = [f"{self.source}: {self.rows:,} rows searched{bad}", *self.notes]
        return Group(table, *(Text(printable(line), style="dim") for line in lines))


def search_file(
    settings: PredictionSettings,
    query: Scores,
    words: str,
    source: Path,
    *,
    top: int,
    text: str | None,
    form: TextFormat,
    progress: bool,
) -> SearchResult:
    """As ``Predictor.search``, for the vector of a query [size], of which ``words`` are told."""
    if type(top) is not int or not 1 <= top <= MAX_HITS:
        message = f"top is a whole number from 1 to {MAX_HITS:,}, not {top!r}"
        raise UsageError(Problem("E801", message))
    file = row_file(source, form)
    if not file.schema:
        raise DataError(Problem("E903", f"all {file.total:,} rows of {file.path.name} are bad"))
    columns, notes = input_columns(file, settings, text=text)
    unit = query / max(float(np.linalg.norm(query)), 1e-12)
    found, rows, bad = list[SearchHit](), 0, 0
    tokens: list[TokenCounts] = []
    with (
        counting("rows", file.total, drawn=progress) as advance,
        contextlib.closing(prepared_windows(file, columns, settings)) as windows,
        contextlib.closing(prefetched(windows)) as prefetch,
    ):
        for window, prepared in prefetch:
            vectors = settings.engine.scores(prepared, advance)
            norms = np.linalg.norm(vectors, axis=1).clip(min=1e-12)
            cosines = np.round((vectors @ unit) / norms, _DECIMALS)  # equal texts are equal
            texts = window.values(columns[0])
            hits = [
                SearchHit(
                    window.numbers[i], window.lines[i] or None, str(texts[i]), _score(cosines[i])
                )
                for i in _best(cosines, top)
                if i not in prepared.faults
            ]
            found = sorted([*found, *hits], key=lambda hit: (-hit.score, hit.row))[:top]
            rows, bad = rows + len(window), bad + len(prepared.faults)
            tokens += [prepared.tokens] if prepared.tokens else []
    counts = total(tokens)
    lost = counts.notes if counts else ()
    return SearchResult(source, words, tuple(found), rows, bad, (*file.notes, *notes, *lost))


def _score(cosine: np.float32) -> float:
    return round(float(cosine), _DECIMALS)


def _best(cosines: Scores, top: int) -> Sequence[int]:
    """The positions of the highest numbers, the first of equal ones first; NaN comes last."""
    return np.argsort(-cosines, kind="stable")[:top].tolist()
