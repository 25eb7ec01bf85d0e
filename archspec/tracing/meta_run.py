"""Runs on ``meta`` under limits: nothing gets memory, equal operations are worked out once.

Whoever runs a model of a spec does so inside ``MetaRun``. It sees every operation below autograd,
also those that PyTorch's C++ makes in loops of its own (an RNN's steps), so that no function has
to be known by name to be counted.
"""

from __future__ import annotations

import builtins
import functools
import sys
import threading
import warnings
from collections.abc import Callable, Hashable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from archspec.tracing.limits import (
    MAX_ELEMENTS,
    max_operations,
    too_large,
    too_many_operations,
)

_META = torch.device("meta")
_aten = torch.ops.aten


class MetaRun(TorchDispatchMode):
    """While entered, ``model`` runs on ``meta``, and no further than the limits.

    Raises:
        RunLimitExceeded: from the operation, call or round that exceeds a limit.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.limit = max_operations()
        self.count = 0
        self._model = model
        self._known: dict[Hashable, Callable[[Any], Any]] = {}
        self._during = ExitStack()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No compiler is to be kept out, so that it need not be imported, which takes seconds."""
        return False

    def __enter__(self) -> MetaRun:
        # PyTorch's advice is for the run on data, which gives it again.
        self._during.enter_context(warnings.catch_warnings(action="ignore"))
        generated = type(self._model).__module__
        for module in self._model.modules():
            if type(module).__module__ == generated:
                hook = module.register_forward_pre_hook(lambda *_: self.add(1))
                self._during.callback(hook.remove)
        self._during.enter_context(_counted_rounds(generated, self.add))
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._during.close()

    def add(self, count: int) -> None:
        """Count operations, or what takes as long as one."""
        self.count += count
        if self.count > self.limit:
            raise too_many_operations(self.limit)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.add(_pieces(func, args))
        if func is _aten._nested_tensor_from_mask_left_aligned.default:
            return False  # whether padding stands at the ends only: it may stand anywhere
        if func is _aten._local_scalar_dense.default and _asks_whether_causal(sys._getframe(1)):
            return False
        kwargs = kwargs or {}
        if "device" in kwargs:
            kwargs = {**kwargs, "device": _META}
        way = _way(func)
        if way == "lift":  # of torch.tensor, which makes its tensor beside all modes
            return torch.empty_like(args[0], device=_META)
        if way == "like" and not kwargs and args[0].is_floating_point() and _is_plain(args[0]):
            return torch.empty_strided(
                args[0].shape, args[0].stride(), dtype=args[0].dtype, device=_META
            )
        if way in ("new", "in place"):
            return self._remembered(func, args, kwargs)
        return _sized(func(*args, **kwargs))

    def _remembered(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """The result of an operation that may have been worked out before."""
        try:
            key = (func, _described(args), _described(tuple(kwargs.items())))
            make = self._known.get(key)
        except TypeError:  # an argument that cannot be compared
            return _sized(func(*args, **kwargs))
        if make is not None:
            return make(args[0] if args else None)
        result = _sized(func(*args, **kwargs))
        if _way(func) == "in place":
            self._known[key] = lambda changed: changed
        elif (recipe := _recipe(result)) is not None:
            self._known[key] = lambda _: recipe()
        return result


# ------------------------------------------------------------------------------------- operations

_CAUSAL = torch.nn.modules.transformer._detect_is_causal_mask.__code__
_MODES = ("archspec.", "torch._ops")  # where operations go through
_SHAPE_KEEPING = frozenset(
    {
        _aten.relu.default,
        _aten.elu.default,
        _aten.gelu.default,
        _aten.hardsigmoid.default,
        _aten.hardswish.default,
        _aten.hardtanh.default,
        _aten.leaky_relu.default,
        _aten.mish.default,
        _aten.softplus.default,
    }
)
"""Their result is like their input; PyTorch's way to say so imports its compiler (2 s)."""


def _asks_whether_causal(frame: FrameType | None) -> bool:
    """Whether ``nn.Transformer`` asks if a mask is the causal one: it may be any mask."""
    while frame is not None and frame.f_globals["__name__"].startswith(_MODES):
        frame = frame.f_back
    return frame is not None and frame.f_code is _CAUSAL


@functools.cache
def _way(func: Any) -> str:
    """How an operation is dealt with: "lift", "like" its input, "new", "in place" or "other"."""
    schema = func._schema
    aliases = [result.alias_info for result in schema.returns]
    if func in _SHAPE_KEEPING:
        return "like"
    if func in (_aten.lift_fresh.default, _aten.lift.default):
        return "lift"
    if any(alias is not None and not alias.is_write for alias in aliases):
        return "other"  # a view
    if not all(str(result.type) == "Tensor" for result in schema.returns) or not aliases:
        return "other"
    if not schema.is_mutable:
        return "new"
    name = schema.name.removesuffix(func._overloadname).rstrip(".")
    resizes = torch.Tag.inplace_view in func.tags or name.startswith(("aten::resize", "aten::set"))
    return "in place" if name.endswith("_") and len(aliases) == 1 and not resizes else "other"


def _pieces(func: Any, args: Any) -> int:
    """How many tensors an operation makes."""
    if func is _aten.unbind.int:
        tensor, dim = args[0], args[1] if len(args) > 1 else 0
        return max(1, tensor.shape[dim]) if tensor.ndim else 1
    if func in (_aten.split.Tensor, _aten.unsafe_split.Tensor):
        tensor, size, dim = args[0], args[1], args[2] if len(args) > 2 else 0
        return max(1, tensor.shape[dim] // max(1, size)) if tensor.ndim else 1
    return 1


def _described(value: Any) -> Hashable:
    """What a value's part in an operation on ``meta`` depends on.

    Raises:
        TypeError: it cannot be said.
    """
    if isinstance(value, torch.Tensor):
        if not value.is_meta or value.is_complex():  # a complex tensor may be a lazy conjugate
            raise TypeError
        return (value.shape, value.stride(), value.dtype)
    if isinstance(value, list | tuple):
        return (type(value), *map(_described, value))
    return (type(value), value)


def _recipe(result: Any) -> Callable[[], Any] | None:
    """A function that makes a result like this one; None if that cannot be."""
    if isinstance(result, tuple):
        parts = [_recipe(part) for part in result]
        if any(part is None for part in parts):
            return None
        return lambda: tuple(part() for part in parts if part)
    if not isinstance(result, torch.Tensor) or not _is_plain(result):
        return None
    shape, stride, dtype = result.shape, result.stride(), result.dtype
    return lambda: torch.empty_strided(shape, stride, dtype=dtype, device=_META)


def _is_plain(tensor: torch.Tensor) -> bool:
    """Whether nothing but shape, strides and dtype tells the tensor from others."""
    if tensor.layout != torch.strided or tensor.is_complex() or tensor.is_sparse:
        return False
    whole = tensor.numel() * tensor.itemsize
    return tensor.is_meta and tensor.untyped_storage().nbytes() == whole


def _sized(result: Any) -> Any:
    """The result, if no tensor in it is too large."""
    for tensor in result if isinstance(result, list | tuple) else (result,):
        if isinstance(tensor, torch.Tensor) and tensor.numel() > MAX_ELEMENTS:
            raise too_large(tuple(tensor.shape))
    return result


# ----------------------------------------------------------------------------------- construction

_FILLS = frozenset(
    getattr(torch.Tensor, name)
    for name in "bernoulli_ exponential_ fill_ normal_ uniform_ zero_".split()
)


class WithoutInitialValues(TorchFunctionMode):
    """While entered, tensors on ``meta`` are given no values: they hold none.

    Much of the time that it takes to construct a large model goes into that.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _FILLS or getattr(func, "__module__", "") == "torch.nn.init":
            tensor = args[0] if args else (kwargs or {}).get("tensor")
            if isinstance(tensor, torch.Tensor) and tensor.is_meta:
                return tensor
        return func(*args, **(kwargs or {}))


# ----------------------------------------------------------------------------------------- rounds

_lock = threading.Lock()
_counting = threading.local()
_entered: dict[str, int] = {}


@contextmanager
def _counted_rounds(module: str, add: Callable[[int], None]) -> Iterator[None]:
    """While entered, this thread's ``range`` loops in a generated module are counted.

    No operation need happen in a loop over plain numbers. The generated source stays as it is:
    its module is lent another ``range``, which other threads find to be the usual one.
    """
    names = vars(sys.modules[module]) if module in sys.modules else {}
    outer = getattr(_counting, "add", None)
    with _lock:
        _entered[module] = _entered.get(module, 0) + 1
        names["range"] = _range
    _counting.add = add
    try:
        yield
    finally:
        _counting.add = outer
        with _lock:
            _entered[module] -= 1
            if not _entered[module]:
                del _entered[module], names["range"]


def _range(*args: Any) -> Any:
    made, add = builtins.range(*args), getattr(_counting, "add", None)
    return made if add is None else _rounds(made, add)


def _rounds(made: range, add: Callable[[int], None]) -> Iterator[int]:
    for i in made:
        add(1)
        yield i
