"""What a model's fields say of themselves: for the command line, a form, and messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, Field
from pydantic.fields import FieldInfo

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
