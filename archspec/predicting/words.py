"""Tags for the words of texts: texts and lists of words in, tags and entities out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, cast

import numpy as np

from archspec.data import TextEncoder
from archspec.data.checking import Fault, text_fault, words_fault
from archspec.data.extras import train_extra
from archspec.data.tables import joined
from archspec.data.texts import word_starts
from archspec.predicting.batching import Prepared, sorted_out, text_batches
from archspec.predicting.engine import Engine
from archspec.predicting.span_report import TaggedSpan, TaggedWord, TokenPrediction
from archspec.tasks.entities import TagScheme

with train_extra():
    import pyarrow as pa

# A mark at the edge of a word is a word, one within it is none; a Chinese character is a word.
_HAN = "[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"
_LETTERS = rf"(?:(?!{_HAN})\w)+"
_WORD = re.compile(rf"{_HAN}|{_LETTERS}(?:[^\w\s]{_LETTERS})*|[^\w\s]")


def text_words(text: str) -> list[tuple[int, int]]:
    """The places of the words of a text: between spaces, without the marks at their edges.

    >>> text = "a by-product (of U.S. origin)."
    >>> [text[start:end] for start, end in text_words(text)]
    ['a', 'by-product', '(', 'of', 'U.S', '.', 'origin', ')', '.']
    """
    return [match.span() for match in _WORD.finditer(text)]


@dataclass(frozen=True, slots=True)
class _Words:
    """A text, the places of its words, and the first token of each."""

    text: str
    places: Sequence[tuple[int, int]]
    firsts: Sequence[int]


@dataclass(frozen=True, slots=True)
class PreparedWords(Prepared):
    """Inputs with their words: position → words."""

    words: Mapping[int, _Words] = field(default_factory=dict[int, "_Words"])


def prepare_words(
    encoder: TextEncoder,
    inputs: Sequence[object],
    batch_size: int,
    known_faults: Mapping[int, Fault] | None = None,
) -> PreparedWords:
    """Make padded batches of texts and of lists of words, longest first.

    Args:
        inputs: anything but a text or a list of words is a fault.
        known_faults: position → fault, of inputs that are already known to be bad.
    """
    faults, good = sorted_out(inputs, known_faults, _fault)
    given = [_text_and_places(inputs[i]) for i in good]
    encoded, firsts = encoder.encode_words(
        [text for text, _ in given], [[start for start, _ in places] for _, places in given]
    )
    words = {
        i: _Words(text, places, of_row)
        for i, (text, places), of_row in zip(good, given, firsts, strict=True)
    }
    positions = np.array(good, dtype=np.int64)
    batches = text_batches(encoder, encoded.ids, encoded.types, positions, batch_size)
    truncated = frozenset(good[i] for i in encoded.truncated)
    return PreparedWords(len(inputs), batches, faults, truncated, encoded.counts, words)


def _fault(given: object) -> Fault | None:
    if given is None or isinstance(given, str):
        return text_fault(given)
    if not isinstance(given, list | tuple):
        return "wrong type", f"{type(given).__name__}, neither text nor a list of words"
    words = cast("Sequence[Any]", given)
    for word in words:
        if word is not None and not isinstance(word, str):
            return "wrong type", f"{type(word).__name__}, not a word"
    return words_fault(words)


def _text_and_places(given: Any) -> tuple[str, list[tuple[int, int]]]:
    if isinstance(given, str):
        return given, text_words(given)
    starts = word_starts(given)
    return joined(given), [
        (start, start + len(word)) for start, word in zip(starts, given, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class WordTagger:
    """Tags words with a model.

    Attributes:
        labels: the tags, in the order of the model's outputs.
    """

    engine: Engine
    labels: tuple[str, ...]

    def predictions(
        self, prepared: PreparedWords, advance: Callable[[int], object] = lambda count: None
    ) -> list[TokenPrediction | None]:
        """What the model says of each input; None where there is a fault.

        Raises:
            BuildError: E503, a batch does not fit into the device's memory.
        """
        words = prepared.words
        wanted = {i: [one for one in row.firsts if one >= 0] for i, row in words.items()}
        shares = self.engine.token_scores(prepared, wanted, advance)
        scheme = TagScheme(self.labels)
        return [
            None if of_row is None else self._prediction(words[i], of_row, i, prepared, scheme)
            for i, of_row in enumerate(shares)
        ]

    def _prediction(
        self, words: _Words, shares: Any, i: int, prepared: Prepared, scheme: TagScheme
    ) -> TokenPrediction:
        rows = iter(zip(shares.argmax(1).tolist(), shares.max(1).tolist(), strict=True))
        tagged: list[TaggedWord] = []
        for (start, end), first in zip(words.places, words.firsts, strict=True):
            best, share = next(rows) if first >= 0 else (None, None)
            tag = None if best is None else self.labels[best]
            tagged.append(TaggedWord(words.text[start:end], start, end, tag, share))
        seen = [word for word in tagged if word.tag is not None]
        spans = [
            _span(words.text, entity.type, seen[entity.start : entity.end])
            for entity in scheme.entities([word.tag or "" for word in seen])
        ]
        return TokenPrediction(words.text, tuple(tagged), tuple(spans), i in prepared.truncated)


def _span(text: str, label: str, words: Sequence[TaggedWord]) -> TaggedSpan:
    start, end = words[0].start, words[-1].end
    mean = sum(word.probability or 0.0 for word in words) / len(words)
    return TaggedSpan(label, text[start:end], start, end, mean)


class WordColumns:
    """The columns that are added to a file: the words of each row, their tags, and the entities.

    Args:
        probabilities: whether the probability of each word's tag has a column.
        wide: whether lists are written as JSON.

    Attributes:
        schema: name → type.
        counts: how many entities there are of each type; of tags that mark none, how many words.
    """

    def __init__(self, tagger: WordTagger, *, probabilities: bool, wide: bool) -> None:
        self._tagger, self._wide = tagger, wide
        span = [("label", pa.string()), ("text", pa.string()), ("start", pa.int64())]
        span += [("end", pa.int64()), ("probability", pa.float64())]
        kinds = {"words": pa.string(), "tags": pa.string(), "spans": pa.struct(span)}
        kinds |= {"probabilities": pa.float64()} if probabilities else {}
        self.schema: dict[str, Any] = {
            name: pa.string() if wide else pa.list_(kind) for name, kind in kinds.items()
        }
        self._types = TagScheme(tagger.labels).types
        self.counts = dict.fromkeys(self._types or tagger.labels, 0)

    def columns(self, prepared: PreparedWords, advance: Callable[[int], object]) -> list[Any]:
        """The columns of a window, empty where there is a fault."""
        rows = self._tagger.predictions(prepared, advance)
        for row in filter(None, rows):
            names = [span.label for span in row.spans] if self._types else row.tags
            for name in filter(None, names):
                self.counts[name] += 1
        cells = [None if row is None else self._cells(row) for row in rows]
        return [
            pa.array([None if row is None else self._written(row[name]) for row in cells], kind)
            for name, kind in self.schema.items()
        ]

    def _written(self, cell: list[Any]) -> Any:
        return json.dumps(cell, ensure_ascii=False) if self._wide else cell

    @staticmethod
    def _cells(row: TokenPrediction) -> dict[str, list[Any]]:
        shares = [word.probability for word in row.words]
        spans = [{**asdict(span), "probability": _rounded(span.probability)} for span in row.spans]
        return {
            "words": [word.text for word in row.words],
            "tags": [*row.tags],
            "spans": spans,
            "probabilities": [None if share is None else _rounded(share) for share in shares],
        }


def _rounded(share: float) -> float:
    return round(share, 6)
