"""Checks shapes by running a module once on ``meta``: without data and memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from types import ModuleType
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from archspec.building.contracts import ContractChecks
from archspec.building.examples import example, example_inputs
from archspec.building.forward_errors import FailureReport, SizeMismatch, size_mismatch
from archspec.codegen import Generated
from archspec.errors import BuildError, Note, Place, Problem, ShapeError
from archspec.lang.checks.calls import returns_names
from archspec.lang.expr import ExpressionError, evaluate
from archspec.lang.instances import Instance, walk
from archspec.lang.registry import layers
from archspec.lang.sizes import size_of, symbols_of
from archspec.lang.spec import Spec
from archspec.lang.tree import BlockNode
from archspec.tracing.forward_record import ForwardRecord
from archspec.tracing.loops import short_loops
from archspec.tracing.meta_run import MetaRun
from archspec.tracing.repeats import Repeats

_NOT_EMPTY = 3  # what a size of 0 is run as: nothing is seen of an empty tensor
_DEFAULT_SIZES = (64, 224)  # of dimensions without a size in the spec
_MAX_FAILURES = 5  # that one build reports
_ABSENT = torch.Size([-1])  # no tensor has it
# Hashes of source, sizes and contracts that passed: a spec is often loaded again by its name.
_passed: set[int] = set()


def check_shapes(spec: Spec, model: nn.Module, generated: Generated, module: ModuleType) -> None:
    """Run ``model``, which is on ``meta``, on inputs as the root's contracts describe them.

    A batch of 1 is run as 2, so that nothing fits by broadcasting alone, and as 3 as well where
    steps take a tensor of 2 samples apart. Where the spec gives a dimension no size, only a failure
    at several sizes counts. A root without inputs and steps is not run.

    Raises:
        ShapeError: E510 for tensors that do not fit together, E511 for a broken contract, E512
            for a step that fails for another reason.
        BuildError: E505, the run is beyond the limits.
    """
    declared = [
        (name, block.inputs, block.outputs, block.methods)
        for name, block in spec.architecture.blocks.items()
    ]
    digest = hash((module.__name__, repr(spec.architecture.dims), repr(declared)))
    if digest in _passed:
        return
    instances = dict(walk(spec.root))
    _check_layers(spec, model, instances)
    _check_ties(spec, model, instances)
    block = spec.tree.blocks[spec.architecture.model]
    contracts = [c for entry in block.entries.values() for c in entry.inputs.values()]
    symbols = {*symbols_of(contracts)}
    unsized = symbols - spec.architecture.dims.keys() - {"batch"}
    problems: list[Problem] = []
    own_sizes = {name: size or _NOT_EMPTY for name, size in spec.architecture.dims.items()}
    paths = {id(child): path for path, child in model.named_modules(remove_duplicate=False)}
    file = str(module.__file__)
    batch = own_sizes.get("batch", 1)
    batches = (batch,) if batch > 1 else (2, 3)
    for default_size in _DEFAULT_SIZES if unsized else _DEFAULT_SIZES[:1]:
        for batch in batches:
            sizes = {**dict.fromkeys(unsized, default_size), **own_sizes, "batch": batch}
            report = FailureReport(spec, generated, file, paths, instances, sizes)
            shape_run = _ShapeRun(model, module.__name__, report)
            problems = shape_run.problems()
            # A step such as `hidden, _: fc(x)` may take samples apart, which are two by chance.
            if problems or batch not in shape_run.taken_apart:
                break
        if not problems:
            break
        if problems[0].code == "E505":
            raise BuildError(problems[0])
    if problems:
        raise ShapeError(problems)
    _passed.add(digest)


def _check_layers(spec: Spec, model: nn.Module, instances: Mapping[str, Instance]) -> None:
    """Refuse layers without sizes or forward, which could not be initialised or run."""
    for path, child in model.named_modules():
        name = type(child).__name__
        own_tensors = (*child._parameters.values(), *child._buffers.values())
        if any(tensor is not None and is_lazy(tensor) for tensor in own_tensors):
            message = f"{name} knows no sizes before its first input"
            replacement = name.removeprefix("Lazy")
            hint = (
                "give the sizes"
                if replacement == name
                else f"use {replacement}, and give the sizes"
            )
        elif type(child) in (nn.RNNBase, nn.RNNCellBase):
            message, hint = f"{name} has no forward of its own", "use LSTM, GRU or RNN, or a cell"
        else:
            continue
        place = spec.document.place(instances[path].path) if path in instances else None
        raise BuildError(Problem("E501", message, place, hint))


def _check_ties(spec: Spec, model: nn.Module, instances: Mapping[str, Instance]) -> None:
    """Check that tied parameters are there, and have the same shape."""
    known = dict(model.named_parameters(remove_duplicate=False))
    for name, target in spec.ties.items():
        owner, _, attribute = name.rpartition(".")
        place = spec.document.place(("tie", name))
        if target not in known:
            raise _no_parameter(target, model, place)
        instance = instances.get(owner)  # None: a part of one of PyTorch's layers
        own = instance and _own_shape(spec, model.get_submodule(owner), instance, attribute)
        if own is _ABSENT:
            raise _no_parameter(name, model, spec.document.place(("tie", name), key=True))
        shared = known[target].shape
        if own is not None and own != shared:
            message = f"'{name}' has the shape {list(own)}, '{target}' has {list(shared)}"
            raise ShapeError(Problem("E510", message, place, "tied parameters have one shape"))


def _no_parameter(path: str, model: nn.Module, place: Place | None) -> BuildError:
    owner, _, name = path.rpartition(".")
    kind = type(model.get_submodule(owner)).__name__
    message = f"no parameter '{path}': the {kind} is made without {name}"
    return BuildError(Problem("E213", message, place))


def _needs_values(error: Exception) -> bool:
    """Whether a run ended because tensors on ``meta`` have no values: then nothing is known.

    PyTorch raises ``NotImplementedError`` for operations without a kernel for ``meta``, which it
    names, and for inputs that no device can compute, as three dimensions for ``ReflectionPad3d``.
    """
    is_missing = isinstance(error, NotImplementedError)
    return re.search(r"\b[Mm]eta\b" if is_missing else "meta tensors", str(error)) is not None


def _own_shape(spec: Spec, module: nn.Module, instance: Instance, name: str) -> torch.Size | None:
    """The shape that a parameter would have if it were not tied; None if unknown.

    ``_ABSENT``, if there would be none.
    """
    block = spec.tree.blocks.get(instance.type)
    if block is not None:
        values = {**spec.values, **instance.values}
        tensor = block.parameters[name]
        if tensor.shape is None:
            with torch.device("meta"):
                return getattr(module, tensor.method)().shape
        sizes = [size_of(size, values, {}) for size in tensor.shape]
        return torch.Size([size for size in sizes if size is not None])
    layer = layers.find(instance.type)
    takes_modules = any(isinstance(value, Instance) for value in instance.arguments.values())
    if layer is None or layer.registered or takes_modules:
        return None
    with torch.device("meta"):
        tensor = getattr(getattr(nn, layer.name)(**instance.arguments), name, None)
    return tensor.shape if isinstance(tensor, torch.Tensor) else _ABSENT


class _ShapeRun:
    """One run on ``meta`` that checks contracts."""

    def __init__(self, model: nn.Module, module: str, report: FailureReport) -> None:
        """``module`` is the name of the Python module that the blocks were compiled into."""
        self.model, self.module, self.report = model, module, report
        self.spec = report.spec
        self.blocks = report.spec.tree.blocks
        self.taken_apart: set[int] = set()  # as ``MetaRun`` has it

    def problems(self) -> list[Problem]:
        """The problems with all inputs, or else without the optional ones.

        A block that fails is replaced by a constant that fits its ``outputs``, so that the run goes
        on and later problems do not follow from it.
        """
        self.model.eval()  # BatchNorm cannot compute statistics of one value per channel
        root = self.blocks[self.spec.architecture.model]
        try:
            with ContractChecks(self.model, self.module, self.report) as self.checks:
                for name, entry in root.entries.items():
                    # A root without inputs and steps is not run: its modules wait for an input.
                    is_run = entry.inputs or entry.forward is not None
                    if is_run and (problems := self._problems_of(name, entry)):
                        return problems
            return []
        finally:
            self.model.train()

    def _problems_of(self, name: str, entry: BlockNode) -> list[Problem]:
        inputs = example_inputs(self.spec, self.report.sizes, "meta", name)
        contracts = entry.inputs
        required = {n: x for n, x in inputs.items() if not contracts[n].declared.optional}
        problems = self._failures(name, inputs)
        if not problems and len(required) < len(inputs):
            note = Note("the optional inputs are left out in this call")
            failures = self._failures(name, required)
            problems = [replace(p, notes=(*p.notes, note)) for p in failures]
        return problems

    def _failures(self, entry: str, inputs: Mapping[str, Any]) -> list[Problem]:
        problems: list[Problem] = []
        with ExitStack() as replaced:
            for _ in range(_MAX_FAILURES):
                error = self._failure(entry, inputs)
                if error is None:
                    break
                problem = self.report.problem(error)
                if all((p.code, p.place) != (problem.code, problem.place) for p in problems):
                    problems.append(problem)
                if problem.code == "E505" or not self._mend(error, replaced):
                    break
        return problems

    def _mend(self, error: Exception, replaced: ExitStack) -> bool:
        """Let what failed run in the rest of this check, so that later problems are their own."""
        mismatch = self.report.mismatch(error)
        if mismatch is not None and self._fit_input(mismatch, replaced):
            return True
        block = self.report.failing_block(error)
        return block is not None and self._replace_block(block, replaced)

    def _fit_input(self, mismatch: SizeMismatch, replaced: ExitStack) -> bool:
        """Let a layer, and all equal layers, take an input of the size that it asks for."""
        if len(mismatch.expected) > 1:
            return False  # which of the sizes is wrong is not known

        def fitted(layer: nn.Module) -> Callable[..., Any]:
            forward = layer.forward

            def run(x: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
                found = size_mismatch(layer, x)
                return forward(x if found is None else x.new_empty(found.fitting), *args, **kwargs)

            return run

        return self._replace(mismatch.layer, fitted, replaced)

    def _replace_block(self, block: nn.Module, replaced: ExitStack) -> bool:
        """Let a block, and all equal blocks, return tensors that fit its contract."""
        node = self.blocks[type(block).__name__]
        outputs = node.outputs
        instance = self.report.instances[self.report.paths[id(block)]]
        values = {**self.spec.values, **instance.values}
        symbol_sizes = self.checks.sizes_of(block, node)
        found = [contract.shape_of(0) for contract in outputs.values()]
        try:
            shapes = [[size_of(size, values, symbol_sizes) for size in shape] for shape in found]
        except ExpressionError:  # told where the contract is checked
            return False
        unknown = any(None in shape for shape in shapes)
        unknown = unknown or any(c.declared.open_at is not None for c in outputs.values())
        if not shapes or block is self.model or unknown:
            return False
        examples = {
            name: example(contract, values, symbol_sizes, "meta")
            for name, contract in outputs.items()
            if contract.always or evaluate(contract.when, {**values, "training": block.training})
        }
        named = returns_names(node)
        several = tuple(examples.values()) if len(examples) != 1 else next(iter(examples.values()))
        result = examples if named else several
        return self._replace(block, lambda _: lambda *args, **kwargs: result, replaced)

    def _replace(
        self,
        module: nn.Module,
        forward: Callable[[nn.Module], Callable[..., Any]],
        replaced: ExitStack,
    ) -> bool:
        """Give a module, and all equal ones, another forward; whether any had its own until now."""
        instance = self.report.instances.get(self.report.paths[id(module)])
        if instance is None:  # a part of one of PyTorch's layers
            return False
        changed = False
        for path, child in self.model.named_modules():
            if self.report.instances.get(path) is instance and "forward" not in child.__dict__:
                child.__dict__["forward"] = forward(child)
                replaced.callback(child.__dict__.pop, "forward")
                changed = True
        return changed

    def _failure(self, entry: str, inputs: Mapping[str, Any]) -> Exception | None:
        kinds = {path: id(instance) for path, instance in self.report.instances.items()}
        try:
            record = ForwardRecord(self.model)
            limited = MetaRun(self.model)
            with limited, Repeats(self.model, kinds, record), short_loops(record):
                (self.model if entry == "forward" else getattr(self.model, entry))(**inputs)
            self.taken_apart |= limited.taken_apart
        except Exception as error:
            return None if _needs_values(error) else error
        return None
