"""Explains a failing forward in terms of the spec.

The step and its block, the instance, shapes with the names of their dimensions, and the lines that
set the sizes.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from types import FrameType, TracebackType
from typing import NamedTuple, cast

import torch
from torch import nn

from archspec.building.growing_tensors import growing_hint
from archspec.codegen import Generated
from archspec.errors import Note, Place, Problem, listing
from archspec.lang.expr import Node, nodes
from archspec.lang.expr.printing import written
from archspec.lang.instances import Instance
from archspec.lang.spec import Spec
from archspec.lang.tree import BlockNode, steps_below
from archspec.lang.yaml import Path
from archspec.report.text import first_line
from archspec.tracing.limits import RunLimitExceeded

_NO_VALUE = "math domain error"
_MAX_SHAPES = 8  # of tensors in one note
_SHAPE = re.compile(r"\[(\d+(?:, \d+)*)?\]")
# Operations that can fail: nodes of the generated source, and nodes of the spec behind them.
_OPERATIONS: dict[type[ast.AST], type[Node]] = {
    ast.Call: nodes.Call, ast.BinOp: nodes.Binary, ast.UnaryOp: nodes.Unary,
    ast.Compare: nodes.Compare, ast.Subscript: nodes.Subscript, ast.BoolOp: nodes.Boolean,
    ast.IfExp: nodes.Conditional,
}  # fmt: skip


class ContractBroken(Exception):
    """An input or output that breaks its contract.

    Attributes:
        module: the module with the contract.
        path: of the contract in the spec.
        entry: the block, or the method of it that was called.
        of_output: whether it is the contract of an output.
        causes: the lines that set the sizes.
    """

    def __init__(
        self,
        message: str,
        module: nn.Module,
        path: Path,
        entry: BlockNode,
        *,
        of_output: bool,
        causes: tuple[Note, ...] = (),
    ) -> None:
        super().__init__(message)
        self.module, self.path, self.entry = module, path, entry
        self.of_output, self.causes = of_output, causes


_TAKEN_APART = (
    "several names on the left split what the step gives, a single tensor along its first"
    " dimension; one name keeps it whole"
)


def instance_text(path: str, kind: str) -> str:
    """``bert.encoder.layer[3].output (BertOutput)``."""
    names = path.split(".") if path else []
    text = "".join(f"[{n}]" if n.isdecimal() else f".{n}" for n in names).lstrip(".")
    return f"{text or 'the model itself'} ({kind})"


@dataclass(frozen=True, slots=True)
class _GeneratedFrame:
    """One call in the traceback: a line of a generated forward, and its module."""

    frame: FrameType
    instruction: int  # offset of the last executed one
    module: nn.Module
    path: str
    step: Path


class SizeMismatch(NamedTuple):
    """An input whose sizes are not those that an argument of a layer asks for.

    Attributes:
        fitting: the shape that the input would have with the sizes expected.
    """

    layer: nn.Module
    argument: str
    expected: tuple[int, ...]
    actual: tuple[int, ...]
    fitting: tuple[int, ...]


@dataclass(frozen=True)
class FailureReport:
    """What is needed to explain a failing run.

    Attributes:
        spec: of the model.
        generated: the source of the model.
        file: file name of the compiled source.
        paths: id of each module → its dotted path.
        instances: dotted path → instance of the module.
        sizes: symbolic dimension → size.
    """

    spec: Spec
    generated: Generated
    file: str
    paths: Mapping[int, str]
    instances: Mapping[str, Instance]
    sizes: Mapping[str, int]
    names: Mapping[int, tuple[str, ...]] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", _names_of_sizes(self.spec, self.sizes))

    def problem(self, error: Exception) -> Problem:
        """The failure as a problem."""
        frames = list(self._frames(error.__traceback__))
        if isinstance(error, ContractBroken):
            return self._contract(error, frames)
        code, message, hint, notes = self._failure(error)
        if not frames:
            return Problem(code, message, hint=hint, notes=tuple(notes))
        here = frames[-1]
        if code == "E505" and (growing := self._growing(frames)):
            hint = "; or ".join(filter(None, (growing, hint)))
        if shapes := self._locals(here):
            notes.append(Note(f"shapes: {shapes}"))
        notes += self._call_notes(frames)
        return Problem(code, message, self._place(here), hint, tuple(notes))

    def _growing(self, frames: Sequence[_GeneratedFrame]) -> str:
        """What to write where a loop makes a tensor longer; "" if none does."""
        for call in reversed(frames):
            block = self.spec.tree.blocks.get(str(call.step[1])) if len(call.step) > 1 else None
            if block is not None and (hint := growing_hint(block, call.step)):
                return hint
        return ""

    def failing_block(self, error: Exception) -> nn.Module | None:
        """The block whose forward or contract failed."""
        if isinstance(error, ContractBroken):
            return error.module
        frames = list(self._frames(error.__traceback__))
        return frames[-1].module if frames else None

    def mismatch(self, error: Exception) -> SizeMismatch | None:
        """The input of a layer that has other sizes than the layer asks for, if that failed."""
        culprit = _failing_layer(error.__traceback__, self.paths)
        return None if culprit is None else size_mismatch(*culprit)

    # --------------------------------------------------------------------------------- shapes

    def shape(self, sizes: Sequence[int]) -> str:
        """A shape with the names of its dimensions, if a size has only one name."""
        parts: list[str] = []
        for axis, size in enumerate(sizes):
            names = self.names.get(size, ())
            if "batch" in names:  # such a small number is the batch size only in dimension 0
                names = ("batch",) if axis == 0 else ()
            parts.append(f"{names[0]}={size}" if len(names) == 1 else str(size))
        return f"[{', '.join(parts)}]"

    def _locals(self, call: _GeneratedFrame) -> str:
        """The shapes of the tensors in a step, and the names of several."""
        step, variables = self._step(call.step), call.frame.f_locals
        used = [name.id for name in nodes.names(step)] if step is not None else []
        known = {name: variables[name] for name in used if name in variables}
        texts = (self._value_text(name, value) for name, value in known.items())
        return ", ".join(islice(filter(None, texts), _MAX_SHAPES))

    def _value_text(self, name: str, value: object) -> str:
        """A variable that is a tensor or several, in one line; "" for anything else."""
        if isinstance(value, torch.Tensor):
            return f"{name} {self.shape(value.shape)}"
        if isinstance(value, dict):
            return f"{name} has {listing(list(map(str, cast('dict[object, object]', value))))}"
        if not isinstance(value, tuple) or not value:
            return ""
        parts = cast("tuple[object, ...]", value)
        texts = [self.shape(p.shape) if isinstance(p, torch.Tensor) else "…" for p in parts]
        return f"{name} {len(parts)} values ({', '.join(texts[:_MAX_SHAPES])})"

    def _unpacking(self, error: Exception) -> str:
        """What to write where a step takes several values for one tensor, as a hint."""
        frames = list(self._frames(error.__traceback__))
        step = self._step(frames[-1].step) if frames else None
        if step is None or not isinstance(error, TypeError | AttributeError):
            return ""
        variables = frames[-1].frame.f_locals
        for name in nodes.names(step):
            if isinstance(value := variables.get(name.id), tuple):
                count = len(cast("tuple[object, ...]", value))
                more = ", others" if count == 2 else f", … ({count} names)"
                return f"{name.id} has {count} values: unpack them, {{{name.id}{more}: …}}"
        return ""

    def _absent_output(self, error: KeyError) -> str:
        """When a named output would be there that is not, as a hint."""
        for block in self.spec.tree.blocks.values():
            for entry in block.entries.values():
                output = entry.outputs.get(error.args[0])
                if output is not None and not output.always:
                    return f"{entry.name} returns it only while {written(output.when)}"
        return ""

    # ------------------------------------------------------------------------------- failures

    def _failure(self, error: Exception) -> tuple[str, str, str, list[Note]]:
        """Code, message, hint and notes for an error of PyTorch."""
        if isinstance(error, RunLimitExceeded):
            return "E505", error.message, error.hint, []
        said = first_line(error)
        if isinstance(error, ArithmeticError) or said == _NO_VALUE:
            return "E512", f"these numbers have no result: {_arithmetic(error)}", "", []
        culprit = _failing_layer(error.__traceback__, self.paths)
        if culprit is not None:
            message, notes = self._layer(*culprit)
            return "E510", message, f"PyTorch says: {said}", notes
        if isinstance(error, KeyError):
            return "E512", said, self._absent_output(error), []
        if not isinstance(error, RuntimeError | IndexError | ValueError):
            hint = self._unpacking(error)
            if "must be Tensor, not list" in said:
                hint = "a list is one tensor by stack(xs) or cat(xs): sum(stack(xs), 0)"
            elif "must be Tensor, not tuple" in said:
                hint = "several values are taken apart in a step of their own: {y, state: …}"
            elif "must be tuple of" in said:
                hint = "several tensors or sizes stand in brackets: [a, b]"
            return "E512", f"{type(error).__name__}: {said}", hint, []
        shapes = [
            self.shape([int(size) for size in sizes.split(", ") if size])
            for sizes in _SHAPE.findall(said)
        ]
        if len(shapes) == 2:
            message = f"the shapes {shapes[0]} and {shapes[1]} do not fit together"
            return "E510", message, f"PyTorch says: {said}", []
        if "torch.nonzero()" in said:
            hint = "write where(mask, x, y) or masked_fill(x, mask, value); for experts route(…)"
            return "E510", "a shape here depends on the values of a tensor", hint, []
        hint = _TAKEN_APART if "values to unpack" in said else ""
        hint = "write flip(x, [dim])" if "step must be greater than zero" in said else hint
        return "E510", said, hint, []

    def _layer(self, layer: nn.Module, input_tensor: torch.Tensor | None) -> tuple[str, list[Note]]:
        """The message that a layer does not accept its input, and where the layer is declared."""
        path = self.paths[id(layer)]
        title = instance_text(path, type(layer).__name__)
        mismatch, argument = size_mismatch(layer, input_tensor), ""
        message = f"{title} does not fit its input"
        if mismatch is not None:
            argument, (expected, actual) = mismatch.argument, map(_size, mismatch[2:4])
            message = f"{title} takes {argument}={expected}, its input has {actual}"
        if input_tensor is not None:
            message += f": {self.shape(input_tensor.shape)}"
            message += "" if argument else f" of {_dtype(input_tensor)}"
        while path not in self.instances:  # a submodule of one of PyTorch's layers
            path = path.rpartition(".")[0]
        return message, [self._size_note(self.instances[path], argument)]

    def _size_note(self, instance: Instance, argument: str) -> Note:
        """A note on the line that sets a size."""
        document = self.spec.document
        if argument and document.has((*instance.path, argument)):
            fact = f"{argument} is {instance.arguments.get(argument)} here"
            return Note(fact, document.place((*instance.path, argument)))
        return Note(f"the {instance.type} is declared here", document.place(instance.path))

    def _contract(self, error: ContractBroken, frames: list[_GeneratedFrame]) -> Problem:
        """The problem of a broken contract: at the call for inputs, in the block for outputs."""
        document = self.spec.document
        kind = type(error.module).__name__
        notes = [Note("the contract", document.place(error.path)), *error.causes]
        place = self._place(frames[-1]) if frames else notes[0].place
        if error.of_output:
            steps = error.entry.forward
            place = document.place(steps[-1].path if steps else ("blocks", kind), key=not steps)
        elif not frames:
            notes = notes[1:]  # the place of the problem is the contract
        elif shapes := self._locals(frames[-1]):
            notes.append(Note(f"shapes: {shapes}"))
        notes.append(Note(f"instance: {instance_text(self.paths[id(error.module)], kind)}"))
        notes += self._call_notes(frames, start="called by")
        return Problem("E511", str(error), place, notes=tuple(notes))

    # --------------------------------------------------------------------------------- places

    def _frames(self, traceback: TracebackType | None) -> Iterator[_GeneratedFrame]:
        """The lines of generated forwards in a traceback, outermost first."""
        while traceback is not None:
            frame = traceback.tb_frame
            module = frame.f_locals.get("self")
            step = self.generated.paths.get(traceback.tb_lineno, ())
            generated = frame.f_code.co_filename == self.file and step
            if generated and isinstance(module, nn.Module) and id(module) in self.paths:
                path = self.paths[id(module)]
                yield _GeneratedFrame(frame, traceback.tb_lasti, module, path, step)
            traceback = traceback.tb_next

    def _call_notes(self, frames: list[_GeneratedFrame], start: str = "instance") -> list[Note]:
        """The calls from the failing instance up to the root, a note each."""
        notes: list[Note] = []
        for call in reversed(frames):
            step = _step_number(call.step)
            where = f"in {type(call.module).__name__}.{call.frame.f_code.co_name}"
            where += f", step {step}" if step else ""
            title = instance_text(call.path, type(call.module).__name__)
            place = self.spec.document.place(call.step)
            notes.append(Note(f"{start}: {title}, {where}, {place.file}:{place.line}"))
            start = "called by"
        return notes

    def _place(self, call: _GeneratedFrame) -> Place:
        """The part of the step that failed; the whole step if unknown."""
        step = self._step(call.step)
        node = _failing_node(self.generated.text, call, step) if step is not None else None
        if node is None:
            return self.spec.document.place(call.step)
        return self.spec.document.stretch(node.span.path, node.span.start, node.span.end)

    def _step(self, path: Path) -> Node | None:
        """The expression of the step at ``path``; None if the modules run in their order."""
        block = self.spec.tree.blocks.get(str(path[1])) if path[:1] == ("blocks",) else None
        entries = block.entries.values() if block else ()
        steps = (step for entry in entries for step in steps_below(entry.forward))
        return next((step.value for step in steps if step.path == path), None)


def _names_of_sizes(spec: Spec, sizes: Mapping[str, int]) -> dict[int, tuple[str, ...]]:
    """Size → the dimensions and parameters that have it."""
    names: dict[int, dict[str, None]] = {}
    for name, size in sizes.items():
        names.setdefault(size, {})[name] = None
    for name, value in spec.values.items():
        if isinstance(value, int) and not isinstance(value, bool) and value > 16:
            names.setdefault(value, {})[name] = None
    return {size: tuple(found) for size, found in names.items()}


def _step_number(path: Path) -> str:
    """``2`` or ``2.1`` for a step inside a loop, counted from 1."""
    if "forward" not in path and path[2:3] != ("methods",):
        return ""
    numbers = [part + 1 for part in path if isinstance(part, int)]
    return ".".join(map(str, numbers))


def _failing_node(generated: str, call: _GeneratedFrame, step: Node) -> Node | None:
    """The part of a step that its failing instruction was generated from.

    The generated statement and the step have the same operations in the same order, so that the
    operation at the instruction's position has the same index in both.
    """
    position = tuple(list(call.frame.f_code.co_positions())[call.instruction // 2])
    line = position[0] or 0
    statements = [
        node
        for node in ast.walk(ast.parse(generated))
        if isinstance(node, ast.Assign | ast.Return | ast.For)
        and node.lineno <= line <= (node.end_lineno or 0)
    ]
    if not statements:
        return None
    innermost = max(statements, key=lambda node: node.lineno)
    value = innermost.iter if isinstance(innermost, ast.For) else innermost.value
    generated_nodes = list(_operations(value))
    kinds = tuple(_OPERATIONS.values())
    spec_nodes = [node for node in nodes.walk(step) if isinstance(node, kinds)]
    if [_OPERATIONS[type(node)] for node in generated_nodes] != [type(node) for node in spec_nodes]:
        return None
    for generated_node, spec_node in zip(generated_nodes, spec_nodes, strict=True):
        if (
            generated_node.lineno,
            generated_node.end_lineno,
            generated_node.col_offset,
            generated_node.end_col_offset,
        ) == position:
            return spec_node
    return None


def _operations(node: ast.AST | None) -> Iterator[ast.expr]:
    if isinstance(node, ast.expr) and type(node) in _OPERATIONS:
        yield node
    parts = ast.iter_child_nodes(node) if node else ()
    if isinstance(node, ast.IfExp):
        parts = (node.body, node.test, node.orelse)  # in source order
    for child in parts:
        yield from _operations(child)


def _failing_layer(
    traceback: TracebackType | None, paths: Mapping[int, str]
) -> tuple[nn.Module, torch.Tensor | None] | None:
    """The torch.nn layer whose own forward raised the error, with its first input."""
    failing: tuple[nn.Module, torch.Tensor | None] | None = None
    while traceback is not None:
        frame = traceback.tb_frame
        module = frame.f_locals.get("self")
        if isinstance(module, nn.Module) and id(module) in paths:
            inside = type(module).__module__.startswith("torch.nn")
            container = isinstance(module, nn.Sequential | nn.ModuleList | nn.ModuleDict)
            if frame.f_code.co_name == "forward":
                arguments = [frame.f_locals.get(n) for n in frame.f_code.co_varnames[1:2]]
                tensor = next((a for a in arguments if isinstance(a, torch.Tensor)), None)
                failing = (module, tensor) if inside and not container else None
        traceback = traceback.tb_next
    return failing


def size_mismatch(layer: nn.Module, tensor: torch.Tensor | None) -> SizeMismatch | None:
    """How an input's sizes differ from those that an argument of a layer asks for, if they do."""
    if tensor is None:
        return None
    if isinstance(layer, nn.Linear):
        argument, expected, axis = "in_features", (layer.in_features,), -1
    elif isinstance(layer, nn.modules.conv._ConvNd):
        axis = -1 - len(layer.kernel_size)
        argument, expected = "in_channels", (layer.in_channels,)
    elif isinstance(layer, nn.modules.batchnorm._NormBase):
        argument, expected, axis = "num_features", (layer.num_features,), 1
    elif isinstance(layer, nn.GroupNorm):
        argument, expected, axis = "num_channels", (layer.num_channels,), 1
    elif isinstance(layer, nn.LayerNorm | nn.RMSNorm):
        expected = tuple(layer.normalized_shape)
        argument, axis = "normalized_shape", -len(expected)
    elif isinstance(layer, nn.RNNBase):
        argument, expected, axis = "input_size", (layer.input_size,), -1
    else:
        return None
    if not -tensor.ndim <= axis < tensor.ndim:
        return None
    first = axis % tensor.ndim
    last = first + len(expected)
    actual = tuple(tensor.shape[first:last])
    if actual == expected:
        return None
    fitting = (*tensor.shape[:first], *expected, *tensor.shape[last:])
    return SizeMismatch(layer, argument, expected, actual, fitting)


def _size(sizes: tuple[int, ...]) -> int | tuple[int, ...]:
    return sizes[0] if len(sizes) == 1 else sizes


def _arithmetic(error: Exception) -> str:
    """Why a step that computes with plain numbers fails."""
    if isinstance(error, ZeroDivisionError):
        return "a division by zero"
    if isinstance(error, OverflowError):
        return "it is too large for a float"
    return "the function has no value there"


def _dtype(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
