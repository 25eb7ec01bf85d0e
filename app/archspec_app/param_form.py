"""The spec's parameters and sizes as fields of a form, and the values that a form sends back."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from archspec.errors import Problem, UsageError
from archspec.lang.params import Resolved
from archspec.lang.schema import Param
from archspec_app.session import BuiltSpec, SpecRequest, dimensions

MAX_LENGTH = 10_000


def params_data(
    params: Mapping[str, Param], resolved: Mapping[str, Resolved], request: SpecRequest
) -> list[dict[str, Any]]:
    """A field for each parameter, with the value that the visitor has chosen, valid or not."""
    return [_field(name, param, resolved.get(name), request) for name, param in params.items()]


def _field(
    name: str, param: Param, resolved: Resolved | None, request: SpecRequest
) -> dict[str, Any]:
    value = request.params.get(name, resolved.value if resolved else "")
    return {
        "name": name,
        "type": type_of(param, resolved),
        "value": _shown(value),
        "choices": [_shown(choice) for choice in param.choices] if param.choices else None,
        "min": param.min,
        "max": param.max,
        "help": param.help,
        "origin": resolved.origin if resolved else "no value yet",
        "changed": name in request.params,
        "nullable": param.nullable or (param.default is None and not param.required),
    }


def type_of(param: Param, resolved: Resolved | None) -> str:
    """The type of a parameter's value."""
    return resolved.type if resolved else param.type or "str"


def sizes_data(built: BuiltSpec, request: SpecRequest) -> list[dict[str, Any]]:
    """A field for each symbolic dimension."""
    dims = built.inspection.dims
    return [
        {
            "name": name,
            "type": "int",
            "value": _shown(request.sizes.get(name, dims.get(name, 1))),
            "min": 1,
            "max": 1_000_000,
            "changed": name in request.sizes,
        }
        for name in dimensions(built.spec)
    ]


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(list(value) if isinstance(value, tuple) else value)


def param_value(text: object, type_: str) -> Any:
    """Parse what was typed into a field; whether it is allowed is checked with the spec.

    Raises:
        UsageError: E801, it is not a value of this type.
    """
    if not isinstance(text, str) or len(text) > MAX_LENGTH:
        raise UsageError(
            Problem("E801", f"a parameter's value is a text of at most {MAX_LENGTH:,} characters")
        )
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
        raise UsageError(Problem("E801", "a parameter's value must be finite"))
    return value


def _literal(text: str) -> Any:
    """JSON, or the same value in Python's notation."""
    try:
        return json.loads(text)
    except ValueError:
        text = text.replace("'", '"').replace("True", "true").replace("False", "false")
        return json.loads(text)


def with_field(values: Mapping[str, Any], name: str, value: Any, *, reset: bool) -> dict[str, Any]:
    """A form's values after one field was set, or reset to the spec's value."""
    kept = {key: old for key, old in values.items() if key != name}
    return kept if reset else {**kept, name: value}
