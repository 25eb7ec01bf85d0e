"""The content of a spec as plain data, without its layout: the form in which specs are compared.

Parents are merged in, short forms are written out, what equals its default is left out, and
overrides stand where the spec would set the value. Two specs with equal content build the same
model, however their YAML is arranged.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any, cast

from archspec.errors import Place
from archspec.lang import adapters
from archspec.lang.declarations import inferred
from archspec.lang.expr import ExpressionError, Value, parse
from archspec.lang.expr.printing import written
from archspec.lang.params import Override
from archspec.lang.schema import Architecture, Param, split_targets
from archspec.lang.spec import Spec
from archspec.lang.yaml import Path

_SHORTENED = frozenset({"default", "patterns", "shape", "to", "type"})
"""Keys that a short form omits."""

_ABOUT_FILES = frozenset({"extends", "remove", "rename", "use"})
"""Keys that say what a spec is joined from, which has been done."""

_ORDERED = frozenset(
    {"inputs", "outputs", "modules", "items", "parameters", "buffers", "rename", "then"}
)
"""Mappings whose order means something: arguments, registration, the first rename that applies."""


def content(spec: Spec) -> dict[str, Any]:
    """The content of ``spec`` as plain data; ``dump`` and ``loads`` make a spec of it again."""
    architecture = spec.plain.architecture
    applied = spec.adapter
    known = {applied.name: applied.declared} if applied else {}
    changes = {
        "adapters": {**architecture.adapters, **known},
        "adapter": applied.name if applied else None,
    }
    architecture = architecture.model_copy(update=changes)
    overrides = {name: spec.params[name].value for name in spec.overrides if name in spec.params}
    data = _dumped(architecture, overrides)
    for _, name, part, line in reversed(spec.idle):  # its own would have to apply to something
        layout = data["checkpoints"][name]
        del layout[part][line]
        if not layout[part]:
            del layout[part]
    return cast("dict[str, Any]", _plain(data))


def _dumped(architecture: Architecture, overrides: Mapping[str, Value]) -> dict[str, Any]:
    dumped = architecture.model_dump(by_alias=True, exclude_defaults=True)
    data = {key: value for key, value in dumped.items() if key not in _ABOUT_FILES}
    _write_params(data.get("params", {}), architecture.params, overrides)
    for name, block in architecture.blocks.items():
        _write_params(data["blocks"][name].get("params", {}), block.params, {})
    return data


def _write_params(
    declarations: dict[str, Any], params: Mapping[str, Param], overrides: Mapping[str, Value]
) -> None:
    """Write defaults, ``null`` too; leave out a type that the default implies."""
    for name, param in params.items():
        if name in overrides:
            param = param.model_copy(update={"default": _literal(overrides[name])})
        elif param.required:
            continue
        declarations[name]["default"] = param.default
        if param.type is not None and inferred(param, None) == param.type:
            declarations[name].pop("type", None)


def _literal(value: Value) -> Value:
    """A value as a spec writes it: a dollar at the beginning of a text is doubled."""
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
        case ("blocks", _, "params" | "let", *_):
            return False
        case (
            ("blocks", _, str(part))
            | ("blocks", _, _, *_, str(part))
            | ("checkpoints", _, str(part))
        ):
            return part in _ORDERED
        case ("init", int()) | ("blocks", _, "init", int()):
            return any("[" in key for key in keys)  # weight before weight[0]
        case _:
            return False


# ---------------------------------------------------------------------------------------- equality


def normal(value: Any, path: Path) -> Any:
    """A form of ``value`` that is equal for equivalent values: without white space in expressions.

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
    match path:
        case ("blocks", _, "forward", _, *_) | ("blocks", _, "methods", _, "forward", _, *_):
            return True
        case ("blocks", _, "parameters" | "buffers", _, "value", _, *_):
            return True
        case _:
            return False


def _target(key: str, path: Path) -> str:
    return ", ".join(split_targets(key)) if _is_step(path) else key


def _normal_text(text: str, path: Path) -> str:
    if _is_step(path):
        if path[-1] == "for":
            targets, _, iterable = text.partition(" in ")
            return f"{_target(targets, path)} in {_normal_expression(iterable)}"
        return _normal_expression(text)
    computes = path[:1] in (("params",), ("let",), ("blocks",), ("init",)) and path[-1] != "help"
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
    """Where ``spec`` declares ``path`` of its content; None for an override without a file."""
    if path[:1] == ("params",) and len(path) > 1 and (override := spec.overrides.get(str(path[1]))):
        return override.place
    if path[:1] in (("adapter",), ("adapters",)) and not spec.document.has(path):
        given = spec.overrides.get(adapters.CHOICE)
        return given.place if given else None
    if path[:2] == ("task", "labels") and (labels := _labels_override(spec)):
        return labels.place
    location: Path = ()
    for step in path:
        if spec.document.has((*location, step)):
            location = (*location, step)
        elif step not in _SHORTENED:
            break
    return spec.document.place(location)


def _labels_override(spec: Spec) -> Override | None:
    """The override that sets the labels together with their number."""
    return next((override for override in spec.overrides.values() if override.labels), None)


def origin(spec: Spec, path: Path) -> str:
    """The place as ``file:line``, or which override set the value."""
    if location := place(spec, path):
        return f"{location.file}:{location.line}"
    name = str(path[1]) if path[:1] == ("params",) else adapters.CHOICE
    return spec.overrides[name].origin
