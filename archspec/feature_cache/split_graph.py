"""A trace in two: what is computed once for each sample, and the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_arg

from archspec.feature_cache.dataflow import Flow, arguments, draws, is_random
from archspec.feature_cache.tracing import Trace


class Part:
    """Some operations of a trace as code, on the model's own parameters and buffers.

    Attributes:
        tensors: names of the parameters and buffers that it uses.
        constants: tensors that the forward makes out of nothing.
        inputs: names of the model's inputs that it uses.
        code: Python source.
    """

    def __init__(
        self,
        flow: Flow,
        model: nn.Module,
        values: Sequence[fx.Node],
        outputs: Any,
        effects: Sequence[fx.Node] = (),
    ) -> None:
        """The part that makes ``outputs`` of ``values`` and the model's inputs.

        Args:
            effects: operations that happen although no output needs them.
        """
        trace = flow.trace
        nodes = _between(flow, values, outputs, effects)
        tensors = [node for node in nodes if node in trace.tensors]
        constants = [node for node in nodes if node in trace.constants]
        given = [node for node in nodes if node in trace.inputs]
        graph, made = fx.Graph(), dict[fx.Node, fx.Node]()
        for i, node in enumerate([*tensors, *constants, *values, *given]):
            made[node] = graph.placeholder(f"{'value_' if node in values else ''}{node.name}_{i}")
        for node in nodes:
            if node not in made:
                made[node] = graph.node_copy(node, made.__getitem__)
                made[node].meta = {}
        graph.output(map_arg(outputs, made.__getitem__))
        self._run = fx.GraphModule({}, graph)
        self.tensors = tuple(trace.tensors[node] for node in nodes if node in trace.tensors)
        self.constants = tuple(trace.constants[node] for node in nodes if node in trace.constants)
        self._homes = [_home(model, name) for name in self.tensors]
        self.inputs = tuple(trace.inputs[node] for node in given)
        self.code = self._run.code

    def current(self) -> list[Tensor]:
        """The parameters and buffers as they are now, whichever object they may be."""
        return [getattr(*home) for home in self._homes]

    def __call__(
        self,
        values: Sequence[Tensor],
        inputs: Mapping[str, Tensor],
        tensors: Sequence[Tensor] | None = None,
    ) -> Any:
        """Run it; ``tensors`` may stand in for the current ones."""
        own = self.current() if tensors is None else tensors
        given = (inputs[name] for name in self.inputs)
        return self._run(*own, *self.constants, *values, *given)


def flat_outputs(trace: Trace) -> Any:
    """What the graph returns: a flat sequence of nodes and constants."""
    return trace.graph.output_node().args[0]


def counterparts(values: Iterable[fx.Node], theirs: Trace) -> list[fx.Node] | None:
    """The same values in another trace of the same model; None if one of them is not there."""
    known: dict[object, int] = {}
    values = list(values)
    ours = _numbered(values[0].graph, known) if values else {}
    others = {number: node for node, number in _numbered(theirs.graph, known).items()}
    found = [others.get(ours[value]) for value in values]
    return None if None in found else [node for node in found if node is not None]


def _between(
    flow: Flow, values: Sequence[fx.Node], outputs: Any, effects: Sequence[fx.Node]
) -> list[fx.Node]:
    """The nodes that are needed for the outputs, as far back as the values, in order."""
    needed: set[fx.Node] = set()
    waiting = list(effects)
    map_arg(outputs, waiting.append)
    while waiting:
        node = waiting.pop()
        if node in needed or node in values:
            continue
        needed.add(node)
        waiting.extend(node.all_input_nodes)
        waiting.extend(flow.writers_of(node))
    return [node for node in flow.nodes if node in needed]


def _home(model: nn.Module, name: str) -> tuple[nn.Module, str]:
    owner, _, attribute = name.rpartition(".")
    return model.get_submodule(owner), attribute


def _numbered(graph: fx.Graph, known: dict[object, int]) -> dict[fx.Node, int]:
    """Equal numbers for what is computed alike of the same tensors and inputs."""
    found: dict[fx.Node, int] = {}
    for node in graph.nodes:
        if node.op == "placeholder":
            key: object = node.name
        else:
            key = (node.target, repr(_plain(node, found)))
        found[node] = known.setdefault(key, len(known))
    return found


def _plain(node: fx.Node, numbers: Mapping[fx.Node, int]) -> Any:
    """A node's arguments with numbers for nodes; that a dropout is off is said in one way."""
    given: Any = [node.args, dict(node.kwargs)]
    if isinstance(node.target, torch._ops.OpOverload) and draws(node) and not is_random(node):
        given = {k: v for k, v in arguments(node).items() if k not in ("p", "train", "training")}
    return map_arg(given, lambda n: _Number(numbers[n]))


class _Number(int):
    """The number of a node, which is no literal."""

    def __repr__(self) -> str:
        return f"%{int(self)}"
