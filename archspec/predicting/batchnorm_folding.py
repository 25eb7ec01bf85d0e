"""Folds BatchNorm into the convolution before it, where the data flow allows it.

In inference ``bn(conv(x))`` is a convolution with other weights: Jacob et al. 2018, section 3.2,
arXiv:1712.05877.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from archspec.feature_cache.tracing import Trace, Untraceable, operation, trace

_CONVOLUTIONS = {"conv1d": nn.Conv1d, "conv2d": nn.Conv2d, "conv3d": nn.Conv3d}
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def fold_batchnorm(model: nn.Module, inputs: Mapping[str, Tensor]) -> int:
    """Fold each BatchNorm that is the only user of a convolution's output.

    Args:
        model: in inference mode; it is changed in place, ``Identity`` replaces each BatchNorm.
        inputs: a batch; all but its first dimension must be the same for all batches.

    Returns:
        The number of folded modules.

    Raises:
        Untraceable: the model's operations depend on values or on the size of the batch.
    """
    if not any(isinstance(module, _NORMS) for module in model.modules()):
        return 0
    doubled = {name: torch.cat([one, one])[:2] for name, one in inputs.items()}
    traced = trace(model, doubled, ragged=False)
    if traced.is_conditional:
        raise Untraceable("what it does depends on the size of the batch")
    pairs = [*_pairs(model, traced)]
    for conv, norm in pairs:
        fused: Any = fuse_conv_bn_eval(model.get_submodule(conv), model.get_submodule(norm))  # pyright: ignore[reportArgumentType]
        model.set_submodule(conv, fused)
        model.set_submodule(norm, nn.Identity())
    return len(pairs)


def _pairs(model: nn.Module, traced: Trace) -> Iterator[tuple[str, str]]:
    """The paths of each convolution and its BatchNorm."""
    modules = dict(model.named_modules(remove_duplicate=False))
    counts = Counter(map(id, modules.values()))
    for node in traced.graph.nodes:
        if operation(node) != "batch_norm" or node.args[5]:  # uses the statistics of the batch
            continue
        conv, statistics = node.args[0], node.args[3]
        kind = _CONVOLUTIONS.get(operation(conv)) if conv.op == "call_function" else None
        if kind is None or set(conv.users) != {node}:
            continue
        paths = [
            _owner(traced, one, user) for one, user in ((conv.args[1], conv), (statistics, node))
        ]
        first, second = (modules.get(path) if path is not None else None for path in paths)
        plain = type(first) is kind and type(second) in _NORMS
        if plain and all(counts[id(one)] == 1 and not _is_hooked(one) for one in (first, second)):
            yield str(paths[0]), str(paths[1])


def _owner(traced: Trace, tensor: object, user: fx.Node) -> str | None:
    """The module of a tensor that has no other user."""
    if not isinstance(tensor, fx.Node) or set(tensor.users) != {user}:
        return None
    name = traced.tensors.get(tensor)
    return None if name is None else name.rpartition(".")[0]


def _is_hooked(module: nn.Module | None) -> bool:
    return module is None or bool(module._forward_hooks or module._forward_pre_hooks)
