"""One forward pass on ``meta``: shapes, multiply-accumulates, what backward keeps, what lives.

Nothing is computed and nothing allocated, so the size of the model does not matter; what an
operation would cost follows from its shapes.
"""

from __future__ import annotations

import functools
import gc
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import FunctionType
from typing import Any

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
from archspec.tracing.meta_run import MetaRun
from archspec.tracing.repeats import Repeats

_FUSED = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_TRIANGULAR = (torch.tril, torch.triu, torch.Tensor.tril, torch.Tensor.triu)
_LONGEST = 4096  # of the tensors with which PyTorch is asked for its choice

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
"""What autocast runs in the lower precision; the rest goes by the precision of its inputs."""


def run(
    model: nn.Module,
    inputs: Mapping[str, torch.Tensor],
    *,
    kinds: Mapping[str, object] | None = None,
    autocast: torch.dtype | None = None,
    checkpointed: frozenset[str] = frozenset(),
) -> Run:
    """Run ``model`` (on ``meta``, in the mode it is in) forward once and note everything.

    Args:
        model: parameters that are frozen have ``requires_grad=False``, which decides what
            backward keeps.
        inputs: tensors on ``meta``, by input name.
        kinds: module path → what is equal for modules that are built alike; such modules run once
            for each way in which they are called, and are copied after that.
        autocast: dtype in which products and convolutions are computed, if not in their own.
        checkpointed: paths of modules of which backward gets the inputs alone, and runs them again;
            those that are equal in ``kinds`` have equal ones below.
    """
    ledger = ForwardRecord(model)
    ledger.see(inputs)

    def keep(tensor: torch.Tensor) -> torch.Tensor | None:
        again = ledger.is_recomputed
        if ledger.keep(tensor):
            ledger.note("anew" if again else "kept", tensor.untyped_storage().nbytes())
        return None if again else tensor

    with ExitStack() as during:
        during.enter_context(_uncollected())
        for path, module in model.named_modules():
            during.enter_context(_followed(module, path, ledger, path in checkpointed))
        during.enter_context(MetaRun(model))
        during.enter_context(Repeats(model, kinds or {}, ledger))
        during.enter_context(saved_tensors_hooks(keep, lambda tensor: tensor))
        during.enter_context(_Operations(ledger))
        during.enter_context(IndexValues(lambda *lookup: ledger.note("beyond", lookup)))
        during.enter_context(_Functions(autocast, ledger))
        if autocast is not None:  # does nothing on meta, but layers ask whether there is one
            during.enter_context(torch.autocast("cpu", autocast))
        result = model(**inputs)
        del result
    return ledger.run()


