"""Finds the values of a trace that never change: data-flow analysis over its graph."""

from __future__ import annotations

import types
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import fx, nn

from archspec.feature_cache.tracing import Trace, operation, path_of

Cause = Literal["trainable", "random", "statistics", "unknown"]

_SWITCHES = ("train", "training", "use_input_stats")
_RATES = ("p", "dropout_p", "dropout")
_OF_SIZES = ("_operator", "math", "torch")  # modules with functions on sizes, and getitem
_METADATA_ONLY = ("detach_", "requires_grad_")


@dataclass(frozen=True, slots=True)
class NotConstant:
    """Why a value changes from step to step although its inputs do not.

    Attributes:
        cause: ``trainable`` for a trained parameter, ``random``, ``statistics`` for batch
            statistics and buffers that they update, ``unknown`` for an operation that is not one
            of PyTorch's.
        path: of the parameter or the module with the operation; "" for the model itself.
        operation: its name; "" for a parameter or a buffer.
    """

    cause: Cause
    path: str
    operation: str = ""

    def __str__(self) -> str:
        where = f"'{self.path}'" if self.path else "the model's own forward"
        match self.cause:
            case "trainable":
                return f"{where} is trained"
            case "random":
                return f"{self.operation} in {where} is random in training"
            case "statistics" if not self.operation:
                return f"buffers of {where} move"
            case "statistics":
                return f"{self.operation} in {where} works with the statistics of the batch"
            case "unknown":
                return f"nothing is known of {self.operation} in {where}"


class ConstantAnalysis:
    """The dependencies of the values in a trace.

    Attributes:
        changing: nodes whose value may differ from step to step for the same sample.
        stops: nodes where that begins, with the reason, in order of execution.
        written: nodes whose memory is written to after their creation.
        of_sample: nodes whose value depends on the model's inputs, not only on their sizes.
    """

    def __init__(self, trace: Trace, model: nn.Module) -> None:
        self.trace, self.nodes = trace, list(trace.graph.nodes)
        self._model = model
        self._place = {node: i for i, node in enumerate(self.nodes)}
        self._sharing: dict[int, list[fx.Node]] = defaultdict(list)
        for node in self.nodes:
            for storage in _storages(node):
                self._sharing[storage].append(node)
        self._writers: dict[int, list[fx.Node]] = defaultdict(list)
        for node in self.nodes:
            for target in _written_by(node):
                for storage in _storages(target):
                    self._writers[storage].append(node)
        self.written = {n for storage in self._writers for n in self._sharing[storage]}
        self.of_sample = self._reached(set(trace.inputs))
        stops = {node: stop for node in self.nodes if (stop := self._stop(node)) is not None}
        self.stops = dict(sorted(stops.items(), key=lambda one: self._first_use(one[0])))
        self.changing = self._changing(set(self.stops))

    def changing_besides(self, nodes: set[fx.Node]) -> None:
        """Treat further nodes, and all that depend on them, as changing."""
        self.changing = self._changing(self.changing | nodes)

    def writers_of(self, node: fx.Node) -> Iterator[fx.Node]:
        """The operations that write to the memory of a node's value."""
        for storage in _storages(node):
            yield from self._writers.get(storage, ())

    @property
    def effects(self) -> list[fx.Node]:
        """The changing operations that write to memory or update statistics."""
        written = (n for n in self.nodes if n in self.changing and any(_written_by(n)))
        moving = (n for n, s in self.stops.items() if s.cause == "statistics")
        return [n for n in dict.fromkeys([*written, *moving]) if n.op == "call_function"]

    def _changing(self, changing: set[fx.Node]) -> set[fx.Node]:
        size = -1
        while len(changing) != size:
            size = len(changing)
            changing = self._reached(changing, sizes=True)
            for storage, writers in self._writers.items():
                if self._is_unstable(storage, writers, changing):
                    changing.update(self._sharing[storage])
        return changing

    def _is_unstable(self, storage: int, writers: list[fx.Node], changing: set[fx.Node]) -> bool:
        """Whether the rest writes to this memory or reads it before its last value is written."""
        if any(writer in changing for writer in writers):
            return True
        last = max(self._place[writer] for writer in writers)
        users = (user for node in self._sharing[storage] for user in node.users)
        return any(user in changing and self._place[user] < last for user in users)

    def _reached(self, sources: set[fx.Node], *, sizes: bool = False) -> set[fx.Node]:
        """These nodes and all that depend on them; through sizes only if ``sizes`` is set."""
        reached = set(sources)
        for node in self.nodes:
            if (sizes or not _is_size(node)) and any(n in reached for n in node.all_input_nodes):
                reached.add(node)
        return reached

    def _first_use(self, node: fx.Node) -> int:
        users = node.users if node.op == "placeholder" else [node]
        return min((self._place[user] for user in users), default=len(self.nodes))

    def _stop(self, node: fx.Node) -> NotConstant | None:
        name = self.trace.tensors.get(node)
        if name is not None:
            return self._stop_of_tensor(node, name)
        if node.op == "placeholder" or node.op == "output":
            return None
        target: Any = node.target
        if not isinstance(target, torch._ops.OpOverload):
            is_known = isinstance(target, types.BuiltinFunctionType | types.FunctionType)
            is_known = is_known and target.__module__ in _OF_SIZES
            return None if is_known else _at(node, "unknown")
        if target.namespace != "aten":
            return _at(node, "unknown")
        if is_random(node):
            return _at(node, "random")
        return _at(node, "statistics") if _uses_batch(node) else None

    def _stop_of_tensor(self, node: fx.Node, name: str) -> NotConstant | None:
        owner, _, attribute = name.rpartition(".")
        tensor = getattr(self._model.get_submodule(owner), attribute)
        if tensor.requires_grad:  # a shared parameter has its first name
            names = (n for n, p in self._model.named_parameters() if p is tensor)
            return NotConstant("trainable", next(names, name))
        return NotConstant("statistics", owner) if any(self.writers_of(node)) else None


