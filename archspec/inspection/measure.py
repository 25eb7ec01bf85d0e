"""One forward pass on ``meta``: shapes, multiply-accumulates, saved and peak activations.

Nothing is computed and nothing allocated, so the size of the model does not matter; what an
operation would cost follows from its shapes.
"""

from __future__ import annotations

import functools
import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from types import FunctionType
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import (
    conv_flop_count,
    flop_registry,
    sdpa_backward_flop_count,
    sdpa_flop_count,
)
from torch.utils.weak import WeakIdKeyDictionary

from archspec.inspection import recurrent
from archspec.inspection.kernels import (
    CPU_ATTENTION,
    Attention,
    cuda_dropout,
    cuda_rms_norm,
    in_float32,
)
from archspec.tracing.forward_record import ForwardRecord, Run, shapes_in, tensors_in
from archspec.tracing.index_values import IndexValues
from archspec.tracing.loops import short_loops
from archspec.tracing.meta_run import MetaRun
from archspec.tracing.recurrent_layers import is_stepwise
from archspec.tracing.repeats import Repeats

_TRIANGULAR = (torch.tril, torch.triu, torch.Tensor.tril, torch.Tensor.triu)

_LOWERED = frozenset(
    getattr(owner, name)
    for owner in (torch, torch.Tensor, F)
    for name in (
        "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d linear"
        " mm bmm matmul __matmul__ addmm addbmm baddbmm einsum prelu scaled_dot_product_attention"
        " lstm gru rnn_tanh rnn_relu"
    ).split()
    if hasattr(owner, name)
)
"""What autocast runs in the lower precision; all else keeps the precision of its inputs."""


_RAISED = frozenset(
    getattr(owner, name)
    for owner in (torch, torch.Tensor, F)
    for name in (
        "acos asin binary_cross_entropy_with_logits cdist cosh cosine_similarity cross_entropy"
        " cumprod cumsum dist erfinv exp expm1 group_norm huber_loss interpolate kl_div l1_loss"
        " layer_norm log log10 log1p log2 log_softmax logsumexp mse_loss nll_loss norm pow __pow__"
        " prod reciprocal renorm rms_norm rsqrt sinh smooth_l1_loss softmax softplus sum tan"
    ).split()
    if hasattr(owner, name)
)
"""What autocast computes in float32 on a GPU; on a CPU most of it keeps its inputs' precision."""


_RAISED_ON_CPU = frozenset(
    getattr(owner, name)
    for owner in (torch, torch.Tensor, F, torch.fft, torch.linalg)
    for name in (
        "adaptive_avg_pool3d adaptive_max_pool3d avg_pool3d binary_cross_entropy"
        " binary_cross_entropy_with_logits cdist cholesky cosine_embedding_loss cross_entropy"
        " ctc_loss fft fft2 fftn fractional_max_pool2d fractional_max_pool3d grid_sample"
        " hinge_embedding_loss huber_loss ifft ifft2 ifftn inverse irfft irfft2 kl_div l1_loss"
        " margin_ranking_loss max_pool3d max_unpool2d max_unpool3d mse_loss multi_margin_loss"
        " multilabel_margin_loss nanquantile nll_loss poisson_nll_loss polar prod quantile rfft"
        " smooth_l1_loss soft_margin_loss solve stft trace triplet_margin_loss view_as_complex"
    ).split()
    if hasattr(owner, name) and callable(getattr(owner, name))
)
"""What autocast computes in float32 on a CPU, beside padding with the values at the edge."""


