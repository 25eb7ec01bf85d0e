"""How many tokens texts have, and how much of them a model does not see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

MUCH = 0.1  # of the tokens: so many unknown ones are told,
FEW = 3  # unless they are fewer


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """Counts of tokens; two of them add up.

    Attributes:
        texts: how many there are.
        truncated: how many of them were cut.
        longest: tokens of the longest text before it was cut, special ones included.
        max_length: tokens at which texts are cut.
        limit: the largest ``max_length`` that is possible; None if there is no bound.
        tokens: of all texts as they were cut, without special tokens.
        unknown: how many of these stand for what the vocabulary lacks.
    """

    texts: int
    truncated: int
    longest: int
    max_length: int
    limit: int | None
    tokens: int
    unknown: int

    def __add__(self, other: TokenCounts) -> TokenCounts:
        return TokenCounts(
            self.texts + other.texts,
            self.truncated + other.truncated,
            max(self.longest, other.longest),
            self.max_length,
            self.limit,
            self.tokens + other.tokens,
            self.unknown + other.unknown,
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What is lost of the texts, a line each; nothing where all is well.

        >>> TokenCounts(40, 40, 190, 64, 512, 2480, 0).notes[0]
        '40 of 40 texts were cut at 64 tokens, the longest has 190: max_length=190 (--max-length 190) keeps all of them whole'
        """  # noqa: E501
        found: list[str] = []
        if self.truncated:
            cut = f"{self.truncated:,} of {self.texts:,} texts were cut at {self.max_length:,}"
            found.append(f"{cut} tokens, the longest has {self.longest:,}: {self._way_on}")
        if self._has_many_unknown:
            share = f"{self.unknown / self.tokens:.0%} of the tokens are unknown"
            found.append(
                f"{share} ({self.unknown:,} of {self.tokens:,}): is it the model's tokenizer, and "
                "does it know the texts' language?"
            )
        return tuple(found)

    @property
    def _has_many_unknown(self) -> bool:
        """One or two in a short text are nothing to tell, unless there is nothing else in it."""
        counts = self.unknown >= FEW or self.unknown == self.tokens
        return counts and self.unknown > MUCH * self.tokens

    @property
    def _way_on(self) -> str:
        if self.limit is None or self.longest <= self.limit:
            return f"{_option(self.longest)} keeps all of them whole"
        if self.limit > self.max_length:
            return f"{_option(self.limit)} keeps more, and is the most that the model takes"
        return "the model takes no more"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def _option(length: int) -> str:
    return f"max_length={length} (--max-length {length})"


def total(counts: Sequence[TokenCounts]) -> TokenCounts | None:
    """Of several parts together; None if there are none."""
    if not counts:
        return None
    first, *rest = counts
    for one in rest:
        first += one
    return first
