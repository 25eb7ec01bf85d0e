"""The tensors of a checkpoint and of a model, and what becomes of each: rows of a report."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Literal

from archspec.errors import Place, place_fields

Kind = Literal[
    "loaded", "renamed", "resized", "tied", "missing", "ignored", "unexpected", "unfit"
]  # fmt: skip
"""What becomes of a tensor.

    loaded      under the same name
    renamed     under another name: the row's rules say why
    resized     the shapes differ, and that was asked for
    tied        it shares the tensor of another row
    missing     not in the file; deliberately if the row has a rule, else an error
    ignored     left unread, on purpose
    unexpected  it has no place in the model: an error
    unfit       the names meet, but not the shapes, the dtypes or the tied values: an error
"""


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A tensor's name, shape and dtype, without its values.

    >>> TensorInfo("fc.weight", (2, 4), "bfloat16").bytes
    16
    """

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def bytes(self) -> int:
        """How much memory its values take."""
        bits = re.search(r"\d+", self.dtype)
        return math.prod(self.shape) * (int(bits[0]) if bits else 8) // 8

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, "shape": list(self.shape), "dtype": self.dtype}


@dataclass(frozen=True, slots=True)
class Rule:
    """Why names differ or a tensor is left out; ``place`` is the line of the spec that says so."""

    text: str
    place: Place | None = None

    def to_dict(self) -> dict[str, Any]:
        return {"text": self.text, **place_fields(self.place, "file", "line")}


@dataclass(frozen=True, slots=True)
class Row:
    """A tensor of the model, of the file, or of both.

    Attributes:
        kind: what becomes of it.
        ours: the model's tensor; None for one that only the file has.
        theirs: the file's tensor; None for one that only the model has.
        rules: why the names differ, or the tensor is left out.
        shares: our name of the tensor that a tied one shares, else "".
        kept: whether a resized one keeps the model's values, all of them.
    """

    kind: Kind
    ours: TensorInfo | None
    theirs: TensorInfo | None
    rules: tuple[Rule, ...] = ()
    shares: str = ""
    kept: bool = False

    @property
    def cast(self) -> bool:
        """Whether the values change their dtype."""
        if self.ours is None or self.theirs is None or self.kind == "unfit":
            return False
        return self.ours.dtype != self.theirs.dtype

    @property
    def explained(self) -> bool:
        """Whether this is as the file, the spec and the call would have it."""
        return self.kind not in ("unexpected", "unfit") and not (
            self.kind == "missing" and not self.rules
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "ours": self.ours.to_dict() if self.ours else None,
            "theirs": self.theirs.to_dict() if self.theirs else None,
            "rules": [rule.to_dict() for rule in self.rules],
            "shares": self.shares or None,
            "cast": self.cast,
            "explained": self.explained,
        }


@dataclass(frozen=True, slots=True)
class Other:
    """Something in a PyTorch file that is no weight: an epoch, an optimizer's state."""

    name: str
    about: str
