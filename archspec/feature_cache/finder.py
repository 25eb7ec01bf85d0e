"""``find_frontier``: traces a model, finds constant values, cuts it, and tests both parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, fx, nn

from archspec.feature_cache.dataflow import ConstantAnalysis
from archspec.feature_cache.independence_check import find_batch_dependence
from archspec.feature_cache.minimum_cut import batch_axis, multiply_accumulates, values_to_store
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

_MAX_SAMPLES = 4  # of the example, enough to find dependencies between samples


def find_frontier(
    model: nn.Module,
    inputs: Mapping[str, Tensor],
    *,
    lengths: Sequence[int] | None = None,
    augmented: bool = False,
    least: float = 0.01,
) -> Frontier | NoFrontier:
    """Find where a frozen model can be cut in two, so that the first half runs once per sample.

    The model's forward is traced with ``torch.export`` and its graph searched for values that no
    trained parameter, no random number and no statistics of the batch can change. The stored values
    are the smallest set of them, in bytes per sample, from which everything else can be computed
    without another frozen weight. Then both parts are tested on the example: a value must not
    depend on other samples of the batch or on the padding.

    Args:
        model: built and frozen by a plan, in training mode. It is not changed.
        inputs: a realistic example batch by name, ``[batch, …]`` each: two samples or more, of
            different lengths if lengths differ.
        lengths: of the example's samples, in positions, if dimension 1 of the inputs is padded.
            None: nothing is padded, and only the batch size varies.
        augmented: whether the samples differ from epoch to epoch.
        least: minimum fraction of the multiply-accumulates before the frontier.

    Returns:
        The frontier, or a ``NoFrontier`` with the reason.

    Raises:
        UsageError: E801, the model is not in training mode, or the inputs are not a batch.

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
    examples = {name: _few_samples(value) for name, value in inputs.items()}
    sizes = None if lengths is None else _doubled(list(lengths))[:_MAX_SAMPLES]
    try:
        traced = trace(model, examples, ragged=lengths is not None)
    except Untraceable as error:
        return NoFrontier(f"the model cannot be traced: {error}")
    return _cut_in_two(model, traced, examples, sizes, least)


def _cut_in_two(
    model: nn.Module,
    traced: Trace,
    inputs: Mapping[str, Tensor],
    lengths: list[int] | None,
    least: float,
) -> Frontier | NoFrontier:
    if not all(batch_axis(traced, node.meta["val"]) == 0 for node in traced.inputs):
        return NoFrontier("the model takes batches of one size only")
    flow = ConstantAnalysis(traced, model)
    values = values_to_store(flow)
    if not values:
        return NoFrontier(_first_obstacle(flow))
    split = SplitModel(model, flow, values, ragged=lengths is not None)
    share = _frozen_share(flow)
    if share < least:
        reason = f"what stands still does {share:.1%} of the work, as {_first_obstacle(flow)}"
        return NoFrontier(reason)
    stored = tuple(_stored(traced, values))
    stops = tuple(dict.fromkeys(flow.stops.values()))
    frontier = Frontier(stored, split.first.rest.inputs, share, stops, split)
    reason = find_batch_dependence(frontier, inputs, lengths if traced.length else None)
    return NoFrontier(reason) if reason else frontier


def _check(model: nn.Module, inputs: Mapping[str, Tensor], lengths: Sequence[int] | None) -> None:
    if not mode_of(model):
        raise usage("the frontier is that of training", "call model.train() first")
    counts = {value.shape[0] if value.ndim else 0 for value in inputs.values()}
    if len(counts) != 1 or counts == {0}:
        raise usage("the inputs are no batch: dimension 0 of each counts the samples")
    if lengths is not None and len(lengths) not in counts:
        raise usage(f"{len(lengths)} lengths were given for {counts.pop()} samples")


def _few_samples(value: Tensor) -> Tensor:
    """A few samples; a single one twice, because a size of 1 is treated as constant."""
    return torch.cat([value, value])[:2] if len(value) == 1 else value[:_MAX_SAMPLES]


def _doubled(lengths: list[int]) -> list[int]:
    return lengths * 2 if len(lengths) == 1 else lengths


def _first_obstacle(flow: ConstantAnalysis) -> str:
    """The first obstacle, in words."""
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


def _frozen_share(flow: ConstantAnalysis) -> float:
    total = sum(map(multiply_accumulates, flow.nodes))
    return (
        sum(multiply_accumulates(n) for n in flow.nodes if n not in flow.changing) / total
        if total
        else 0.0
    )


def _stored(traced: Trace, values: Sequence[fx.Node]) -> list[StoredValue]:
    stored: list[StoredValue] = []
    for node in values:
        value = node.meta["val"]
        axis = batch_axis(traced, value) or 0
        sizes = [size for i, size in enumerate(value.shape) if i != axis]
        shape = tuple(None if symbols(size) & traced.length else hint(size) for size in sizes)
        name = path_of(node) or operation(node)
        same_name = sum(other.name == name or other.name.startswith(f"{name}#") for other in stored)
        stored.append(
            StoredValue(f"{name}#{same_name}" if same_name else name, shape, value.dtype, axis)
        )
    return stored
