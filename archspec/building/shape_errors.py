"""A forward that fails, told in the words of the spec.

Which step of which block, which instance, the shapes by the names of their dimensions, and the
lines that set the sizes.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType, TracebackType

import torch
from torch import nn

from archspec.codegen import Generated
from archspec.errors import Note, Place, Problem
from archspec.lang.expr import Node, nodes
from archspec.lang.instances import Instance
from archspec.lang.spec import Spec
from archspec.lang.tree import steps_below
from archspec.lang.yaml import Path
from archspec.report.text import first_line
from archspec.tracing.limits import RunLimitExceeded

_MOST_SHAPES = 8  # of tensors that one note lists
_SHAPE = re.compile(r"\[(\d+(?:, \d+)*)?\]")
# What can fail: Python's nodes in the generated source, and the spec's that they were made from.
_OPERATIONS: dict[type[ast.AST], type[Node]] = {
    ast.Call: nodes.Call, ast.BinOp: nodes.Binary, ast.UnaryOp: nodes.Unary,
    ast.Compare: nodes.Compare, ast.Subscript: nodes.Subscript, ast.BoolOp: nodes.Boolean,
    ast.IfExp: nodes.Conditional,
}  # fmt: skip


class ContractBroken(Exception):
    """An input or output that is not as its contract says.

    Attributes:
        module: whose contract it is.
        path: where the contract stands.
        of_output: whether it speaks of what the module returns.
        causes: the lines that set the sizes.
    """

    def __init__(
        self,
        message: str,
        module: nn.Module,
        path: Path,
        *,
        of_output: bool,
        causes: tuple[Note, ...] = (),
    ) -> None:
        super().__init__(message)
        self.module, self.path, self.of_output, self.causes = module, path, of_output, causes


def instance_text(path: str, kind: str) -> str:
    """``bert.encoder.layer[3].output (BertOutput)``."""
    names = path.split(".") if path else []
    text = "".join(f"[{n}]" if n.isdecimal() else f".{n}" for n in names).lstrip(".")
    return f"{text or 'the model itself'} ({kind})"


@dataclass(frozen=True, slots=True)
class _Frame:
    """One call on the way down: a line of a generated forward, and whose it is."""

    frame: FrameType
    at: int  # of the instruction that was carried out
    module: nn.Module
    path: str
    step: Path


@dataclass(frozen=True)
class FailureReport:
    """What is known of a run, to tell its failure.

    Attributes:
        spec: the spec that the model was made from.
        generated: the source that the model was compiled from.
        file: the name under which the source was compiled.
        paths: the id of each module → its dotted path.
        instances: dotted path → the values of the module.
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
        if shapes := self._locals(here):
            notes.append(Note(f"shapes: {shapes}"))
        notes += self._way_down(frames)
        return Problem(code, message, self._place(here), hint, tuple(notes))

    def failing_block(self, error: Exception) -> nn.Module | None:
        """The module of a block in whose forward, or in whose contract, the failure lies."""
        if isinstance(error, ContractBroken):
            return error.module
        frames = list(self._frames(error.__traceback__))
        return frames[-1].module if frames else None

    # --------------------------------------------------------------------------------- shapes

    def shape(self, sizes: Sequence[int]) -> str:
        """A shape with the names of its dimensions, where a size has only one name."""
        parts: list[str] = []
        for axis, size in enumerate(sizes):
            known = self.names.get(size, ())
            if "batch" in known:  # so small a number means the batch only where batches are
                known = ("batch",) if axis == 0 else ()
            parts.append(f"{known[0]}={size}" if len(known) == 1 else str(size))
        return f"[{', '.join(parts)}]"

    def _locals(self, found: _Frame) -> str:
        """The shapes of what the step speaks of."""
        step, known = self._step(found.step), found.frame.f_locals
        used = [name.id for name in nodes.names(step)] if step is not None else []
        names = [name for name in dict.fromkeys(used) if isinstance(known.get(name), torch.Tensor)]
        return ", ".join(f"{name} {self.shape(known[name].shape)}" for name in names[:_MOST_SHAPES])

    # ------------------------------------------------------------------------------- failures

    def _failure(self, error: Exception) -> tuple[str, str, str, list[Note]]:
        """Code, message, hint and notes of an error of PyTorch's."""
        if isinstance(error, RunLimitExceeded):
            return "E505", error.message, error.hint, []
        said = first_line(error)
        culprit = _failing_layer(error.__traceback__, self.paths)
        if culprit is not None:
            message, notes = self._layer(*culprit)
            return "E510", message, f"PyTorch says: {said}", notes
        if not isinstance(error, RuntimeError | IndexError | ValueError):
            return "E512", f"{type(error).__name__}: {said}", "", []
        shapes = [
            self.shape([int(size) for size in found.split(", ") if size])
            for found in _SHAPE.findall(said)
        ]
        if len(shapes) == 2:
            message = f"the shapes {shapes[0]} and {shapes[1]} do not fit together"
            return "E510", message, f"PyTorch says: {said}", []
        return "E510", said, "", []

    def _layer(self, layer: nn.Module, given: torch.Tensor | None) -> tuple[str, list[Note]]:
        """That a layer does not take its input, and where it is declared."""
        path = self.paths[id(layer)]
        title = instance_text(path, type(layer).__name__)
        argument, wanted, actual = _sizes(layer, given)
        message = f"{title} does not fit its input"
        if argument:
            message = f"{title} takes {argument}={wanted}, its input has {actual}"
        if given is not None:
            message += f": {self.shape(given.shape)}"
            message += "" if argument else f" of {_dtype(given)}"
        while path not in self.instances:  # a part of a layer that PyTorch makes of others
            path = path.rpartition(".")[0]
        return message, [self._setting(self.instances[path], argument)]

    def _setting(self, instance: Instance, argument: str) -> Note:
        """The line that sets a size."""
        document = self.spec.document
        if argument and document.has((*instance.path, argument)):
            fact = f"{argument} is {instance.arguments.get(argument)} here"
            return Note(fact, document.place((*instance.path, argument)))
        return Note(f"the {instance.type} is declared here", document.place(instance.path))

    def _contract(self, error: ContractBroken, frames: list[_Frame]) -> Problem:
        """A contract of an input is broken where the block is called, one of an output inside."""
        document = self.spec.document
        kind = type(error.module).__name__
        notes = [Note("the contract", document.place(error.path)), *error.causes]
        place = self._place(frames[-1]) if frames else notes[0].place
        if error.of_output:
            forward: Path = ("blocks", kind, "forward")
            steps = self.spec.architecture.blocks[kind].forward
            last: Path = (*forward, len(steps) - 1, "return") if steps else ("blocks", kind)
            place = document.place(last, key=not steps)
        elif not frames:
            notes = notes[1:]  # the place is the contract
        elif shapes := self._locals(frames[-1]):
            notes.append(Note(f"shapes: {shapes}"))
        notes.append(Note(f"instance: {instance_text(self.paths[id(error.module)], kind)}"))
        notes += self._way_down(frames, start="called by")
        return Problem("E511", str(error), place, notes=tuple(notes))

    # --------------------------------------------------------------------------------- places

    def _frames(self, traceback: TracebackType | None) -> Iterator[_Frame]:
        """The lines of generated forwards in a traceback, outermost first."""
        while traceback is not None:
            frame = traceback.tb_frame
            module = frame.f_locals.get("self")
            step = self.generated.paths.get(traceback.tb_lineno, ())
            generated = frame.f_code.co_filename == self.file and step
            if generated and isinstance(module, nn.Module) and id(module) in self.paths:
                path = self.paths[id(module)]
                yield _Frame(frame, traceback.tb_lasti, module, path, step)
            traceback = traceback.tb_next

    def _way_down(self, frames: list[_Frame], start: str = "instance") -> list[Note]:
        """From the failing instance up to the root, a line each."""
        notes: list[Note] = []
        for found in reversed(frames):
            step = _step_number(found.step)
            where = f"in {type(found.module).__name__}.forward" + (f", step {step}" if step else "")
            title = instance_text(found.path, type(found.module).__name__)
            place = self.spec.document.place(found.step)
            notes.append(Note(f"{start}: {title}, {where}, {place.file}:{place.line}"))
            start = "called by"
        return notes

    def _place(self, found: _Frame) -> Place:
        """The stretch of the step that failed; the whole step if that cannot be told."""
        step = self._step(found.step)
        node = _failing_node(self.generated.text, found, step) if step is not None else None
        if node is None:
            return self.spec.document.place(found.step)
        return self.spec.document.stretch(node.span.path, node.span.start, node.span.end)

    def _step(self, path: Path) -> Node | None:
        """The expression of the step at ``path``; None if the modules run in their order."""
        block = self.spec.tree.blocks.get(str(path[1])) if path[:1] == ("blocks",) else None
        steps = steps_below(block.forward) if block else ()
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
    if "forward" not in path:
        return ""
    numbers = [part + 1 for part in path[path.index("forward") :] if isinstance(part, int)]
    return ".".join(map(str, numbers))


