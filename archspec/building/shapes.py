"""Shapes, checked by running a module once on ``meta``: no data, no memory, every real rule."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from types import ModuleType
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from archspec.building.shape_errors import ContractBroken, FailureReport
from archspec.codegen import Generated
from archspec.errors import BuildError, Note, Problem, ShapeError
from archspec.lang.expr import ExpressionError, Node, evaluate
from archspec.lang.expr.nodes import Constant, Name, is_literal
from archspec.lang.expr.printing import written
from archspec.lang.instances import Instance, walk
from archspec.lang.registry import layers
from archspec.lang.spec import Spec
from archspec.lang.tree import ContractNode
from archspec.lang.yaml import Path
from archspec.tracing.forward_record import ForwardRecord
from archspec.tracing.limits import MAX_ELEMENTS
from archspec.tracing.meta_run import MetaRun
from archspec.tracing.repeats import Repeats

_GUESSES = (64, 224)  # sizes of dimensions that the spec gives none
_MOST_FAILURES = 5  # that one build tells
# What passed, by source, sizes and contracts: a spec is often loaded anew by its name.
_checked: set[int] = set()


def check_shapes(spec: Spec, model: nn.Module, generated: Generated, module: ModuleType) -> None:
    """Run ``model``, which is on ``meta``, on inputs as the root's contracts describe them.

    A batch of 1 is run as 2, so that nothing fits by broadcasting alone. Where the spec gives a
    dimension no size, only a failure at several sizes counts. A root without inputs and steps is
    not run.

    Raises:
        ShapeError: E510 for tensors that do not fit together, E511 for a broken contract, E512
            for a step that fails for another reason.
        BuildError: E505, the run is beyond the limits.
    """
    contracts = [(name, b.inputs, b.outputs) for name, b in spec.architecture.blocks.items()]
    digest = hash((module.__name__, repr(spec.architecture.dims), repr(contracts)))
    if digest in _checked:
        return
    instances = dict(walk(spec.root))
    _check_layers(spec, model, instances)
    _check_ties(spec, model, instances)
    block = spec.tree.blocks[spec.architecture.model]
    symbols = {_symbol(size) for contract in block.inputs.values() for size in contract.shape}
    unsized = symbols - spec.architecture.dims.keys() - {"batch", ""}
    problems: list[Problem] = []
    for guess in _GUESSES if unsized else _GUESSES[:1]:
        sizes = dict.fromkeys(unsized, guess) | spec.architecture.dims
        sizes["batch"] = max(2, sizes.get("batch", 2))
        paths = {id(child): path for path, child in model.named_modules(remove_duplicate=False)}
        file = str(module.__file__)
        telling = FailureReport(spec, generated, file, paths, instances, sizes)
        is_run = block.inputs or block.forward is not None  # else its modules wait for an input
        problems = _Run(model, module.__name__, telling).problems() if is_run else []
        if not problems:
            break
        if problems[0].code == "E505":
            raise BuildError(problems[0])
    if problems:
        raise ShapeError(problems)
    _checked.add(digest)


def _check_layers(spec: Spec, model: nn.Module, instances: Mapping[str, Instance]) -> None:
    """No layer may lack sizes or a forward: it could never be filled, or never be run."""
    for path, child in model.named_modules():
        kind = type(child).__name__
        own_tensors = (*child.parameters(recurse=False), *child.buffers(recurse=False))
        if any(map(is_lazy, own_tensors)):
            message = f"{kind} knows no sizes before its first input"
            own = kind.removeprefix("Lazy")
            hint = "give the sizes" if own == kind else f"use {own}, and give the sizes"
        elif type(child) in (nn.RNNBase, nn.RNNCellBase):
            message, hint = f"{kind} has no forward of its own", "use LSTM, GRU or RNN, or a cell"
        else:
            continue
        place = spec.document.place(instances[path].path) if path in instances else None
        raise BuildError(Problem("E501", message, place, hint))


def _check_ties(spec: Spec, model: nn.Module, instances: Mapping[str, Instance]) -> None:
    """A parameter can share another's tensor only if its own would have the same shape."""
    for name, target in spec.architecture.tie.items():
        owner, _, attribute = name.rpartition(".")
        own, shared = (
            _own_shape(spec, instances[owner], attribute),
            model.get_parameter(target).shape,
        )
        if own is not None and own != shared:
            message = f"'{name}' has the shape {list(own)}, '{target}' has {list(shared)}"
            place = spec.document.place(("tie", name))
            raise ShapeError(Problem("E510", message, place, "tied parameters have one shape"))


def _own_shape(spec: Spec, instance: Instance, name: str) -> torch.Size | None:
    """The shape that a parameter would have, were it not tied; None if that is not known."""
    block = spec.tree.blocks.get(instance.type)
    if block is not None:
        values = {**spec.values, **instance.arguments}
        sizes = [_size(size, values, {}) for size in block.parameters[name].shape]
        return torch.Size([size for size in sizes if size is not None])
    layer = layers.find(instance.type)
    made_of_modules = any(isinstance(value, Instance) for value in instance.arguments.values())
    if layer is None or layer.registered or made_of_modules:
        return None
    with torch.device("meta"):
        tensor = getattr(getattr(nn, layer.name)(**instance.arguments), name, None)
    return tensor.shape if isinstance(tensor, torch.Tensor) else None


