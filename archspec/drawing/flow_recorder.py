"""Records the forward passes of chosen modules while the model runs on ``meta``.

A function that a forward calls is one box, and so is a module that it calls, whatever happens
inside; containers are looked into. Arrows follow tensors by identity: they are kept alive, a
result that is the very input tensor gets an identity of its own, and what an operation
changes in place comes from that operation afterwards.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from archspec.drawing.diagram import Arrow, Box, Kind
from archspec.drawing.drawn_model import DrawnModel
from archspec.drawing.operations import operation
from archspec.errors import Place
from archspec.tracing.forward_record import storage_key, tensors_in

MAX_RECORDED = 5_000
"""Boxes of one forward pass; what follows is left out."""

NamedTensors = list[tuple[str, torch.Tensor]]


@dataclass
class RecordedFlow:
    """The data flow of one forward, as it was recorded: every box, in order."""

    path: str
    nodes: list[Box] = field(default_factory=list[Box])
    edges: list[Arrow] = field(default_factory=list[Arrow])
    absent: list[str] = field(default_factory=list[str])
    complete: bool = True

    def add(self, kind: Kind, name: str, **facts: Any) -> str:
        made = Box(f"n{len(self.nodes)}", kind, name, **facts)
        self.nodes.append(made)
        return made.id


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a tensor comes from; it is held, so that its id stays its own."""

    tensor: torch.Tensor
    node: str
    output: int


@dataclass(frozen=True, slots=True)
class _Call:
    """The inputs of a function or a module, as they were before the call."""

    inputs: NamedTensors
    sources: tuple[_Source | None, ...]
    versions: tuple[int, ...]
    place: Place | None


