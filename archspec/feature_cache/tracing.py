"""Traces a model as a graph of ATen operations, with the meaning of its placeholders."""

from __future__ import annotations

import copy
import re
import threading
import warnings
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from types import BuiltinFunctionType, FunctionType
from typing import Any, cast

import torch
from torch import Tensor, fx, nn
from torch.export import Dim
from torch.export.graph_signature import InputKind
from torch.fx.experimental import _config
from torch.utils._pytree import tree_unflatten

from archspec.errors import Problem, UsageError
from archspec.freezing.modes import EvalLock
from archspec.report.text import first_line

_PATH_OF_A_SECOND_CALL = re.compile(r"@\d+")
_KEPT_TRACES = 8
_PLAIN = (bool, int, float, str, type(None), torch.dtype, torch.device, torch.Size)
_FUNCTIONS = (FunctionType, BuiltinFunctionType)
_TENSORS = (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR)


class Untraceable(Exception):
    """The model cannot be traced as one graph; the message says why."""


@dataclass(eq=False)
class Trace:
    """The operations of a model in one mode, for all batch sizes and lengths that its guards allow.

    Attributes:
        graph: of ATen operations, not decomposed.
        tensors: placeholder → name of the parameter or buffer.
        constants: placeholder → a tensor that the forward creates.
        inputs: placeholder → name of the model's input, only for tensors.
        outputs: builds the model's output from a flat list.
        batch: the symbols for the batch size.
        length: the symbols for the padded length.
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
        """Whether the operations may differ for another batch size or length."""
        return bool(self._guards)

    def check(self, inputs: Mapping[str, Any]) -> None:
        """Refuse inputs for which the operations may differ from this graph.

        Raises:
            UsageError: E801, an input is missing, or has a size that the graph does not support.
        """
        tensors = {name: value for name, value in inputs.items() if value is not None}
        if tensors.keys() != set(self.inputs.values()):
            expected = ", ".join(self.inputs.values())
            raise usage(
                f"the frontier was found for the inputs {expected}, not {', '.join(tensors)}"
            )
        sizes = tuple(tuple(tensors[name].shape) for name in self.inputs.values())
        if sizes in self._admitted:
            return
        symbol_values: dict[Any, int] = {}
        for node, name in self.inputs.items():
            shape, actual_shape = node.meta["val"].shape, tensors[name].shape
            fits = len(shape) == len(actual_shape) and all(
                _fits(size, actual, symbol_values)
                for size, actual in zip(shape, actual_shape, strict=True)
            )
            if not fits:
                sizes_text = ", ".join(
                    str(size) if isinstance(size, int) else "*" for size in shape
                )
                raise usage(
                    f"input '{name}' has the shape {list(actual_shape)}, traced was [{sizes_text}]"
                )
        # sympy's false equals Python's False but is not it; undecided guards have no truth value.
        if any(guard.subs(symbol_values) == False for guard in self._guards):  # noqa: E712
            raise usage(f"the model takes another branch for inputs of the sizes {list(sizes)}")
        self._admitted.add(sizes)


def trace(model: nn.Module, inputs: Mapping[str, Tensor], *, ragged: bool) -> Trace:
    """Trace a model in the current modes of its modules.

    The model is not changed: a copy of its modules that shares its tensors is traced. The last
    traces are kept for models of the same structure, such as those of the trials of a sweep.

    Args:
        inputs: two samples or more.
        ragged: whether dimension 1 of the inputs differs from batch to batch.

    Raises:
        Untraceable: control flow depends on values, or PyTorch cannot trace an operation.
    """
    key = _structure(model, inputs, ragged)
    with _lock:
        known = _traces.pop(key, None)
    found = known or _traced(model, inputs, ragged)
    if key is not None:
        with _lock:
            _traces[key] = found  # the last one
            for old in [*_traces][:-_KEPT_TRACES]:
                del _traces[old]
    return found


_traces: dict[Hashable, Trace] = {}
_lock = threading.Lock()


def _traced(model: nn.Module, inputs: Mapping[str, Tensor], ragged: bool) -> Trace:
    dims = {name: _dynamic_dims(value, ragged) for name, value in inputs.items()}
    try:
        with warnings.catch_warnings(), _guard_size_1():
            warnings.simplefilter("ignore")
            program = torch.export.export(
                _copy_sharing_tensors(model), (), dict(inputs), strict=False, dynamic_shapes=dims
            )
    except Exception as error:
        raise Untraceable(first_line(error)) from error
    return _read_program(program, inputs)


def _structure(model: nn.Module, inputs: Mapping[str, Tensor], ragged: bool) -> Hashable:
    """All that a trace follows from: equal for two models that have one trace.

    None where that is not known: a module has hooks, or an attribute that is no plain value.
    """
    numbers: dict[int, int] = {}  # by identity: what is shared

    def described(name: str, tensor: Tensor) -> Hashable:
        number = numbers.setdefault(id(tensor), len(numbers))
        layout = (tuple(tensor.shape), tensor.stride(), tensor.dtype, str(tensor.device))
        return name, number, layout, tensor.requires_grad

    found: list[Hashable] = [ragged, torch.get_default_dtype(), torch.is_grad_enabled()]
    device = next(iter(inputs.values())).device.type
    found += [torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)]
    found += [described(name, value) for name, value in inputs.items()]
    usual = vars(nn.Module())
    for path, module in model.named_modules(remove_duplicate=False):
        number = numbers.setdefault(id(module), len(numbers))
        found += [(path, number, type(module), module.training)]
        for name, value in vars(module).items():
            if name in usual:
                if value and "_hooks" in name:
                    return None
            elif isinstance(value, EvalLock):
                continue  # what it does is known from the mode
            elif _is_plain(value):
                found.append((name, value if isinstance(value, _FUNCTIONS) else repr(value)))
            else:
                return None
    for tensors in (model.named_parameters, model.named_buffers):
        found += [described(*pair) for pair in tensors(remove_duplicate=False)]
    return tuple(found)


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_is_plain, cast("Sequence[object]", value)))
    return type(value) in (*_PLAIN, *_FUNCTIONS)


def hint(size: Any) -> int:
    """The size of a dimension in the example; reading it this way adds no guard."""
    return int(size.node.hint if isinstance(size, torch.SymInt) else size)


def symbols(size: Any) -> frozenset[Any]:
    """The symbols that a dimension depends on."""
    return frozenset(size.node.expr.free_symbols) if isinstance(size, torch.SymInt) else frozenset()


def path_of(node: fx.Node) -> str:
    """The path of the module that an operation belongs to; "" for the model itself."""
    stack = node.meta.get("nn_module_stack") or {"": ("", None)}
    return _PATH_OF_A_SECOND_CALL.sub("", list(stack.values())[-1][0])


def operation(node: fx.Node) -> str:
    """The name of an operation: ``linear``, ``dropout``."""
    if isinstance(node.target, torch._ops.OpOverload):
        return node.target._schema.name.removeprefix("aten::")
    return getattr(node.target, "__name__", str(node.target))


def usage(message: str, hint: str = "") -> UsageError:
    return UsageError(Problem("E801", message, hint=hint))


def _read_program(program: Any, inputs: Mapping[str, Tensor]) -> Trace:
    nodes = {node.name: node for node in program.graph.nodes}
    tensors: dict[fx.Node, str] = {}
    constants: dict[fx.Node, Tensor] = {}
    input_nodes: dict[fx.Node, str] = {}
    for spec in program.graph_signature.input_specs:
        node = nodes[spec.arg.name]
        if spec.kind == InputKind.USER_INPUT and spec.arg.name in inputs:
            input_nodes[node] = spec.arg.name
        elif spec.kind == InputKind.CONSTANT_TENSOR:
            constants[node] = program.constants[spec.target]
        elif spec.kind in _TENSORS:
            tensors[node] = spec.target
        else:
            raise Untraceable(f"the model uses a {spec.kind.name.lower()}")
    if input_nodes.keys() == set() or set(input_nodes.values()) != inputs.keys():
        raise Untraceable("PyTorch renamed the model's inputs")
    shapes = [node.meta["val"].shape for node in input_nodes]
    out_spec = program.call_spec.out_spec  # each access creates a class in PyTorch
    shape_env = next((s.node.shape_env for shape in shapes for s in shape if symbols(s)), None)
    return Trace(
        program.graph,
        tensors,
        constants,
        input_nodes,
        lambda flat: tree_unflatten(list(flat), out_spec),
        frozenset().union(*(symbols(shape[0]) for shape in shapes)),
        frozenset().union(*(symbols(shape[1]) for shape in shapes if len(shape) > 1)),
        [guard.expr for guard in shape_env.guards] if shape_env is not None else [],
    )


def _guard_size_1() -> Any:
    """Add guards for size 1; otherwise a trace is only valid for sizes of at least 2."""
    config: Any = _config
    is_there = hasattr(config, "backed_size_oblivious")
    return config.patch(**({"backed_size_oblivious": True} if is_there else {}))


def _dynamic_dims(value: Tensor, ragged: bool) -> dict[int, Any]:
    dims = range(min(value.ndim, 2 if ragged else 1))
    return {i: Dim.AUTO if i in dims else Dim.STATIC for i in range(value.ndim)}


def _fits(size: Any, actual: int, symbol_values: dict[Any, int]) -> bool:
    if not isinstance(size, torch.SymInt):
        return size == actual
    return symbol_values.setdefault(size.node.expr, actual) == actual


def _copy_sharing_tensors(model: nn.Module) -> nn.Module:
    """A copy whose tensors are shared: tracing assigns to attributes of some modules, as LSTM."""
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    return copy.deepcopy(model, shared)