def run(
    model: nn.Module,
    inputs: Mapping[str, Any],
    *,
    kinds: Mapping[str, object] | None = None,
    autocast: torch.dtype | None = None,
    checkpointed: frozenset[str] = frozenset(),
    device: str = "cpu",
) -> Run:
    """Run ``model`` (on ``meta``, in its current mode) forward once and record it.

    Args:
        model: frozen parameters have ``requires_grad=False``, which decides what is saved for
            backward.
        inputs: tensors on ``meta``, by input name.
        kinds: module path → a value that is equal for modules built alike; these run once for
            each way in which they are called, and their record is copied after that.
        autocast: dtype in which autocast computes matrix products and convolutions.
        checkpointed: paths of modules that save only their inputs and run again during backward;
            modules that are equal in ``kinds`` have the same ones below.
        device: whose kernels decide what is saved for backward, ``cpu`` or ``cuda``.
    """
    record = ForwardRecord(model)
    record.see(inputs)

    with ExitStack() as contexts:
        contexts.callback(record.release)
        contexts.enter_context(without_garbage_collection())
        for path, module in model.named_modules():
            _record(module, path, record, path in checkpointed, contexts)
        contexts.enter_context(MetaRun(model, is_measured=True))
        contexts.enter_context(Repeats(model, kinds or {}, record))
        contexts.enter_context(short_loops(record))
        contexts.enter_context(saved_tensors_hooks(record.save, lambda nothing: nothing))
        contexts.enter_context(_Operations(record))
        contexts.enter_context(IndexValues(lambda *lookup: record.note("beyond", lookup)))
        contexts.enter_context(_Functions(autocast, record, device))
        if autocast is not None:  # does nothing on meta, but layers ask whether there is one
            contexts.enter_context(torch.autocast("cpu", autocast))
        result = model(**inputs)
        record.returned(result)
        del result
    return record.run()


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """No garbage collection while a model is measured.

    Which tensors are alive in its run must not depend on when it happens; and of a model of some
    thousand modules, nearly all of which is in use, it takes a third of the time.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _record(
    module: nn.Module, path: str, record: ForwardRecord, checkpointed: bool, contexts: ExitStack
) -> None:
    """Record when a module is running, and the shapes of its inputs and outputs."""

    def enter(module: nn.Module, args: Any, kwargs: Any) -> None:
        record.paths.append(path)
        with torch._C.DisableTorchFunction():  # modes need not see how metadata are read
            record.note("inputs", shapes_in((args, kwargs)))
        if checkpointed and torch.is_grad_enabled():
            record.enter_checkpoint((args, kwargs))

    def leave(module: nn.Module, args: Any, output: Any) -> None:
        if checkpointed and torch.is_grad_enabled():
            record.leave_checkpoint()
        with torch._C.DisableTorchFunction():
            record.note("outputs", shapes_in(output))
        record.paths.pop()

    contexts.callback(module.register_forward_pre_hook(enter, with_kwargs=True).remove)
    contexts.callback(module.register_forward_hook(leave).remove)


class _Operations(TorchDispatchMode):
    """Counts the multiply-accumulates of matrix products and convolutions, and names the rest."""

    def __init__(self, record: ForwardRecord) -> None:
        super().__init__()
        self.record = record

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """There is no compiler to skip; importing it would take seconds."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        packet = func._overloadpacket
        formula = _FORMULAS.get(packet) or flop_registry.get(packet)
        if formula is None and _is_composite(func):
            with self:  # a composite operation may be made of counted ones
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        result = func(*args, **kwargs)
        if packet is recurrent.LAYER and torch.is_grad_enabled():  # meta leaves it empty
            size = recurrent.workspace_bytes(args[0], result[1].shape[-1])
            result = (*result[:3], result[3].new_empty(size))
        self.record.see(result)
        if formula is not None:
            macs = formula(*args, **kwargs, out_val=result) // 2
            self.record.note("macs", macs)
            if torch.is_grad_enabled() and (again := _backward_macs(packet, args, macs)):
                self.record.note("backward", again)
        elif _computes(func):
            name = packet._qualified_op_name.removeprefix("aten::").removeprefix("_")
            self.record.note("uncounted", name)
        return result


def _product_flops(first: Any, second: Any, out_val: Any, **kwargs: Any) -> int:
    return 2 * out_val.numel() * first.shape[-1]


def _added_product_flops(addend: Any, first: Any, second: Any, out_val: Any, **kwargs: Any) -> int:
    return 2 * out_val.numel() * first.shape[-1]


