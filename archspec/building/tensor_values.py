"""Values that blocks compute for their raw tensors: on ``meta`` their shapes, within limits."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import nn

from archspec.errors import Problem, ShapeError
from archspec.lang.expr import evaluate
from archspec.lang.instances import walk
from archspec.lang.spec import Spec
from archspec.report.text import first_line
from archspec.tracing.limits import NEW_OPERATION, RunLimitExceeded, too_many_operations
from archspec.tracing.meta_run import MetaRun

MAX_ELEMENTS = 10**9  # of all tensors that one value computes on its way

_building = threading.local()


class ValueFailed(Exception):
    """A value that cannot be computed; the exception that says why is its cause.

    Attributes:
        code: E505 beyond the limits, else E501.
    """

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.hint = code, message, hint


class MetaValues:
    """While entered, values are computed within limits, and those of equal blocks once.

    One limit of operations holds for the values of all blocks together.
    """

    def __init__(self) -> None:
        self._known: dict[Hashable, tuple[torch.Size, torch.dtype]] = {}
        self._operations = 0

    def __enter__(self) -> None:
        _building.values = self

    def __exit__(self, *error: object) -> None:
        _building.values = None

    def value(self, compute: Callable[[Any], Any], block: nn.Module) -> torch.Tensor:
        """What ``compute`` gives for a block, whose plain attributes decide it."""
        plain = {n: v for n, v in vars(block).items() if not n.startswith("_")}
        key = (compute.__qualname__, repr(plain))
        if key not in self._known:
            run = _ValueRun(block, self._operations)
            made = _computed(compute, block, run)
            self._operations = run.count
            self._known[key] = made.shape, made.dtype
        shape, dtype = self._known[key]
        return torch.empty(shape, dtype=dtype, device="meta")


def within_limits(compute: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A generated ``compute_…`` method, which ``MetaValues`` can watch."""

    @functools.wraps(compute)
    def compute_within_limits(self: Any) -> Any:
        values: MetaValues | None = getattr(_building, "values", None)
        return compute(self) if values is None else values.value(compute, self)

    return compute_within_limits


def _computed(compute: Callable[[Any], Any], block: nn.Module, run: _ValueRun) -> torch.Tensor:
    name = compute.__name__.partition("_")[2]
    try:
        with run:
            made = compute(block)
    except RunLimitExceeded as error:
        raise ValueFailed("E505", f"the value of '{name}': {error.message}", error.hint) from error
    except Exception as error:
        on_meta = "meta" in str(error)
        hint = "parameters alone decide its steps and its shape, never the values of tensors"
        message = f"the value of '{name}' cannot be computed: {first_line(error)}"
        raise ValueFailed("E501", message, hint if on_meta else "") from error
    if not isinstance(made, torch.Tensor):
        message = f"the value of '{name}' is {type(made).__name__}, not a tensor"
        raise ValueFailed("E501", message, "make one of it: tensor(…)")
    if any(size > 1 and not stride for size, stride in zip(made.shape, made.stride(), strict=True)):
        message = f"elements of the value of '{name}' share their memory"
        raise ValueFailed("E501", message, "give each its own: contiguous(…)")
    return made


class _ValueRun(MetaRun):
    """The run of one value, which also counts elements: on a device they take memory."""

    def __init__(self, block: nn.Module, count: int) -> None:
        """``count`` is that of the values before this one; to begin a run takes time, too."""
        super().__init__(block)
        self.count, self.elements = count + NEW_OPERATION, 0

    def add(self, count: int) -> None:
        if self.count + count > self.limit:
            raise too_many_operations(self.limit, "the values of all blocks together take")
        super().add(count)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = super().__torch_dispatch__(func, types, args, kwargs)
        for tensor in result if isinstance(result, list | tuple) else (result,):
            self.elements += tensor.numel() if isinstance(tensor, torch.Tensor) else 0
        if self.elements > MAX_ELEMENTS:
            raise RunLimitExceeded("it computes more than 10^9 elements")
        return result


def check_value_shapes(spec: Spec, model: nn.Module) -> None:
    """Hold the values of raw tensors against the shapes that are declared for them.

    Args:
        model: on ``meta``, as it was constructed.

    Raises:
        ShapeError: E510, for each declaration that does not agree.
    """
    problems: dict[object, Problem] = {}
    for path, instance in walk(spec.root):
        block = spec.tree.blocks.get(instance.type)
        for tensor in block.computed if block else ():
            is_told = tensor.path in problems
            if tensor.shape is None or is_told or tensor.name in instance.left_out:
                continue
            values = {**spec.values, **instance.values}
            declared = [int(evaluate(size, values)) for size in tensor.shape]
            found = list(getattr(model.get_submodule(path), tensor.name).shape)
            if found != declared:
                message = f"the value of '{tensor.name}' has the shape {found}, declared {declared}"
                hint = "the shape may be left out: it is that of the value"
                at = (*tensor.path, "shape")
                problems[tensor.path] = spec.document.problem("E510", message, at, hint=hint)
    if problems:
        raise ShapeError(problems.values())