@contextmanager
def _uncollected() -> Iterator[None]:
    """No garbage collection: which tensors are alive must not depend on when it happens."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _followed(module: nn.Module, path: str, ledger: ForwardRecord, checkpointed: bool) -> ExitStack:
    """Hooks that note which module is running, and the shapes that go in and come out."""

    def enter(module: nn.Module, args: Any, kwargs: Any) -> None:
        ledger.paths.append(path)
        ledger.note("inputs", shapes_in((args, kwargs)))
        if checkpointed and torch.is_grad_enabled():
            ledger.enter_checkpoint((args, kwargs))

    def leave(module: nn.Module, args: Any, output: Any) -> None:
        if checkpointed and torch.is_grad_enabled():
            ledger.leave_checkpoint()
        ledger.note("outputs", shapes_in(output))
        ledger.paths.pop()

    hooks = ExitStack()
    hooks.callback(module.register_forward_pre_hook(enter, with_kwargs=True).remove)
    hooks.callback(module.register_forward_hook(leave).remove)
    return hooks


class _Operations(TorchDispatchMode):
    """Counts the multiply-accumulates of matrix products and convolutions, and names the rest."""

    def __init__(self, ledger: ForwardRecord) -> None:
        super().__init__()
        self.ledger = ledger

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No compiler is to be kept out, so that it need not be imported, which takes seconds."""
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
        self.ledger.see(result)
        if formula is not None:
            self.ledger.note("macs", formula(*args, **kwargs, out_val=result) // 2)
        elif _works(func):
            name = packet._qualified_op_name.removeprefix("aten::").removeprefix("_")
            self.ledger.note("uncounted", name)
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
"""What PyTorch has no formula for."""


@functools.cache
def _works(func: Any) -> bool:
    """Whether an operation reads or writes numbers: views and allocations do not."""
    returned = [r.alias_info for r in func._schema.returns]
    is_view = any(alias is not None and not alias.is_write for alias in returned)
    name = func._schema.name.removeprefix("aten::").removeprefix("_")
    return not is_view and name != "unsafe_view" and not name.startswith(("empty", "new_empty"))


class _Functions(TorchFunctionMode):
    """Makes functions do on ``meta`` what they do on a CPU.

    By itself ``meta`` knows no autocast, and always writes attention out, with all its weights; a
    CPU or a GPU does so only where no kernel can be had that never holds them all, as with
    dropout on a CPU.
    """

    def __init__(self, lowered: torch.dtype | None, ledger: ForwardRecord) -> None:
        super().__init__()
        self.lowered, self.ledger, self.copies = lowered, ledger, ledger.copies
        self._causal: Any = WeakIdKeyDictionary()  # masks that hide the tokens behind each one

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = self._called(func, args, kwargs)
        if isinstance(result, torch.Tensor) and result.ndim >= 2:
            given = tensors_in((args, kwargs))
            sizes = result.shape[-2:]
            if func in _TRIANGULAR or any(
                t in self._causal and t.shape[-2:] == sizes for t in given
            ):
                self._causal[result] = True
        return result

    def _called(self, func: Any, args: Any, kwargs: Any) -> Any:
        if func is F.multi_head_attention_forward:
            with self:  # it is made of functions that have to be seen
                return _opened_attention()(*args, **kwargs)
        if func is torch.lstm and recurrent.is_fused(args):
            return recurrent.lstm(*args, lower=self._lower if self.lowered else lambda value: value)
        if self.lowered is not None and func in _LOWERED:
            args = [self._lower(value) for value in args]
            kwargs = {name: self._lower(value) for name, value in kwargs.items()}
        if self.lowered is not None and func is torch.bilinear:  # a GPU's; a CPU's knows none
            args = [arg if arg is None else arg.float() for arg in args]
        if func is F.scaled_dot_product_attention:
            return self._attention(*args, **kwargs)
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
        given = (query, key, value, attn_mask, dropout_p, is_causal)
        if not torch.is_grad_enabled() and (
            is_causal or (attn_mask is not None and attn_mask in self._causal)
        ):
            self.ledger.note("cached", sum(t.numel() * t.itemsize for t in (key, value)))
        if not _is_fused(*given, scale, enable_gqa):
            return F.scaled_dot_product_attention(*given, scale=scale, enable_gqa=enable_gqa)
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            attn_mask = attn_mask.to(query.dtype)
        more = {"attn_mask": attn_mask, "scale": scale}
        return _FUSED(query, key, value, dropout_p, is_causal, **more)[0]


@functools.cache
def _opened_attention() -> Any:
    """``multi_head_attention_forward`` without its question whether a mode wants to replace it."""
    found = F.multi_head_attention_forward
    names = {**vars(F), "has_torch_function": lambda tensors: False}
    opened = FunctionType(found.__code__, names, found.__name__, found.__defaults__)
    opened.__kwdefaults__ = found.__kwdefaults__
    return opened


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
    """What PyTorch chooses on a CPU, asked with small tensors of the same kind."""
    tensors = (query, key, value, *([] if mask is None else [mask]))
    if any(not tensor.is_meta or tensor.ndim < 2 for tensor in tensors):
        return False
    with _disable_current_modes():
        choose: Any = torch._fused_sdp_choice  # pyright: ignore[reportPrivateImportUsage]
        small = [_small(tensor) for tensor in tensors]
        small_mask = small[3] if mask is not None else None
        given = (*small[:3], small_mask, dropout, causal)
        chosen = choose(*given, scale=scale, enable_gqa=gqa)
    return chosen == SDPBackend.FLASH_ATTENTION.value


def _small(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor of the same kind on the CPU, with memory for one row only.

    Rows and columns are cut alike, so that a mask still fits the queries and the keys.
    """
    rows, columns = (min(size, _LONGEST) for size in tensor.shape[-2:])
    row = torch.empty(columns, dtype=tensor.dtype)
    small = row.expand(*tensor.shape[:-2], rows, -1)
    return small.requires_grad_() if tensor.requires_grad else small
