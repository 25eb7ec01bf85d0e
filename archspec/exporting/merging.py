"""An adapter merged into the weights of its base model."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from archspec.builder import build
from archspec.building.built_specs import spec_of
from archspec.errors import Problem, UsageError
from archspec.weights.loading import assign, state_of


def merge(model: nn.Module) -> nn.Module:
    """The plain model that computes what a model with an adapter does, in inference mode.

    The adapter's tensors become part of the layers' weights; the given model is not changed.

    Args:
        model: from ``build`` with an adapter.

    Returns:
        A model of the spec without the adapter, on the same device and in the same mode.

    Raises:
        UsageError: E801, the model was not built with an adapter, or is on ``meta``.

    Example:
        >>> model = build("resnet18", device="cpu", adapter={"kind": "lora", "match": "fc"})
        >>> merge(model).fc
        Linear(in_features=512, out_features=1000, bias=True)
    """
    spec = spec_of(model)
    if spec is None or spec.adapter is None:
        hint = "archspec.build(…, adapter=…) gives one; a copy of it is not known"
        raise UsageError(Problem("E801", "the model was not built with an adapter", hint=hint))
    state = state_of(model, spec)
    device = next(iter(state.values())).device
    if device.type == "meta":
        raise UsageError(Problem("E801", "the model is on meta: it has no weights to merge"))
    merged = {name: tensor.detach() for name, tensor in state.items()}
    for path, kind in spec.adapter.classes.items():
        weight, bias = _merged(kind, model.get_submodule(path))
        merged[f"{path}.weight"] = weight
        if bias is not None:
            merged[f"{path}.bias"] = bias
    plain = build(spec.plain, device=device, seed=0)
    own = plain.state_dict()
    assign(plain, {name: tensor.clone() for name, tensor in merged.items() if name in own})
    return plain.train(model.training)


@torch.no_grad()
def _merged(kind: str, layer: Any) -> tuple[Tensor, Tensor | None]:
    """The weight of a layer with its adapter, and the bias if it changes, computed in float32."""
    base: Tensor = layer.base_layer.weight
    exact = torch.promote_types(base.dtype, torch.float32)
    weight = base.to(exact)
    if kind == "Ia3FeedforwardLinear":
        return (weight * layer.ia3_l).to(base.dtype), None
    if kind == "Ia3Linear":
        bias = layer.base_layer.bias
        scaled = None if bias is None else (bias * layer.ia3_l.flatten()).to(bias.dtype)
        return (weight * layer.ia3_l).to(base.dtype), scaled
    if kind == "LoraEmbedding":
        change = (layer.lora_embedding_B.to(exact) @ layer.lora_embedding_A.to(exact)).T
    else:
        first, second = layer.lora_A.weight.to(exact), layer.lora_B.weight.to(exact)
        change = (second.flatten(1) @ first.flatten(1)).view(weight.shape)
    weight = weight + change * layer.scaling
    if kind == "DoraLinear":
        norms = torch.linalg.norm(weight, dim=1)
        weight = weight * (layer.lora_magnitude_vector.to(exact) / norms)[:, None]
    return weight.to(base.dtype), None
