"""Parses events of the page: their values are untrusted until they have been read here.

Whoever sends an event chooses every value in it. Handlers read values with the functions below,
which report a value of the wrong kind to the visitor.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from archspec.errors import Problem, UsageError

MAX_DEPTH = 16
MAX_VALUES = 10_000
MAX_BITS = 64  # of a number
MAX_MODULE_PATH = 10_000  # characters


@dataclass(frozen=True, slots=True)
class Event:
    """One event, as far as it could be parsed.

    Attributes:
        data: what the page's script sends with it.
        values: of the handler's inputs; texts, or None.
        problem: what is wrong with it, or "".
    """

    data: Mapping[str, Any] = field(default_factory=dict[str, Any])
    values: tuple[str | None, ...] = ()
    problem: str = ""

    @classmethod
    def of(cls, data: object, values: Sequence[object]) -> Event:
        """Parse what a visitor sent; never fails."""
        problem = data if isinstance(data, str) else find_fault(data) or _not_texts(values)
        if problem or not isinstance(data, Mapping | None):
            return cls({}, (None,) * len(values), problem or "an event's data is an object")
        texts = tuple(encodable(text) if isinstance(text, str) else None for text in values)
        return cls(_encodable_values(data or {}), texts)

    @property
    def text(self) -> str | None:
        """The first input: for most handlers what the editor holds."""
        return self.values[0] if self.values else None

    def check(self) -> None:
        """Raises UsageError E801 if something is wrong with the event."""
        if self.problem:
            raise _invalid(self.problem)


def packed(data: object) -> dict[str, str]:
    """An event's data as one text, which Gradio passes on as it is."""
    return {"event": json.dumps(data)}


def unpacked(data: object) -> object:
    """The inverse of ``packed``; other data is returned as it is.

    >>> unpacked(packed({"count": 3}))
    {'count': 3}
    """
    if isinstance(data, Mapping) and isinstance(data.get("event"), str) and len(data) == 1:
        try:
            return json.loads(data["event"])
        except (ValueError, RecursionError):
            return data["event"]
    return data


def find_fault(value: object) -> str:
    """What is wrong with a value, such as its size, or "".

    >>> find_fault({"count": 2**70}), find_fault([1.5, None, "x"])
    ('a number has more than 64 bits', '')
    """
    level: list[object] = [value]
    count = 0
    for _ in range(MAX_DEPTH):
        level = [part for parent in level for part in _parts(parent)]
        count += len(level)
        if count > MAX_VALUES:
            return f"more than {MAX_VALUES:,} values"
        if problem := next(filter(None, map(_wrong_number, level)), ""):
            return problem
    return f"values nested in more than {MAX_DEPTH} others" if level else _wrong_number(value)


def _parts(value: object) -> list[object]:
    if isinstance(value, Mapping):
        return list(value.values())
    return list(value) if isinstance(value, list | tuple) else []


def _wrong_number(value: object) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "a number is not finite"
    if isinstance(value, int) and value.bit_length() >= MAX_BITS:
        return f"a number has more than {MAX_BITS} bits"
    return ""


def _not_texts(values: Sequence[object]) -> str:
    wrong = [n for n, value in enumerate(values, 1) if not isinstance(value, str | None)]
    return f"input {wrong[0]} is not a text" if wrong else ""


def _encodable_values(data: Mapping[Any, Any]) -> dict[str, Any]:
    return {
        encodable(str(key)): encodable(value) if isinstance(value, str) else value
        for key, value in data.items()
    }


def encodable(text: str) -> str:
    """The text without lone surrogates, which JSON can hold and UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode()


# ----------------------------------------------------------------------------------- single values


def text_of(data: Mapping[str, Any], key: str, max_length: int = 1000) -> str:
    """A text in an event's data; "" if there is none.

    Raises:
        UsageError: E801, it is not a text, or has more than ``max_length`` characters.
    """
    value = data.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _invalid(f"'{key}' is not a text")
    if len(value) > max_length:
        raise _invalid(f"'{key}' has more than {max_length:,} characters")
    return value


def flag_of(data: Mapping[str, Any], key: str) -> bool:
    """A boolean in an event's data; false if there is none.

    Raises:
        UsageError: E801, it is something else.
    """
    value = data.get(key)
    if value is not None and not isinstance(value, bool):
        raise _invalid(f"'{key}' is neither true nor false")
    return bool(value)


def number_of(data: Mapping[str, Any], key: str, default: int, minimum: int = 0) -> int:
    """An integer in an event's data.

    Raises:
        UsageError: E801, it is something else, or smaller than ``minimum``.
    """
    value = data.get(key)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
        raise _invalid(f"'{key}' is not an integer of at least {minimum}")
    return value


def texts_of(data: Mapping[str, Any], key: str) -> list[str]:
    """A list of texts in an event's data; empty if there is none.

    Raises:
        UsageError: E801, it is something else.
    """
    value = data.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise _invalid(f"'{key}' is not a list of texts")
    return value


def _invalid(what: str) -> UsageError:
    hint = "reload the page"
    return UsageError(Problem("E801", f"invalid event: {what}", hint=hint))


# ---------------------------------------------------------------------------------------- answers


def to_json(value: Any) -> Any:
    """A handler's answer as values that JSON can hold, and without files.

    Numbers of more than 64 bits become floats. What Gradio would take for a file of this machine,
    and serve, becomes a text: a visitor may have sent it, and the page has no files.

    >>> to_json({"x": {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}})["x"][:21]
    '{"path": "/etc/passwd'
    """
    if isinstance(value, Mapping) and "path" in value and isinstance(value.get("meta"), Mapping):
        return json.dumps(value, default=str)
    if isinstance(value, Mapping):
        return {key: to_json(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(part) for part in value]
    if isinstance(value, int) and value.bit_length() >= MAX_BITS:
        return _nearest(value)
    return encodable(value) if isinstance(value, str) else value


def _nearest(value: int) -> float | str:
    try:
        return float(value)
    except OverflowError:
        return "more than 1e308" if value > 0 else "less than -1e308"
