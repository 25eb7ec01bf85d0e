"""One forward pass on ``meta``: shapes, multiply-accumulates, saved and peak activations.

Nothing is computed and nothing allocated, so the size of the model does not matter; what an
operation would cost follows from its shapes.
"""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from types import FunctionType
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.attention import SDPBackend
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils.flop_counter import flop_registry, sdpa_flop_count
from torch.utils.weak import WeakIdKeyDictionary

from archspec.inspection import recurrent
from archspec.tracing.forward_record import ForwardRecord, Run, shapes_in, tensors_in
from archspec.tracing.index_values import IndexValues
from archspec.tracing.loops import short_loops
from archspec.tracing.meta_run import MetaRun
from archspec.tracing.repeats import Repeats

_FUSED = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_TRIANGULAR = (torch.tril, torch.triu, torch.Tensor.tril, torch.Tensor.triu)
_MAX_PROBE_SIZE = 4096  # rows and columns of the tensors that probe which kernel PyTorch chooses

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
"""What autocast computes in float32 on a GPU; on a CPU it keeps the precision of its inputs."""

_MAX_FLASH_SIZE = 256  # channels of a head


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

    def save(tensor: torch.Tensor) -> torch.Tensor | None:
        recomputed = record.is_recomputed
        if record.keep(tensor):
            record.note("anew" if recomputed else "kept", tensor.untyped_storage().nbytes())
        return None if recomputed else tensor

    with ExitStack() as contexts:
        contexts.enter_context(_without_garbage_collection())
        for path, module in model.named_modules():
            contexts.enter_context(_recording_hooks(module, path, record, path in checkpointed))
        contexts.enter_context(MetaRun(model))
        contexts.enter_context(Repeats(model, kinds or {}, record))
        contexts.enter_context(short_loops(record))
        contexts.enter_context(saved_tensors_hooks(save, lambda tensor: tensor))
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
def _without_garbage_collection() -> Iterator[None]:
    """No garbage collection: which tensors are alive must not depend on when it happens."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _recording_hooks(
    module: nn.Module, path: str, record: ForwardRecord, checkpointed: bool
) -> ExitStack:
    """Hooks that record which module is running, and the shapes of its inputs and outputs."""

    def enter(module: nn.Module, args: Any, kwargs: Any) -> None:
        record.paths.append(path)
        record.note("inputs", shapes_in((args, kwargs)))
        if checkpointed and torch.is_grad_enabled():
            record.enter_checkpoint((args, kwargs))

    def leave(module: nn.Module, args: Any, output: Any) -> None:
        if checkpointed and torch.is_grad_enabled():
            record.leave_checkpoint()
        record.note("outputs", shapes_in(output))
        record.paths.pop()

    hooks = ExitStack()
    hooks.callback(module.register_forward_pre_hook(enter, with_kwargs=True).remove)
    hooks.callback(module.register_forward_hook(leave).remove)
    return hooks


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
        if formula is None and func is not torch.ops.prim.device.default:
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
            self.record.note("macs", formula(*args, **kwargs, out_val=result) // 2)
        elif _computes(func):
            name = packet._qualified_op_name.removeprefix("aten::").removeprefix("_")
            self.record.note("uncounted", name)
        return result


def _attention_flops(query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> int:
    return sdpa_flop_count(query.shape, key.shape, value.shape)


def _lstm_flops(data: Any, weight: Any, recurrent_weight: Any, *args: Any, **kwargs: Any) -> int:
    return recurrent.flops(data, weight, recurrent_weight)


def _trilinear_flops(first: Any, weight: Any, *args: Any, **kwargs: Any) -> int:
    return 2 * first.shape[0] * weight.numel()  # as Bilinear calls it: one product of a row each


_FORMULAS = {
    _FUSED: _attention_flops,
    recurrent.LAYER: _lstm_flops,
    torch.ops.aten._trilinear: _trilinear_flops,
}
"""Operations for which PyTorch has no formula."""


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
            inputs = tensors_in((args, kwargs))
            sizes = result.shape[-2:]
            if func in _TRIANGULAR or any(
                t in self._causal and t.shape[-2:] == sizes for t in inputs
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
        if self.lowered is not None and self.on_cuda and func in _RAISED:
            args = [_raised(value) for value in args]
            kwargs = {name: _raised(value) for name, value in kwargs.items()}
        if func is F.scaled_dot_product_attention:
            return self._attention(*args, **kwargs)
        if func is F.dropout and self.on_cuda:
            return _dropout(*args, **kwargs)
        if func in (F.rms_norm, torch.rms_norm) and self.on_cuda:
            return _rms_norm(*args, **kwargs)
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

    def _attention(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attn_mask: torch.Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> torch.Tensor:
        arguments = (query, key, value, attn_mask, dropout_p, is_causal)
        if not torch.is_grad_enabled() and (
            is_causal or (attn_mask is not None and attn_mask in self._causal)
        ):
            self.record.note("cached", sum(t.numel() * t.itemsize for t in (key, value)))
        if self.on_cuda:
            kernel = _cuda_attention(*arguments, scale, enable_gqa)
            if kernel is not None:
                return kernel()
            return F.scaled_dot_product_attention(*arguments, scale=scale, enable_gqa=enable_gqa)
        if not _is_fused(*arguments, scale, enable_gqa):
            return F.scaled_dot_product_attention(*arguments, scale=scale, enable_gqa=enable_gqa)
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            attn_mask = attn_mask.to(query.dtype)
        keywords = {"attn_mask": attn_mask, "scale": scale}
        return _FUSED(query, key, value, dropout_p, is_causal, **keywords)[0]


def _passes_gradient(tensor: torch.Tensor) -> bool:
    """Whether backward makes a gradient of it that is not one of a weight."""
    return tensor.requires_grad and not tensor.is_leaf


def _raised(value: Any) -> Any:
    """A tensor of lower precision in float32, for what autocast computes in that on a GPU."""
    if not isinstance(value, torch.Tensor) or value.dtype not in (torch.bfloat16, torch.float16):
        return value
    return value.float()


def _dropout(
    input: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> torch.Tensor:
    """Dropout as CUDA's kernel has it, which saves a mask of one byte an element."""
    if not training or not 0 < p < 1 or inplace or not torch.is_grad_enabled():
        return F.dropout(input, p, training, inplace)
    return torch.native_dropout(input, p, True)[0]


