"""What predicting gives: labels with probabilities, why a label is given, an account of a file.

Labels, texts and names come from strangers: control characters are removed before printing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archspec.data.report import BadRow
from archspec.data.token_counts import TokenCounts
from archspec.errors import listing
from archspec.report.display import Displayed
from archspec.report.text import printable

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

_MAX_LABELS = 10  # shown
_MAX_BAD = 10
_MAX_WORDS = 10
_MAX_CHARACTERS = 70  # of an input
_MIN_SHARE = 0.1  # of the strongest word, for a colour
_BAR = 30  # columns of a probability of 1
_EIGHTHS = " ▏▎▍▌▋▊▉█"


@dataclass(frozen=True, slots=True)
class Prediction(Displayed):
    """What a classifier says of one text or image.

    Attributes:
        label: the most probable one.
        probability: of this label, 0 to 1.
        probabilities: label → probability, in the order of the model's outputs; they add up to 1.
        truncated: whether the text was cut, so that the model has not seen its end.
        most_shown: how many labels are shown.
    """

    label: str
    probability: float
    probabilities: Mapping[str, float]
    truncated: bool = False
    most_shown: int = field(default=_MAX_LABELS, repr=False, compare=False)

    def top(self, k: int) -> Prediction:
        """The prediction with the ``k`` most probable labels alone, the most probable first."""
        return replace(self, probabilities=_top(self.probabilities, k), most_shown=k)

    def to_dict(self) -> dict[str, Any]:
        """The prediction as plain data."""
        return {
            "label": self.label,
            "probability": self.probability,
            "probabilities": dict(self.probabilities),
            "truncated": self.truncated,
        }

    def __rich__(self) -> RenderableType:
        return probability_table(self.probabilities, (self.label,), self.most_shown)

    @property
    def summary(self) -> tuple[str, str]:
        """The label and its probability."""
        return self.label, f"{self.probability:.4f}"


@dataclass(frozen=True, slots=True)
class MultiLabelPrediction(Displayed):
    """What a classifier with several labels says of one text or image.

    Attributes:
        labels: those whose probability is at least the threshold, the most probable first.
        probabilities: label → probability, each by itself, in the order of the model's outputs.
        truncated: whether the text was cut, so that the model has not seen its end.
        most_shown: how many labels are shown.
    """

    labels: tuple[str, ...]
    probabilities: Mapping[str, float]
    truncated: bool = False
    most_shown: int = field(default=_MAX_LABELS, repr=False, compare=False)

    @classmethod
    def of(
        cls, probabilities: Mapping[str, float], given: Sequence[bool], truncated: bool
    ) -> MultiLabelPrediction:
        names = [name for name, is_given in zip(probabilities, given, strict=True) if is_given]
        labels = sorted(names, key=lambda name: -probabilities[name])
        return cls(tuple(labels), probabilities, truncated)

    def top(self, k: int) -> MultiLabelPrediction:
        """The prediction with the ``k`` most probable labels alone, the most probable first."""
        return replace(self, probabilities=_top(self.probabilities, k), most_shown=k)

    @property
    def summary(self) -> tuple[str, str]:
        """The labels, and the probability of the first."""
        known = [name for name in self.labels if name in self.probabilities]
        first = f"{self.probabilities[known[0]]:.4f}" if known else ""
        return ", ".join(self.labels) or "–", first

    def to_dict(self) -> dict[str, Any]:
        """The prediction as plain data."""
        return {
            "labels": list(self.labels),
            "probabilities": dict(self.probabilities),
            "truncated": self.truncated,
        }

    def __rich__(self) -> RenderableType:
        return probability_table(self.probabilities, self.labels, self.most_shown)


@dataclass(frozen=True, slots=True)
class NumberPrediction(Displayed):
    """The number that a model predicts for one text.

    Attributes:
        value: in the units of what was learned.
        truncated: whether the text was cut, so that the model has not seen its end.
    """

    value: float
    truncated: bool = False

    @property
    def summary(self) -> tuple[str, str]:
        """The number; there is no probability."""
        return f"{self.value:.4f}", ""

    def to_dict(self) -> dict[str, Any]:
        """The prediction as plain data."""
        return {"value": self.value, "truncated": self.truncated}

    def __rich__(self) -> RenderableType:
        from rich.text import Text

        return Text(self.summary[0], style="bold")


AnyPrediction = Prediction | MultiLabelPrediction | NumberPrediction


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
        from rich.console import Group
        from rich.text import Text

        words = self.words()
        highest = max((abs(word.score) for word in words), default=0.0)
        strongest = sorted(words, key=lambda word: -abs(word.score))[:_MAX_WORDS]
        scores = f"logit {self.logit:.3f}; {self.baseline:.3f} without the words"
        lines = [f"why {printable(self.label)}: {scores}, {self.gap:+.3f} unexplained"]
        if self.truncated:
            read = f"{self.read:,} of {len(self.input):,}"
            lines.append(f"only the first {read} characters were read")
        table = _word_table(sorted(strongest, key=lambda word: word.start), highest)
        return Group(self.prediction, *map(Text, lines), self._coloured(words, highest), table)

    def _coloured(self, words: Sequence[Word], highest: float) -> Text:
        """The text, with words for the label in green and against it in red."""
        from rich.text import Text

        text, position = Text(), 0
        for word in words:
            if word.start < position:
                continue  # two tokens may share a letter
            text.append(printable(self.input[position : word.start]))
            text.append(printable(word.text), style=_style(word.score, highest))
            position = word.end
        return text


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
        """How many texts were cut; contexts that are read in windows are not."""
        return self.tokens.truncated if self.tokens and not self.tokens.windows else 0

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
        from rich.console import Group
        from rich.text import Text

        good, rate = self.rows - self.bad_rows, self.rows / max(self.seconds, 1e-9)
        lines = [f"{self.out}: {self.rows:,} rows, {good:,} predicted, {rate:,.0f} a second"]
        lines.append(f"added: {listing(self.columns)}")
        if self.left_out:
            lines.append(f"left out, they hold bytes: {listing(self.left_out)}")
        lines += self.notes
        parts: list[RenderableType] = [Text(printable(line)) for line in lines]
        if self.counts:
            parts.append(self._count_table())
        return Group(*parts, *map(Text, self._bad_lines()))

    def _count_table(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2, 0, 2))
        table.add_column()
        table.add_column(justify="right")
        ordered = sorted(self.counts.items(), key=lambda item: -item[1])
        for name, count in ordered[:_MAX_LABELS]:
            table.add_row(Text(printable(name)), f"{count:,}")
        if len(ordered) > _MAX_LABELS:
            table.add_row(f"… ({len(ordered) - _MAX_LABELS:,} more)", "")
        return table

    def _bad_lines(self) -> list[str]:
        if not self.bad_rows:
            return []
        shown = self.bad[:_MAX_BAD]
        ordered = Counter(row.reason for row in shown).most_common()
        reasons = ", ".join(printable(reason) for reason, _ in ordered)
        more = self.bad_rows - len(shown)
        rest = [f"  … ({more:,} more)"] if more else []
        head = f"without a prediction {self.bad_rows:,} bad rows: {reasons}"
        return [head, *(f"  {row}" for row in shown), *rest]


def _top(probabilities: Mapping[str, float], k: int) -> dict[str, float]:
    return dict(sorted(probabilities.items(), key=lambda item: -item[1])[:k])


def probability_table(
    probabilities: Mapping[str, float], chosen: Sequence[str], most: int
) -> RenderableType:
    """A line with a bar for each of the most probable names, those that are chosen in bold."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    ordered = sorted(probabilities.items(), key=lambda item: -item[1])
    table = Table.grid(padding=(0, 1, 0, 0))
    for name, share in ordered[:most]:
        label = Text(printable(name), style="bold" if name in chosen else "")
        table.add_row(label, f"{share:.4f}", Text(_bar(share), "cyan"))
    more = len(ordered) - most
    return Group(table, Text(f"… ({more:,} more)")) if more > 0 else table


