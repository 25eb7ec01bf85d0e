"""Parameter groups for an optimizer: trainable parameters with and without weight decay."""

from __future__ import annotations

import math
from typing import Any

from torch import nn

from archspec.errors import FreezeError, Problem, UsageError
from archspec.freezing.selection import SharedParameter, check_module, shared_parameters

_NORMS = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.modules.batchnorm._NormBase)


def trainable_parameters(model: nn.Module, *, weight_decay: float = 0.01) -> list[dict[str, Any]]:
    """Trainable parameters as groups for an optimizer of ``torch.optim``.

    Weight decay applies to all parameters except those named ``bias`` or ``…_bias``; those of
    LayerNorm, GroupNorm, RMSNorm, and of all kinds of BatchNorm and InstanceNorm; and those with
    fewer than two dimensions. A shared parameter is in one group, once, and is exempt if one of its
    names is.

    Args:
        model: any module, with or without a freeze plan.
        weight_decay: of the first group; 0 for the other.

    Returns:
        One or two non-empty groups, ``{"params": […], "weight_decay": …}``, in the order of
        ``model.parameters()``.

    Raises:
        FreezeError: E705, nothing is trainable.
        UsageError: E801, ``weight_decay`` is not a number of 0 or more.

    Example:
        >>> import archspec, torch
        >>> model = archspec.build("bert", device="meta", freeze="last-2-and-head")
        >>> groups = trainable_parameters(model)
        >>> [(len(group["params"]), group["weight_decay"]) for group in groups]
        [(13, 0.01), (21, 0.0)]
        >>> optimizer = torch.optim.AdamW(groups, lr=2e-5)
    """
    check_module(model)
    _check(weight_decay)
    trainable = [one for one in shared_parameters(model) if one.tensor.requires_grad]
    if not trainable:
        hint = "freeze less: archspec.freeze(model, plan) takes another plan at any time"
        raise FreezeError(Problem("E705", "no parameter is trainable", hint=hint))
    norms = {p for m in model.modules() if isinstance(m, _NORMS) for p in m.parameters()}
    without_decay = [one.tensor in norms or _is_exempt(one) for one in trainable]
    groups = [
        (
            float(weight_decay),
            [one for one, exempt in zip(trainable, without_decay, strict=True) if not exempt],
        ),
        (0.0, [one for one, exempt in zip(trainable, without_decay, strict=True) if exempt]),
    ]
    return [
        {"params": [one.tensor for one in members], "weight_decay": decay}
        for decay, members in groups
        if members
    ]


def _is_exempt(parameter: SharedParameter) -> bool:
    names = [name.rpartition(".")[2] for name in parameter.names]
    is_bias = any(name == "bias" or name.endswith("_bias") for name in names)
    return is_bias or parameter.tensor.ndim < 2


def _check(weight_decay: float) -> None:
    is_number = isinstance(weight_decay, int | float) and not isinstance(weight_decay, bool)  # pyright: ignore[reportUnnecessaryIsInstance]
    if not is_number or not math.isfinite(weight_decay) or weight_decay < 0:
        message = f"weight_decay is a number of 0 or more, not {weight_decay!r}"
        raise UsageError(Problem("E801", message))