def example_inputs(spec: Spec, sizes: Mapping[str, int], device: str) -> dict[str, torch.Tensor]:
    """Zeros in the shapes and dtypes of the root's contracts.

    Args:
        sizes: symbolic dimension → size.

    Raises:
        ShapeError: E510, no tensor can be as large as an input, or has a size below 0.
    """
    block = spec.tree.blocks[spec.architecture.model]
    found: dict[str, torch.Tensor] = {}
    for name, contract in block.inputs.items():
        found_sizes = (_size(size, spec.values, sizes) for size in contract.shape)
        shape = [1 if size is None else size for size in found_sizes]
        dtype = _dtype(contract)
        if min(shape, default=0) < 0 or math.prod(shape) > MAX_ELEMENTS:
            place = spec.document.place(contract.path)
            message = f"no tensor can have the shape {shape} of the input '{name}'"
            raise ShapeError(Problem("E510", message, place))
        found[name] = torch.zeros(shape, dtype=dtype, device=device)
    return found


def _symbol(size: Node) -> str:
    """The name of a symbolic dimension; "" for any other size."""
    known = size.value if isinstance(size, Constant) and is_literal(size) else None
    return known if isinstance(known, str) else ""


def _size(size: Node, values: Mapping[str, Any], sizes: Mapping[str, int]) -> int | None:
    """A dimension's size; None for a symbol that has none yet."""
    symbol = _symbol(size)
    return sizes.get(symbol) if symbol else int(evaluate(size, values))


def _dtype(contract: ContractNode) -> torch.dtype:
    name = contract.declared.dtype
    return getattr(torch, name) if name else torch.get_default_dtype()


