"""Shapes, checked by running a module once on ``meta``: no data, no memory, every real rule.

What PyTorch says of a failure is told in the words of the spec: which step of which block, which
instance, the shapes by the names of their dimensions, and the lines that set the sizes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import FrameType, ModuleType, TracebackType
from typing import Any

import torch
from torch import nn

from archspec.codegen import Generated
from archspec.elaborate import Instance, walk
from archspec.errors import Note, Place, Problem, ShapeError
from archspec.expressions import Expression, ExpressionError, evaluate
from archspec.params import literal
from archspec.schema import Contract
from archspec.source import Path
from archspec.spec import Spec

_GUESSES = (64, 224)  # sizes of dimensions that the spec gives none
# What passed, by source, sizes and contracts: a spec is often loaded anew by its name.
_checked: set[int] = set()


def check_shapes(spec: Spec, model: nn.Module, generated: Generated, module: ModuleType) -> None:
    """Run ``model``, which is on ``meta``, on inputs as the root's contracts describe them.

    A batch of 1 is run as 2, so that nothing fits by broadcasting alone. Where the spec gives a
    dimension no size, only a failure at several sizes counts.

    Raises:
        ShapeError: E510 for tensors that do not fit together, E511 for a broken contract, E512
            for a step that fails for another reason.
    """
    contracts = [(name, b.inputs, b.outputs) for name, b in spec.architecture.blocks.items()]
    digest = hash((module.__name__, repr(spec.architecture.dims), repr(contracts)))
    if digest in _checked:
        return
    block = spec.architecture.blocks[spec.architecture.model]
    symbols = {
        s for c in block.inputs.values() for s in c.shape if isinstance(s, str) and s[:1] != "$"
    }
    unsized = symbols - spec.architecture.dims.keys() - {"batch"}
    problem: Problem | None = None
    for guess in _GUESSES if unsized else _GUESSES[:1]:
        sizes = dict.fromkeys(unsized, guess) | spec.architecture.dims
        sizes["batch"] = max(2, sizes.get("batch", 2))
        problem = _Run(spec, model, generated, module, sizes).problem()
        if problem is None:
            break
    if problem is not None:
        raise ShapeError(problem)
    _checked.add(digest)


def example_inputs(spec: Spec, sizes: Mapping[str, int], device: str) -> dict[str, torch.Tensor]:
    """Zeros in the shapes and dtypes of the root's contracts.

    Args:
        sizes: symbolic dimension → size.
    """
    block = spec.architecture.blocks[spec.architecture.model]
    found: dict[str, torch.Tensor] = {}
    for name, contract in block.inputs.items():
        shape = [_size(size, spec.values, sizes) for size in contract.shape]
        dtype = getattr(torch, contract.dtype) if contract.dtype else torch.get_default_dtype()
        found[name] = torch.zeros(
            [1 if s is None else s for s in shape], dtype=dtype, device=device
        )
    return found


def _size(size: int | str, values: Mapping[str, Any], sizes: Mapping[str, int]) -> int | None:
    """A dimension's size; None for a symbol that has none yet."""
    parsed = literal(size)
    if isinstance(parsed, Expression):
        return int(evaluate(parsed, values))
    return sizes.get(parsed) if isinstance(parsed, str) else parsed


def instance_text(path: str, kind: str) -> str:
    """``bert.encoder.layer[3].output (BertOutput)``."""
    names = path.split(".") if path else []
    text = "".join(f"[{n}]" if n.isdecimal() else f".{n}" for n in names).lstrip(".")
    return f"{text or 'the model itself'} ({kind})"


class _ContractBroken(Exception):
    """An input or output that is not as its contract says; ``path`` is the contract's place."""

    def __init__(self, message: str, path: Path) -> None:
        super().__init__(message)
        self.path = path


@dataclass(frozen=True, slots=True)
class _Frame:
    """One call on the way down: a line of a generated forward, and whose it is."""

    frame: FrameType
    module: nn.Module
    path: str
    place: Path


