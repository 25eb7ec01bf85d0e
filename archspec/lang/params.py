"""Hyperparameters: declarations, overrides, and the resolved values with their origins."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from archspec.errors import Findings, Note, Place, Problem, SpecError, did_you_mean, listing
from archspec.lang import yaml
from archspec.lang.declarations import fit, fit_one, inferred
from archspec.lang.expr.expressions import (
    MAX_INTEGER,
    Expression,
    ExpressionError,
    Value,
    evaluate,
    parse,
)
from archspec.lang.inherit import Document
from archspec.lang.schema import Param


@dataclass(frozen=True, slots=True)
class Override:
    """A value given for a parameter from outside the spec, and who gave it.

    ``tolerant`` overrides come from a ``config.json``, which also holds what is none of ours.
    """

    value: Any
    origin: str
    place: Place | None = None
    tolerant: bool = False


@dataclass(frozen=True, slots=True)
class Resolved:
    """A parameter's value, its type, and where the value was set."""

    value: Value
    type: str
    origin: str
    place: Place | None
    expression: Expression | None = None


def literal(value: Any) -> Any:
    """A value of the document as Python: lists become tuples, ``$$`` a dollar.

    An expression (a string that begins with one ``$``) comes back as an ``Expression``.

    Raises:
        ExpressionError: as ``expressions.parse``, counted from the ``$``.
    """
    if isinstance(value, str) and value.startswith("$$"):
        return value[1:]
    if isinstance(value, str) and value.startswith("$"):
        try:
            return parse(value[1:])
        except ExpressionError as error:
            error.start, error.end = error.start + 1, error.end + 1
            raise
    if isinstance(value, list):
        return tuple(literal(item) for item in cast("list[Any]", value))
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise ExpressionError("E307", "the integer does not fit into 64 bits")
    return value


# ---------------------------------------------------------------------------------------- reading


def overrides_from_config(path: Path) -> dict[str, Override]:
    """The keys of a JSON file such as Hugging Face's ``config.json``, as overrides.

    Raises:
        SpecError: E106 if it cannot be read or is no JSON object.
    """
    text, place = "", None
    try:
        if not path.is_file() and path.exists():
            raise ValueError("not a file")
        if path.stat().st_size > yaml.MAX_BYTES:
            raise ValueError(f"larger than {yaml.MAX_BYTES:,} bytes")
        text = path.read_text(encoding="utf-8")
        data = json.loads(text)
        if not isinstance(data, dict):
            raise ValueError("not a JSON object")
    except (OSError, ValueError, RecursionError) as error:
        reason = str(error)
        match error:
            case OSError():
                reason = error.strerror or "cannot be read"
            case UnicodeDecodeError():
                reason = "not UTF-8 text"
            case json.JSONDecodeError():
                reason = f"not JSON: {error.msg[:1].lower()}{error.msg[1:]}"
                line = text.splitlines()[error.lineno - 1 :][:1]
                place = Place(str(path), error.lineno, error.colno, error.colno + 1, "".join(line))
            case RecursionError():
                reason = "nested too deeply"
            case _ if "integer string" in reason:
                reason = "an integer of too many digits"
            case _:
                pass
        raise SpecError(Problem("E106", f"{path}: {reason}", place)) from None
    places = _places(text, str(path))
    return {
        key: Override(value, str(path), places.get(key), tolerant=True)
        for key, value in cast("dict[str, Any]", data).items()
    }


def _places(text: str, file: str) -> dict[str, Place]:
    """Where each key of a JSON text first stands, found in one pass."""
    places: dict[str, Place] = {}
    for number, line in enumerate(text.splitlines(), 1):
        for key in re.finditer(r'"([^"\\]*)"\s*:', line):
            end = key.end(1) + 2
            places.setdefault(key[1], Place(file, number, key.start() + 1, end, line))
    return places


def overrides_from_options(options: Iterable[str]) -> dict[str, Override]:
    """``name=value`` texts of a command line as overrides; the value is read as YAML.

    Raises:
        SpecError: E208 for a text without ``=``, E1xx for a value that is not YAML.
    """
    overrides: dict[str, Override] = {}
    problems: list[Problem] = []
    for option in options:
        name, equals, text = option.partition("=")
        if not equals or not name.strip() or not text.isprintable():
            problems.append(Problem("E208", f"-p {option}: write -p name=value"))
            continue
        try:
            root, found = yaml.parse(f"value: {text}", f"-p {name}")
        except SpecError as error:
            problems += error.problems
            continue
        problems += found
        overrides[name.strip()] = Override(cast(Any, yaml.plain(root))["value"], f"-p {option}")
    if problems:
        raise SpecError(problems)
    return overrides


# -------------------------------------------------------------------------------------- resolving


