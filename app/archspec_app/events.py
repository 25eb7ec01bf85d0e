"""What an event of the page carries: nothing is known of it until it has been read here.

Whoever sends an event decides every value in it. A value is either what a handler asks for, or the
visitor is told which one is not; no other code looks at the values of an event.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from archspec.errors import Problem, UsageError

DEEPEST = 16
MOST_VALUES = 10_000
MOST_DIGITS = 64  # bits of a number


@dataclass(frozen=True, slots=True)
class Event:
    """One event, as far as it can be read.

    Attributes:
        data: what the page's script says of it.
        values: of the handler's inputs; texts, or None.
        problem: what in it cannot be read; "" if everything can.
    """

    data: Mapping[str, Any] = field(default_factory=dict[str, Any])
    values: tuple[str | None, ...] = ()
    problem: str = ""

    @classmethod
    def of(cls, data: object, values: Sequence[object]) -> Event:
        """Read what came from outside; never fails."""
        problem = data if isinstance(data, str) else unreadable(data) or _not_texts(values)
        if problem or not isinstance(data, Mapping | None):
            return cls({}, (None,) * len(values), problem or "an event's data is an object")
        texts = tuple(sendable(one) if isinstance(one, str) else None for one in values)
        return cls(_sendable_values(data or {}), texts)

    @property
    def text(self) -> str | None:
        """The first input: for most handlers what the editor holds."""
        return self.values[0] if self.values else None

    def check(self) -> None:
        """Raises UsageError E801 if something in the event cannot be read."""
        if self.problem:
            raise _refused(self.problem)


def packed(data: object) -> dict[str, str]:
    """An event's data as one text, which Gradio passes on without looking into it."""
    return {"event": json.dumps(data)}


def unpacked(data: object) -> object:
    """What ``packed`` was given; data that was not packed stays as it is.

    >>> unpacked(packed({"count": 3}))
    {'count': 3}
    """
    if isinstance(data, Mapping) and isinstance(data.get("event"), str) and len(data) == 1:
        try:
            return json.loads(data["event"])
        except (ValueError, RecursionError):
            return data["event"]
    return data


def unreadable(value: object) -> str:
    """Why a value cannot be read; "" if it can.

    >>> unreadable({"count": 2**70}), unreadable([1.5, None, "x"])
    ('a number has more than 64 bits', '')
    """
    level: list[object] = [value]
    count = 0
    for _ in range(DEEPEST):
        level = [part for one in level for part in _parts(one)]
        count += len(level)
        if count > MOST_VALUES:
            return f"more than {MOST_VALUES:,} values"
        if problem := next(filter(None, map(_wrong_number, level)), ""):
            return problem
    return f"values nested in more than {DEEPEST} others" if level else _wrong_number(value)


def _parts(value: object) -> list[object]:
    if isinstance(value, Mapping):
        return list(value.values())
    return list(value) if isinstance(value, list | tuple) else []


def _wrong_number(value: object) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "a number is not finite"
    if isinstance(value, int) and value.bit_length() >= MOST_DIGITS:
        return f"a number has more than {MOST_DIGITS} bits"
    return ""


def _not_texts(values: Sequence[object]) -> str:
    wrong = [n for n, one in enumerate(values, 1) if not isinstance(one, str | None)]
    return f"input {wrong[0]} is not a text" if wrong else ""


def _sendable_values(data: Mapping[Any, Any]) -> dict[str, Any]:
    return {
        sendable(str(key)): sendable(value) if isinstance(value, str) else value
        for key, value in data.items()
    }


def sendable(text: str) -> str:
    """Without halves of characters, which JSON can say and no answer may hold."""
    return text.encode("utf-8", "replace").decode()


# ------------------------------------------------------------------------------------ one value


def text_of(data: Mapping[str, Any], key: str, most: int = 1000) -> str:
    """A text among an event's data; "" if there is none.

    Raises:
        UsageError: E801, it is no text, or has more than ``most`` characters.
    """
    value = data.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _refused(f"'{key}' is not a text")
    if len(value) > most:
        raise _refused(f"'{key}' has more than {most:,} characters")
    return value


def flag_of(data: Mapping[str, Any], key: str) -> bool:
    """True or false among an event's data; false if there is none.

    Raises:
        UsageError: E801, it is something else.
    """
    value = data.get(key)
    if value is not None and not isinstance(value, bool):
        raise _refused(f"'{key}' is neither true nor false")
    return bool(value)


def number_of(data: Mapping[str, Any], key: str, default: int, least: int = 0) -> int:
    """A whole number among an event's data.

    Raises:
        UsageError: E801, it is something else, or smaller than ``least``.
    """
    value = data.get(key)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise _refused(f"'{key}' is not a whole number from {least} on")
    return value


def texts_of(data: Mapping[str, Any], key: str) -> list[str]:
    """A list of texts among an event's data; empty if there is none.

    Raises:
        UsageError: E801, it is something else.
    """
    value = data.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise _refused(f"'{key}' is not a list of texts")
    return value


def _refused(what: str) -> UsageError:
    hint = "load the page anew if you did not send this by hand"
    return UsageError(Problem("E801", f"an event that cannot be read: {what}", hint=hint))


# ---------------------------------------------------------------------------------- and back


def answer(value: Any) -> Any:
    """A handler's answer without what JSON cannot hold, and without files.

    Numbers past 64 bits become floats. What Gradio would take for a file of this machine, and give
    out, becomes a text: a visitor may have sent it, and the page has no files.

    >>> answer({"x": {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}})["x"][:21]
    '{"path": "/etc/passwd'
    """
    if isinstance(value, Mapping) and "path" in value and isinstance(value.get("meta"), Mapping):
        return json.dumps(value, default=str)
    if isinstance(value, Mapping):
        return {key: answer(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [answer(one) for one in value]
    if isinstance(value, int) and value.bit_length() >= MOST_DIGITS:
        return _nearest(value)
    return sendable(value) if isinstance(value, str) else value


def _nearest(value: int) -> float | str:
    try:
        return float(value)
    except OverflowError:
        return "more than 1e308" if value > 0 else "less than -1e308"
