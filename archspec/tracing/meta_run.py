"""Runs models on ``meta`` within limits: without memory, and equal operations only once.

Every run of a spec's model is inside ``MetaRun``. It sees all operations below autograd, also those
that PyTorch's C++ calls in its own loops (the steps of an RNN), so that functions are counted
without knowing their names.
"""

from __future__ import annotations

import builtins
import functools
import sys
import threading
import warnings
from collections.abc import Callable, Hashable, Iterator
from contextlib import ExitStack, contextmanager
from types import CodeType, FrameType
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from archspec.tracing.compiler_import import without_compiler_import
from archspec.tracing.forward_record import storage_key, tensors_in
from archspec.tracing.known_operations import Factory, KnownOperations
from archspec.tracing.limits import (
    MAX_ELEMENTS,
    NEW_OPERATION,
    max_operations,
    too_large,
    too_many_operations,
)
from archspec.tracing.recurrent_layers import OneStep

_META = torch.device("meta")
_aten = torch.ops.aten
_known = KnownOperations()


class MetaRun(TorchDispatchMode):
    """While entered, ``model`` runs on ``meta`` within the limits.

    Raises:
        RunLimitExceeded: from the operation, call or iteration that exceeds a limit.
    """

    def __init__(self, model: nn.Module, *, is_measured: bool = False) -> None:
        """``is_measured``: whether the operations of the steps of recurrent layers are wanted."""
        super().__init__()
        self._is_measured = is_measured
        self.limit = max_operations()
        self.count = 0
        self.watched: list[Hashable] | None = None  # operations, while a loop looks at its rounds
        self.taken_apart: set[int] = set()  # sizes of first dimensions that were iterated over
        self._model = model
        self._met: dict[Hashable, Factory] = {}  # operations of this run
        self._exit_stack = ExitStack()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Whether to disable the compiler; if not, it need not be imported, which takes seconds."""
        return False

    def __enter__(self) -> MetaRun:
        # PyTorch's warnings will come again in a run on data.
        self._exit_stack.enter_context(warnings.catch_warnings(action="ignore"))
        self._exit_stack.enter_context(without_compiler_import())
        if not self._is_measured:
            self._exit_stack.enter_context(OneStep())
        generated = type(self._model).__module__
        for module in self._model.modules():
            if type(module).__module__ == generated:
                hook = module.register_forward_pre_hook(lambda *_: self.add(1))
                self._exit_stack.callback(hook.remove)
        self._exit_stack.enter_context(_counted_iterations(generated, self))
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._exit_stack.close()

    def add(self, count: int) -> None:
        """Count operations, or something that takes as long as one."""
        self.count += count
        if self.count > self.limit:
            raise too_many_operations(self.limit)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.add(_result_count(func, args))
        if func is _aten.unbind.int and args[0].ndim and args[1:] in ((), (0,)):
            self.taken_apart.add(args[0].shape[0])
        result = self._dispatched(func, args, kwargs or {})
        if self.watched is not None:
            self.watched.append((func, *(tuple(tensor.shape) for tensor in _tensors(result))))
        return result

    def _dispatched(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        if func is _aten._nested_tensor_from_mask_left_aligned.default:
            return False  # whether padding is only at the ends: it may be anywhere
        if func is _aten._local_scalar_dense.default:
            value = _VALUES_ASKED_FOR.get(_caller(sys._getframe(1)))
            if value is not None:
                return value
        if "device" in kwargs:
            kwargs = {**kwargs, "device": _META}
        kind = _kind_of(func)
        if kind == "lift":  # of torch.tensor, which creates its tensor outside of all modes
            return torch.empty_like(args[0], device=_META)
        if kind in ("new", "in place"):
            return self._from_cache(func, args, kwargs)
        if func in _BATCH_NORMS and not kwargs and _is_plain_norm(*args):
            return _checked(_normalized(args[0]))
        return _checked(func(*args, **kwargs))

    def _from_cache(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """The result of an operation that may have been computed before, in this or another run."""
        try:
            default = torch.get_default_dtype()  # of arange, and of quotients of integers
            key = (func, default, _cache_key(args), _cache_key(tuple(kwargs.items())))
            factory = self._met.get(key)
        except TypeError:  # an argument that is not hashable
            self.add(NEW_OPERATION - 1)
            return _computed(func, args, kwargs)
        if factory is None:
            self.add(NEW_OPERATION - 1)  # known from another run or not: limits stay where they are
            is_lasting = func.namespace == "aten"  # another may be registered anew
            factory = _known.get(key) if is_lasting else None
            if factory is None:
                result = _computed(func, args, kwargs)
                factory = _factory(func, args, result)
                if factory is not None:
                    self._met[key] = factory
                    if is_lasting:
                        _known.add(key, factory)
                return result
            self._met[key] = factory
        return factory(args, kwargs)


# ------------------------------------------------------------------------------------- operations

_VALUES_ASKED_FOR: dict[CodeType | None, bool | int] = {
    torch.nn.modules.transformer._detect_is_causal_mask.__code__: False,  # it may be any mask
    # Without a momentum, a norm divides by the number of batches that it has seen.
    torch.nn.modules.batchnorm._BatchNorm.forward.__code__: 1,
    torch.nn.SyncBatchNorm.forward.__code__: 1,
}
"""What PyTorch's own layers get where they ask for a tensor's value, which ``meta`` has not."""


def _computed(func: Any, args: Any, kwargs: Any) -> Any:
    if func is _aten.addmm.default and not kwargs and _is_plain_linear(*args):
        bias, rows, weight = args
        shape = rows.shape[0], weight.shape[1]
        return _checked(torch.empty(shape, dtype=bias.dtype, device=_META))
    if func is _aten.native_layer_norm.default and not kwargs and _is_plain_layer_norm(*args):
        data, sizes = args[:2]
        row = (*data.shape[: data.ndim - len(sizes)], *(1 for _ in sizes))
        means, deviations = (data.new_empty(row) for _ in range(2))
        return _checked((torch.empty_like(data), means, deviations))
    return _checked(func(*args, **kwargs))


_MODES = ("archspec.", "torch._ops")  # modules that operations pass through


def _caller(frame: FrameType | None) -> CodeType | None:
    """The code that asked for an operation."""
    while frame is not None and frame.f_globals["__name__"].startswith(_MODES):
        frame = frame.f_back
    return None if frame is None else frame.f_code


@functools.cache
def _kind_of(func: Any) -> str:
    """The kind of an operation: "lift", "new", "in place" or "other"."""
    schema = func._schema
    aliases = [result.alias_info for result in schema.returns]
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


def _is_plain_linear(bias: Any, rows: Any, weight: Any) -> bool:
    """Whether ``addmm`` is a linear layer's, of which PyTorch's own way to the shape is long."""
    if (bias.ndim, rows.ndim, weight.ndim) != (1, 2, 2) or not (
        bias.is_meta and rows.is_meta and weight.is_meta
    ):
        return False
    fits = rows.shape[1] == weight.shape[0] and bias.shape[0] == weight.shape[1]
    return fits and bias.dtype == rows.dtype == weight.dtype


def _is_plain_layer_norm(data: Any, sizes: Any, weight: Any, bias: Any, eps: Any) -> bool:
    """Whether a layer norm is one of float32 in a row, of which PyTorch's way is the longest."""
    if not data.is_meta or data.dtype != torch.float32 or not data.is_contiguous():
        return False
    fits = len(sizes) > 0 and tuple(data.shape[-len(sizes) :]) == tuple(sizes)
    return fits and all(
        one is None
        or (one.is_meta and one.dtype == torch.float32 and tuple(one.shape) == tuple(sizes))
        for one in (weight, bias)
    )