def resolve(
    declared: Mapping[str, Param],
    overrides: Mapping[str, Override],
    document: Document,
    findings: Findings,
) -> tuple[dict[str, Resolved], tuple[str, ...]]:
    """The values of all parameters, in the order of their declarations.

    Returns:
        The resolved parameters, and the names in a ``config.json`` that are no parameters of this
        spec.
    """
    ignored: list[str] = []
    for name, override in overrides.items():
        if name not in declared and override.tolerant:
            ignored.append(name)
        elif name not in declared:
            hint = did_you_mean(name, declared) or f"there is: {listing(list(declared)) or 'none'}"
            message = f"no parameter '{name}' ({override.origin})"
            findings.add(Problem("E208", message, override.place, hint))
    resolved: dict[str, Resolved] = {}
    values: dict[str, Value] = {}

    def resolve_one(name: str) -> None:
        try:
            found = _resolve_one(name, declared[name], overrides.get(name), values, document)
        except SpecError as error:
            findings.add(*error.problems)
        else:
            resolved[name], values[name] = found, found.value

    graph: dict[str, set[str]] = {}
    for name, param in declared.items():
        try:
            graph[name] = _needs(param, overrides.get(name)) & declared.keys()
        except ExpressionError:
            resolve_one(name)  # tells at once: thousands of mistakes are not all looked for
    order, circles = ordered(graph)
    for circle in circles:
        message = f"parameters are computed from each other: {circle_text(circle)}"
        findings.add(document.problem("E306", message, ("params", circle[0], "default")))
    for name in order:
        if graph[name] <= resolved.keys():  # else what it is computed from has been told
            resolve_one(name)
    return {name: resolved[name] for name in declared if name in resolved}, tuple(ignored)


def ordered(graph: Mapping[str, Iterable[str]]) -> tuple[list[str], list[list[str]]]:
    """The names, each behind those that it needs; and the circles among them, none twice.

    >>> ordered({"a": ["b"], "b": [], "c": ["d"], "d": ["c"]})
    (['b', 'a', 'd', 'c'], [['c', 'd']])
    """
    order: dict[str, None] = {}
    circles: list[list[str]] = []
    for start in graph:
        path: list[str] = []
        depth: dict[str, int] = {}
        waiting: list[Iterator[str]] = [iter((start,))]
        told = 0  # how much of the path is in a circle that has been found already
        while waiting:
            name = next(waiting[-1], None)
            if name is None:
                waiting.pop()
                if path:
                    order[path[-1]] = None
                    del depth[path.pop()]
                told = min(told, len(path))
            elif name in depth:
                if depth[name] >= told:
                    circles.append(path[depth[name] :])
                    told = len(path)
            elif name not in order and name in graph:
                depth[name] = len(path)
                path.append(name)
                waiting.append(iter(graph[name]))
    return list(order), circles


def circle_text(circle: Sequence[str]) -> str:
    """``a → b → a``"""
    return f"{listing(circle, sign=' → ')} → {circle[0]}"


def _needs(param: Param, override: Override | None) -> set[str]:
    """The names that a parameter's value is computed from; raises as ``literal``."""
    return set() if override is not None else _names_in(param.default)


def _names_in(value: Any) -> set[str]:
    if isinstance(value, list):
        return set[str]().union(*map(_names_in, cast("list[Any]", value)))
    parsed = literal(value)
    return parsed.names() if isinstance(parsed, Expression) else set()


def _resolve_one(
    name: str,
    param: Param,
    override: Override | None,
    values: Mapping[str, Value],
    document: Document,
) -> Resolved:
    path: yaml.Path = ("params", name, "default")
    place = override.place if override else document.place(path)
    if override is None and param.required:
        message = f"parameter '{name}' has no value"
        hint = f"give one: -p {name}=…, or a default"
        raise SpecError(document.problem("E210", message, ("params", name), key=True, hint=hint))
    expression: Expression | None = None
    value = override.value if override else param.default
    if override is None:
        value, expression = _computed(value, values, document, path)
    else:
        value = _tuples(value)
    kind = param.type or inferred(param, value)
    fitted, complaint = fit(value, param, kind)
    if complaint:
        if override is None and isinstance(value, tuple) and kind.startswith("list"):
            place = document.place((*_long(path, document), _first_misfit(value, param, kind)))
        declared = document.place(("params", name), key=True)
        notes = (Note("declared here", declared),) if override else ()
        origin = f" ({override.origin})" if override and override.place is None else ""
        raise SpecError(
            Problem("E209", f"parameter '{name}'{origin}: {complaint}", place, "", notes)
        )
    return Resolved(fitted, kind, override.origin if override else str(place), place, expression)


def _tuples(value: Any) -> Any:
    """What was given from outside is taken as it is; only lists become tuples."""
    return tuple(map(_tuples, cast("list[Any]", value))) if isinstance(value, list) else value


def _long(path: yaml.Path, document: Document) -> yaml.Path:
    """The path of a default, whose key is left out in the short form."""
    return path if document.has(path) else path[:-1]


def _first_misfit(value: Value, param: Param, kind: str) -> int:
    return next((i for i, item in enumerate(value) if fit_one(item, param, kind[5:-1])[1]), 0)


def _computed(
    value: Any, values: Mapping[str, Value], document: Document, path: yaml.Path
) -> tuple[Value, Expression | None]:
    if isinstance(value, list):
        at = _long(path, document)
        items = enumerate(cast("list[Any]", value))
        return tuple(_computed(item, values, document, (*at, i))[0] for i, item in items), None
    shift = 0
    try:
        expression = literal(value)
        if not isinstance(expression, Expression):
            return expression, None
        shift = 1  # the $ is not part of the expression
        return evaluate(expression, values), expression
    except ExpressionError as error:
        at = _long(path, document)
        place = document.stretch(at, error.start + shift, error.end + shift)
        raise SpecError(Problem(error.code, error.message, place, error.hint)) from None
