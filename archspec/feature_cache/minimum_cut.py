"""Chooses which constant values to store: the fewest bytes, as late as possible."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import networkx
import torch
from torch import fx

from archspec.feature_cache.dataflow import ConstantAnalysis, arguments
from archspec.feature_cache.tracing import Trace, hint, operation, symbols

_PRODUCTS = {"mm": "self", "bmm": "self", "matmul": "self", "addmm": "mat1", "baddbmm": "batch1"}
_RECURRENT = ("lstm", "gru", "rnn_tanh", "rnn_relu")


def values_to_store(flow: ConstantAnalysis) -> list[fx.Node]:
    """The values to store.

    Only results of frozen tensors and matrix products are worth storing: the rest can recompute
    other constant values (masks, views, casts, activations) if the stored values become smaller.
    So this is a minimum cut, in bytes per sample, between the former and the rest; among equal cuts
    the one nearest to the rest. Values that cannot be stored per sample, and all that depend on
    them, are left to the rest.

    Returns:
        Nodes in the order of the graph; none if nothing is worth storing.
    """
    while True:
        expensive = {node for node in flow.nodes if _is_expensive(flow, node)}
        needed = [n for n in flow.nodes if n not in flow.changing and _feeds(n, flow.changing)]
        unstorable = _unstorable(flow, expensive, needed)
        if not unstorable:
            return _minimum_cut(flow, expensive, needed)
        flow.changing_besides(unstorable)


def batch_axis(trace: Trace, value: Any) -> int | None:
    """The dimension of a value that counts the samples; None if there is not exactly one."""
    if not isinstance(value, torch.Tensor):
        return None
    axes = [i for i, size in enumerate(value.shape) if symbols(size) & trace.batch]
    if len(axes) != 1 or symbols(value.shape[axes[0]]) - trace.batch:
        return None
    return axes[0] if str(value.shape[axes[0]]) in map(str, trace.batch) else None


def multiply_accumulates(node: fx.Node) -> int:
    """Multiply-accumulates of one operation at the example's sizes; 0 for what is none of these:
    matrix products, convolutions, attention and recurrent layers."""
    if not isinstance(node.target, torch._ops.OpOverload):
        return 0
    name, values = operation(node), arguments(node)
    if name == "linear":
        return _elements(node) * _sizes(values["weight"])[-1]
    if name in _PRODUCTS:
        return _elements(node) * _sizes(values[_PRODUCTS[name]])[-1]
    if name.startswith("conv"):
        output = values["input"] if "transpose" in name else node
        weight = _sizes(values["weight"])
        return _elements(output) * math.prod(weight[1:])
    if name == "scaled_dot_product_attention":
        keys = _sizes(values["key"])[-2]
        return (_elements(values["query"]) + _elements(node)) * keys
    if name in _RECURRENT:
        steps = _elements(values["input"]) // _sizes(values["input"])[-1]
        return steps * sum(map(_elements, values["params"]))
    return 0


def _minimum_cut(
    flow: ConstantAnalysis, expensive: set[fx.Node], needed: Iterable[fx.Node]
) -> list[fx.Node]:
    """Of several minimum cuts networkx finds the one nearest to the end of the flow."""
    graph: Any = networkx.DiGraph()
    graph.add_nodes_from(("frozen", "rest"))
    for node in flow.nodes:
        if node in flow.changing:
            continue
        size = _bytes(flow.trace, node)
        graph.add_edge((node, "in"), (node, "out"), **({} if size is None else {"capacity": size}))
        for source in node.all_input_nodes:
            graph.add_edge((source, "out"), (node, "in"))
        if node in expensive:
            graph.add_edge("frozen", (node, "in"))
    for node in needed:
        graph.add_edge((node, "out"), "rest")
    _, (source_side, _) = networkx.minimum_cut(graph, "frozen", "rest")
    return [n for n in flow.nodes if (n, "in") in source_side and (n, "out") not in source_side]


def _unstorable(
    flow: ConstantAnalysis, expensive: set[fx.Node], needed: Iterable[fx.Node]
) -> set[fx.Node]:
    """Expensive nodes whose value reaches the rest without passing one that can be stored."""
    seen: set[fx.Node] = set()
    queue = [node for node in needed if node in flow.of_sample]
    while queue:
        node = queue.pop()
        if node not in seen and node in flow.of_sample and _bytes(flow.trace, node) is None:
            seen.add(node)
            queue.extend(node.all_input_nodes)
    return seen & expensive


def _is_expensive(flow: ConstantAnalysis, node: fx.Node) -> bool:
    """Whether a value is worth storing, because recomputing it needs weights or much work."""
    if node in flow.changing or node not in flow.of_sample or node.op != "call_function":
        return False
    of_weights = any(source in flow.trace.tensors for source in node.all_input_nodes)
    return of_weights or node in flow.written or multiply_accumulates(node) > 0


def _bytes(trace: Trace, node: fx.Node) -> int | None:
    """Bytes of a value for one sample of the example; None if it has no batch dimension."""
    value: Any = node.meta.get("val")
    axis = batch_axis(trace, value)
    if axis is None or node.op == "output":
        return None
    return _elements(node) // hint(value.shape[axis]) * value.dtype.itemsize


def _feeds(node: fx.Node, changing: set[fx.Node]) -> bool:
    return any(user in changing or user.op == "output" for user in node.users)


def _sizes(node: fx.Node) -> list[int]:
    return [hint(size) for size in node.meta["val"].shape]


def _elements(node: fx.Node) -> int:
    value = node.meta["val"]
    return math.prod(hint(size) for size in value.shape) if isinstance(value, torch.Tensor) else 0