class _Run:
    """One run on ``meta``; contracts are checked on the way."""

    def __init__(self, model: nn.Module, module: str, telling: FailureReport) -> None:
        """``module`` is the name of the Python module that the blocks were compiled into."""
        self.model, self.module, self.telling = model, module, telling
        self.spec = telling.spec
        self.blocks = telling.spec.tree.blocks
        # One call's symbols: bound by the inputs, agreed to by the outputs.
        self.bound: dict[int, dict[str, int]] = {}

    def problems(self) -> list[Problem]:
        """What goes wrong with all inputs, or else without the optional ones.

        A block that fails is replaced by what its ``outputs`` promise, so that the run goes on:
        what fails later does not follow from it.
        """
        inputs = example_inputs(self.spec, self.telling.sizes, "meta")
        contracts = self.blocks[self.spec.architecture.model].inputs
        required = {n: x for n, x in inputs.items() if not contracts[n].declared.optional}
        hooks = [hook for child in self.model.modules() for hook in self._hooks(child)]
        self.model.eval()  # one value per channel is no batch to take statistics of
        try:
            found = self._failures(inputs)
            if not found and len(required) < len(inputs):
                note = Note("the optional inputs are left out in this call")
                found = [replace(p, notes=(*p.notes, note)) for p in self._failures(required)]
        finally:
            self.model.train()
            for hook in hooks:
                hook.remove()
        return found

    def _failures(self, inputs: Mapping[str, torch.Tensor]) -> list[Problem]:
        found: list[Problem] = []
        with ExitStack() as replaced:
            for _ in range(_MOST_FAILURES):
                error = self._failure(inputs)
                if error is None:
                    break
                problem = self.telling.problem(error)
                if all((p.code, p.place) != (problem.code, problem.place) for p in found):
                    found.append(problem)
                block = self.telling.failing_block(error)
                if block is None or problem.code == "E505" or not self._replace(block, replaced):
                    break
        return found

    def _replace(self, block: nn.Module, replaced: ExitStack) -> bool:
        """Let a block, and all that equal it, return what its contract promises."""
        outputs = self.blocks[type(block).__name__].outputs
        values = {**self.spec.values, **self._instance(block).arguments}
        bound = self.bound.get(id(block), {})
        shapes = [[_size(s, values, bound) for s in c.shape] for c in outputs.values()]
        if not shapes or block is self.model or any(None in shape for shape in shapes):
            return False
        made = [
            torch.empty([size or 0 for size in shape], dtype=_dtype(contract), device="meta")
            for shape, contract in zip(shapes, outputs.values(), strict=True)
        ]
        result = made[0] if len(made) == 1 else tuple(made)
        instance, alike = self._instance(block), list[nn.Module]()
        for path, child in self.model.named_modules():
            if self.telling.instances.get(path) is instance and "forward" not in child.__dict__:
                child.__dict__["forward"] = lambda *args, **kwargs: result
                replaced.callback(child.__dict__.pop, "forward")
                alike.append(child)
        return bool(alike)

    def _failure(self, inputs: Mapping[str, torch.Tensor]) -> Exception | None:
        kinds = {path: id(instance) for path, instance in self.telling.instances.items()}
        try:
            with MetaRun(self.model), Repeats(self.model, kinds, ForwardRecord(self.model)):
                self.model(**inputs)
        except NotImplementedError:
            return None  # an operation that meta cannot do: nothing is known
        except Exception as error:
            if "meta tensors" in str(error):
                return None  # what happens next depends on values
            return error
        return None

    def _hooks(self, child: nn.Module) -> Iterator[Any]:
        block = self.blocks.get(type(child).__name__)
        if block is None or type(child).__module__ != self.module:
            return
        if block.inputs:
            yield child.register_forward_pre_hook(self._check_inputs, with_kwargs=True)
        if block.outputs:
            yield child.register_forward_hook(self._check_outputs)

    def _instance(self, child: nn.Module) -> Instance:
        return self.telling.instances[self.telling.paths[id(child)]]

    def _check_inputs(self, child: nn.Module, args: Any, kwargs: Any) -> None:
        name = type(child).__name__
        inputs = self.blocks[name].inputs
        given = {**dict(zip(inputs, args, strict=False)), **kwargs}
        self.bound[id(child)] = {}
        for key, contract in inputs.items():
            if key in given:
                self._check(child, contract, given[key], ("blocks", name, "inputs", key))

    def _check_outputs(self, child: nn.Module, args: Any, result: Any) -> None:
        name = type(child).__name__
        outputs = self.blocks[name].outputs
        several = isinstance(result, tuple | list) and len(outputs) != 1
        results = tuple(result) if several else (result,)
        if len(results) != len(outputs):
            values = "1 value" if len(results) == 1 else f"{len(results)} values"
            message = f"{name} returns {values}, its outputs are {len(outputs)}"
            path: Path = ("blocks", name, "outputs")
            raise ContractBroken(message, child, path, of_output=True)
        self.bound.setdefault(id(child), {})
        for (key, contract), value in zip(outputs.items(), results, strict=True):
            self._check(child, contract, value, ("blocks", name, "outputs", key))

    def _check(self, child: nn.Module, contract: ContractNode, value: Any, path: Path) -> None:
        """Hold one input or output against its contract."""
        if value is None and contract.declared.optional:
            return
        of_output = path[2] == "outputs"
        title = f"{type(child).__name__}'s {'output' if of_output else 'input'} '{path[3]}'"

        def broken(message: str, causes: tuple[Note, ...] = ()) -> ContractBroken:
            text = f"{title} {message}"
            return ContractBroken(text, child, path, of_output=of_output, causes=causes)

        if not isinstance(value, torch.Tensor):
            raise broken(f"is {_kind(value)}, not a tensor")
        try:
            wanted = self._wanted(child, contract, value)
        except ExpressionError as error:
            raise broken(f"has no size: {error.message}") from None
        if len(wanted) != value.ndim or any(
            size not in (None, actual) for size, actual in zip(wanted, value.shape, strict=True)
        ):
            sizes = zip(contract.shape, wanted, strict=True)
            expected = ", ".join(_size_text(size, known) for size, known in sizes)
            shape = self.telling.shape(value.shape)
            causes = tuple(self._causes(child, contract))
            raise broken(f"has the shape {shape}, the contract is [{expected}]", causes)
        dtype = str(value.dtype).removeprefix("torch.")
        declared = contract.declared.dtype
        if declared is not None and dtype != declared:
            raise broken(f"is {dtype}, the contract is {declared}")
        if declared is None and not (value.is_floating_point() or value.is_complex()):
            raise broken(f"is {dtype}, the contract is floating point")

    def _wanted(
        self, child: nn.Module, contract: ContractNode, value: torch.Tensor
    ) -> list[int | None]:
        """The sizes that a contract asks for; what has none yet is bound to that of ``value``."""
        bound = self.bound[id(child)]
        values = {**self.spec.values, **self._instance(child).arguments}
        wanted = [_size(size, values, bound) for size in contract.shape]
        for size, known, actual in zip(contract.shape, wanted, value.shape, strict=False):
            if known is None:
                bound.setdefault(_symbol(size), actual)
        return [_size(size, values, bound) for size in contract.shape]

    def _causes(self, child: nn.Module, contract: ContractNode) -> Iterator[Note]:
        """Where the block was given the sizes that its contract speaks of."""
        instance, document = self._instance(child), self.spec.document
        for size in contract.shape:
            name = size.id if isinstance(size, Name) else ""
            if name in instance.arguments and document.has((*instance.path, name)):
                fact = f"{name} is {instance.arguments[name]} here"
                yield Note(fact, document.place((*instance.path, name)))


def _size_text(size: Node, known: int | None) -> str:
    """``hidden_size=768``; the name alone, or the size alone, where that is all there is."""
    name = _symbol(size) or written(size)
    return name if known is None or name == str(known) else f"{name}={known}"


def _kind(value: object) -> str:
    return f"a tuple of {len(value)}" if isinstance(value, tuple) else type(value).__name__
