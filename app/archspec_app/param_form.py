"""The spec's parameters and sizes as fields of a form, and the values that a form sends back."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from archspec.errors import ArchspecError, Problem, UsageError
from archspec.lang.params import Resolved
from archspec.lang.schema import Param
from archspec.lang.yaml import Listing, Scalar, find, parse, plain
from archspec.lang.yaml import Mapping as YamlMapping
from archspec_app.session import BuiltSpec, FieldError, Session, SpecRequest, dimensions

MAX_LENGTH = 10_000


def params_data(session: Session) -> list[dict[str, Any]]:
    """A field for each parameter, with its value in the text, and what is wrong with that."""
    params, resolved = session.params
    problems = _problems_by_param(session) if session.problems else {}
    fields = [
        _field(name, param, resolved.get(name), problems.get(name))
        for name, param in params.items()
    ]
    return with_error(fields, session.field_error)


def with_error(fields: list[dict[str, Any]], error: FieldError | None) -> list[dict[str, Any]]:
    """The fields of a form, where one has what was typed into it and why it was not taken over."""
    if error is None:
        return fields
    told = {"value": error.text, "error": error.message}
    return [field | told if field["name"] == error.key else field for field in fields]


@contextmanager
def at_field(session: Session, key: str, text: object) -> Iterator[None]:
    """Report what is wrong with a value at its field, not in the toolbar."""
    try:
        yield
    except ArchspecError as error:
        message = f"{_told(error.problems[0])}; not applied"
        typed = text[:MAX_LENGTH] if isinstance(text, str) else ""
        session.field_error = FieldError(key, typed, message)


def _told(problem: Problem) -> str:
    return f"{problem.message}: {problem.hint}" if problem.hint else problem.message


def _problems_by_param(session: Session) -> dict[str, tuple[str, str]]:
    """By the names of parameters: a problem of their declaration, and the value that is there."""
    try:
        root, _ = parse(session.request.text)
    except ArchspecError:
        return {}
    section = find(root, ("params",))
    found: dict[str, tuple[str, str]] = {}
    for name, entry in section.entries.items() if isinstance(section, YamlMapping) else ():
        key, span = entry.key, entry.value.span
        start, end = (key.line, key.column), (span.end_line, span.end_column)
        for problem in session.problems:
            place = problem.place
            if place and place.file == session.file and start <= (place.line, place.column) < end:
                default = find(entry.value, ("default",)) or entry.value
                value = _shown(plain(default)) if isinstance(default, Scalar | Listing) else ""
                found.setdefault(str(name), (_told(problem), value))
    return found


def _field(
    name: str, param: Param, resolved: Resolved | None, problem: tuple[str, str] | None
) -> dict[str, Any]:
    value = resolved.value if resolved else ""
    error, written = problem or ("", "")
    return {
        "name": name,
        "type": type_of(param, resolved),
        "value": written or _shown(value),
        "error": error,
        "choices": [_shown(choice) for choice in param.choices] if param.choices else None,
        "min": param.min,
        "max": param.max,
        "help": param.help,
        "origin": resolved.origin if resolved else "no value yet",
        "changed": False,
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
