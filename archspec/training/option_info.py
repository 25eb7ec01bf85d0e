"""What options say of themselves, for the command line, a form and messages; and their values."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, cast, get_args, get_origin

from pydantic import BaseModel, Field
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from archspec.errors import did_you_mean, shown

if TYPE_CHECKING:
    from archspec.weights.tensor_names import Resize

MAX_EPOCHS = 1_000_000
_PHASE = re.compile(r"([^:\s]+):(\d{1,7})", re.ASCII)

_MAX_SHOWN = 1e6  # greater bounds only keep computations finite


@dataclass(frozen=True, slots=True)
class OptionInfo:
    """One option.

    Attributes:
        name: in Python; with lines for underscores, on the command line.
        type: ``bool``, ``int``, ``float`` or ``str``: what a value is written as.
        choices: the only values; none where others are possible.
        low, high: inclusive bounds; None where there is none to speak of.
        is_below: whether ``high`` itself is excluded.
        default: None where ``unset`` says what applies instead.
        metavar: what stands for the value in help.
        repeated: whether the command line takes it several times.
        is_list: whether it is a list.
    """

    name: str
    type: type
    description: str
    group: str
    default: Any
    unset: str
    choices: tuple[str, ...]
    low: float | None
    high: float | None
    is_below: bool
    metavar: str | None
    repeated: bool
    is_list: bool

    @property
    def flag(self) -> str:
        """The option on the command line."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def must_be(self) -> str:
        """What a value must be, for messages: ``must be an integer of at least 1``."""
        return f"must be {self._expected}"

    @property
    def _expected(self) -> str:
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        if self.type is bool:
            return "true or false"
        if self.type is str:
            return "a list of texts" if self.is_list else "a text"
        kind = "an integer" if self.type is int else "a number"
        if self.low is None:
            return kind
        if self.high is None:
            return f"{kind} of at least {self.low:g}"
        below = "below " if self.is_below else ""
        return f"{kind} from {self.low:g} to {below}{self.high:,g}"


def option(
    default: Any,
    description: str,
    *,
    group: str,
    metavar: str | None = None,
    unset: str = "",
    repeated: bool = False,
    **bounds: Any,
) -> Any:
    """A field of a model of options; ``OptionInfo`` tells what is what."""
    extra: dict[str, Any] = {"group": group, "metavar": metavar, "unset": unset}
    extra["repeated"] = repeated
    return Field(default, description=description, json_schema_extra=extra, **bounds)


@cache
def option_infos(model: type[BaseModel]) -> dict[str, OptionInfo]:
    """The options of a model, in its order."""
    return {name: _info(name, field) for name, field in model.model_fields.items()}


def _info(name: str, field: FieldInfo) -> OptionInfo:
    types = _alternatives(field.annotation)
    choices = tuple(one for kind in types for one in get_args(kind) if _is_choices(kind))
    plain = next((kind for kind in (bool, int, float) if kind in types), str)
    bounds = {
        key: getattr(one, key) for one in field.metadata for key in ("ge", "le", "lt")
        if hasattr(one, key)
    }  # fmt: skip
    high = bounds.get("le", bounds.get("lt"))
    extra: Any = field.json_schema_extra
    return OptionInfo(
        name, plain, field.description or "", extra["group"], field.default, extra["unset"],
        choices, bounds.get("ge"), None if high is None or high >= _MAX_SHOWN else high,
        "lt" in bounds, extra["metavar"], extra["repeated"],
        any(get_origin(kind) is tuple for kind in types),
    )  # fmt: skip


def _alternatives(annotation: Any) -> Sequence[Any]:
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _is_choices(kind: Any) -> bool:
    return get_origin(kind) is Literal and all(isinstance(one, str) for one in get_args(kind))


# ------------------------------------------------------------------------------------------ values


@dataclass(frozen=True, slots=True)
class Phase:
    """Some epochs with one freeze plan: a plan's name, patterns, or None for no freezing."""

    plan: str | tuple[str, ...] | None
    epochs: int

    @property
    def patterns(self) -> str | list[str]:
        """The plan as ``freeze`` takes it."""
        return self.plan if isinstance(self.plan, str) else list(self.plan or ())

    @property
    def label(self) -> str:
        """The plan in one word or line."""
        if self.plan is None:
            return "none"
        return self.plan if isinstance(self.plan, str) else " ".join(self.plan)


def option_error(message: str, hint: str = "") -> PydanticCustomError:
    context = {"message": message, "hint": hint}
    return PydanticCustomError("option", "{message}", context)


def as_path(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def as_names(value: Any) -> Any:
    return tuple(cast("list[Any]", value)) if isinstance(value, list) else value


def as_patterns(value: Any) -> Any:
    return (value,) if isinstance(value, str) else as_names(value)


def as_plan(value: Any) -> Any:
    value = as_names(value)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, tuple):
        patterns = cast("tuple[Any, ...]", value)
        if patterns and all(isinstance(pattern, str) for pattern in patterns):
            return patterns
    raise option_error(f"a freeze plan is a name or a list of patterns, not {shown(value)}")


