"""A model as a graph of ATen operations, with what its placeholders stand for."""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export import Dim
from torch.export.graph_signature import InputKind
from torch.fx.experimental import _config
from torch.utils._pytree import tree_unflatten

from archspec.errors import Problem, UsageError
from archspec.report.text import first_line

_PATH_OF_A_SECOND_CALL = re.compile(r"@\d+")
_TENSORS = (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR)


class Untraceable(Exception):
    """The model cannot be written down as one graph; the message says why."""


@dataclass(eq=False)
class Trace:
    """What a model does in one mode, for every batch size and length that its guards admit.

    Attributes:
        graph: of ATen operations, none of them taken apart.
        tensors: placeholder → name of the parameter or buffer.
        constants: placeholder → a tensor that the forward makes out of nothing.
        inputs: placeholder → name of the model's input, those alone that are tensors.
        outputs: makes what the model returns of a flat list.
        batch: the symbols that stand for the batch size.
        length: the symbols that stand for the padded length.
    """

    graph: fx.Graph
    tensors: dict[fx.Node, str]
    constants: dict[fx.Node, Tensor]
    inputs: dict[fx.Node, str]
    outputs: Callable[[Sequence[Any]], Any]
    batch: frozenset[Any]
    length: frozenset[Any]
    _guards: list[Any]
    _admitted: set[tuple[tuple[int, ...], ...]] = field(default_factory=set)  # pyright: ignore[reportUnknownVariableType]

    @property
    def is_conditional(self) -> bool:
        """Whether the model might do something else for another size of batch or length."""
        return bool(self._guards)

    def check(self, inputs: Mapping[str, Any]) -> None:
        """Refuse inputs for which the model might do something else than this graph.

        Raises:
            UsageError: E801, an input is missing, or has a size that the graph does not admit.
        """
        given = {name: value for name, value in inputs.items() if value is not None}
        if given.keys() != set(self.inputs.values()):
            wanted = ", ".join(self.inputs.values())
            raise usage(f"the frontier was found for the inputs {wanted}, not {', '.join(given)}")
        sizes = tuple(tuple(given[name].shape) for name in self.inputs.values())
        if sizes in self._admitted:
            return
        bound: dict[Any, int] = {}
        for node, name in self.inputs.items():
            shape, found = node.meta["val"].shape, given[name].shape
            fits = len(shape) == len(found) and all(
                _fits(size, actual, bound) for size, actual in zip(shape, found, strict=True)
            )
            if not fits:
                text = ", ".join(str(size) if isinstance(size, int) else "*" for size in shape)
                raise usage(f"input '{name}' has the shape {list(found)}, traced was [{text}]")
        # sympy's false equals Python's without being it; what stays open has no truth value.
        if any(guard.subs(bound) == False for guard in self._guards):  # noqa: E712
            raise usage(f"the model takes another branch for inputs of the sizes {list(sizes)}")
        self._admitted.add(sizes)


def trace(model: nn.Module, inputs: Mapping[str, Tensor], *, ragged: bool) -> Trace:
    """Write down what a model does in the modes that its modules are in.

    The model is left as it is: what is traced is a copy of its modules that shares its tensors.

    Args:
        inputs: two samples or more.
        ragged: whether dimension 1 of the inputs differs from batch to batch.

    Raises:
        Untraceable: what happens depends on values, or PyTorch cannot trace an operation.
    """
    dims = {name: _dynamic(value, ragged) for name, value in inputs.items()}
    try:
        with warnings.catch_warnings(), _guarding_size_1():
            warnings.simplefilter("ignore")
            program = torch.export.export(
                _sharing_copy(model), (), dict(inputs), strict=False, dynamic_shapes=dims
            )
    except Exception as error:
        raise Untraceable(first_line(error)) from error
    return _read(program, inputs)


def hint(size: Any) -> int:
    """The size that a dimension has in the example; reading it so adds no guard."""
    return int(size.node.hint if isinstance(size, torch.SymInt) else size)


def symbols(size: Any) -> frozenset[Any]:
    """The symbols that a dimension depends on."""
    return frozenset(size.node.expr.free_symbols) if isinstance(size, torch.SymInt) else frozenset()


def path_of(node: fx.Node) -> str:
    """The path of the module in which an operation happens; "" for the model itself."""
    stack = node.meta.get("nn_module_stack") or {"": ("", None)}
    return _PATH_OF_A_SECOND_CALL.sub("", list(stack.values())[-1][0])


def operation(node: fx.Node) -> str:
    """The name of an operation: ``linear``, ``dropout``."""
    if isinstance(node.target, torch._ops.OpOverload):
        return node.target._schema.name.removeprefix("aten::")
    return getattr(node.target, "__name__", str(node.target))


def usage(message: str, hint: str = "") -> UsageError:
    return UsageError(Problem("E801", message, hint=hint))


def _read(program: Any, inputs: Mapping[str, Tensor]) -> Trace:
    nodes = {node.name: node for node in program.graph.nodes}
    tensors: dict[fx.Node, str] = {}
    constants: dict[fx.Node, Tensor] = {}
    given: dict[fx.Node, str] = {}
    for spec in program.graph_signature.input_specs:
        node = nodes[spec.arg.name]
        if spec.kind == InputKind.USER_INPUT and spec.arg.name in inputs:
            given[node] = spec.arg.name
        elif spec.kind == InputKind.CONSTANT_TENSOR:
            constants[node] = program.constants[spec.target]
        elif spec.kind in _TENSORS:
            tensors[node] = spec.target
        else:
            raise Untraceable(f"the model uses a {spec.kind.name.lower()}")
    if given.keys() == set() or set(given.values()) != inputs.keys():
        raise Untraceable("PyTorch renamed the model's inputs")
    shapes = [node.meta["val"].shape for node in given]
    form = program.call_spec.out_spec  # each time it is asked for, PyTorch makes a class
    environment = next((s.node.shape_env for shape in shapes for s in shape if symbols(s)), None)
    return Trace(
        program.graph,
        tensors,
        constants,
        given,
        lambda flat: tree_unflatten(list(flat), form),
        frozenset().union(*(symbols(shape[0]) for shape in shapes)),
        frozenset().union(*(symbols(shape[1]) for shape in shapes if len(shape) > 1)),
        [guard.expr for guard in environment.guards] if environment is not None else [],
    )


def _guarding_size_1() -> Any:
    """Without it a trace speaks for sizes from 2 on, and says nothing of what happens at 1."""
    config: Any = _config
    is_there = hasattr(config, "backed_size_oblivious")
    return config.patch(**({"backed_size_oblivious": True} if is_there else {}))


def _dynamic(value: Tensor, ragged: bool) -> dict[int, Any]:
    dims = range(min(value.ndim, 2 if ragged else 1))
    return {i: Dim.AUTO if i in dims else Dim.STATIC for i in range(value.ndim)}


def _fits(size: Any, actual: int, bound: dict[Any, int]) -> bool:
    if not isinstance(size, torch.SymInt):
        return size == actual
    return bound.setdefault(size.node.expr, actual) == actual


def _sharing_copy(model: nn.Module) -> nn.Module:
    """Tracing assigns to attributes of some modules, of LSTM for one: those of a copy."""
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    return copy.deepcopy(model, shared)
