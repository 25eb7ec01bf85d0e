"""What predicting gives: labels with probabilities, why a label is given, an account of a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archspec.data.report import BadRow
from archspec.data.token_counts import TokenCounts
from archspec.report.display import Displayed

if TYPE_CHECKING:
    from rich.console import RenderableType


@dataclass(frozen=True, slots=True)
class Prediction(Displayed):
    """What a classifier says of one text or image.

    Attributes:
        label: the most probable one.
        probability: of this label, 0 to 1.
        probabilities: label → probability, in the order of the model's outputs; they add up to 1.
        truncated: whether the text was cut, so that the model has not seen its end.
    """

    label: str
    probability: float
    probabilities: Mapping[str, float]
    truncated: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The prediction as plain data."""
        return {
            "label": self.label,
            "probability": self.probability,
            "probabilities": dict(self.probabilities),
            "truncated": self.truncated,
        }

    def __rich__(self) -> RenderableType:
        from archspec.predicting.rendering import drawn

        return drawn(self)


@dataclass(frozen=True, slots=True)
class Token:
    """One token of an explained text.

    Attributes:
        name: as the tokenizer writes it.
        span: its first character in the text and the one behind its last; None of a token that
            the tokenizer has added, such as ``[CLS]``.
        score: what it adds to the label's logit; exactly 0 of an added one.
        continues: whether it belongs to the same word as the token before it.
    """

    name: str
    span: tuple[int, int] | None
    score: float
    continues: bool = False

    @property
    def added(self) -> bool:
        """Whether the tokenizer has added it: it stands for nothing in the text."""
        return self.span is None


@dataclass(frozen=True, slots=True)
class Word:
    """A word of an explained text: all its tokens together.

    Attributes:
        text: as it stands in the text.
        start: its first character.
        end: the one behind its last.
        score: what it adds to the label's logit.
    """

    text: str
    start: int
    end: int
    score: float


@dataclass(frozen=True, slots=True)
class Explanation(Displayed):
    """Why a classifier gives a label to a text: what each token adds to the label's logit.

    Scores are in units of the logit, and not normalised. They add up to ``logit - baseline``, but
    for ``gap``, which is what the numerical integration misses.

    Attributes:
        input: the text that was explained.
        label: the one that is explained; not always the predicted one.
        prediction: what the model says of the text.
        logit: of the label, before softmax.
        baseline: the logit where each token of the text is the ``blank`` one.
        blank: the token of unknown words, or the padding where the tokenizer has none; None where
            the embedding is zero instead.
        tokens: in order, the added ones among them.
        truncated: whether the text was cut at the model's maximum length; tokens behind it are
            not there.
        steps: of the numerical integration.
    """

    input: str
    label: str
    prediction: Prediction
    logit: float
    baseline: float
    blank: str | None
    tokens: tuple[Token, ...]
    truncated: bool
    steps: int

    @property
    def gap(self) -> float:
        """The part of ``logit - baseline`` that no token has: nearer to 0 with more steps."""
        return self.logit - self.baseline - sum(token.score for token in self.tokens)

    @property
    def read(self) -> int:
        """How many characters of the text were read, up to the end of the last token."""
        return max((token.span[1] for token in self.tokens if token.span), default=0)

    def words(self) -> tuple[Word, ...]:
        """The words that the tokenizer splits the text into, with the sums of their tokens."""
        return tuple(map(self._word, self._groups()))

    def _groups(self) -> Iterator[list[Token]]:
        group: list[Token] = []
        for token in self.tokens:
            if token.span is None:
                continue
            if group and not token.continues:
                yield group
                group = []
            group.append(token)
        if group:
            yield group

    def _word(self, group: list[Token]) -> Word:
        spans = [token.span for token in group if token.span]
        start, end = min(start for start, _ in spans), max(end for _, end in spans)
        cut = self.input[start:end]
        start += len(cut) - len(cut.lstrip())  # some tokenizers count the space before a word in
        text = cut.strip()
        return Word(text, start, start + len(text), sum(token.score for token in group))

    def to_dict(self) -> dict[str, Any]:
        """The explanation as plain data, for ``--json``."""
        return {
            "label": self.label,
            "logit": self.logit,
            "baseline": self.baseline,
            "blank": self.blank,
            "gap": self.gap,
            "steps": self.steps,
            "truncated": self.truncated,
            "read": self.read,
            "tokens": [{**asdict(token), "added": token.added} for token in self.tokens],
            "words": [asdict(word) for word in self.words()],
            "prediction": self.prediction.to_dict(),
        }

    def __rich__(self) -> RenderableType:
        from archspec.predicting.rendering import explained

        return explained(self)


@dataclass(frozen=True, slots=True)
class PredictedFile(Displayed):
    """What became of a file.

    Attributes:
        source: the file that was read.
        out: the file that was written.
        rows: how many there are, bad ones included.
        bad_rows: how many could not be predicted on.
        bad: the first of them, no more than 100.
        counts: label → how many rows have it; empty for embeddings.
        columns: the names of the columns that were added.
        left_out: columns of bytes, which the output's format cannot hold.
        optimizations: what was done to be faster, in words.
        tokens: of the texts; None for images.
        reading: what was doubtful about the file, a line each.
        seconds: from the first row to the last.
    """

    source: Path
    out: Path
    rows: int
    bad_rows: int
    bad: tuple[BadRow, ...]
    counts: Mapping[str, int]
    columns: tuple[str, ...]
    left_out: tuple[str, ...]
    optimizations: tuple[str, ...]
    tokens: TokenCounts | None
    reading: tuple[str, ...]
    seconds: float

    @property
    def truncated(self) -> int:
        """How many texts were cut."""
        return self.tokens.truncated if self.tokens else 0

    @property
    def notes(self) -> tuple[str, ...]:
        """What is doubtful about the file, and lost of its texts, a line each."""
        return (*self.reading, *(self.tokens.notes if self.tokens else ()))

    def to_dict(self) -> dict[str, Any]:
        """The account as plain data, for ``--json``."""
        return {
            "source": str(self.source),
            "out": str(self.out),
            "rows": self.rows,
            "bad_rows": self.bad_rows,
            "bad": [asdict(row) for row in self.bad],
            "counts": dict(self.counts),
            "columns": list(self.columns),
            "left_out": list(self.left_out),
            "optimizations": list(self.optimizations),
            "truncated": self.truncated,
            "tokens": self.tokens.to_dict() if self.tokens else None,
            "notes": list(self.notes),
            "seconds": round(self.seconds, 3),
        }

    def __rich__(self) -> RenderableType:
        from archspec.predicting.rendering import told

        return told(self)