def as_phases(value: Any) -> tuple[Phase, ...]:
    """Phases of a text such as ``head-only:2,last-2-and-head:3``, of pairs, or of mappings."""
    pairs = _split(value) if isinstance(value, str) else value
    if not isinstance(pairs, list | tuple):
        raise option_error(f"phases must be a text or a list of pairs, not {shown(value)}")
    if not pairs:
        raise option_error("there are no phases")
    return tuple(_phase(*_pair(one)) for one in cast("Sequence[Any]", pairs))


def _split(text: str) -> list[tuple[str, int]]:
    """
    >>> _split("head-only:2, none:1")
    [('head-only', 2), ('none', 1)]
    """
    parts = [part.strip() for part in text.split(",")]
    found = [(part, _PHASE.fullmatch(part)) for part in parts]
    for part, match in found:
        if match is None:
            raise option_error(f"{part!r} is not a phase", "PLAN:EPOCHS, such as head-only:2")
    return [(match[1], int(match[2])) for _, match in found if match]


def _pair(value: Any) -> tuple[Any, Any]:
    if isinstance(value, Phase):
        return value.plan, value.epochs
    if isinstance(value, dict) and value.keys() == {"plan", "epochs"}:  # as run.json has it
        return value["plan"], value["epochs"]
    if isinstance(value, tuple | list) and len(cast("list[Any]", value)) == 2:
        return value[0], value[1]
    raise option_error(f"a phase is a plan and its epochs, not {shown(value)}")


def _phase(plan: Any, epochs: Any) -> Phase:
    is_integer = isinstance(epochs, int) and not isinstance(epochs, bool)
    if not is_integer or not 1 <= epochs <= MAX_EPOCHS:
        raise option_error(f"epochs must be an integer of at least 1, not {shown(epochs)}")
    return Phase(as_plan(plan), epochs)


def as_cache_folder(value: Any) -> Any:
    path = as_path(value)
    if not isinstance(path, str) or not path.strip() or "\0" in path:
        raise option_error(f"feature_cache must be auto, off, or a folder, not {shown(value)}")
    if path not in ("auto", "off") and isinstance(value, str) and not os.path.isdir(path):
        near = did_you_mean(path.strip().casefold(), ("auto", "off"))
        if near and os.path.basename(path) == path:
            hint = f"{near} A folder of this name is './{path}'"
            raise option_error(
                f"feature_cache must be auto, off, or a folder, not {shown(value)}", hint
            )
    return path


def as_class_weights(value: Any) -> Any:
    """``balanced``, a file's path, or a mapping from labels to weights."""
    value = as_path(value)
    if value is None or (isinstance(value, str) and value):
        return value
    if not isinstance(value, Mapping) or not value:
        what = "class_weights must be balanced, a file, or a mapping from labels to weights"
        raise option_error(f"{what}, not {shown(value)}")
    found = {str(label): one for label, one in cast("Mapping[Any, Any]", value).items()}
    for label, weight in found.items():
        is_number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not is_number or not 0 < weight <= 1e6:
            message = f"the weight of {shown(label)} must be a number above 0, up to 1,000,000"
            raise option_error(f"{message}, not {shown(weight)}")
    return {label: float(weight) for label, weight in found.items()}


def as_rates(value: Any) -> Any:
    """Texts ``PATTERN=RATE`` of a text, of texts, or of a mapping from patterns to rates."""
    return _with_values(value, pattern_and_rate)


def as_resizes(value: Any) -> Any:
    """Texts ``PATTERN=HOW`` of a text, of texts, or of a mapping from patterns to ways."""
    return _with_values(value, pattern_and_way)


def _with_values(value: Any, check: Callable[[object], object]) -> Any:
    if isinstance(value, Mapping):
        pairs = cast("Mapping[Any, Any]", value).items()
        value = tuple(f"{pattern}={one}" for pattern, one in pairs)
    texts = as_patterns(value)
    if isinstance(texts, tuple):
        for text in cast("tuple[Any, ...]", texts):
            check(text)
    return texts


def pattern_and_way(text: object) -> tuple[str, Resize]:
    """
    >>> pattern_and_way("bert.embeddings=rows")
    ('bert.embeddings', 'rows')
    """
    from archspec.weights.tensor_names import RESIZES  # imports torch

    pattern, _, how = text.rpartition("=") if isinstance(text, str) else ("", "", "")
    if not pattern or how not in RESIZES:
        hint = f"PATTERN=HOW, where HOW is {' or '.join(RESIZES)}"
        raise option_error(f"{shown(text)} is no pattern with a way to resize", hint)
    return pattern, cast("Resize", how)


def pattern_and_rate(text: object) -> tuple[str, float]:
    """
    >>> pattern_and_rate("bert.encoder=1e-5")
    ('bert.encoder', 1e-05)
    """
    pattern, _, number = text.rpartition("=") if isinstance(text, str) else ("", "", "")
    try:
        rate = float(number)
    except ValueError:
        rate = math.nan
    if not pattern or not 0 <= rate <= 1e30:
        hint = "PATTERN=RATE, such as 'bert.embeddings=1e-5'"
        raise option_error(f"{shown(text)} is no pattern with its learning rate", hint)
    return pattern, rate