def _convolution_flops(
    x: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, transposed: bool,
    *args: Any, out_val: Any,
) -> int:  # fmt: skip
    return conv_flop_count(x.shape, weight.shape, out_val.shape, transposed=transposed)


def _attention_flops(query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> int:
    return sdpa_flop_count(query.shape, key.shape, value.shape)


def _lstm_flops(data: Any, weight: Any, recurrent_weight: Any, *args: Any, **kwargs: Any) -> int:
    return recurrent.flops(data, weight, recurrent_weight)


def _trilinear_flops(first: Any, weight: Any, *args: Any, **kwargs: Any) -> int:
    return 2 * first.shape[0] * weight.numel()  # as Bilinear calls it: one product of a row each


def _backward_macs(packet: Any, args: Sequence[Any], macs: int) -> int:
    """The multiply-accumulates that make the gradients of an operation's operands.

    Each gradient of a product is a product of the same size: of the result's gradient with the
    other operand. Fused kernels make the gradients of all operands, if any is needed.
    """
    first = 1 if packet in _WITH_ADDEND else 0
    operands = args[first : first + (3 if packet in _WITH_THREE else 2)]
    needed = sum(isinstance(arg, torch.Tensor) and arg.requires_grad for arg in operands)
    if needed and packet in _FUSED_ATTENTION:
        query, key, value = (arg.shape for arg in args[:3])
        gradient = (*query[:-1], value[-1])
        return sdpa_backward_flop_count(gradient, query, key, value) // 2
    return (2 if needed and packet is recurrent.LAYER else needed) * macs


_WITH_ADDEND = frozenset({torch.ops.aten.addmm, torch.ops.aten.baddbmm})
_FUSED_ATTENTION = frozenset(
    {
        CPU_ATTENTION,
        torch.ops.aten._scaled_dot_product_flash_attention,
        torch.ops.aten._scaled_dot_product_efficient_attention,
    }
)
_WITH_THREE = _FUSED_ATTENTION | {torch.ops.aten._trilinear, recurrent.LAYER}

_FORMULAS = {
    CPU_ATTENTION: _attention_flops,
    recurrent.LAYER: _lstm_flops,
    torch.ops.aten._trilinear: _trilinear_flops,
    # PyTorch's own look for tensors in everything that they are given.
    torch.ops.aten.mm: _product_flops,
    torch.ops.aten.bmm: _product_flops,
    torch.ops.aten.addmm: _added_product_flops,
    torch.ops.aten.baddbmm: _added_product_flops,
    torch.ops.aten.convolution: _convolution_flops,
}
"""Operations for which PyTorch has no formula, or one that takes longer than the operation."""


@functools.cache
def _is_composite(func: Any) -> bool:
    """Whether an operation may be made of others, as PyTorch's ``decompose`` asks."""
    if func is torch.ops.prim.device.default:
        return False
    key = torch._C.DispatchKey.CompositeImplicitAutograd
    has_kernel = torch._C._dispatch_has_kernel_for_dispatch_key
    return key in func.py_kernels or has_kernel(func.name(), key)


@functools.cache
def _computes(func: Any) -> bool:
    """Whether an operation computes values: views and allocations do not."""
    returned = [r.alias_info for r in func._schema.returns]
    is_view = any(alias is not None and not alias.is_write for alias in returned)
    name = func._schema.name.removeprefix("aten::").removeprefix("_")
    return not is_view and name != "unsafe_view" and not name.startswith(("empty", "new_empty"))


class _Functions(TorchFunctionMode):
    """Makes functions behave on ``meta`` as they do on a CPU or with CUDA.

    ``meta`` itself ignores autocast and always materialises all attention weights; a CPU or a GPU
    does so only where there is no fused kernel, as with dropout on a CPU.
    """

    def __init__(self, lowered: torch.dtype | None, record: ForwardRecord, device: str) -> None:
        super().__init__()
        self.lowered, self.record, self.copies = lowered, record, record.copies
        self.on_cuda = device == "cuda"
        self._causal: Any = WeakIdKeyDictionary()  # masks that hide the tokens behind each one

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = self._called(func, args, kwargs)
        made = [t for t in tensors_in(result) if _passes_gradient(t)]
        if made and not self.record.is_recomputed:
            taken = [t for t in tensors_in((args, kwargs)) if _passes_gradient(t)]
            size = sum(t.numel() * t.itemsize for t in (*made, *taken))
            self.record.note("differentiated", size)
        if isinstance(result, torch.Tensor) and result.ndim >= 2:
            sizes = result.shape[-2:]
            if func in _TRIANGULAR or (
                self._causal
                and any(
                    t in self._causal and t.shape[-2:] == sizes for t in tensors_in((args, kwargs))
                )
            ):
                self._causal[result] = True
        return result

    def _called(self, func: Any, args: Any, kwargs: Any) -> Any:
        if func is F.multi_head_attention_forward:
            with self:  # it is made of functions that have to be seen
                return _traceable_attention()(*args, **kwargs)
        if func is torch.lstm and recurrent.is_fused(args):
            return recurrent.lstm(*args, lower=self._lower if self.lowered else lambda value: value)
        if self.lowered is not None and func in _LOWERED:
            args = [self._lower(value) for value in args]
            kwargs = {name: self._lower(value) for name, value in kwargs.items()}
        if self.lowered is not None and func is torch.bilinear:  # a GPU's; a CPU's knows none
            args = [arg if arg is None else arg.float() for arg in args]
        is_padded = func is F.pad and _is_padded_by_values(*args, **kwargs)
        raised = _RAISED if self.on_cuda else _RAISED_ON_CPU
        if self.lowered is not None and (func in raised or (is_padded and not self.on_cuda)):
            args = [in_float32(value) for value in args]
            kwargs = {name: in_float32(value) for name, value in kwargs.items()}
        if is_stepwise(func, args):
            return recurrent.step_by_step(func, args, self.record)
        if func is F.scaled_dot_product_attention:
            return self._attention(Attention(*args, **kwargs))
        if func is F.dropout and self.on_cuda:
            return cuda_dropout(*args, **kwargs)
        if func in (F.rms_norm, torch.rms_norm) and self.on_cuda:
            return cuda_rms_norm(*args, **kwargs)
        return func(*args, **kwargs)

    def _lower(self, value: Any) -> Any:
        """A float32 tensor as autocast gives it; of a parameter it makes one copy in a pass."""
        if isinstance(value, list | tuple):
            return [self._lower(item) for item in value]
        if not isinstance(value, torch.Tensor) or value.dtype != torch.float32:
            return value
        if not (isinstance(value, nn.Parameter) and value.requires_grad):
            return value.to(self.lowered)
        if id(value) not in self.copies:
            self.copies[id(value)] = value.to(self.lowered)
        return self.copies[id(value)]

    def _attention(self, call: Attention) -> torch.Tensor:
        mask = call.attn_mask
        if not torch.is_grad_enabled() and (
            call.is_causal or (mask is not None and mask in self._causal)
        ):
            cached = sum(t.numel() * t.itemsize for t in (call.key, call.value))
            self.record.note("cached", cached)
        return call.on_cuda() if self.on_cuda else call.on_cpu()


def _is_padded_by_values(
    data: Any, pad: Any, mode: str = "constant", value: Any = None, **others: Any
) -> bool:
    return mode in ("reflect", "replicate")


def _passes_gradient(tensor: torch.Tensor) -> bool:
    """Whether backward makes a gradient of it that is not one of a weight."""
    return tensor.requires_grad and not tensor.is_leaf


@functools.cache
def _traceable_attention() -> Any:
    """``multi_head_attention_forward`` without its check for modes that override it."""
    function = F.multi_head_attention_forward
    names = {**vars(F), "has_torch_function": lambda tensors: False}
    copy = FunctionType(function.__code__, names, function.__name__, function.__defaults__)
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy
