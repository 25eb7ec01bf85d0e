"""First values of adapters that depend on the weights of the layers that they replace."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

import torch
from torch import nn

from archspec.lang.spec import Spec

_MAGNITUDE = "lora_magnitude_vector"


@torch.no_grad()
def set_magnitudes(model: nn.Module, spec: Spec, loaded: Container[str]) -> None:
    """Start each magnitude of DoRA as the norms of the weight's rows.

    Not those that were ``loaded``, and not those of an adapter that has been trained: its second
    matrix is no longer zero.
    """
    for path, kind in spec.adapter.classes.items() if spec.adapter else ():
        if kind == "DoraLinear" and f"{path}.{_MAGNITUDE}" not in loaded:
            layer: Any = model.get_submodule(path)
            if not layer.lora_B.weight.any():
                norms = torch.linalg.norm(layer.base_layer.weight, dim=1)
                layer.get_parameter(_MAGNITUDE).copy_(norms)
