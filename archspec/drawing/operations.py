"""Operations as people read them: ``transpose(1, 2)``, ``+``, ``[:, 0]``."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F

from archspec.report.text import shortened

_SYMBOLS = {
    "add": "+", "sub": "−", "mul": "×", "div": "÷", "truediv": "÷", "floordiv": "//",
    "floor_divide": "//", "mod": "%", "remainder": "%", "matmul": "@", "pow": "**", "eq": "=",
    "ne": "≠", "lt": "<", "le": "≤", "gt": ">", "ge": "≥", "and": "&", "or": "|", "xor": "^",
    "add_": "+=", "sub_": "−=", "mul_": "×=", "div_": "÷=",
    "iadd": "+=", "isub": "−=", "imul": "×=", "itruediv": "÷=",
}  # fmt: skip
_SILENT = frozenset({"device", "layout", "pin_memory", "requires_grad"})
_MAX_ARGUMENT = 40  # characters of an argument


def operation(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[str, str]:
    """The name of a function that PyTorch was asked for, and how a picture shows the call.

    Keywords of PyTorch's own, and those that say what holds anyway, are left out.

    >>> operation(torch.transpose, (torch.zeros(2, 3), 0, 1), {})
    ('transpose', 'transpose(0, 1)')
    >>> operation(torch.Tensor.__rsub__, (torch.zeros(2), 1), {})
    ('sub', '1 −')
    >>> operation(torch.relu_, (torch.zeros(2),), {})
    ('relu_', 'relu_')
    """
    name = _name(func)
    if name == "getitem" and len(args) == 2:
        return "getitem", f"[{_index(args[1])}]"
    reverse = name[0] == "r" and name[1:] in _SYMBOLS and name not in _SYMBOLS
    name = name[1:] if reverse else name
    positional = [_text(value) for value in args if not _holds_tensors(value)]
    while positional and positional[-1] == "None":
        positional.pop()
    if name in _SYMBOLS and len(positional) <= 1 and not kwargs:
        pair = [*positional, _SYMBOLS[name]] if reverse else [_SYMBOLS[name], *positional]
        return name, " ".join(pair)
    defaults = _defaults(func)
    named = [
        f"{key}={_text(value)}"
        for key, value in kwargs.items()
        if not (value is None or key in _SILENT or key.startswith("_") or _holds_tensors(value))
        and not (key in defaults and defaults[key] == value)
    ]
    arguments = ", ".join([*positional, *named])
    return name, f"{name}({arguments})" if arguments else name


def _name(func: Any) -> str:
    """Without the underscores of Python's and PyTorch's own; what works in place keeps its one."""
    name = str(getattr(func, "__name__", None) or "operation")
    in_place = name.endswith("_") and not name.endswith("__")
    return name.strip("_") + "_" * in_place


@functools.cache
def _defaults(func: Any) -> Mapping[str, Any]:
    """What the arguments of a function are if left out, as far as it can be known."""
    name = str(getattr(func, "__name__", ""))
    defaults: dict[str, Any] = {}
    overload = getattr(getattr(torch.ops.aten, name, None), "default", None)
    if overload is not None:
        arguments = (
            argument for argument in overload._schema.arguments if argument.has_default_value()
        )
        defaults |= {argument.name: argument.default_value for argument in arguments}
    for function in (getattr(F, f"_{name}", None), func):  # F.max_pool2d is one of two such
        if inspect.isfunction(function):
            parameters = inspect.signature(function).parameters.values()
            defaults |= {p.name: p.default for p in parameters if p.default is not p.empty}
    return defaults


def _holds_tensors(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(map(_holds_tensors, value))
    return isinstance(value, torch.Tensor)


def _index(value: Any) -> str:
    return ", ".join(map(_text, value)) if isinstance(value, tuple) else _text(value)


def _text(value: Any) -> str:
    match value:
        case torch.Tensor():
            text = "tensor"
        case slice():
            text = ":".join("" if end is None else _text(end) for end in (value.start, value.stop))
            text += f":{_text(value.step)}" if value.step is not None else ""
        case _ if value is Ellipsis:
            text = "..."
        case list() | tuple():
            text = f"[{', '.join(map(_text, value))}]"
        case torch.dtype():
            text = str(value).removeprefix("torch.")
        case bool() | int() | float() | str() | None:
            text = repr(value)
        case _:
            text = type(value).__name__
    return shortened(text, _MAX_ARGUMENT)
