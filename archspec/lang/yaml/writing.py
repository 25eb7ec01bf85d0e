"""Plain data as the YAML that ``parse`` reads back: blocks outside, short things on one line."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

from archspec.lang.yaml.core_schema import value_of

_WIDTH = 100
_PLAIN = re.compile(r"[A-Za-z_$/][^\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff:#,\[\]{}\"'&!|>%`?]*")


def dump(value: Mapping[str, Any]) -> str:
    """YAML that reads back as ``value``: mappings, lists and scalars.

    >>> print(dump({"a": {"b": [1, None], "c": "no"}, "d": "1"}), end="")
    a: {b: [1, null], c: no}
    d: "1"
    """
    return "".join(f"{line}\n" for line in _block(value, 0)) or "{}\n"


def _block(value: Mapping[str, Any], depth: int) -> Iterator[str]:
    indent = "  " * depth
    for key, item in value.items():
        head = f"{indent}{_scalar(key)}:"
        short = flow(item)
        if len(head) + 1 + len(short) <= _WIDTH or not _is_long(item):
            yield f"{head} {short}"
        elif isinstance(item, dict):
            yield head
            yield from _block(cast("dict[str, Any]", item), depth + 1)
        else:
            yield head
            yield from (f"{indent}  - {flow(part)}" for part in item)


def _is_long(value: Any) -> bool:
    return isinstance(value, dict | list) and bool(cast("list[Any]", value))


def flow(value: Any) -> str:
    """As ``dump``, for any value, on one line.

    >>> flow([1, {"a": "$b"}])
    '[1, {a: $b}]'
    """
    match value:
        case dict():
            items = cast("dict[str, Any]", value).items()
            return f"{{{', '.join(f'{_scalar(key)}: {flow(item)}' for key, item in items)}}}"
        case list():
            return f"[{', '.join(map(flow, cast('list[Any]', value)))}]"
        case _:
            return _scalar(value)


def _scalar(value: str | int | float | bool | None) -> str:
    match value:
        case str():
            return value if _reads_back(value) else _quoted(value)
        case float() if not math.isfinite(value):
            return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
        case _:
            return json.dumps(value)


def _reads_back(text: str) -> bool:
    plain = _PLAIN.fullmatch(text) is not None and text == text.strip() and text.isprintable()
    return plain and value_of(text) == text


def _quoted(text: str) -> str:
    """In double quotes; what does not print is escaped, as in JSON."""
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(c if c.isprintable() else _escaped(c) for c in quoted)


def _escaped(character: str) -> str:
    number = ord(character)
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
