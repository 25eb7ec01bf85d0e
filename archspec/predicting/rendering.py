"""Predictions for people: bars of probabilities, words that speak for a label, accounts of files.

Labels, texts and names come from strangers: control characters are taken out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from archspec.errors import listing
from archspec.predicting.report import Explanation, PredictedFile, Prediction, Word
from archspec.report.text import printable

_MOST_LABELS = 10
_MOST_BAD = 10
_MOST_WORDS = 10
_LEAST_SHARE = 0.1  # of the strongest word, for a colour
_BAR = 30  # columns of a probability of 1
_MOST_LETTERS = 70  # of an input
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def drawn(prediction: Prediction) -> RenderableType:
    """The most probable labels with bars."""
    ordered = sorted(prediction.probabilities.items(), key=lambda one: -one[1])
    table = Table.grid(padding=(0, 1, 0, 0))
    for name, share in ordered[:_MOST_LABELS]:
        style = "bold" if name == prediction.label else ""
        table.add_row(Text(printable(name), style=style), f"{share:.4f}", Text(_bar(share), "cyan"))
    more = len(ordered) - _MOST_LABELS
    return Group(table, Text(f"… ({more:,} more)")) if more > 0 else table


def _bar(share: float) -> str:
    eighths = round(min(max(share, 0.0), 1.0) * _BAR * 8)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def explained(why: Explanation) -> RenderableType:
    """The text with words for the label in green and against it in red, and the strongest."""
    words = why.words()
    most = max((abs(word.score) for word in words), default=0.0)
    strongest = sorted(words, key=lambda word: -abs(word.score))[:_MOST_WORDS]
    label = printable(why.label)
    logit = (
        f"logit {why.logit:.3f}; {why.baseline:.3f} without the words, {why.gap:+.3f} unexplained"
    )
    lines = [Text(f"why {label}: {logit}")]
    if why.truncated:
        lines.append(
            Text(f"only the first {why.read:,} of {len(why.input):,} characters were read")
        )
    parts = [drawn(why.prediction), *lines, _coloured(why, words, most)]
    return Group(*parts, _strongest(sorted(strongest, key=lambda word: word.start), most))


def _coloured(why: Explanation, words: Sequence[Word], most: float) -> Text:
    text, place = Text(), 0
    for word in words:
        if word.start < place:
            continue  # two tokens may share a letter
        text.append(printable(why.input[place : word.start]))
        text.append(printable(word.text), style=_style(word.score, most))
        place = word.end
    return text


def _style(score: float, most: float) -> str:
    share = abs(score) / most if most else 0.0
    colour = "green" if score > 0 else "red"
    return "" if share < _LEAST_SHARE else f"bold {colour}" if share > 0.5 else colour


def _strongest(words: Sequence[Word], most: float) -> Table:
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(justify="right")
    for word in words:
        shown = word.text if len(word.text) <= _BAR else word.text[: _BAR - 1] + "…"
        bar = _bar(abs(word.score) / most if most else 0.0)
        style = "green" if word.score > 0 else "red"
        table.add_row(f"{word.score:+.3f}", Text(printable(shown)), Text(bar, style))
    return table


def listed(inputs: Sequence[str], predictions: Sequence[Prediction]) -> RenderableType:
    """A line for each input: its label, the probability, and how it begins."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for given, prediction in zip(inputs, predictions, strict=True):
        shown = given if len(given) <= _MOST_LETTERS else given[: _MOST_LETTERS - 1] + "…"
        table.add_row(
            Text(printable(prediction.label), style="bold"),
            f"{prediction.probability:.4f}",
            Text(printable(shown), no_wrap=True, overflow="ellipsis"),
        )
    return table


def told(file: PredictedFile) -> RenderableType:
    """Where it went, how many rows of each label, and the first bad ones."""
    good, rate = file.rows - file.bad_rows, file.rows / max(file.seconds, 1e-9)
    lines = [f"{file.out}: {file.rows:,} rows, {good:,} predicted, {rate:,.0f} a second"]
    lines.append(f"added: {listing(file.columns)}")
    if file.left_out:
        lines.append(f"left out, they hold bytes: {listing(file.left_out)}")
    lines += file.notes
    parts: list[RenderableType] = [Text(printable(line)) for line in lines]
    if file.counts:
        parts.append(_counts(file))
    return Group(*parts, *map(Text, _bad(file)))


def _counts(file: PredictedFile) -> Table:
    table = Table.grid(padding=(0, 2, 0, 2))
    table.add_column()
    table.add_column(justify="right")
    ordered = sorted(file.counts.items(), key=lambda one: -one[1])
    for name, count in ordered[:_MOST_LABELS]:
        table.add_row(Text(printable(name)), f"{count:,}")
    if len(ordered) > _MOST_LABELS:
        table.add_row(f"… ({len(ordered) - _MOST_LABELS:,} more)", "")
    return table


def _bad(file: PredictedFile) -> list[str]:
    if not file.bad_rows:
        return []
    shown = file.bad[:_MOST_BAD]
    reasons = ", ".join(printable(one) for one, _ in Counter(r.reason for r in shown).most_common())
    more = file.bad_rows - len(shown)
    rest = [f"  … ({more:,} more)"] if more else []
    head = f"without a prediction {file.bad_rows:,} bad rows: {reasons}"
    return [head, *(f"  {row}" for row in shown), *rest]
