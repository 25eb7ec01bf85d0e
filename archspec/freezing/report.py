"""The result of freezing: the part of each pattern, exact totals, modes, shared parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from archspec.errors import Place
from archspec.report.display import Displayed
from archspec.report.text import printable

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

_HEADINGS = ("pattern", "", "modules", "tensors", "parameters decided", "declared")
_NUMBERS = ("modules", "tensors", "parameters decided")


@dataclass(frozen=True, slots=True)
class PatternFound:
    """What a pattern of a plan selects, and what it decides in the end.

    Attributes:
        text: the pattern as written.
        freezes: False for ``!pattern``.
        modules, tensors: number of selected modules and of names of parameters and buffers.
        parameters: elements that it decides about, because no later pattern selects them; a
            shared parameter counts once.
        overruled: whether later patterns decide about everything that it selects.
        place: in the spec; None for a pattern given directly.
    """

    text: str
    freezes: bool
    modules: int
    tensors: int
    parameters: int
    overruled: bool
    place: Place | None

    def to_dict(self) -> dict[str, Any]:
        data = asdict(self)
        place = data.pop("place") or {}
        return data | {key: place.get(key) for key in ("file", "line", "column")}


@dataclass(frozen=True, slots=True)
class SharedFrozen:
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
    """The effect of a freeze plan on a model.

    Attributes:
        model: class of the model.
        plan: the plan's name; None if patterns were given.
        gradients, statistics, dropout: the three switches: whether frozen parameters get no
            gradient, frozen statistics are constant, frozen dropout is off.
        patterns: in their order.
        parameters: elements of all parameters, shared ones once.
        trainable: elements of the parameters that get a gradient.
        inference: class → number of modules that stay in inference mode, of those that behave
            differently in training.
        training: class → number of these modules that follow ``model.train()``.
        ties: shared parameters that the plan freezes under only some of their names.
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
    ties: tuple[SharedFrozen, ...]

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
        from rich.console import Group
        from rich.text import Text

        parts: list[RenderableType] = [Text(printable(self._title), style="bold"), Text()]
        if self.patterns:
            parts += [self._pattern_table(), Text()]
        parts += [self._totals(), Text(), self._modes()]
        notes = [Text(printable(note)) for note in self._notes()]
        return Group(*parts, *([Text(), *notes] if notes else []))

    @property
    def _title(self) -> str:
        count = len(self.patterns)
        patterns = f"{count} pattern{'s' * (count != 1)}"
        return f"{self.model}, {f'freeze plan {self.plan}' if self.plan else patterns}"

    def _pattern_table(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
        for heading in _HEADINGS:
            justify = "right" if heading in _NUMBERS else "left"
            table.add_column(heading, justify=justify, overflow="fold")
        freezes, trains = Text("freezes", style="cyan"), Text("trains", style="green")
        for row in self.patterns:
            counts = (f"{n:,}" for n in (row.modules, row.tensors, row.parameters))
            place = f"{PurePath(row.place.file).name}:{row.place.line}" if row.place else ""
            effect = freezes if row.freezes else trains
            table.add_row(Text(printable(row.text)), effect, *counts, Text(printable(place)))
        if rest := self.parameters - sum(row.parameters for row in self.patterns):
            table.add_row(Text("all else"), trains, "", "", f"{rest:,}", "")
        return table

    def _totals(self) -> Table:
        from rich.table import Table

        grid = Table.grid(padding=(0, 2, 0, 0))
        for justify in ("left", "right", "left", "right"):
            grid.add_column(justify=justify)
        for name, value in (("frozen", self.frozen), ("trainable", self.trainable)):
            grid.add_row(name, f"{value:,}", "parameters", _percentage(value, self.parameters))
        return grid

    def _modes(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_row("stay in inference mode", Text(printable(_counts(self.inference))))
        grid.add_row("follow model.train()", Text(printable(_counts(self.training))))
        return grid

    def _notes(self) -> Iterator[str]:
        switched_off = {
            "what is frozen gets gradients all the same": not self.gradients,
            "statistics of frozen norms move": not self.statistics,
            "frozen dropout stays on": not self.dropout,
        }
        if effects := [text for text, holds in switched_off.items() if holds]:
            yield f"By its switches: {', '.join(effects)}."
        if absent := [row.text for row in self.patterns if not row.modules + row.tensors]:
            yield f"Only in models with other values: {', '.join(absent)}."
        if overruled := [row.text for row in self.patterns if row.overruled]:
            yield f"Decided by later patterns alone: {', '.join(overruled)}."
        yield from (f"Shared: {tie}." for tie in self.ties)


def _percentage(part: int, total: int) -> str:
    """Never 0 % of something, and never 100 % unless it is everything."""
    if 0 < part < total / 20_000:
        return "< 0.01 %"
    if total - total / 20_000 < part < total:
        return "> 99.99 %"
    return f"{part / total:.2%}".replace("%", " %") if total else ""


def _counts(types: Mapping[str, int]) -> str:
    return ", ".join(f"{times:,} × {name}" for name, times in types.items()) or "none"