def is_random(node: fx.Node) -> bool:
    """Whether an operation draws random numbers, given its arguments."""
    return draws(node) and not _is_switched_off(node)


def draws(node: fx.Node) -> bool:
    """Whether an operation can draw random numbers."""
    tags = getattr(node.target, "tags", ())
    return torch.Tag.nondeterministic_seeded in tags


def _is_switched_off(node: fx.Node) -> bool:
    """Dropout in inference mode, or one that drops nothing."""
    values = arguments(node)
    is_off = any(values.get(name) is False for name in _SWITCHES)
    return is_off or any(values.get(name) == 0 for name in _RATES)


def _uses_batch(node: fx.Node) -> bool:
    """BatchNorm in training; an InstanceNorm whose running statistics move."""
    name, values = operation(node), arguments(node)
    if "batch_norm" in name:
        return values.get("training", values.get("train", False)) is not False
    if "instance_norm" in name:
        return values["use_input_stats"] is not False and values["running_mean"] is not None
    return False


def arguments(node: fx.Node) -> dict[str, Any]:
    """The arguments of an ATen operation by name, defaults included."""
    target: Any = node.target
    values: dict[str, Any] = {}
    for i, argument in enumerate(target._schema.arguments):
        default = argument.default_value if argument.has_default_value() else None
        value = node.args[i] if i < len(node.args) else default
        values[argument.name] = node.kwargs.get(argument.name, value)
    return values


def _written_by(node: fx.Node) -> Iterator[fx.Node]:
    target: Any = node.target
    if not isinstance(target, torch._ops.OpOverload) or operation(node) in _METADATA_ONLY:
        return
    for argument in target._schema.arguments:
        if argument.alias_info is not None and argument.alias_info.is_write:
            written = arguments(node)[argument.name]
            for value in written if isinstance(written, list | tuple) else (written,):
                if isinstance(value, fx.Node):
                    yield value


def _storages(node: fx.Node) -> Iterator[int]:
    """The ids of the storages of a node's tensors."""
    value = node.meta.get("val")
    for one in value if isinstance(value, list | tuple) else (value,):
        if isinstance(one, torch.Tensor):
            yield one.untyped_storage()._cdata


def _is_size(node: fx.Node) -> bool:
    return isinstance(node.meta.get("val"), int | torch.SymInt)


def _at(node: fx.Node, cause: Cause) -> NotConstant:
    return NotConstant(cause, path_of(node), operation(node))
