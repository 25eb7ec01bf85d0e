"""The name of a cache: a hash of everything that the values depend on."""

from __future__ import annotations

import hashlib
import json
from importlib import import_module

import torch

from archspec.feature_cache.report import Frontier
from archspec.freezing.proof import tensor_hash


def activation_key(
    frontier: Frontier, *, data: str, preprocessing: str, precision: str = ""
) -> str:
    """The name of the values of one data set at a frontier.

    It changes with the operations before the frontier (as source, so a new head keeps it), with the
    bytes of the weights that they use, and with the versions of archspec and torch.

    Args:
        frontier: of the model in its current state.
        data: a fingerprint of the samples and their order.
        preprocessing: how samples become inputs, as text: tokenizer, maximum length, resizing.
        precision: what else affects the values, such as the dtype of autocast.

    Returns:
        64 hexadecimal digits.

    Raises:
        UsageError: E801, the model is on ``meta`` and has no data.

    Example:
        >>> import archspec
        >>> model = archspec.build("resnet18", device="cpu", freeze="head-only")
        >>> found = archspec.find_frontier(model, {"x": torch.rand(2, 3, 32, 32)})
        >>> len(activation_key(found, data="sha256 of the rows", preprocessing="resize 32"))
        64
    """
    part = frontier.split.first.frozen
    names = [*part.tensors, *(f"constant {i}" for i in range(len(part.constants)))]
    tensors = zip(names, (*part.current(), *part.constants), strict=True)
    facts = {
        "source": part.code,
        "tensors": [(name, tensor_hash(name, tensor)) for name, tensor in tensors],
        "values": [value.to_dict() for value in frontier.values],
        "data": data,
        "preprocessing": preprocessing,
        "precision": precision,
        "versions": [_version(), str(torch.__version__)],
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _version() -> str:
    """The version of archspec; an import at the top would be circular."""
    return import_module("archspec").__version__
