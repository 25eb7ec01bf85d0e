"""What a parameter's declaration says of its value: its type, its bounds, its choices."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, cast

from archspec.errors import Problem, did_you_mean, listing, shown
from archspec.lang import yaml
from archspec.lang.expr import Value
from archspec.lang.expr.parse import MAX_INTEGER
from archspec.lang.inherit import Document
from archspec.lang.registry.arguments import is_kind, is_plain
from archspec.lang.schema import ONE_OR_LIST, PARAM_TYPES, Param, item_type

_NULLABLE = "a parameter that may be null is declared with default: null, or with nullable: true"
_UNBOUNDED = Param.model_validate({})
_TYPES = f"{', '.join(PARAM_TYPES)}, list[…], int | list[int]"
_LONGEST_TYPE = 100  # characters that are read as one
_TYPE = re.compile(r"((?:torch|numpy|np|typing|nn)\.)?([A-Za-z]\w*)(\[.*\])?", re.DOTALL)
_TYPE_WORDS = frozenset(
    """any array bfloat16 bool boolean dict float float16 float32 float64 int int8 int16 int32 int64
    integer list ndarray number str string tensor tuple uint8""".split()
)
# What is a plausible text where it stands alone: with a module, in brackets, between |.
_PARTS = _TYPE_WORDS | frozenset(
    """complex double half iterable literal long mapping none null object optional sequence set
    union""".split()
)


def inferred(param: Param, value: Value) -> str:
    """The type that a declaration implies: that of its default, else of its choices."""
    default = param.default
    if _is_computed(param):
        default = value  # its type is that of the result
    if isinstance(default, list | tuple):
        kinds = {_type_of(item) for item in cast("list[Any]", default)}
        if kinds == {"int", "float"}:
            kinds = {"float"}
        return f"list[{kinds.pop()}]" if len(kinds) == 1 else "list"
    return _type_of(default if default is not None else (param.choices or [None])[0])


def _is_computed(param: Param) -> bool:
    default = param.default
    return isinstance(default, str) and default.startswith("$") and not default.startswith("$$")


def _type_of(value: Any) -> str:
    return "any" if value is None or isinstance(value, list | tuple) else type(value).__name__


def fit(value: Value, param: Param, kind: str) -> tuple[Value, str]:
    """``value`` as the declaration wants it, or a complaint."""
    if value is None and (param.nullable or (not param.required and param.default is None)):
        return None, ""
    if kind == "dict":
        return None, "cannot be a mapping"
    if not is_plain(value):
        return value, f"takes {_article(kind)}, not {shown(value)}"
    if kind in ONE_OR_LIST and not isinstance(value, tuple):
        fitted, complaint = fit_one(value, param, item_type(kind))
        return fitted, complaint.replace(_article(item_type(kind)), _article(kind), 1)
    if kind == "list" or item_type(kind) != kind:
        if not isinstance(value, tuple):
            return value, f"takes {_article(kind)}, not {shown(value)}"
        inner = item_type(kind) if kind != "list" else ""
        items = [fit_one(item, param, inner) for item in cast("tuple[Any, ...]", value)]
        complaint = next((complaint for _, complaint in items if complaint), "")
        return tuple(item for item, _ in items), complaint
    return fit_one(value, param, kind)


def text_hint(value: object, names: Collection[str]) -> str:
    """What to write for a text that something refuses, as a hint; "" for other values.

    Args:
        names: of parameters, which may have been written where their values were meant.

    >>> text_hint("width", ["width"]), text_hint("None", []), text_hint("4", [])
    ('write $width for its value', 'write null', 'write 4, without quotes')
    """
    if not isinstance(value, str):
        return ""
    if value in names:
        return f"write ${value} for its value"
    if value == "None":
        return "write null"
    return f"write {value}, without quotes" if value.isdecimal() and value.isascii() else ""


def whole_number_hint(root: yaml.Mapping, path: yaml.Path, value: object) -> str:
    """What to write for a whole float that something refuses, as a hint; "" for other values.

    Args:
        root, path: where the value, or the expression that gives it, stands.
    """
    if not isinstance(value, float) or not value.is_integer():
        return ""
    node = yaml.find(root, path)
    text = node.text if isinstance(node, yaml.Scalar) else ""
    if not text.startswith("$"):
        return f"write {value:.0f}"
    return "/ divides to a float: write //" if "/" in text.replace("//", "") else ""


def fit_one(value: Any, param: Param, kind: str) -> tuple[Any, str]:
    plain = "str" if kind in ("block", "layer") else kind
    fits = kind not in PARAM_TYPES or is_kind(value, plain)
    if kind == "float" and fits and abs(value) <= MAX_INTEGER:
        value = float(value)
    if not fits:
        return value, f"takes {_article(kind)}, not {shown(value)}"
    if param.choices is not None and not any(_same(value, choice) for choice in param.choices):
        choices = listing([shown(choice) for choice in param.choices])
        return value, f"must be one of {choices}, not {shown(value)}"
    if isinstance(value, int | float) and not isinstance(value, bool):
        if isinstance(value, int) and abs(value) > MAX_INTEGER:
            return value, f"does not fit into 64 bits: {shown(value)}"
        if param.min is not None and not value >= param.min:  # NaN fits no bound
            return value, f"must be at least {param.min}, not {shown(value)}"
        if param.max is not None and not value <= param.max:
            return value, f"must be at most {param.max}, not {shown(value)}"
    elif param.type is None and _is_computed(param) and (param.min, param.max) != (None, None):
        return value, f"has a smallest or largest value: it must be a number, not {shown(value)}"
    return value, ""


def _same(value: Any, choice: Any) -> bool:
    """Equal, and neither true for 1 nor 1 for true."""
    if isinstance(choice, str) and choice.startswith("$$"):
        choice = choice[1:]
    return value == choice and isinstance(value, bool) is isinstance(choice, bool)


def _article(kind: str) -> str:
    if kind in ONE_OR_LIST:
        return f"{_article(item_type(kind))} or a list of such"
    names = {
        "int": "an integer", "float": "a number", "bool": "true or false", "str": "text",
        "any": "a value", "": "a value",
    }  # fmt: skip
    return names.get(kind) or f"a {kind}"


def check_declarations(
    declared: Mapping[str, Param], document: Document, at: yaml.Path
) -> list[Problem]:
    """Unknown types, and bounds and choices that contradict them."""
    problems: list[Problem] = []
    for name, param in declared.items():
        path = (*at, name)
        if isinstance(yaml.find(document.root, path), yaml.Scalar):
            found = [*_meant_as_type(param.default)]
        else:
            found = [*_contradictions(param)]
        problems += [
            document.problem("E209", message, (*path, *key), hint=hint)
            for key, message, hint in found
        ]
    return problems


def _meant_as_type(default: object) -> Iterator[tuple[yaml.Path, str, str]]:
    """A short form with a type of another language, which would be the default of a text."""
    if not isinstance(default, str) or not looks_like_type(default):
        return
    hint = f"types: {_TYPES}; to mean the text: {yaml.flow({'default': default})}"
    if any(word in default for word in ("?", "None", "Optional")):
        hint = _NULLABLE
    yield (), f"unknown type '{default}'", hint


def looks_like_type(text: str) -> bool:
    """Whether a text reads like a type in Python, PyTorch, JSON Schema or TypeScript.

    >>> [looks_like_type(text) for text in ("int | list[int]", "torch.float32", "gelu")]
    [True, True, False]
    """
    parts = text.removesuffix("?").split("|") if len(text) <= _LONGEST_TYPE else []
    found = [_TYPE.fullmatch(part.strip()) for part in parts]
    for one in found:
        if one is None:
            return False
        is_part = len(found) > 1 or bool(one[1] or one[3])
        known = one[2].lower() in (_PARTS if is_part else _TYPE_WORDS)
        if not known and one[2] not in (*PARAM_TYPES, "None"):
            return False
    return bool(found)


def _contradictions(param: Param) -> Iterator[tuple[yaml.Path, str, str]]:
    """Below which key, what is wrong, and a hint."""
    kind = param.type or inferred(param, None)
    if param.nullable and param.required:
        yield ("nullable",), "null means the default, and there is none", "add default: …"
    if param.min is not None and param.max is not None and param.min > param.max:
        yield ("min",), f"min {param.min} is more than max {param.max}", ""
    inner = item_type(kind)
    if inner not in PARAM_TYPES:
        if param.type is not None and kind != "list":
            hint = did_you_mean(inner, PARAM_TYPES) or f"types: {_TYPES}"
            if any(word in kind for word in ("?", "None", "Optional")):
                hint = _NULLABLE
            yield ("type",), f"unknown type '{kind}'", hint
        return
    for key, bound in (("min", param.min), ("max", param.max)):
        if bound is not None and inner not in ("int", "float"):
            yield (key,), f"'{key}' is for numbers, not for {inner}", ""
    for i, choice in enumerate(param.choices or ()):
        _, complaint = fit_one(choice, _UNBOUNDED, inner)
        if complaint and choice is not None:
            is_expression = isinstance(choice, str) and choice.startswith("$")
            hint = "choices are plain values: no expression is computed here" * is_expression
            yield ("choices", i), f"a choice {complaint}", hint
