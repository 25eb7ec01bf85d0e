"""What predicting with language models gives: tokens for masks, and how a prompt goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from archspec.errors import Problem, UsageError
from archspec.predicting.report import probability_table
from archspec.report.display import Displayed
from archspec.report.text import printable_lines

if TYPE_CHECKING:
    from rich.console import RenderableType

MAX_TOKENS = 100
"""How many tokens for a mask a prediction has."""


def check_top(k: int) -> None:
    """Raise E801 where a prediction has fewer tokens than are wanted."""
    if k > MAX_TOKENS:
        raise UsageError(Problem("E801", f"top_k is at most {MAX_TOKENS} for masks, not {k:,}"))


@dataclass(frozen=True, slots=True)
class MaskPrediction(Displayed):
    """The tokens that a model expects in place of the masks of a text.

    Attributes:
        input: the text, with masks.
        masks: of each mask that the model has seen, in order, token → probability: no more than 100
            tokens, the most probable first, as they stand in a text.
        truncated: whether the text was cut, so that the model has not seen its end.
        most_shown: how many tokens are shown; None: the best one where there is little room.
    """

    input: str
    masks: tuple[Mapping[str, float], ...]
    truncated: bool = False
    most_shown: int | None = field(default=None, repr=False, compare=False)

    def top(self, k: int) -> MaskPrediction:
        """The prediction with the ``k`` most probable tokens for each mask alone.

        Raises:
            UsageError: E801, it does not have so many.
        """
        check_top(k)
        masks = tuple(dict([*mask.items()][:k]) for mask in self.masks)
        return replace(self, masks=masks, most_shown=k)

    @property
    def tokens(self) -> tuple[str, ...]:
        """The most probable token for each mask."""
        return tuple(next(iter(mask)) for mask in self.masks)

    @property
    def summary(self) -> tuple[str, str]:
        """The most probable tokens, and the probability of a single one."""
        if self.most_shown is not None:
            listed = (
                ", ".join(f"{t.strip()} {p:.4f}" for t, p in one.items()) for one in self.masks
            )
            return " | ".join(listed), ""
        first = f"{self.masks[0][self.tokens[0]]:.4f}" if len(self.masks) == 1 else ""
        return " | ".join(token.strip() for token in self.tokens), first

    def to_dict(self) -> dict[str, Any]:
        """The prediction as plain data."""
        return {
            "text": self.input,
            "masks": [
                [{"token": token, "probability": share} for token, share in mask.items()]
                for mask in self.masks
            ],
            "truncated": self.truncated,
        }

    def __rich__(self) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        parts: list[RenderableType] = []
        for number, mask in enumerate(self.masks, 1):
            if len(self.masks) > 1:
                parts.append(Text(f"mask {number}"))
            shown = dict([*mask.items()][: self.most_shown or 10])
            parts.append(probability_table(shown, [*shown][:1], len(shown)))
        return Group(*parts)


@dataclass(frozen=True, slots=True)
class ContinuationPrediction(Displayed):
    """How a model continues a prompt, with the most probable token each time.

    Attributes:
        input: the prompt.
        continuation: what the model adds, with the space before it if there is one.
        tokens: how many it adds.
        ended: whether the model says that the text ends there; else there may be more of it.
    """

    input: str
    continuation: str
    tokens: int
    ended: bool

    @property
    def summary(self) -> tuple[str, str]:
        """The continuation; there is no probability."""
        return self.continuation.strip(), ""

    def to_dict(self) -> dict[str, Any]:
        """The prediction as plain data."""
        return {
            "text": self.input,
            "continuation": self.continuation,
            "tokens": self.tokens,
            "ended": self.ended,
        }

    def __rich__(self) -> RenderableType:
        from rich.text import Text

        text = Text(printable_lines(self.input)).append(
            printable_lines(self.continuation), style="bold"
        )
        return text if self.ended else text.append(" …")
