"""What predicting on parts of a text gives: the tags of its words, or the place of an answer."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from archspec.report.display import Displayed
from archspec.report.text import printable

if TYPE_CHECKING:
    from rich.console import RenderableType


@dataclass(frozen=True, slots=True)
class TaggedWord:
    """A word with its tag.

    Attributes:
        text: the word.
        start: its first character in the text.
        end: the one behind its last.
        tag: the most probable one; None for a word that the model has not seen, because the text
            was cut, or because the tokenizer makes nothing of it.
        probability: of this tag, 0 to 1; None without a tag.
    """

    text: str
    start: int
    end: int
    tag: str | None
    probability: float | None


@dataclass(frozen=True, slots=True)
class TaggedSpan:
    """Words that are one entity.

    Attributes:
        label: its type.
        text: as it stands in the text.
        start: its first character in the text.
        end: the one behind its last.
        probability: the mean of its words' tags.
    """

    label: str
    text: str
    start: int
    end: int
    probability: float


@dataclass(frozen=True, slots=True)
class TokenPrediction(Displayed):
    """What a model says of each word of a text.

    Attributes:
        input: what was read; of a list of words, the words with spaces between them.
        words: in order.
        spans: the entities that the tags mark, in order; none where tags mark no entities.
        truncated: whether the text was cut, so that the model has not seen its end.
    """

    input: str
    words: tuple[TaggedWord, ...]
    spans: tuple[TaggedSpan, ...]
    truncated: bool = False

    @property
    def tags(self) -> tuple[str | None, ...]:
        """The tag of each word."""
        return tuple(word.tag for word in self.words)

    @property
    def summary(self) -> tuple[str, str]:
        """The entities, or the tags if there are none; there is no probability."""
        spans = ", ".join(f"{span.label}: {span.text}" for span in self.spans)
        return spans or " ".join(tag or "–" for tag in self.tags), ""

    def to_dict(self) -> dict[str, Any]:
        """The prediction as plain data."""
        return {
            "text": self.input,
            "words": [asdict(word) for word in self.words],
            "spans": [asdict(span) for span in self.spans],
            "truncated": self.truncated,
        }

    def __rich__(self) -> RenderableType:
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2, 0, 0))
        rows = [(span.label, span.probability, span.text) for span in self.spans]
        rows = rows or [(word.tag or "–", word.probability, word.text) for word in self.words]
        for label, probability, text in rows:
            share = "" if probability is None else f"{probability:.4f}"
            table.add_row(Text(printable(label), style="bold"), share, Text(printable(text)))
        return table


@dataclass(frozen=True, slots=True)
class AnswerPrediction(Displayed):
    """The answer that a model finds in a context.

    Attributes:
        answer: as it stands in the context.
        start: its first character there.
        end: the one behind its last.
        probability: the product of those of its first and last token, among all tokens of its
            window of the context.
    """

    answer: str
    start: int
    end: int
    probability: float

    @property
    def summary(self) -> tuple[str, str]:
        """The answer and its probability."""
        return self.answer, f"{self.probability:.4f}"

    def to_dict(self) -> dict[str, Any]:
        """The prediction as plain data."""
        return asdict(self)

    def __rich__(self) -> RenderableType:
        from rich.text import Text

        answer = Text(printable(self.answer), style="bold")
        return answer.append(f"  {self.probability:.4f}", style="not bold")
