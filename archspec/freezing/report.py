"""What freezing did: each pattern's part, exact totals, modes, shared parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from archspec.errors import Place
from archspec.report.display import Displayed

if TYPE_CHECKING:
    from rich.console import RenderableType


@dataclass(frozen=True, slots=True)
class PatternFound:
    """What one pattern of a plan selects, and what it decides in the end.

    Attributes:
        text: as written.
        freezes: False for ``!pattern``.
        modules, tensors: how many it selects; tensors are parameters and buffers by name.
        parameters: elements about which it decides, being the last that selects them; a shared
            parameter counts once.
        overruled: whether later patterns decide about everything that it selects.
        place: where the spec has it; None for a pattern given directly.
    """

    text: str
    freezes: bool
    modules: int
    tensors: int
    parameters: int
    overruled: bool
    place: Place | None

    def to_dict(self) -> dict[str, Any]:
        place = self.place
        return {
            "text": self.text,
            "freezes": self.freezes,
            "modules": self.modules,
            "tensors": self.tensors,
            "parameters": self.parameters,
            "overruled": self.overruled,
            "file": place.file if place else None,
            "line": place.line if place else None,
            "column": place.column if place else None,
        }


@dataclass(frozen=True, slots=True)
class Tie:
    """A shared parameter that is frozen although the plan does not freeze all of its names."""

    names: tuple[str, ...]
    frozen_by: tuple[str, ...]

    def __str__(self) -> str:
        first, *others = self.names
        each = "both" if len(self.names) == 2 else "all"
        return f"{' is '.join([*reversed(others), first])}: frozen as {each}"

    def to_dict(self) -> dict[str, list[str]]:
        return {"names": list(self.names), "frozen_by": list(self.frozen_by)}


@dataclass(frozen=True, slots=True)
class FreezeReport(Displayed):
    """What a freeze plan does to a model.

    Attributes:
        model: the class of the model.
        plan: the plan's name; None if patterns were given.
        gradients, statistics, dropout: the three switches: whether frozen parameters get no
            gradient, frozen statistics stand still, frozen dropout is off.
        patterns: in their order.
        parameters: elements of all parameters, shared ones once.
        trainable: elements of those that get a gradient.
        inference: class → how many modules stay in inference mode. Only those count that compute
            something else in training.
        training: class → how many of these follow ``model.train()``.
        ties: shared parameters that are frozen though only some of their names are.
    """

    model: str
    plan: str | None
    gradients: bool
    statistics: bool
    dropout: bool
    patterns: tuple[PatternFound, ...]
    parameters: int
    trainable: int
    inference: Mapping[str, int]
    training: Mapping[str, int]
    ties: tuple[Tie, ...]

    @property
    def frozen(self) -> int:
        """Elements of the parameters that get no gradient."""
        return self.parameters - self.trainable

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data, for ``--json``."""
        return {
            "model": self.model,
            "plan": self.plan,
            "gradients": self.gradients,
            "statistics": self.statistics,
            "dropout": self.dropout,
            "patterns": [pattern.to_dict() for pattern in self.patterns],
            "parameters": self.parameters,
            "frozen": self.frozen,
            "trainable": self.trainable,
            "inference": dict(self.inference),
            "training": dict(self.training),
            "ties": [tie.to_dict() for tie in self.ties],
        }

    def __rich__(self) -> RenderableType:
        from archspec.freezing.rendering import drawn

        return drawn(self)