_BATCH_NORMS = frozenset(
    {
        _aten.native_batch_norm.default,
        _aten._native_batch_norm_legit.default,
        _aten._native_batch_norm_legit.no_stats,
    }
)
_CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def _is_plain_norm(data: Any, *others: Any) -> bool:
    """Whether a batch norm is one of floats in a row, of which PyTorch's way is long, too."""
    if data.ndim < 2 or not data.is_meta or data.dtype not in _NORM_DTYPES:
        return False
    if data.numel() <= data.shape[1]:  # none, or one of each channel
        return False
    layout = _CHANNELS_LAST.get(data.ndim, torch.contiguous_format)
    if not data.is_contiguous() and not data.is_contiguous(memory_format=layout):
        return False
    size, dtypes = data.shape[1:2], (data.dtype, torch.float32)
    return all(
        one.is_meta and one.shape == size and one.dtype in dtypes
        for one in others
        if isinstance(one, torch.Tensor)
    )


_NORM_DTYPES = frozenset({torch.float16, torch.bfloat16, torch.float32})


def _normalized(data: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The result of a batch norm: the values, and two figures of each channel."""
    means, deviations = (data.new_empty(data.shape[1], dtype=torch.float32) for _ in range(2))
    return torch.empty_like(data), means, deviations


def _result_count(func: Any, args: Any) -> int:
    """The number of tensors that an operation creates."""
    if func is _aten.unbind.int:
        tensor, dim = args[0], args[1] if len(args) > 1 else 0
        return max(1, tensor.shape[dim]) if tensor.ndim else 1
    if func in (_aten.split.Tensor, _aten.unsafe_split.Tensor):
        tensor, size, dim = args[0], args[1], args[2] if len(args) > 2 else 0
        return max(1, tensor.shape[dim] // max(1, size)) if tensor.ndim else 1
    return 1


def _cache_key(value: Any) -> Hashable:
    """Everything about an argument that an operation on ``meta`` depends on.

    Raises:
        TypeError: that is unknown.
    """
    if isinstance(value, torch.Tensor):
        if not value.is_meta or value.is_complex():  # a complex tensor may be a lazy conjugate
            raise TypeError
        return (value.shape, value.stride(), value.dtype)
    if isinstance(value, list | tuple):
        return (type(value), *map(_cache_key, value))
    return (type(value), value)


def _factory(func: Any, args: Any, result: Any) -> Factory | None:
    """A function that gives an operation's result again; None if that is impossible."""
    if _kind_of(func) == "in place":
        return lambda args, kwargs: args[0]
    make = _maker(result)
    if make is None:
        return None
    storages = {storage_key(tensor) for tensor in tensors_in(args)}
    if not storages.isdisjoint(map(storage_key, tensors_in(result))):
        return lambda args, kwargs: func(*args, **kwargs)  # a view, of which its schema is silent
    return lambda args, kwargs: make()


def _maker(result: Any) -> Callable[[], Any] | None:
    """A function that creates a result like this one; None if that is impossible."""
    if isinstance(result, tuple):
        parts = [_maker(part) for part in result]
        if any(part is None for part in parts):
            return None
        return lambda: tuple(part() for part in parts if part)
    if not isinstance(result, torch.Tensor) or not _is_plain(result):
        return None
    shape, stride, dtype = result.shape, result.stride(), result.dtype
    return lambda: torch.empty_strided(shape, stride, dtype=dtype, device=_META)


def _is_plain(tensor: torch.Tensor) -> bool:
    """Whether shape, strides and dtype describe a tensor completely."""
    if tensor.layout != torch.strided or tensor.is_complex() or tensor.is_sparse:
        return False
    full_size = tensor.numel() * tensor.itemsize
    return tensor.is_meta and tensor.untyped_storage().nbytes() == full_size


def _tensors(result: Any) -> list[torch.Tensor]:
    """The tensors that an operation gives."""
    results = result if isinstance(result, list | tuple) else (result,)
    return [tensor for tensor in results if isinstance(tensor, torch.Tensor)]


def _checked(result: Any) -> Any:
    """The result; raises if a tensor in it is too large."""
    for tensor in _tensors(result):
        if tensor.numel() > MAX_ELEMENTS:
            raise too_large(tuple(tensor.shape))
    return result


# ----------------------------------------------------------------------------------- construction

_FILLS = frozenset(
    getattr(torch.Tensor, name)
    for name in "bernoulli_ exponential_ fill_ normal_ uniform_ zero_".split()
)


class WithoutInitialValues(TorchFunctionMode):
    """While entered, tensors on ``meta`` are not initialised: they have no values.

    Initialisation takes much of the time of constructing a large model.
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
def _counted_iterations(module: str, run: MetaRun) -> Iterator[None]:
    """While entered, this thread's ``range`` loops in a generated module are counted.

    A loop over numbers may have no operation. The generated source is not changed: its module gets
    another ``range``, which behaves as usual in other threads.
    """
    names = vars(sys.modules[module]) if module in sys.modules else {}
    outer = getattr(_counting, "run", None)
    with _lock:
        _entered[module] = _entered.get(module, 0) + 1
        names["range"] = _range
        if "route" in names and not isinstance(names["route"], _Route):
            names["route"] = _Route(names["route"])
    _counting.run = run
    try:
        yield
    finally:
        _counting.run = outer
        with _lock:
            _entered[module] -= 1
            if not _entered[module]:
                del _entered[module], names["range"]
                if "route" in names:
                    names["route"] = names["route"].route


class _Route:
    """``route`` of a generated module; on ``meta``, where no choice is known, rows are shared out
    evenly, so that the experts compute as much as in a run on data.
    """

    def __init__(self, route: Callable[..., Any]) -> None:
        self.route = route

    def __call__(self, x: Any, experts: Any, chosen: Any, weights: Any) -> Any:
        if getattr(_counting, "run", None) is None or not x.is_meta:
            return self.route(x, experts, chosen, weights)
        total = torch.zeros_like(x)
        least, more = divmod(chosen.numel(), max(len(experts), 1))
        for i, expert in enumerate(experts):
            rows = torch.empty(least + (i < more), dtype=torch.int64, device=_META)
            given = expert(x[rows]) * weights[rows, torch.zeros_like(rows), None]
            total.index_add_(0, rows, given.to(total.dtype))
        return total


def _range(*args: Any) -> Any:
    numbers, run = builtins.range(*args), getattr(_counting, "run", None)
    if run is None:
        return numbers
    rounds = getattr(_counting, "rounds", None)
    return _iterate(numbers, run) if rounds is None else rounds(numbers, run, sys._getframe(1))


def _iterate(numbers: range, run: MetaRun) -> Iterator[int]:
    for i in numbers:
        run.add(1)
        yield i


@contextmanager
def rounds_by(rounds: Callable[[range, MetaRun, FrameType], Iterator[int]]) -> Iterator[None]:
    """While entered, ``rounds`` gives the numbers of this thread's ``range`` loops.

    It is called with the range, the run, and the frame of the forward that has the loop.
    """
    outer = getattr(_counting, "rounds", None)
    _counting.rounds = rounds
    try:
        yield
    finally:
        _counting.rounds = outer
