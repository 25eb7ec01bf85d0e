"""Splits a trace in two: what is computed once for each sample, and the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_arg

from archspec.feature_cache.dataflow import ConstantAnalysis, arguments, draws, is_random
from archspec.feature_cache.tracing import Trace


class Part:
    """Some operations of a trace as code, on the model's own parameters and buffers.

    Attributes:
        tensors: names of the parameters and buffers that it uses.
        constants: tensors that the forward creates.
        inputs: names of the model's inputs that it uses.
        code: Python source.
    """

    def __init__(
        self,
        flow: ConstantAnalysis,
        model: nn.Module,
        values: Sequence[fx.Node],
        outputs: Any,
        effects: Sequence[fx.Node] = (),
    ) -> None:
        """The part that computes ``outputs`` from ``values`` and the model's inputs.

        Args:
            effects: operations that are executed although no output needs them.
        """
        trace = flow.trace
        nodes = _nodes_between(flow, values, outputs, effects)
        tensors = [node for node in nodes if node in trace.tensors]
        constants = [node for node in nodes if node in trace.constants]
        inputs = [node for node in nodes if node in trace.inputs]
        graph, copies = fx.Graph(), dict[fx.Node, fx.Node]()
        for i, node in enumerate([*tensors, *constants, *values, *inputs]):
            copies[node] = graph.placeholder(f"{'value_' if node in values else ''}{node.name}_{i}")
        for node in nodes:
            if node not in copies:
                copies[node] = graph.node_copy(node, copies.__getitem__)
                copies[node].meta = {}
        graph.output(map_arg(outputs, copies.__getitem__))
        run = fx.GraphModule({}, graph)
        self._run: Callable[..., Any] = run
        self.tensors = tuple(trace.tensors[node] for node in nodes if node in trace.tensors)
        self.constants = tuple(trace.constants[node] for node in nodes if node in trace.constants)
        self._owners = [_owner(model, name) for name in self.tensors]
        self.inputs = tuple(trace.inputs[node] for node in inputs)
        self.code = run.code

    def compile(self, compiled: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        """Run what ``compiled`` makes of the code, from now on."""
        self._run = compiled(self._run)

    def current(self) -> list[Tensor]:
        """The model's current parameters and buffers, even if they have been replaced."""
        return [getattr(*home) for home in self._owners]

    def __call__(
        self,
        values: Sequence[Tensor],
        inputs: Mapping[str, Tensor],
        tensors: Sequence[Tensor] | None = None,
    ) -> Any:
        """Run it, with the current parameters and buffers or with ``tensors``."""
        own = self.current() if tensors is None else tensors
        given = (inputs[name] for name in self.inputs)
        return self._run(*own, *self.constants, *values, *given)


def flat_outputs(trace: Trace) -> Any:
    """The outputs of the graph: a flat sequence of nodes and constants."""
    return trace.graph.output_node().args[0]


def counterparts(values: Iterable[fx.Node], other_trace: Trace) -> list[fx.Node] | None:
    """The same values in another trace of the same model; None if one is missing."""
    numbers: dict[object, int] = {}
    values = list(values)
    own = _number_nodes(values[0].graph, numbers) if values else {}
    node_of = {number: node for node, number in _number_nodes(other_trace.graph, numbers).items()}
    nodes = [node_of.get(own[value]) for value in values]
    return None if None in nodes else [node for node in nodes if node is not None]


def _nodes_between(
    flow: ConstantAnalysis, values: Sequence[fx.Node], outputs: Any, effects: Sequence[fx.Node]
) -> list[fx.Node]:
    """The nodes between values and outputs, in order."""
    needed: set[fx.Node] = set()
    queue = list(effects)
    map_arg(outputs, queue.append)
    while queue:
        node = queue.pop()
        if node in needed or node in values:
            continue
        needed.add(node)
        queue.extend(node.all_input_nodes)
        queue.extend(flow.writers_of(node))
    return [node for node in flow.nodes if node in needed]


def _owner(model: nn.Module, name: str) -> tuple[nn.Module, str]:
    owner, _, attribute = name.rpartition(".")
    return model.get_submodule(owner), attribute


def _number_nodes(graph: fx.Graph, known: dict[object, int]) -> dict[fx.Node, int]:
    """Number nodes; the same computation of the same tensors and inputs has the same number."""
    numbers: dict[fx.Node, int] = {}
    for node in graph.nodes:
        if node.op == "placeholder":
            key: object = node.name
        else:
            key = (node.target, repr(_normalised_arguments(node, numbers)))
        numbers[node] = known.setdefault(key, len(known))
    return numbers


def _normalised_arguments(node: fx.Node, numbers: Mapping[fx.Node, int]) -> Any:
    """A node's arguments with numbers for nodes; all inactive dropouts are equal."""
    content: Any = [node.args, dict(node.kwargs)]
    if isinstance(node.target, torch._ops.OpOverload) and draws(node) and not is_random(node):
        content = {k: v for k, v in arguments(node).items() if k not in ("p", "train", "training")}
    return map_arg(content, lambda n: _Number(numbers[n]))


class _Number(int):
    """The number of a node, distinct from an integer argument."""

    def __repr__(self) -> str:
        return f"%{int(self)}"
