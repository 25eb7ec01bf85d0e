"""What a spec says, as plain data without its layout: the form in which specs are compared.

Parents are merged in, short forms are written out, what equals its default is left out, and
overrides stand where the spec would set the value. Two specs with equal content build the same
model, however their YAML is arranged.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any, cast

from archspec.errors import Place
from archspec.lang.declarations import inferred
from archspec.lang.expr import ExpressionError, Value, parse
from archspec.lang.expr.printing import written
from archspec.lang.params import Override
from archspec.lang.schema import Architecture, Param, split_targets
from archspec.lang.spec import Spec
from archspec.lang.yaml import Path

_SHORTENED = frozenset({"default", "patterns", "shape", "type"})
"""Keys that the short form of a value leaves out."""

_ORDERED = frozenset({"inputs", "outputs", "modules", "parameters", "buffers", "rename"})
"""Mappings whose order means something: arguments, registration, the first rename that applies."""


def content(spec: Spec) -> dict[str, Any]:
    """What ``spec`` says, as plain data; ``dump`` and ``loads`` make a spec of it again."""
    architecture = spec.architecture
    given = {name: spec.params[name].value for name in spec.overrides if name in spec.params}
    return cast("dict[str, Any]", _plain(_dumped(architecture, given)))


def _dumped(architecture: Architecture, given: Mapping[str, Value]) -> dict[str, Any]:
    dumped = architecture.model_dump(by_alias=True, exclude_defaults=True)
    said = {key: value for key, value in dumped.items() if key not in ("extends", "remove")}
    _write_params(said.get("params", {}), architecture.params, given)
    for name, block in architecture.blocks.items():
        _write_params(said["blocks"][name].get("params", {}), block.params, {})
    return said


def _write_params(
    said: dict[str, Any], params: Mapping[str, Param], given: Mapping[str, Value]
) -> None:
    """A default of ``null`` is one; a type that the default implies says nothing."""
    for name, param in params.items():
        if name in given:
            param = param.model_copy(update={"default": _literal(given[name])})
        elif param.required:
            continue
        said[name]["default"] = param.default
        if param.type is not None and inferred(param, None) == param.type:
            said[name].pop("type", None)


def _literal(value: Value) -> Value:
    """A value as a spec writes it: a text that begins with a dollar is no expression."""
    if isinstance(value, tuple):
        return [_literal(item) for item in cast("tuple[Value, ...]", value)]
    return f"${value}" if isinstance(value, str) and value.startswith("$") else value


def _plain(value: Any) -> Any:
    match value:
        case Mapping():
            items = cast("Mapping[str, Any]", value).items()
            return {key: _plain(item) for key, item in items}
        case list() | tuple():
            return [_plain(item) for item in cast("list[Any]", value)]
        case _:
            return value


def is_ordered(path: Path, keys: Collection[str]) -> bool:
    """Whether the order of the mapping at ``path`` means something."""
    match path:
        case ("blocks", _, "params", *_):
            return False
        case (
            ("blocks", _, str(part))
            | ("blocks", _, _, *_, str(part))
            | ("checkpoints", _, str(part))
        ):
            return part in _ORDERED
        case ("init", int()):
            return any("[" in key for key in keys)  # weight before weight[0]
        case _:
            return False


# ---------------------------------------------------------------------------------------- equality


def normal(value: Any, path: Path) -> Any:
    """``value`` such that equal ones mean the same: white space in expressions is gone.

    Numbers keep their type: ``1``, ``1.0`` and ``true`` differ.
    """
    match value:
        case Mapping():
            items = cast("Mapping[str, Any]", value).items()
            named = [(_target(key, path), normal(item, (*path, key))) for key, item in items]
            ordered = is_ordered(path, [key for key, _ in items])
            return tuple(named if ordered else sorted(named))
        case list():
            listed = enumerate(cast("list[Any]", value))
            return tuple(normal(item, (*path, i)) for i, item in listed)
        case str():
            return _normal_text(value, path)
        case _:
            return type(value).__name__, repr(value)


def _is_step(path: Path) -> bool:
    return len(path) > 3 and path[0] == "blocks" and path[2] == "forward"


def _target(key: str, path: Path) -> str:
    return ", ".join(split_targets(key)) if _is_step(path) else key


def _normal_text(text: str, path: Path) -> str:
    if _is_step(path):
        if path[-1] == "for":
            targets, _, iterable = text.partition(" in ")
            return f"{_target(targets, path)} in {_normal_expression(iterable)}"
        return _normal_expression(text)
    computes = path[:1] in (("params",), ("blocks",), ("init",)) and path[-1] != "help"
    if computes and text.startswith("$") and not text.startswith("$$"):
        return f"${_normal_expression(text[1:])}"
    return text


@lru_cache(maxsize=4096)
def _normal_expression(text: str) -> str:
    try:
        return written(parse(text))
    except ExpressionError:
        return text  # a layer's name that begins with a dollar


# ------------------------------------------------------------------------------------------ places


def place(spec: Spec, path: Path) -> Place | None:
    """Where ``spec`` says what ``content`` has at ``path``; None for an override without a file."""
    if path[:1] == ("params",) and len(path) > 1 and (given := spec.overrides.get(str(path[1]))):
        return given.place
    if path[:2] == ("task", "labels") and (named := _named(spec)):
        return named.place
    found: Path = ()
    for step in path:
        if spec.document.has((*found, step)):
            found = (*found, step)
        elif step not in _SHORTENED:
            break
    return spec.document.place(found)


def _named(spec: Spec) -> Override | None:
    """What gave the names of the classes together with their number."""
    return next((given for given in spec.overrides.values() if given.labels), None)


def origin(spec: Spec, path: Path) -> str:
    """The place as ``file:line``, or which override set the value."""
    if found := place(spec, path):
        return f"{found.file}:{found.line}"
    return spec.overrides[str(path[1])].origin