class _Frame:
    """One forward that is being recorded."""

    def __init__(self, subject: DrawnModel, path: str, module: nn.Module) -> None:
        self.subject, self.module = subject, module
        self.flow = RecordedFlow(path)
        self.prefix = f"{path}." if path else ""
        self.known: dict[int, _Source] = {}

    # ---------------------------------------------------------------------------------- inputs

    def enter(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Take the inputs; one that is passed twice becomes two tensors."""
        names = self.subject.inputs_of(self.module)
        names += [f"input {i}" for i in range(len(names), len(args))]
        positional = [self._input(name, value) for name, value in zip(names, args, strict=False)]
        named = {name: self._input(name, value) for name, value in kwargs.items()}
        missing = names[len(args) :]
        self.flow.absent += [name for name in missing if name not in kwargs]
        return tuple(positional), named

    def _input(self, name: str, value: Any) -> Any:
        if value is None:
            self.flow.absent.append(name)
        if not tensors_in(value):
            return value
        node = self.flow.add("input", name, place=self.subject.input_place(self.module, name))
        value = _mapped(value, self._own)
        for i, tensor in enumerate(tensors_in(value)):
            self.known[id(tensor)] = _Source(tensor, node, i)
        return value

    def _own(self, tensor: torch.Tensor) -> torch.Tensor:
        """The tensor, or another of the same memory if this one already stands for something."""
        return tensor.view_as(tensor) if id(tensor) in self.known else tensor

    # ----------------------------------------------------------------------------------- calls

    def called(self, inputs: NamedTensors) -> _Call:
        """What is known before a call."""
        sources = tuple(self.known.get(id(tensor)) for _, tensor in inputs)
        versions = tuple(tensor._version for _, tensor in inputs)
        return _Call(inputs, sources, versions, self.subject.place_of_caller(sys._getframe(1)))

    def returned(self, call: _Call, result: Any, kind: Kind, name: str, **facts: Any) -> Any:
        """Add a call that has returned; its result, such that each tensor has one origin."""
        flow = self.flow
        if len(flow.nodes) >= MAX_RECORDED:
            flow.complete = False
            return result
        sources = [
            source or self._source(tensor)
            for (_, tensor), source in zip(call.inputs, call.sources, strict=True)
        ]
        node = flow.add(kind, name, place=call.place, **facts)
        for (argument, tensor), source in zip(call.inputs, sources, strict=True):
            self._arrow(source, node, tensor, argument)
        changed = {
            storage_key(tensor)
            for (_, tensor), version in zip(call.inputs, call.versions, strict=True)
            if tensor._version != version
        }
        if changed:
            for key, source in list(self.known.items()):
                if storage_key(source.tensor) in changed:
                    self.known[key] = _Source(source.tensor, node, 0)
        result = _mapped(result, lambda t: t if storage_key(t) in changed else self._own(t))
        for i, tensor in enumerate(tensors_in(result)):
            self.known[id(tensor)] = _Source(tensor, node, i)
        return result

    def leave(self, result: Any) -> None:
        """Add the outputs, and let go of all tensors."""
        declared = self.subject.outputs_of(self.module)
        if isinstance(result, dict):
            declared, result = list(result), tuple(result.values())
        results = result if isinstance(result, tuple | list) else (result,)
        results = (results,) if len(declared) == 1 and len(results) != 1 else results  # a list
        names = (
            declared
            if len(declared) == len(results)
            else [f"output {i}" for i in range(len(results))]
        )
        names = ["output"] if len(results) == 1 and not declared else names
        for name, value in zip(names, results, strict=True):
            sources = [(tensor, self._source(tensor)) for tensor in tensors_in(value)]
            if not sources:
                continue
            node = self.flow.add("output", name)
            for tensor, source in sources:
                self._arrow(source, node, tensor, "")
        self.known.clear()

    def _source(self, tensor: torch.Tensor) -> _Source:
        if id(tensor) not in self.known:
            self.known[id(tensor)] = _Source(tensor, self._foreign(tensor), 0)
        return self.known[id(tensor)]

    def _foreign(self, tensor: torch.Tensor) -> str:
        """A tensor that no input and no call gave: a parameter, a buffer, or a constant."""
        path = self.subject.tensors.get(id(tensor))
        if path is None:
            known = self.flow.complete
            return self.flow.add(*(("constant", "constant") if known else ("more", "…")))
        is_parameter = isinstance(tensor, nn.Parameter)
        trainable = tensor.numel() if is_parameter and tensor.requires_grad else 0
        return self.flow.add(
            "tensor",
            path.removeprefix(self.prefix),
            path=path,
            type="Parameter" if is_parameter else "buffer",
            parameters=tensor.numel() if is_parameter else 0,
            trainable=trainable,
            state=("trainable" if trainable else "frozen") if is_parameter else "no parameters",
        )

    def _arrow(self, source: _Source, node: str, tensor: torch.Tensor, argument: str) -> None:
        shape = tuple(tensor.shape)
        text = self.subject.shape_text(shape, id(tensor) in self.subject.tensors)
        self.flow.edges.append(Arrow(source.node, node, shape, text, source.output, argument))


class _Functions(TorchFunctionMode):
    """Records calls of functions in the innermost forward pass that is recorded."""

    def __init__(self, stack: list[_Frame | None]) -> None:
        super().__init__()
        self.stack = stack

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        frame, kwargs = self.stack[-1], kwargs or {}
        if frame is None:
            return func(*args, **kwargs)
        named = [*((str(i), value) for i, value in enumerate(args)), *kwargs.items()]
        inputs = [(name, tensor) for name, value in named for tensor in tensors_in(value)]
        call = frame.called(inputs)
        result = func(*args, **kwargs)
        if not tensors_in(result):  # the question for a size: nothing flows
            return result
        name, text = operation(func, args, kwargs)
        return frame.returned(call, result, "operation", name, type=name, text=text)


class Recorder:
    """A context in which the forward passes of some modules are recorded.

    Attributes:
        flows: path → what the first call of that module's forward did.
    """

    def __init__(self, subject: DrawnModel, targets: Sequence[str]) -> None:
        self.subject, self.targets = subject, frozenset(targets)
        self.flows: dict[str, RecordedFlow] = {}
        self._stack: list[_Frame | None] = [None]
        self._calls: list[_Call | None] = []
        self._contexts = ExitStack()

    def __enter__(self) -> Recorder:
        for path, module in self.subject.model.named_modules():
            for hook in self._hooks(path, module):
                self._contexts.callback(hook.remove)
        self._contexts.enter_context(_Functions(self._stack))
        return self

    def __exit__(self, *error: object) -> None:
        self._contexts.close()
        self._stack[1:], self._calls[:] = [], []

    def _hooks(self, path: str, module: nn.Module) -> Iterator[Any]:
        looked_into = type(module) is nn.Sequential

        def enter(module: nn.Module, args: Any, kwargs: Any) -> Any:
            with torch._C.DisableTorchFunction():
                above, call = self._stack[-1], None
                if above is not None and not looked_into:
                    call = above.called(self._named(module, args, kwargs))
                self._calls.append(call)
                if path in self.targets and path not in self.flows:
                    frame = _Frame(self.subject, path, module)
                    self._stack.append(frame)
                    return frame.enter(args, kwargs)
                self._stack.append(above if looked_into else None)
                return None

        def leave(module: nn.Module, args: Any, result: Any) -> Any:
            with torch._C.DisableTorchFunction():
                frame, call = self._stack.pop(), self._calls.pop()
                if frame is not None and frame.module is module:
                    frame.leave(result)
                    self.flows[path] = frame.flow
                above = self._stack[-1]
                if above is None or call is None:
                    return None
                facts = self.subject.module_facts(path, above.flow.path)
                return above.returned(call, result, "module", **facts)

        yield module.register_forward_pre_hook(enter, with_kwargs=True)
        yield module.register_forward_hook(leave)

    def _named(self, module: nn.Module, args: Any, kwargs: Any) -> NamedTensors:
        names = self.subject.inputs_of(module)
        names += [str(i) for i in range(len(names), len(args))]
        values = [*zip(names, args, strict=False), *kwargs.items()]
        return [(name, tensor) for name, value in values for tensor in tensors_in(value)]


def _mapped(value: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """The same value with other tensors."""
    if isinstance(value, torch.Tensor):
        return change(value)
    if type(value) in (list, tuple):
        return type(value)(_mapped(item, change) for item in value)
    if isinstance(value, tuple) and hasattr(value, "_make"):  # as torch.max returns
        return type(value)(*(_mapped(item, change) for item in value))
    if type(value) is dict:
        return {key: _mapped(item, change) for key, item in value.items()}
    return value
