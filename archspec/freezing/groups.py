"""What an optimizer is given: the trainable parameters, with and without weight decay."""

from __future__ import annotations

import math
from typing import Any

from torch import nn

from archspec.errors import FreezeError, Problem, UsageError
from archspec.freezing.selection import Shared, check_module, shared_parameters

_NORMS = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.modules.batchnorm._NormBase)


def trainable_parameters(model: nn.Module, *, weight_decay: float = 0.01) -> list[dict[str, Any]]:
    """The parameters that get a gradient, as groups for an optimizer of ``torch.optim``.

    Weights decay, with these exceptions: parameters named ``bias`` or ``…_bias``; parameters of
    LayerNorm, GroupNorm, RMSNorm, and of all kinds of BatchNorm and InstanceNorm; and parameters of
    less than two dimensions, whatever holds them. A shared parameter stands in one group, once, and
    does not decay if that holds for one of its names.

    Args:
        model: any module, with or without a freeze plan.
        weight_decay: of those that decay; the others have 0.

    Returns:
        One or two groups, ``{"params": […], "weight_decay": …}``, none of them empty, in the order
        of ``model.parameters()``.

    Raises:
        FreezeError: E705, nothing is trainable.
        UsageError: E801, the weight decay is no number of 0 or more.

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
    chosen = [one for one in shared_parameters(model) if one.tensor.requires_grad]
    if not chosen:
        hint = "freeze less: archspec.freeze(model, plan) takes another plan at any time"
        raise FreezeError(Problem("E705", "no parameter is trainable", hint=hint))
    norms = {p for m in model.modules() if isinstance(m, _NORMS) for p in m.parameters()}
    exempt = [one.tensor in norms or _is_exempt(one) for one in chosen]
    groups = [
        (float(weight_decay), [one for one, free in zip(chosen, exempt, strict=True) if not free]),
        (0.0, [one for one, free in zip(chosen, exempt, strict=True) if free]),
    ]
    return [
        {"params": [one.tensor for one in members], "weight_decay": decay}
        for decay, members in groups
        if members
    ]


def _is_exempt(parameter: Shared) -> bool:
    own = [name.rpartition(".")[2] for name in parameter.names]
    is_bias = any(name == "bias" or name.endswith("_bias") for name in own)
    return is_bias or parameter.tensor.ndim < 2


def _check(weight_decay: float) -> None:
    is_number = isinstance(weight_decay, int | float) and not isinstance(weight_decay, bool)  # pyright: ignore[reportUnnecessaryIsInstance]
    if not is_number or not math.isfinite(weight_decay) or weight_decay < 0:
        message = f"weight_decay is a number of 0 or more, not {weight_decay!r}"
        raise UsageError(Problem("E801", message))
