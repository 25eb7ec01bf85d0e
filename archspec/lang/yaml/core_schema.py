"""What a plain scalar means: YAML 1.2's core schema (https://yaml.org/spec/1.2.2/#103-core-schema).

So ``1e-12`` is a number, and ``no``, ``on``, ``1:30``, ``1_000`` and ``2024-01-01`` are strings.
"""

from __future__ import annotations

import re

MAX_DIGITS = 40

_WORDS: dict[str, float | bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    **{
        sign + inf: float(sign + "inf")
        for sign in ("", "+", "-")
        for inf in (".inf", ".Inf", ".INF")
    },
}
_INT = re.compile(r"[-+]?[0-9]+ | 0o[0-7]+ | 0x[0-9a-fA-F]+", re.VERBOSE)
_FLOAT = re.compile(
    r"[-+]? (?: \.[0-9]+ | [0-9]+ (?: \.[0-9]* )? ) (?: [eE][-+]?[0-9]+ )?", re.VERBOSE
)
_BASES = {"0o": 8, "0x": 16}


def value_of(text: str) -> str | int | float | bool | None:
    """The value of a plain scalar.

    Raises:
        OverflowError: an integer of more than ``MAX_DIGITS`` digits.

    >>> [value_of(text) for text in ("0x10", "1e3", "~", "no")]
    [16, 1000.0, None, 'no']
    """
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    if _INT.fullmatch(text):
        base = _BASES.get(text[:2], 10)
        if len(text.lstrip("+-") if base == 10 else text[2:]) > MAX_DIGITS:
            raise OverflowError
        return int(text, base)
    return float(text) if _FLOAT.fullmatch(text) else text
