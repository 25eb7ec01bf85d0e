"""Frozen weights of Linear layers in 8 or 4 bits while a model is trained, with torchao.

- ``int8``: an integer for each weight, and a scale for each row.
- ``nf4``: Dettmers et al. 2023, QLoRA, arXiv:2305.14314. The 4-bit NormalFloat in blocks of 64
  weights, with scales that are themselves in 8 bits.

Outputs are computed in the precision of the inputs, from weights that are brought back to it for
the product. Gradients go through to the inputs; the weights themselves have none.
"""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import logging
import math
from collections import Counter
from collections.abc import Iterator
from typing import Literal, NamedTuple

from torch import Tensor, nn

from archspec.errors import Problem, UsageError
from archspec.report.numbers import format_size
from archspec.report.text import first_line

Quantization = Literal["int8", "nf4"]  # as in TrainOptions, which must not import PyTorch

_INSTALL = "pip install -U 'archspec-nn[quantize]'"
_BLOCK = 64  # weights with one scale, in nf4
_SCALES = 256  # of them with one scale of their own, at most


def check_torchao() -> None:
    """Make sure that weights can be quantized.

    Raises:
        UsageError: E801, torchao is not installed.
    """
    if importlib.util.find_spec("torchao") is None:
        raise UsageError(Problem("E801", "quantize needs torchao", hint=_INSTALL))


def quantizable(model: nn.Module, kind: Quantization) -> Iterator[nn.Linear]:
    """The layers whose weights are frozen, and can be stored like that.

    Left out are weights that several modules share and, for nf4, those that are no whole number of
    blocks.
    """
    named = model.named_parameters(remove_duplicate=False)
    uses: Counter[Tensor] = Counter(one for _, one in named)
    for module in model.modules():
        if type(module) is nn.Linear and not module.weight.requires_grad:
            is_whole = kind == "int8" or not module.weight.numel() % _BLOCK
            if is_whole and uses[module.weight] == 1:
                yield module


def quantized_copy(model: nn.Module, kind: Quantization) -> nn.Module:
    """A copy of a model with its frozen Linear weights quantized; see ``quantizable``.

    Raises:
        UsageError: E801, there are none, or torchao cannot be used.
    """
    check_torchao()
    copied = copy.deepcopy(model)
    layers = list(quantizable(copied, kind))
    if not layers:
        hint = "choose a freeze plan or an adapter, or leave quantize out"
        raise UsageError(Problem("E801", "no Linear layer is frozen to quantize", hint=hint))
    for layer in layers:
        layer.weight = nn.Parameter(_quantized(layer.weight.detach(), kind), requires_grad=False)
    return copied


def is_quantized(tensor: Tensor) -> bool:
    return type(tensor).__module__.startswith("torchao.")


class Saving(NamedTuple):
    """What quantizing saves: the layers, and the bytes of their weights before and after."""

    layers: int
    before: int
    after: int


def saving(model: nn.Module, kind: Quantization) -> Saving:
    """What ``quantized_copy`` of a model with its plan saves; the model may be on ``meta``."""
    weights = [layer.weight for layer in quantizable(model, kind)]
    before = sum(one.nbytes for one in weights)
    return Saving(len(weights), before, sum(_quantized_size(one, kind) for one in weights))


def quantized_line(model: nn.Module, kind: Quantization) -> str:
    """What becomes of the weights of a model with its plan, a line."""
    layers, before, after = saving(model, kind)
    sizes = f"{format_size(after)} instead of {format_size(before)}"
    return f"{layers:,} frozen Linear layer{'s' * (layers != 1)} in {kind}: {sizes}"


def _quantized_size(weight: Tensor, kind: Quantization) -> int:
    """The bytes that a weight takes as ``kind``, with its scales.

    >>> _quantized_size(nn.Linear(768, 768).weight, "int8")
    593664
    >>> _quantized_size(nn.Linear(768, 768).weight, "nf4")
    304340
    """
    count = weight.numel()
    if kind == "int8":
        return count + weight.shape[0] * (weight.element_size() + 1)  # scales, and zero points
    blocks = count // _BLOCK
    groups = blocks // math.gcd(blocks, _SCALES)
    # With the table of its 16 values, and the mean of the scales.
    return count // 2 + blocks + (groups + 16 + 1) * weight.element_size()


def _quantized(weight: Tensor, kind: Quantization) -> Tensor:
    try:
        with _quiet("torchao", "torch.utils._pytree"):
            from torchao.quantization import Int8WeightOnlyConfig, NF4Tensor, quantize_
    except ImportError as error:  # an older version, or one for another PyTorch
        message = f"torchao cannot be used: {first_line(error)}"
        raise UsageError(Problem("E801", message, hint=_INSTALL)) from None
    if kind == "nf4":
        scales = math.gcd(weight.numel() // _BLOCK, _SCALES)
        return NF4Tensor.from_tensor(weight, _BLOCK, scales)
    layer = nn.Linear(1, 1, bias=False, device="meta")
    layer.weight = nn.Parameter(weight, requires_grad=False)
    quantize_(layer, Int8WeightOnlyConfig())
    return layer.weight.detach()


@contextlib.contextmanager
def _quiet(*names: str) -> Iterator[None]:
    """Silence loggers: on import, torchao warns of kernels for other devices than this one."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
