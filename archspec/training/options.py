"""What a run is asked to do: options with their bounds, and phases."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

from archspec.errors import Problem, UsageError, did_you_mean

Optimizer = Literal["adamw", "adam", "sgd"]
Schedule = Literal["linear", "cosine", "one-cycle", "constant"]
Precision = Literal["fp32", "bf16-mixed", "fp16-mixed"]
Monitor = Literal["accuracy", "loss", "macro_f1"]
Strategy = Literal["auto", "ddp", "fsdp"]
Plan = str | Sequence[str] | None

_CHOICES: dict[str, tuple[str, ...]] = {
    "optimizer": get_args(Optimizer),
    "schedule": get_args(Schedule),
    "precision": get_args(Precision),
    "monitor": get_args(Monitor),
    "strategy": get_args(Strategy),
}
_WHOLE = {  # name: least
    "batch_size": 1,
    "accumulate": 1,
    "patience": 1,
    "seed": 0,
    "devices": 1,
    "workers": 0,
    "max_length": 1,
}
_OPTIONAL = ("patience", "max_length", "warmup")
_BOUNDS = {  # name: least, most
    "learning_rate": (0.0, 1e30),
    "weight_decay": (0.0, math.inf),
    "momentum": (0.0, 1.0),
    "warmup": (0.0, 1.0),
    "clip": (0.0, math.inf),
    "save_every": (0.0, math.inf),
    "cache_gb": (0.0, 1e9),
}
_MOST_EPOCHS = 1_000_000
_PHASE = re.compile(r"([^:\s]+):(\d{1,7})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Phase:
    """So many epochs with one freeze plan: a plan's name, patterns, or None for no freezing."""

    plan: str | tuple[str, ...] | None
    epochs: int

    @property
    def patterns(self) -> str | list[str]:
        """The plan as ``freeze`` takes it."""
        return self.plan if isinstance(self.plan, str) else list(self.plan or ())

    @property
    def label(self) -> str:
        """The plan in a word or a line."""
        if self.plan is None:
            return "none"
        return self.plan if isinstance(self.plan, str) else " ".join(self.plan)


@dataclass(frozen=True, slots=True)
class Options:
    """How a run trains; ``train`` describes each option."""

    phases: tuple[Phase, ...]
    batch_size: int
    learning_rate: float
    optimizer: Optimizer
    momentum: float
    weight_decay: float
    schedule: Schedule
    warmup: float
    precision: Precision
    accumulate: int
    clip: float
    monitor: Monitor
    patience: int | None
    seed: int
    device: str
    devices: int
    strategy: Strategy
    workers: int
    max_length: int | None
    save_every: float
    cache: str = "auto"
    cache_gb: float = 20.0

    @property
    def epochs(self) -> int:
        """Of all phases."""
        return sum(phase.epochs for phase in self.phases)

    @classmethod
    def checked(
        cls, freeze: Plan, epochs: int | None, phases: str | Sequence[Any] | None, **given: Any
    ) -> Options:
        """The options, or every one that makes no sense.

        Raises:
            UsageError: E801.
        """
        problems = [Problem("E801", text, hint=hint) for text, hint in _mistakes(given)]
        found: tuple[Phase, ...] = ()
        try:
            found = _phases(freeze, epochs, phases)
        except UsageError as error:
            problems = [*error.problems, *problems]
        if problems:
            raise UsageError(problems)
        if given["warmup"] is None:
            given["warmup"] = {"constant": 0.0, "one-cycle": 0.3}.get(given["schedule"], 0.1)
        if given.get("cache", "auto") not in ("auto", "off"):
            given["cache"] = str(Path(given["cache"]).absolute())
        return cls(phases=found, **given)

    def with_plans(self, names: Container[str]) -> Options:
        """The options for a spec with freeze plans of these names: ``none`` may be one of them."""
        no_plan = "none" not in names
        phases = [
            replace(phase, plan=None) if no_plan and phase.plan == "none" else phase
            for phase in self.phases
        ]
        return replace(self, phases=tuple(phases))

    def with_epochs(self, more: int) -> Options:
        """The options with a phase at the end, of the last plan and so many epochs.

        Raises:
            UsageError: E801, that is no number of epochs.
        """
        return replace(self, phases=(*self.phases, _phase(self.phases[-1].plan, more)))

    def to_dict(self) -> dict[str, Any]:
        """The options as plain data."""
        phases = [{"plan": phase.plan, "epochs": phase.epochs} for phase in self.phases]
        return {**asdict(self), "phases": phases}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Options:
        """What ``to_dict`` gave.

        Raises:
            UsageError: E801, it is something else.
        """
        try:
            given = {**data, "phases": [(one["plan"], one["epochs"]) for one in data["phases"]]}
            return cls.checked(None, None, **given)
        except (KeyError, TypeError, AttributeError):
            raise UsageError(Problem("E801", "these are no options of a run")) from None