def _rms_norm(
    input: torch.Tensor,
    normalized_shape: Sequence[int],
    weight: torch.Tensor | None = None,
    eps: float | None = None,
) -> torch.Tensor:
    """The norm as CUDA's kernel has it, which saves its input and one number a row."""
    is_fused = weight is None or weight.dtype == input.dtype
    if is_fused and torch.is_grad_enabled() and input.is_meta:
        return cast("torch.Tensor", _FusedNorm.apply(input, weight, len(normalized_shape)))
    return F.rms_norm(input, list(normalized_shape), weight, eps)


class _FusedNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, input: torch.Tensor, weight: torch.Tensor | None, dims: int
    ) -> torch.Tensor:
        rows = input.new_empty((*input.shape[:-dims], *[1] * dims), dtype=torch.float32)
        ctx.save_for_backward(input, rows, *([] if weight is None else [weight]))
        return torch.empty_like(input)


def _cuda_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    dropout: float,
    causal: bool,
    scale: float | None,
    gqa: bool,
) -> Callable[[], torch.Tensor] | None:
    """The fused kernel that PyTorch chooses with CUDA on GPUs since 2020 (sm80); None for none."""
    tensors = (query, key, value)
    sizes = {tensor.shape[-1] for tensor in tensors}
    is_half = query.dtype in (torch.bfloat16, torch.float16)
    if any(tensor.ndim != 4 for tensor in tensors) or query.dtype == torch.float64:
        return None
    aten = torch.ops.aten
    if is_half and mask is None and len(sizes) == 1 and max(sizes) <= _MAX_FLASH_SIZE:
        if gqa:
            times = query.shape[1] // key.shape[1]
            key, value = (one.repeat_interleave(times, 1) for one in (key, value))
        flash = aten._scaled_dot_product_flash_attention
        return lambda: flash(query, key, value, dropout, causal, False, scale=scale)[0]
    if gqa or (mask is not None and mask.ndim > 4):
        return None
    if mask is not None:
        if mask.dtype == torch.bool:
            mask = torch.zeros_like(mask, dtype=query.dtype)
        while mask.ndim < 4:
            mask = mask.unsqueeze(0)
        mask = mask.expand(*query.shape[:3], key.shape[2])
    saves = any(tensor.requires_grad for tensor in tensors)
    efficient = aten._scaled_dot_product_efficient_attention
    return lambda: efficient(query, key, value, mask, saves, dropout, causal, scale=scale)[0]


@functools.cache
def _traceable_attention() -> Any:
    """``multi_head_attention_forward`` without its check for modes that override it."""
    function = F.multi_head_attention_forward
    names = {**vars(F), "has_torch_function": lambda tensors: False}
    copy = FunctionType(function.__code__, names, function.__name__, function.__defaults__)
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy


def _is_fused(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    dropout: float,
    causal: bool,
    scale: float | None,
    gqa: bool,
) -> bool:
    """Whether PyTorch chooses a fused kernel on a CPU for small tensors of the same kind."""
    tensors = (query, key, value, *([] if mask is None else [mask]))
    if any(not tensor.is_meta or tensor.ndim < 2 for tensor in tensors):
        return False
    with _disable_current_modes():
        choose: Any = torch._fused_sdp_choice  # pyright: ignore[reportPrivateImportUsage]
        small = [_small(tensor) for tensor in tensors]
        small_mask = small[3] if mask is not None else None
        backend = choose(*small[:3], small_mask, dropout, causal, scale=scale, enable_gqa=gqa)
    return backend == SDPBackend.FLASH_ATTENTION.value


def _small(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor of the same kind on the CPU, with memory for one row only.

    Rows and columns are cut alike, so that a mask still fits the queries and the keys.
    """
    rows, columns = (min(size, _MAX_PROBE_SIZE) for size in tensor.shape[-2:])
    row = torch.empty(columns, dtype=tensor.dtype)
    small = row.expand(*tensor.shape[:-2], rows, -1)
    return small.requires_grad_() if tensor.requires_grad else small
