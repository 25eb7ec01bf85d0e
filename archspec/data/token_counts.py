"""Counts the tokens of texts, and those that a model does not see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

MIN_UNKNOWN = 0.1  # fraction of unknown tokens that is reported,
MIN_UNKNOWN_TOKENS = 3  # if there are as many


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """Counts of tokens, which can be added.

    Attributes:
        texts: number of texts.
        truncated: number of texts that were cut.
        longest: tokens of the longest text before cutting, with special ones.
        max_length: tokens at which texts are cut.
        limit: the largest possible ``max_length``; None if unlimited.
        tokens: of all texts after cutting, without special tokens.
        unknown: tokens for words that the vocabulary lacks.
        targets: of all texts: words with a label, or answers.
        lost: of them, those without tokens: words that were cut off, or have no characters that the
            tokenizer knows, and answers that no window holds.
        windows: of contexts, which are not cut; 0 of other texts.
        blocks: that texts are packed into; 0 of other texts.
        unused: tokens that fill no block.
        ends: whether a token stands between packed texts.
        prompts: whether texts are prompts with answers, which are the targets.
        parts: of texts that are not cut, but go on in further rows; 0 if none is too long.
        guesses: what the tokenizer's files leave open, and how it was read, a line each.
    """

    texts: int
    truncated: int
    longest: int
    max_length: int
    limit: int | None
    tokens: int
    unknown: int
    targets: int = 0
    lost: int = 0
    windows: int = 0
    parts: int = 0
    blocks: int = 0
    unused: int = 0
    ends: bool = True
    prompts: bool = False
    guesses: tuple[str, ...] = ()

    def __add__(self, other: TokenCounts) -> TokenCounts:
        return TokenCounts(
            self.texts + other.texts,
            self.truncated + other.truncated,
            max(self.longest, other.longest),
            self.max_length,
            self.limit,
            self.tokens + other.tokens,
            self.unknown + other.unknown,
            self.targets + other.targets,
            self.lost + other.lost,
            self.windows + other.windows,
            (self.parts or self.texts) + (other.parts or other.texts)
            if self.parts or other.parts
            else 0,
            self.blocks + other.blocks,
            self.unused + other.unused,
            self.ends and other.ends,
            self.prompts or other.prompts,
            self.guesses or other.guesses,
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What is lost of the texts, or guessed of their tokenizer, a line each.

        >>> TokenCounts(40, 40, 190, 64, 512, 2480, 0).notes[0]
        '40 of 40 texts were cut at 64 tokens, the longest has 190: max_length=190 (--max-length 190) keeps all of them whole'
        """  # noqa: E501
        notes = [*self.guesses]
        if self.truncated and self.windows:
            long = f"{self.truncated:,} of {self.texts:,} contexts, with their questions, have more"
            long += f" than {self.max_length:,} tokens"
            notes.append(f"{long}: they are read in windows, {self.windows:,} in all")
        elif self.parts:
            long = f"{self.truncated:,} of {self.texts:,} texts have more than {self.max_length:,}"
            notes.append(f"{long} tokens: they go on in further rows, {self.parts:,} in all")
        elif self.truncated:
            cut = f"{self.truncated:,} of {self.texts:,} texts were cut at {self.max_length:,}"
            notes.append(f"{cut} tokens, the longest has {self.longest:,}: {self._hint}")
        if self.unused:
            left = f"{self.unused:,} of {self.tokens:,} tokens are left out: at the end of a split"
            notes.append(f"{left} they fill no block of {self.max_length:,}")
        if not self.ends:
            notes.append("the tokenizer has no token that ends a text: texts follow each other")
        if self.lost and self.prompts:
            lost = f"{self.lost:,} of {self.targets:,} answers are cut off as a whole"
            notes.append(f"{lost}: nothing is learned of these rows")
        elif self.lost and self.windows:
            notes.append(f"{self.lost:,} of {self.targets:,} answers are in no window as a whole")
        elif self.lost:
            lost = f"{self.lost:,} of {self.targets:,} words have no token of their own"
            notes.append(f"{lost}: the model neither learns nor tells anything of them")
        if self._has_many_unknown:
            share = f"{self.unknown / self.tokens:.0%} of the tokens are unknown"
            notes.append(
                f"{share} ({self.unknown:,} of {self.tokens:,}): is it the model's tokenizer, and "
                "does it know the texts' language?"
            )
        return tuple(notes)

    @property
    def _has_many_unknown(self) -> bool:
        """One or two in a short text are not reported, unless there are no other tokens."""
        counts = self.unknown >= MIN_UNKNOWN_TOKENS or self.unknown == self.tokens
        return counts and self.unknown > MIN_UNKNOWN * self.tokens

    @property
    def _hint(self) -> str:
        if self.limit is None or self.longest <= self.limit:
            return f"{_length_option(self.longest)} keeps all of them whole"
        if self.limit > self.max_length:
            return f"{_length_option(self.limit)} keeps more, and is the most that the model takes"
        return "the model takes no more"

    def to_dict(self) -> dict[str, Any]:
        """The counts as plain data; optional ones only where there are any."""
        optional = {"targets": self.targets, "lost": self.targets, "windows": self.windows}
        optional |= {"parts": self.parts, "blocks": self.blocks, "unused": self.blocks}
        optional |= {"ends": self.blocks, "prompts": self.prompts, "guesses": self.guesses}
        return {key: value for key, value in asdict(self).items() if optional.get(key, True)}


def _length_option(length: int) -> str:
    return f"max_length={length} (--max-length {length})"


def total(counts: Sequence[TokenCounts]) -> TokenCounts | None:
    """The sum of several counts; None if there are none."""
    if not counts:
        return None
    first, *rest = counts
    for more in rest:
        first += more
    return first
