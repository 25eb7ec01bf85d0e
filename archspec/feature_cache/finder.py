"""``find_frontier``: trace, find what stands still, cut, and try the halves out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, fx, nn

from archspec.feature_cache.dataflow import Flow
from archspec.feature_cache.independence_check import find_mixing
from archspec.feature_cache.minimum_cut import batch_axis, cut, work
from archspec.feature_cache.report import Frontier, NoFrontier, StoredValue
from archspec.feature_cache.split_model import SplitModel
from archspec.feature_cache.tracing import (
    Trace,
    Untraceable,
    hint,
    operation,
    path_of,
    symbols,
    trace,
    usage,
)
from archspec.freezing.modes import mode_of

_SAMPLES = 4  # of the example are enough to see what samples have to do with each other


def find_frontier(
    model: nn.Module,
    inputs: Mapping[str, Tensor],
    *,
    lengths: Sequence[int] | None = None,
    augmented: bool = False,
    least: float = 0.01,
) -> Frontier | NoFrontier:
    """Where a frozen model can be cut in two, so that the first half runs only once per sample.

    The model's forward is traced with ``torch.export`` and its graph searched for values that no
    trained parameter, no random number and no statistics of the batch can change. What is kept is
    the smallest set of them, in bytes of a sample, from which all that changes can be computed
    without another frozen weight. Then both halves are tried out on the example: a value must not
    depend on what else is in the batch, nor on how far a sample is padded.

    Args:
        model: built and frozen by a plan, in training mode. It is left as it is.
        inputs: an example batch by name, ``[batch, …]`` each, real in kind: two samples or more,
            and of different lengths if lengths differ.
        lengths: of the samples of the example, in positions, where dimension 1 of the inputs is
            padded; left out, nothing is, and all sizes but the batch's stay as they are here.
        augmented: whether the samples look different in every epoch.
        least: the share of the multiply-accumulates that has to lie in front to be worth it.

    Returns:
        The frontier, or a ``NoFrontier`` that says why there is none.

    Raises:
        UsageError: E801, the model is not in training mode, or the inputs are no batch.

    Example:
        >>> import archspec, torch
        >>> model = archspec.build("resnet18", device="cpu", freeze="head-only")
        >>> found = find_frontier(model, {"x": torch.rand(2, 3, 32, 32)})
        >>> [(value.name, value.shape) for value in found.values]
        [('flatten', (512,))]
    """
    inputs = {name: value for name, value in inputs.items() if isinstance(value, Tensor)}
    _check(model, inputs, lengths)
    if augmented:
        return NoFrontier("augmentation changes the inputs in every epoch")
    trainable = [name for name, p in model.named_parameters() if p.requires_grad]
    if not trainable:
        return NoFrontier("nothing is trained")
    if all(p.requires_grad for p in model.parameters()):
        return NoFrontier("nothing is frozen")
    given = {name: _example(value) for name, value in inputs.items()}
    sizes = None if lengths is None else _repeated(list(lengths))[:_SAMPLES]
    try:
        found = trace(model, given, ragged=lengths is not None)
    except Untraceable as error:
        return NoFrontier(f"the model cannot be traced: {error}")
    return _cut_in_two(model, found, given, sizes, least)


def _cut_in_two(
    model: nn.Module,
    found: Trace,
    inputs: Mapping[str, Tensor],
    lengths: list[int] | None,
    least: float,
) -> Frontier | NoFrontier:
    if not all(batch_axis(found, node.meta["val"]) == 0 for node in found.inputs):
        return NoFrontier("the model takes batches of one size only")
    flow = Flow(found, model)
    values = cut(flow)
    if not values:
        return NoFrontier(_why_nothing(flow))
    halves = SplitModel(model, flow, values, ragged=lengths is not None)
    share = _share(flow)
    if share < least:
        reason = f"what stands still does {share:.1%} of the work, as {_why_nothing(flow)}"
        return NoFrontier(reason)
    stored = tuple(_stored(found, values))
    stops = tuple(dict.fromkeys(flow.stops.values()))
    frontier = Frontier(stored, halves.first.rest.inputs, share, stops, halves)
    reason = find_mixing(frontier, inputs, lengths if found.length else None)
    return NoFrontier(reason) if reason else frontier


def _check(model: nn.Module, inputs: Mapping[str, Tensor], lengths: Sequence[int] | None) -> None:
    if not mode_of(model):
        raise usage("the frontier is that of training", "call model.train() first")
    counts = {value.shape[0] if value.ndim else 0 for value in inputs.values()}
    if len(counts) != 1 or counts == {0}:
        raise usage("the inputs are no batch: dimension 0 of each counts the samples")
    if lengths is not None and len(lengths) not in counts:
        raise usage(f"{len(lengths)} lengths were given for {counts.pop()} samples")


def _example(value: Tensor) -> Tensor:
    """A few samples; a single one twice, for a size of 1 says nothing of others."""
    return torch.cat([value, value])[:2] if len(value) == 1 else value[:_SAMPLES]


def _repeated(lengths: list[int]) -> list[int]:
    return lengths * 2 if len(lengths) == 1 else lengths


def _why_nothing(flow: Flow) -> str:
    """What is first in the way, in words."""
    first = next(iter(flow.stops.values()))
    match first.cause:
        case "trainable":
            return f"the first layers are trained: {first}"
        case "random":
            return f"{first}: freeze that module, by a plan that leaves out `dropout: false`"
        case "statistics":
            return f"{first}: freeze that module, by a plan that leaves out `statistics: false`"
        case "unknown":
            return str(first)


def _share(flow: Flow) -> float:
    total = sum(map(work, flow.nodes))
    return sum(work(n) for n in flow.nodes if n not in flow.changing) / total if total else 0.0


def _stored(found: Trace, values: Sequence[fx.Node]) -> list[StoredValue]:
    stored: list[StoredValue] = []
    for node in values:
        value = node.meta["val"]
        axis = batch_axis(found, value) or 0
        sizes = [size for i, size in enumerate(value.shape) if i != axis]
        shape = tuple(None if symbols(size) & found.length else hint(size) for size in sizes)
        name = path_of(node) or operation(node)
        taken = sum(one.name == name or one.name.startswith(f"{name}#") for one in stored)
        stored.append(StoredValue(f"{name}#{taken}" if taken else name, shape, value.dtype, axis))
    return stored