def _failing_node(generated: str, found: _Frame, step: Node) -> Node | None:
    """Which part of a step its failing instruction was made from.

    The generated statement and the step have the same operations in the same order, so that the
    one at the instruction's place is the one with the same number.
    """
    at = tuple(list(found.frame.f_code.co_positions())[found.at // 2])
    line = at[0] or 0
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
    made = list(_operations(value))
    kinds = tuple(_OPERATIONS.values())
    written = [node for node in nodes.walk(step) if isinstance(node, kinds)]
    if [_OPERATIONS[type(node)] for node in made] != [type(node) for node in written]:
        return None
    for one, other in zip(made, written, strict=True):
        if (one.lineno, one.end_lineno, one.col_offset, one.end_col_offset) == at:
            return other
    return None


def _operations(node: ast.AST | None) -> Iterator[ast.expr]:
    if isinstance(node, ast.expr) and type(node) in _OPERATIONS:
        yield node
    parts = ast.iter_child_nodes(node) if node else ()
    if isinstance(node, ast.IfExp):
        parts = (node.body, node.test, node.orelse)  # in the order of the text
    for child in parts:
        yield from _operations(child)


def _failing_layer(
    traceback: TracebackType | None, paths: Mapping[int, str]
) -> tuple[nn.Module, torch.Tensor | None] | None:
    """The torch.nn layer in whose own forward the error arose, with its first input."""
    found: tuple[nn.Module, torch.Tensor | None] | None = None
    while traceback is not None:
        frame = traceback.tb_frame
        module = frame.f_locals.get("self")
        if isinstance(module, nn.Module) and id(module) in paths:
            inside = type(module).__module__.startswith("torch.nn")
            container = isinstance(module, nn.Sequential | nn.ModuleList | nn.ModuleDict)
            if frame.f_code.co_name == "forward":
                arguments = [frame.f_locals.get(n) for n in frame.f_code.co_varnames[1:2]]
                tensor = next((a for a in arguments if isinstance(a, torch.Tensor)), None)
                found = (module, tensor) if inside and not container else None
        traceback = traceback.tb_next
    return found


def _sizes(layer: nn.Module, given: torch.Tensor | None) -> tuple[str, object, object]:
    """The argument that the input's size must equal, its value, and the input's size."""
    if given is None:
        return "", None, None
    if isinstance(layer, nn.Linear):
        wanted = ("in_features", layer.in_features, -1)
    elif isinstance(layer, nn.modules.conv._ConvNd):
        wanted = ("in_channels", layer.in_channels, given.ndim - 1 - len(layer.kernel_size))
    elif isinstance(layer, nn.modules.batchnorm._NormBase):
        wanted = ("num_features", layer.num_features, 1)
    elif isinstance(layer, nn.GroupNorm):
        wanted = ("num_channels", layer.num_channels, 1)
    elif isinstance(layer, nn.LayerNorm | nn.RMSNorm):
        shape = tuple(layer.normalized_shape)
        actual = tuple(given.shape[-len(shape) :])
        if actual == shape:
            return "", None, None
        one = len(shape) == 1
        return "normalized_shape", shape[0] if one else shape, actual[0] if one else actual
    elif isinstance(layer, nn.RNNBase):
        wanted = ("input_size", layer.input_size, -1)
    else:
        return "", None, None
    name, size, axis = wanted
    if not -given.ndim <= axis < given.ndim or given.shape[axis] == size:
        return "", None, None
    return name, size, given.shape[axis]


def _dtype(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
