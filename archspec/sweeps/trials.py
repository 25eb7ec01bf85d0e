"""A sweep as its folder has it, and how it is shown."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from archspec.errors import Problem, RunError
from archspec.report.display import Displayed
from archspec.report.text import printable
from archspec.sweeps.search_space import Value
from archspec.tasks.figures import LOWER_IS_BETTER
from archspec.training.run import Run
from archspec.training.run_folder import RunFolder

if TYPE_CHECKING:
    from rich.console import RenderableType

FACTS, PICTURE, LOG = "sweep.json", "sweep.svg", "sweep.log"
Status = Literal["running", "finished", "pruned", "failed"]
_STATUSES = ("running", "finished", "pruned", "failed")
_COLORS = {"finished": "green", "running": "cyan", "failed": "red"}


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial of a sweep.

    Attributes:
        number: counted from 0; its run's folder is ``name``.
        values: name of an option or parameter → what this trial has.
        status: ``pruned`` if it ended early, ``failed`` if its loss was not finite; ``running``
            also if its process was killed.
        value: the monitored metric of its best epoch; None if no epoch is complete.
    """

    number: int
    values: Mapping[str, Value]
    status: Status
    value: float | None = None

    @property
    def name(self) -> str:
        """The name of its run's folder."""
        return f"trial-{self.number:04}"

    @property
    def is_done(self) -> bool:
        return self.status != "running"

    @property
    def described(self) -> str:
        """Its values in a line."""
        return ", ".join(f"{name} {_shown(value)}" for name, value in self.values.items())

    def to_dict(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "values": dict(self.values),
            "status": self.status,
            "value": self.value,
        }


@dataclass(frozen=True, slots=True)
class Sweep(Displayed):
    """The trials of a sweep, and which is the best.

    Attributes:
        path: its folder; each trial's run is a folder in it.
        spec: name of the spec.
        search: name of an option or parameter → what is searched.
        monitor: the metric that is optimized.
        trials: in their order.
    """

    path: Path
    spec: str
    search: Mapping[str, str]
    monitor: str
    trials: tuple[Trial, ...]

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> Sweep:
        """The sweep in a folder.

        Raises:
            RunError: E920, there is none, or ``sweep.json`` is not what a sweep writes.
        """
        folder = RunFolder(Path(path))
        facts = folder.read_json(FACTS)
        try:
            search = {str(name): str(text) for name, text in facts["search"].items()}
            trials = tuple(_trial(one, search) for one in facts["trials"])
            if [trial.number for trial in trials] != [*range(len(trials))]:
                raise ValueError
            monitor, spec = str(facts["options"]["monitor"]), str(facts["spec"])
        except (KeyError, TypeError, ValueError, AttributeError):
            raise RunError(Problem("E920", f"{folder / FACTS}: not what a sweep writes")) from None
        return cls(folder.path, spec, search, monitor, trials)

    @property
    def best(self) -> Trial | None:
        """The finished trial with the best metric, the earliest of equal ones."""
        done = [one for one in self.trials if one.status == "finished" and one.value is not None]
        sign = -1 if self.monitor in LOWER_IS_BETTER else 1
        return max(done, key=lambda one: sign * cast("float", one.value), default=None)

    def run(self, trial: Trial) -> Run:
        """The run of a trial; raises as ``Run.of``."""
        return Run.of(self.path / trial.name)

    def to_dict(self) -> dict[str, Any]:
        """The sweep as plain data, for ``--json``."""
        return {
            "path": str(self.path),
            "spec": self.spec,
            "search": dict(self.search),
            "monitor": self.monitor,
            "trials": [trial.to_dict() for trial in self.trials],
            "best": self.best.number if self.best else None,
        }

    def __rich__(self) -> RenderableType:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        head = Text(printable(str(self.path)), style="bold")
        grid = Table.grid(padding=(0, 2, 0, 0))
        for name in ("trial", *self.search, self.monitor, "status"):
            grid.add_column(justify="left" if name == "status" else "right", no_wrap=True)
        names = ["trial", *map(printable, self.search), self.monitor.replace("_", " "), "status"]
        grid.add_row(*(Text(name, style="dim") for name in names))
        best = self.best
        for trial in self.trials:
            cells = [str(trial.number), *(printable(_shown(trial.values[n])) for n in self.search)]
            cells.append("–" if trial.value is None else f"{trial.value:.4f}")
            style = "bold" if trial is best else ""
            status = Text(trial.status, style=_COLORS.get(trial.status, "yellow"))
            grid.add_row(*(Text(cell, style=style) for cell in cells), status)
        parts: list[RenderableType] = [head, grid]
        if best is not None:
            line = f"best is trial {best.number}: {best.described}"
            parts += [Text(), Text(printable(line), style="bold")]
        return Group(*parts)


def _trial(data: Any, search: Mapping[str, str]) -> Trial:
    values, value, status = data["values"], data["value"], data["status"]
    is_value = value is None or type(value) in (int, float)
    if values.keys() != search.keys() or status not in _STATUSES or not is_value:
        raise ValueError
    if not all(isinstance(one, bool | int | float | str) for one in values.values()):
        raise ValueError
    return Trial(int(data["number"]), values, status, value)


def _shown(value: Value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
