"""Functions of plain numbers: what they compute, and how generated Python writes them.

Arguments, defaults and the like know these alone. A forward step has PyTorch's functions under the
same names; there, a call is one of these if all that it is given is plain numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

FINFO: dict[str, dict[str, float]] = {
    "float16": {
        "min": -65504.0, "max": 65504.0, "eps": 2.0**-10, "tiny": 2.0**-14,
    },
    "bfloat16": {
        "min": -3.3895313892515355e38, "max": 3.3895313892515355e38, "eps": 2.0**-7,
        "tiny": 2.0**-126,
    },
    "float32": {
        "min": -3.4028234663852886e38, "max": 3.4028234663852886e38, "eps": 2.0**-23,
        "tiny": 2.0**-126,
    },
    "float64": {
        "min": -1.7976931348623157e308, "max": 1.7976931348623157e308, "eps": 2.0**-52,
        "tiny": 2.0**-1022,
    },
}  # fmt: skip
"""``finfo(float16).min`` and so on; a test holds them against torch's."""
FINFO_ATTRIBUTES = ("min", "max", "eps", "tiny")


def _round(number: float, digits: int | None = None) -> float | int:
    if digits is not None and abs(digits) > 30:
        raise ValueError("round takes at most 30 digits")
    return round(number, digits)


def _sum(values: Any, start: int | float = 0) -> int | float:
    items = (start, *cast("tuple[Any, ...]", values)) if isinstance(values, tuple) else ("",)
    if not all(isinstance(item, int | float) for item in items):
        raise TypeError("sum takes a list of numbers")
    return sum(items)


def _number(kind: type[int] | type[float]) -> Callable[[Any], int | float]:
    def convert(value: Any) -> int | float:
        if not isinstance(value, int | float):
            raise TypeError(f"{kind.__name__} takes a number, not {value!r}")
        return kind(value)

    return convert


def divisible(value: int | float, divisor: int) -> int:
    """The multiple of ``divisor`` nearest to ``value``, if that is 90 % of it; else the next one.

    Channels of MobileNet, EfficientNet and their kin are rounded like this:
    https://github.com/tensorflow/models/blob/master/research/slim/nets/mobilenet/mobilenet.py

    >>> divisible(33.6, 8), divisible(3, 8), divisible(11, 8)
    (32, 8, 16)
    """
    if divisor < 1:
        raise ValueError("divisible takes a divisor of 1 or more")
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def pair(value: Any) -> tuple[Any, Any]:
    """Two numbers, of which a single one is both: sizes of images, patches and kernels.

    >>> pair(224), pair((224, 192))
    ((224, 224), (224, 192))
    """
    items = cast("tuple[Any, ...]", value if isinstance(value, tuple) else (value, value))
    if len(items) != 2 or not all(isinstance(item, int | float) for item in items):
        raise TypeError(f"pair takes a number or two numbers, not {value!r}")
    return items[0], items[1]


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs, "ceil": math.ceil, "divisible": divisible, "exp": math.exp,
    "float": _number(float), "floor": math.floor, "int": _number(int), "len": len,
    "log": math.log, "log2": math.log2, "max": max, "min": min, "pair": pair, "round": _round,
    "sqrt": math.sqrt, "sum": _sum,
}  # fmt: skip
_ARGUMENTS = {"divisible": (2, 2), "log": (1, 2), "max": (1, 99), "min": (1, 99), "round": (1, 2)}
_ARGUMENTS["sum"] = (1, 2)


def count_complaint(name: str, given: int) -> str:
    """What is wrong with that many arguments, or "".

    >>> count_complaint("sqrt", 2)
    'sqrt takes 1 argument, got 2'
    """
    least, most = _ARGUMENTS.get(name, (1, 1))
    takes = f"{least}" if least == most else f"{least} or {most}" if most < 99 else "1 or more"
    word = "argument" if takes == "1" else "arguments"
    return "" if least <= given <= most else f"{name} takes {takes} {word}, got {given}"


WRITTEN = {
    "divisible": "make_divisible",
    "pair": "make_pair",
    **{name: f"math.{name}" for name in ("ceil", "exp", "floor", "log", "log2", "sqrt")},
}
"""Function → what generated Python calls, where that is not a function of Python's own."""
