"""Which of the values that stand still to keep: the fewest bytes, as late as possible."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import networkx
import torch
from torch import fx

from archspec.feature_cache.dataflow import Flow, arguments
from archspec.feature_cache.tracing import Trace, hint, operation, symbols

_PRODUCTS = {"mm": "self", "bmm": "self", "matmul": "self", "addmm": "mat1", "baddbmm": "batch1"}
_RECURRENT = ("lstm", "gru", "rnn_tanh", "rnn_relu")


def cut(flow: Flow) -> list[fx.Node]:
    """The values that the rest is given.

    What is worth keeping comes of a frozen tensor or of a matrix product: all else that stands
    still (masks, views, casts, activations) the rest can compute anew, if that makes the values
    smaller. So it is a minimum cut, in bytes of a sample, between the former and the rest; among
    equals the one next to the rest. What cannot be kept for each sample by itself is left to the
    rest, and everything that follows from it.

    Returns:
        Nodes in the order of the graph; none if nothing is worth keeping.
    """
    while True:
        heavy = {node for node in flow.nodes if _is_heavy(flow, node)}
        needed = [n for n in flow.nodes if n not in flow.changing and _feeds(n, flow.changing)]
        stuck = _stuck(flow, heavy, needed)
        if not stuck:
            return _minimum(flow, heavy, needed)
        flow.changing_besides(stuck)


def batch_axis(trace: Trace, value: Any) -> int | None:
    """The dimension of a value that counts the samples; None if there is not exactly one."""
    if not isinstance(value, torch.Tensor):
        return None
    found = [i for i, size in enumerate(value.shape) if symbols(size) & trace.batch]
    if len(found) != 1 or symbols(value.shape[found[0]]) - trace.batch:
        return None
    return found[0] if str(value.shape[found[0]]) in map(str, trace.batch) else None


def work(node: fx.Node) -> int:
    """Multiply-accumulates of one operation at the example's sizes; 0 for what is none of these:
    matrix products, convolutions, attention and recurrent layers."""
    if not isinstance(node.target, torch._ops.OpOverload):
        return 0
    name, given = operation(node), arguments(node)
    if name == "linear":
        return _elements(node) * _sizes(given["weight"])[-1]
    if name in _PRODUCTS:
        return _elements(node) * _sizes(given[_PRODUCTS[name]])[-1]
    if name.startswith("conv"):
        large = given["input"] if "transpose" in name else node
        weight = _sizes(given["weight"])
        return _elements(large) * math.prod(weight[1:])
    if name == "scaled_dot_product_attention":
        keys = _sizes(given["key"])[-2]
        return (_elements(given["query"]) + _elements(node)) * keys
    if name in _RECURRENT:
        steps = _elements(given["input"]) // _sizes(given["input"])[-1]
        return steps * sum(map(_elements, given["params"]))
    return 0


def _minimum(flow: Flow, heavy: set[fx.Node], needed: Iterable[fx.Node]) -> list[fx.Node]:
    """Of all smallest cuts networkx finds the one that is nearest to where the flow ends."""
    graph: Any = networkx.DiGraph()
    graph.add_nodes_from(("frozen", "rest"))
    for node in flow.nodes:
        if node in flow.changing:
            continue
        size = _bytes(flow.trace, node)
        graph.add_edge((node, "in"), (node, "out"), **({} if size is None else {"capacity": size}))
        for source in node.all_input_nodes:
            graph.add_edge((source, "out"), (node, "in"))
        if node in heavy:
            graph.add_edge("frozen", (node, "in"))
    for node in needed:
        graph.add_edge((node, "out"), "rest")
    _, (early, _) = networkx.minimum_cut(graph, "frozen", "rest")
    return [n for n in flow.nodes if (n, "in") in early and (n, "out") not in early]


def _stuck(flow: Flow, heavy: set[fx.Node], needed: Iterable[fx.Node]) -> set[fx.Node]:
    """Heavy nodes whose value reaches the rest without ever being one that can be kept."""
    seen: set[fx.Node] = set()
    waiting = [node for node in needed if node in flow.of_sample]
    while waiting:
        node = waiting.pop()
        if node not in seen and node in flow.of_sample and _bytes(flow.trace, node) is None:
            seen.add(node)
            waiting.extend(node.all_input_nodes)
    return seen & heavy


def _is_heavy(flow: Flow, node: fx.Node) -> bool:
    """Whether a value of a sample has to be computed ahead, or could as well not be kept at all."""
    if node in flow.changing or node not in flow.of_sample or node.op != "call_function":
        return False
    of_weights = any(source in flow.trace.tensors for source in node.all_input_nodes)
    return of_weights or node in flow.written or work(node) > 0


def _bytes(trace: Trace, node: fx.Node) -> int | None:
    """Bytes of a value for one sample of the example; None if samples cannot be told apart."""
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