def _mistakes(given: Mapping[str, Any]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, value in given.items():
        if value is None and name in _OPTIONAL:
            continue
        if name in _CHOICES and value not in _CHOICES[name]:
            hint = did_you_mean(str(value), _CHOICES[name]) or ", ".join(_CHOICES[name])
            found.append((f"{name} is none of its choices: {value!r}", hint))
        elif name == "device" and not isinstance(value, str):
            found.append((f"device is a name, not {value!r}", ""))
        elif name == "cache" and (hint := _no_cache(value)) is not None:
            found.append((f"cache is auto, off, or a folder, not {value!r}", hint))
        elif name in _WHOLE and not _is_whole(value, _WHOLE[name]):
            found.append(
                (f"{name} is a whole number of at least {_WHOLE[name]}, not {value!r}", "")
            )
        elif name in _BOUNDS and not _is_within(value, *_BOUNDS[name]):
            least, most = _BOUNDS[name]
            bounds = f"of {least:g} or more" if math.isinf(most) else f"from {least:g} to {most:g}"
            found.append((f"{name} is a number {bounds}, not {value!r}", ""))
    return found


def _no_cache(value: object) -> str | None:
    """Why something is no place for a cache, as a hint; None if it is one."""
    path: Any = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(path, str) or not path.strip() or "\0" in path:
        return ""
    if path in ("auto", "off") or not isinstance(value, str) or os.path.isdir(path):
        return None
    near = did_you_mean(path.strip().casefold(), ("auto", "off"))
    is_word = os.path.basename(path) == path
    return f"{near} A folder of this name is './{path}'" if near and is_word else None


def _is_whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value < 2**32


def _is_within(value: object, least: float, most: float) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return math.isfinite(value) and least <= value <= most


# ------------------------------------------------------------------------------------------ phases


def _phases(
    freeze: Plan, epochs: int | None, phases: str | Sequence[Any] | None
) -> tuple[Phase, ...]:
    if phases is None:
        return (_phase(freeze, 3 if epochs is None else epochs),)
    if freeze is not None or epochs is not None:
        raise _usage("phases have their own plans and epochs: freeze and epochs go without them")
    pairs = _split(phases) if isinstance(phases, str) else list(phases)
    if not pairs:
        raise _usage("there are no phases")
    return tuple(_phase(*_pair(given)) for given in pairs)


def _split(text: str) -> list[tuple[str | None, int]]:
    """The phases of a text such as ``head-only:2,last-2-and-head:3``.

    >>> _split("head-only:2, none:1")
    [('head-only', 2), ('none', 1)]
    """
    found: list[tuple[str | None, int]] = []
    for part in text.split(","):
        phase = _PHASE.fullmatch(part.strip())
        if phase is None:
            raise _usage(f"{part.strip()!r} is no phase", "PLAN:EPOCHS, such as head-only:2")
        found.append((phase[1], int(phase[2])))
    return found


def _pair(given: Any) -> tuple[Any, Any]:
    if isinstance(given, Phase):
        return given.plan, given.epochs
    if isinstance(given, tuple | list) and len(cast("list[Any]", given)) == 2:
        return given[0], given[1]
    raise _usage(f"a phase is a plan and its epochs, not {given!r}")


def _phase(plan: Any, epochs: Any) -> Phase:
    if not _is_whole(epochs, 1) or epochs > _MOST_EPOCHS:
        raise _usage(f"epochs is a whole number of at least 1, not {epochs!r}")
    if plan is None or isinstance(plan, str):
        return Phase(plan, epochs)
    if isinstance(plan, list | tuple):
        patterns = cast("list[Any]", plan)
        if patterns and all(isinstance(one, str) for one in patterns):
            return Phase(tuple(patterns), epochs)
    raise _usage(f"a freeze plan is a name or patterns, not {plan!r}")


def _usage(message: str, hint: str = "") -> UsageError:
    return UsageError(Problem("E801", message, hint=hint))