class _Run:
    """One run on ``meta``, and the explanation of its failure."""

    def __init__(
        self,
        spec: Spec,
        model: nn.Module,
        generated: Generated,
        module: ModuleType,
        sizes: Mapping[str, int],
    ) -> None:
        self.spec, self.model, self.generated, self.module = spec, model, generated, module
        self.sizes = sizes
        self.paths = {
            id(child): path for path, child in model.named_modules(remove_duplicate=False)
        }
        self.instances = dict(walk(spec.root))
        self.blocks = spec.architecture.blocks
        # One call's symbols: bound by the inputs, agreed to by the outputs.
        self.bound: dict[int, dict[str, int]] = {}

    def problem(self) -> Problem | None:
        """What goes wrong, or None."""
        hooks = [hook for child in self.model.modules() for hook in self._hooks(child)]
        self.model.eval()  # one value per channel is no batch to take statistics of
        try:
            self.model(**example_inputs(self.spec, self.sizes, "meta"))
        except NotImplementedError:
            return None  # an operation that meta cannot do: nothing is known
        except Exception as error:
            return self._explain(error)
        finally:
            self.model.train()
            for hook in hooks:
                hook.remove()
        return None

    # ------------------------------------------------------------------------------ contracts

    def _hooks(self, child: nn.Module) -> Iterator[Any]:
        block = self.blocks.get(type(child).__name__)
        if block is None or type(child).__module__ != self.module.__name__:
            return
        if block.inputs:
            yield child.register_forward_pre_hook(self._check_inputs, with_kwargs=True)
        if block.outputs:
            yield child.register_forward_hook(self._check_outputs)

    def _values(self, child: nn.Module) -> dict[str, Any]:
        instance = self.instances.get(self.paths[id(child)])
        return {**self.spec.values, **(instance.arguments if instance else {})}

    def _check_inputs(self, child: nn.Module, args: Any, kwargs: Any) -> None:
        name = type(child).__name__
        inputs = self.blocks[name].inputs
        given = {**dict(zip(inputs, args, strict=False)), **kwargs}
        self.bound[id(child)] = {}
        for key, contract in inputs.items():
            if key in given:
                self._check(
                    child, "input", key, contract, given[key], ("blocks", name, "inputs", key)
                )

    def _check_outputs(self, child: nn.Module, args: Any, result: Any) -> None:
        name = type(child).__name__
        outputs = self.blocks[name].outputs
        results = result if isinstance(result, tuple) and len(outputs) != 1 else (result,)
        if len(results) != len(outputs):
            message = f"{name} returns {len(results)} values, its outputs are {len(outputs)}"
            raise _ContractBroken(message, ("blocks", name, "outputs"))
        self.bound.setdefault(id(child), {})
        for (key, contract), value in zip(outputs.items(), results, strict=True):
            self._check(child, "output", key, contract, value, ("blocks", name, "outputs", key))

    def _check(
        self, child: nn.Module, what: str, key: str, contract: Contract, value: Any, path: Path
    ) -> None:
        if value is None and contract.optional:
            return
        title = f"{type(child).__name__}'s {what} '{key}'"
        if not isinstance(value, torch.Tensor):
            raise _ContractBroken(f"{title} is {type(value).__name__}, not a tensor", path)
        bound, values = self.bound[id(child)], self._values(child)
        fits = value.ndim == len(contract.shape)
        for size, actual in zip(contract.shape, value.shape, strict=False):
            try:
                wanted = _size(size, values, bound)
            except ExpressionError as error:
                raise _ContractBroken(f"{title}: {error.message}", path) from None
            if wanted is None:
                bound[str(size)] = actual
            fits = fits and wanted in (None, actual)
        if not fits:
            expected = ", ".join(self._wanted(size, values, bound) for size in contract.shape)
            shape = self._shape(value)
            raise _ContractBroken(
                f"{title} has the shape {shape}, the contract is [{expected}]", path
            )
        dtype = str(value.dtype).removeprefix("torch.")
        if contract.dtype is not None and dtype != contract.dtype:
            raise _ContractBroken(f"{title} is {dtype}, the contract is {contract.dtype}", path)
        if contract.dtype is None and not (value.is_floating_point() or value.is_complex()):
            raise _ContractBroken(f"{title} is {dtype}, the contract is floating point", path)

    @staticmethod
    def _wanted(size: int | str, values: Mapping[str, Any], bound: Mapping[str, int]) -> str:
        known = _size(size, values, bound)
        name = str(size).lstrip("$")
        return name if known is None or name == str(known) else f"{name}={known}"

    # ---------------------------------------------------------------------------- explanations

    def _explain(self, error: Exception) -> Problem:
        frames = list(self._frames(error.__traceback__))
        notes: list[Note] = []
        here = frames[-1] if frames else None
        hint = ""
        if isinstance(error, _ContractBroken):
            code, message = "E511", str(error)
            notes.append(Note("the contract", self._place(error.path)))
        else:
            culprit = _failing_layer(error.__traceback__, self.paths)
            code, message, hint, notes = self._failure(error, culprit)
        if here is None:
            return Problem(code, message, notes[0].place if notes else None, hint, tuple(notes))
        if shapes := self._locals(here):
            notes.append(Note(f"shapes: {shapes}"))
        notes += self._way_down(frames)
        return Problem(code, message, self._place(here.place), hint, tuple(notes))

    def _failure(
        self, error: Exception, culprit: tuple[nn.Module, torch.Tensor | None] | None
    ) -> tuple[str, str, str, list[Note]]:
        """Code, message, hint and notes of an error of PyTorch's."""
        said = (str(error).splitlines() or [type(error).__name__])[0]
        if culprit is None:
            is_shape = isinstance(error, RuntimeError | IndexError | ValueError)
            code = "E510" if is_shape else "E512"
            return code, said if is_shape else f"{type(error).__name__}: {said}", "", []
        layer, given = culprit
        path = self.paths[id(layer)]
        title = instance_text(path, type(layer).__name__)
        instance = self.instances.get(path)
        argument, wanted, actual = _sizes(layer, given)
        notes: list[Note] = []
        if instance is not None:
            place, fact = self._argument(instance, argument)
            notes.append(Note(fact, place))
        if argument:
            message = f"{title} takes {argument}={wanted}, its input has {actual}"
        else:
            message = f"{title} does not fit its input"
        if given is not None:
            message += f": {self._shape(given)}"
        return "E510", message, f"PyTorch says: {said}", notes

    def _argument(self, instance: Instance, argument: str) -> tuple[Place, str]:
        """The line that sets the size."""
        if argument and self.spec.document.has((*instance.path, argument)):
            value = instance.arguments.get(argument)
            place = self.spec.document.place((*instance.path, argument))
            return place, f"{argument} is {value} here"
        return self.spec.document.place(instance.path), f"the {instance.type} is declared here"

    def _place(self, path: Path) -> Place:
        return self.spec.document.place(path)

    def _frames(self, traceback: TracebackType | None) -> Iterator[_Frame]:
        """The lines of generated forwards in a traceback, outermost first."""
        while traceback is not None:
            frame = traceback.tb_frame
            module = frame.f_locals.get("self")
            place = self.generated.paths.get(traceback.tb_lineno, ())
            generated = frame.f_code.co_filename == self.module.__file__ and place
            if generated and isinstance(module, nn.Module) and id(module) in self.paths:
                yield _Frame(frame, module, self.paths[id(module)], place)
            traceback = traceback.tb_next

    def _way_down(self, frames: list[_Frame]) -> list[Note]:
        """From the failing instance up to the root, a line each."""
        notes: list[Note] = []
        for i, found in enumerate(reversed(frames)):
            step = _step_number(found.place)
            where = f"in {type(found.module).__name__}.forward" + (f", step {step}" if step else "")
            start = "instance" if i == 0 else "called by"
            title = instance_text(found.path, type(found.module).__name__)
            place = self._place(found.place)
            notes.append(Note(f"{start}: {title}, {where}, {place.file}:{place.line}"))
        return notes

    def _locals(self, found: _Frame) -> str:
        tensors = [
            f"{name} {self._shape(value)}"
            for name, value in found.frame.f_locals.items()
            if isinstance(value, torch.Tensor)
        ]
        return ", ".join(tensors)

    def _shape(self, tensor: torch.Tensor) -> str:
        """A shape with the names of its dimensions, where a size has only one name."""
        names: dict[int, set[str]] = {}
        for name, size in self.sizes.items():
            names.setdefault(size, set()).add(name)
        for name, value in self.spec.values.items():
            if isinstance(value, int) and not isinstance(value, bool) and value > 16:
                names.setdefault(value, set()).add(name)
        parts: list[str] = []
        for axis, size in enumerate(tensor.shape):
            known = names.get(size, set())
            if "batch" in known:  # so small a number means the batch only where batches are
                known = {"batch"} if axis == 0 else set()
            parts.append(f"{known.pop()}={size}" if len(known) == 1 else str(size))
            names.get(size, set()).update(known)
        return f"[{', '.join(parts)}]"


def _step_number(path: Path) -> str:
    """``2`` or ``2.1`` for a step inside a loop, counted from 1."""
    if "forward" not in path:
        return ""
    numbers = [part + 1 for part in path[path.index("forward") :] if isinstance(part, int)]
    return ".".join(map(str, numbers))


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
