"""The kernels that PyTorch chooses on a CPU and with CUDA, as far as they save other tensors.

Each is called on ``meta`` in place of the function that would choose it there, so that autograd
saves for backward what it would save on the device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend
from torch.utils._python_dispatch import _disable_current_modes

CPU_ATTENTION = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_MAX_PROBE_SIZE = 4096  # rows and columns of the tensors that probe which kernel PyTorch chooses
_MAX_FLASH_SIZE = 256  # channels of a head


class Attention(NamedTuple):
    """A call of ``scaled_dot_product_attention``, with its arguments as PyTorch names them."""

    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    attn_mask: torch.Tensor | None = None
    dropout_p: float = 0.0
    is_causal: bool = False
    scale: float | None = None
    enable_gqa: bool = False

    def on_cpu(self) -> torch.Tensor:
        """What the kernel gives that PyTorch chooses on a CPU."""
        if not self._is_fused_on_cpu():
            return F.scaled_dot_product_attention(**self._asdict())
        mask = self.attn_mask
        if mask is not None and mask.dtype == torch.bool:
            mask = mask.to(self.query.dtype)
        return CPU_ATTENTION(*self[:3], *self[4:6], attn_mask=mask, scale=self.scale)[0]

    def on_cuda(self) -> torch.Tensor:
        """What the kernel gives that PyTorch chooses with CUDA on GPUs since 2020 (sm80)."""
        kernel = self._fused_on_cuda()
        return F.scaled_dot_product_attention(**self._asdict()) if kernel is None else kernel()

    def _is_fused_on_cpu(self) -> bool:
        """Whether PyTorch chooses a fused kernel on a CPU for small tensors of the same kind."""
        tensors = (one for one in self[:4] if one is not None)
        if any(not tensor.is_meta or tensor.ndim < 2 for tensor in tensors):
            return False
        with _disable_current_modes():
            choose: Any = torch._fused_sdp_choice  # pyright: ignore[reportPrivateImportUsage]
            small = [None if one is None else _small(one) for one in self[:4]]
            backend = choose(*small, *self[4:6], scale=self.scale, enable_gqa=self.enable_gqa)
        return backend == SDPBackend.FLASH_ATTENTION.value

    def _fused_on_cuda(self) -> Callable[[], torch.Tensor] | None:
        """A fused kernel with its arguments; None for none."""
        query, key, value, mask, dropout, causal, scale, gqa = self
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


def _small(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor of the same kind on the CPU, with memory for one row only.

    Rows and columns are cut alike, so that a mask still fits the queries and the keys.
    """
    rows, columns = (min(size, _MAX_PROBE_SIZE) for size in tensor.shape[-2:])
    row = torch.empty(columns, dtype=tensor.dtype)
    small = row.expand(*tensor.shape[:-2], rows, -1)
    return small.requires_grad_() if tensor.requires_grad else small


def in_float32(value: Any) -> Any:
    """A tensor of lower precision in float32, for what autocast computes in that on a GPU."""
    if not isinstance(value, torch.Tensor) or value.dtype not in (torch.bfloat16, torch.float16):
        return value
    return value.float()


def cuda_dropout(
    input: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> torch.Tensor:
    """Dropout as CUDA's kernel has it, which saves a mask of one byte an element."""
    if not training or not 0 < p < 1 or inplace or not torch.is_grad_enabled():
        return F.dropout(input, p, training, inplace)
    return torch.native_dropout(input, p, True)[0]


def cuda_rms_norm(
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
