"""The spec's parameters and sizes as the fields of a form, and what comes back from it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from archspec.errors import Problem, UsageError
from archspec.lang.params import Resolved
from archspec.lang.schema import Param
from archspec_app.session import BuiltSpec, SpecRequest, dimensions

MOST_CHARACTERS = 10_000


def params_data(
    params: Mapping[str, Param], resolved: Mapping[str, Resolved], asked: SpecRequest
) -> list[dict[str, Any]]:
    """A field for each parameter that a form can set, with what is asked of it, right or wrong."""
    return [_field(name, param, resolved.get(name), asked) for name, param in params.items()]


def _field(name: str, param: Param, found: Resolved | None, asked: SpecRequest) -> dict[str, Any]:
    value = asked.params.get(name, found.value if found else "")
    return {
        "name": name,
        "type": kind_of(param, found),
        "value": _shown(value),
        "choices": [_shown(one) for one in param.choices] if param.choices else None,
        "min": param.min,
        "max": param.max,
        "help": param.help,
        "origin": found.origin if found else "no value yet",
        "changed": name in asked.params,
        "nullable": param.nullable or (param.default is None and not param.required),
    }


def kind_of(param: Param, found: Resolved | None) -> str:
    """The type that a parameter's value has to have."""
    return found.type if found else param.type or "str"


def sizes_data(opened: BuiltSpec, asked: SpecRequest) -> list[dict[str, Any]]:
    """A field for each symbolic dimension."""
    dims = opened.inspection.dims
    return [
        {
            "name": name,
            "type": "int",
            "value": _shown(asked.sizes.get(name, dims.get(name, 1))),
            "min": 1,
            "max": 1_000_000,
            "changed": name in asked.sizes,
        }
        for name in dimensions(opened.spec)
    ]


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(list(value) if isinstance(value, tuple) else value)


def param_value(text: object, type_: str) -> Any:
    """What was typed into a field; whether it fits is checked with the spec.

    Raises:
        UsageError: E801, it is no value of this kind.
    """
    if not isinstance(text, str) or len(text) > MOST_CHARACTERS:
        raise UsageError(Problem("E801", "a parameter's value is a short text"))
    if type_ in ("str", "block", "layer"):
        return text
    text = text.strip()
    if text in ("", "null", "None"):
        return None
    try:
        value = _literal(text)
    except (ValueError, RecursionError):
        raise UsageError(Problem("E801", f"'{text}' is not of type {type_}")) from None
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(Problem("E801", "a parameter is a finite number"))
    return value


def _literal(text: str) -> Any:
    """JSON, or the same as Python writes it."""
    try:
        return json.loads(text)
    except ValueError:
        text = text.replace("'", '"').replace("True", "true").replace("False", "false")
        return json.loads(text)


def changed(values: Mapping[str, Any], name: str, value: Any, *, reset: bool) -> dict[str, Any]:
    """A form's values after one field was set, or put back to what the spec says."""
    kept = {key: old for key, old in values.items() if key != name}
    return kept if reset else {**kept, name: value}
