"""Keeps runs on ``meta`` from importing PyTorch's compiler, which takes about two seconds.

Most operations on ``meta`` are Python functions of PyTorch (``torch._refs``). They are decorated
so that the compiler does not trace them, and on the first call the decorator imports the compiler
to tell it so. A run on ``meta`` compiles nothing.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import threading
from collections.abc import Iterator
from types import FunctionType
from typing import Any

import torch

_MARK = "__dynamo_disable"  # where the decorator keeps the function that it calls
_lock = threading.Lock()
_running = 0
_marked: list[FunctionType] = []


@contextlib.contextmanager
def without_compiler_import() -> Iterator[None]:
    """While entered, decorated functions are called as they are, unless the compiler is there."""
    global _running
    with _lock:
        _running += 1
        if "torch._dynamo" not in sys.modules:
            for function in _decorated():
                if not hasattr(function, _MARK):
                    setattr(function, _MARK, function)
                    _marked.append(function)
    try:
        yield
    finally:
        with _lock:
            _running -= 1
            if not _running:
                while _marked:
                    function = _marked.pop()
                    if getattr(function, _MARK, None) is function:
                        delattr(function, _MARK)


@functools.cache
def _decorated() -> tuple[FunctionType, ...]:
    """The functions below the decorator; none if this version of PyTorch has another one."""
    from torch import _decomp

    decorate = getattr(torch, "_disable_dynamo", None)
    if decorate is None:
        return ()
    code = decorate(_decorated).__code__
    if "fn" not in code.co_freevars:
        return ()
    seen: set[FunctionType] = set()
    waiting: list[Any] = [*_decomp.global_decomposition_table["meta"].values()]
    for name, module in list(sys.modules.items()):
        if name.startswith("torch._refs"):
            waiting += vars(module).values()
    while waiting:
        function = waiting.pop()
        if isinstance(function, FunctionType) and function not in seen:
            seen.add(function)
            waiting += _enclosed(function).values()
    functions = (_enclosed(f)["fn"] for f in seen if f.__code__ is code)
    return tuple(f for f in functions if isinstance(f, FunctionType))


def _enclosed(function: FunctionType) -> dict[str, Any]:
    """What a function has from the functions around it, by name."""
    values: dict[str, Any] = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):  # not assigned yet
            values[name] = cell.cell_contents
    return values