def prediction_table(
    inputs: Sequence[str | tuple[str, str]], predictions: Sequence[AnyPrediction], *, top: bool
) -> Table:
    """A line for each input: what is predicted, the probability, and how it begins.

    Args:
        top: whether all labels that the predictions have are shown, in place of the predicted one.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    for given, prediction in zip(inputs, predictions, strict=True):
        text = given if isinstance(given, str) else " | ".join(given)
        label, share = prediction.summary
        if top and isinstance(prediction, Prediction | MultiLabelPrediction):
            shares = prediction.probabilities.items()
            label, share = ", ".join(f"{name} {p:.4f}" for name, p in shares), ""
        table.add_row(
            Text(printable(label), style="bold"),
            share,
            Text(printable(_shortened(text, _MAX_CHARACTERS)), no_wrap=True, overflow="ellipsis"),
        )
    return table


def _word_table(words: Sequence[Word], highest: float) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(justify="right")
    for word in words:
        bar = _bar(abs(word.score) / highest if highest else 0.0)
        text = Text(printable(_shortened(word.text, _BAR)))
        table.add_row(f"{word.score:+.3f}", text, Text(bar, _colour(word.score)))
    return table


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _bar(share: float) -> str:
    eighths = round(min(max(share, 0.0), 1.0) * _BAR * 8)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _style(score: float, highest: float) -> str:
    share = abs(score) / highest if highest else 0.0
    return "" if share < _MIN_SHARE else f"{'bold ' * (share > 0.5)}{_colour(score)}"


def _colour(score: float) -> str:
    return "green" if score > 0 else "red"
