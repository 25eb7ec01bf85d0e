"""Checks shapes by running a module once on ``meta``: without data and memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from types import ModuleType
from typing import Any, cast

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from archspec.building.examples import example, example_inputs
from archspec.building.forward_errors import ContractBroken, FailureReport
from archspec.codegen import Generated
from archspec.errors import BuildError, Note, Problem, ShapeError
from archspec.lang.checks.calls import returns_names
from archspec.lang.expr import ExpressionError, Node, evaluate
from archspec.lang.expr.nodes import Name
from archspec.lang.expr.printing import written
from archspec.lang.instances import Instance, walk
from archspec.lang.registry import layers
from archspec.lang.sizes import bind, size_of, symbol, symbols_of
from archspec.lang.spec import Spec
from archspec.lang.tree import ContractNode
from archspec.lang.yaml import Path
from archspec.tracing.forward_record import ForwardRecord, tensors_in
from archspec.tracing.meta_run import MetaRun
from archspec.tracing.repeats import Repeats

_NOT_EMPTY = 3  # what a size of 0 is run as: nothing is seen of an empty tensor
_DEFAULT_SIZES = (64, 224)  # of dimensions without a size in the spec
_MAX_FAILURES = 5  # that one build reports
# Hashes of source, sizes and contracts that passed: a spec is often loaded again by its name.
_passed: set[int] = set()


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
    if digest in _passed:
        return
    instances = dict(walk(spec.root))
    _check_layers(spec, model, instances)
    _check_ties(spec, model, instances)
    block = spec.tree.blocks[spec.architecture.model]
    symbols = {*symbols_of(block.inputs.values())}
    unsized = symbols - spec.architecture.dims.keys() - {"batch"}
    problems: list[Problem] = []
    own_sizes = {name: size or _NOT_EMPTY for name, size in spec.architecture.dims.items()}
    for default_size in _DEFAULT_SIZES if unsized else _DEFAULT_SIZES[:1]:
        sizes = dict.fromkeys(unsized, default_size) | own_sizes
        sizes["batch"] = max(2, sizes.get("batch", 2))
        paths = {id(child): path for path, child in model.named_modules(remove_duplicate=False)}
        file = str(module.__file__)
        report = FailureReport(spec, generated, file, paths, instances, sizes)
        is_run = block.inputs or block.forward is not None  # else its modules wait for an input
        problems = _ShapeRun(model, module.__name__, report).problems() if is_run else []
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
        own_tensors = (*child.parameters(recurse=False), *child.buffers(recurse=False))
        if any(map(is_lazy, own_tensors)):
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
    """Check that tied parameters have the same shape."""
    for name, target in spec.architecture.tie.items():
        owner, _, attribute = name.rpartition(".")
        own, shared = (
            _own_shape(spec, model.get_submodule(owner), instances[owner], attribute),
            model.get_parameter(target).shape,
        )
        if own is not None and own != shared:
            message = f"'{name}' has the shape {list(own)}, '{target}' has {list(shared)}"
            place = spec.document.place(("tie", name))
            raise ShapeError(Problem("E510", message, place, "tied parameters have one shape"))


def _own_shape(spec: Spec, module: nn.Module, instance: Instance, name: str) -> torch.Size | None:
    """The shape that a parameter would have if it were not tied; None if unknown."""
    block = spec.tree.blocks.get(instance.type)
    if block is not None:
        values = {**spec.values, **instance.arguments}
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
    return tensor.shape if isinstance(tensor, torch.Tensor) else None


class _ShapeRun:
    """One run on ``meta`` that checks contracts."""

    def __init__(self, model: nn.Module, module: str, report: FailureReport) -> None:
        """``module`` is the name of the Python module that the blocks were compiled into."""
        self.model, self.module, self.report = model, module, report
        self.spec = report.spec
        self.blocks = report.spec.tree.blocks
        # Symbols of one call: the inputs set their sizes, the outputs must agree.
        self.symbol_sizes: dict[int, dict[str, int]] = {}

    def problems(self) -> list[Problem]:
        """The problems with all inputs, or else without the optional ones.

        A block that fails is replaced by a constant that fits its ``outputs``, so that the run goes
        on and later problems do not follow from it.
        """
        inputs = example_inputs(self.spec, self.report.sizes, "meta")
        contracts = self.blocks[self.spec.architecture.model].inputs
        required = {n: x for n, x in inputs.items() if not contracts[n].declared.optional}
        hooks = [hook for child in self.model.modules() for hook in self._hooks(child)]
        self.model.eval()  # BatchNorm cannot compute statistics of one value per channel
        try:
            problems = self._failures(inputs)
            if not problems and len(required) < len(inputs):
                note = Note("the optional inputs are left out in this call")
                problems = [replace(p, notes=(*p.notes, note)) for p in self._failures(required)]
        finally:
            self.model.train()
            for hook in hooks:
                hook.remove()
        return problems

    def _failures(self, inputs: Mapping[str, Any]) -> list[Problem]:
        problems: list[Problem] = []
        with ExitStack() as replaced:
            for _ in range(_MAX_FAILURES):
                error = self._failure(inputs)
                if error is None:
                    break
                problem = self.report.problem(error)
                if all((p.code, p.place) != (problem.code, problem.place) for p in problems):
                    problems.append(problem)
                block = self.report.failing_block(error)
                if (
                    block is None
                    or problem.code == "E505"
                    or not self._replace_block(block, replaced)
                ):
                    break
        return problems

    def _replace_block(self, block: nn.Module, replaced: ExitStack) -> bool:
        """Let a block, and all equal blocks, return tensors that fit its contract."""
        outputs = self.blocks[type(block).__name__].outputs
        values = {**self.spec.values, **self._instance(block).arguments}
        symbol_sizes = self.symbol_sizes.get(id(block), {})
        shapes = [[size_of(s, values, symbol_sizes) for s in c.shape] for c in outputs.values()]
        if not shapes or block is self.model or any(None in shape for shape in shapes):
            return False
        examples = {
            name: example(contract, values, symbol_sizes, "meta")
            for name, contract in outputs.items()
            if contract.always or evaluate(contract.when, {**values, "training": block.training})
        }
        named = returns_names(self.blocks[type(block).__name__])
        several = tuple(examples.values()) if len(examples) != 1 else next(iter(examples.values()))
        result = examples if named else several
        instance, replacements = self._instance(block), list[nn.Module]()
        for path, child in self.model.named_modules():
            if self.report.instances.get(path) is instance and "forward" not in child.__dict__:
                child.__dict__["forward"] = lambda *args, **kwargs: result
                replaced.callback(child.__dict__.pop, "forward")
                replacements.append(child)
        return bool(replacements)

    def _failure(self, inputs: Mapping[str, Any]) -> Exception | None:
        kinds = {path: id(instance) for path, instance in self.report.instances.items()}
        try:
            with MetaRun(self.model), Repeats(self.model, kinds, ForwardRecord(self.model)):
                self.model(**inputs)
        except NotImplementedError:
            return None  # an operation that meta does not support: unknown
        except Exception as error:
            if "meta tensors" in str(error):
                return None  # the operations depend on values
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
        return self.report.instances[self.report.paths[id(child)]]

    def _check_inputs(self, child: nn.Module, args: Any, kwargs: Any) -> None:
        name = type(child).__name__
        inputs = self.blocks[name].inputs
        values = {**dict(zip(inputs, args, strict=False)), **kwargs}
        self.symbol_sizes[id(child)] = {}
        given = {key: value for key, value in values.items() if key in inputs}
        self._check_all(child, inputs, given, ("blocks", name, "inputs"))

    def _check_outputs(self, child: nn.Module, args: Any, result: Any) -> None:
        name = type(child).__name__
        values = {**self._values(child), "training": child.training}
        outputs = {
            key: contract
            for key, contract in self.blocks[name].outputs.items()
            if contract.always or evaluate(contract.when, values)
        }
        path: Path = ("blocks", name, "outputs")
        if isinstance(result, dict):
            results = cast("dict[str, Any]", result)
        else:
            alone = len(outputs) == 1 or not isinstance(result, tuple | list)
            several = (result,) if alone else cast("tuple[Any, ...]", result)
            if len(several) != len(outputs):
                given = "1 value" if len(several) == 1 else f"{len(several)} values"
                message = f"{name} returns {given}, its outputs are {len(outputs)}"
                raise ContractBroken(message, child, path, of_output=True)
            results = dict(zip(outputs, several, strict=True))
        self.symbol_sizes.setdefault(id(child), {})
        self._check_all(child, outputs, results, path)

    def _check_all(
        self,
        child: nn.Module,
        contracts: Mapping[str, ContractNode],
        given: Mapping[str, Any],
        path: Path,
    ) -> None:
        """Check inputs or outputs, once all of them have told the sizes that they know."""
        tensors = [
            (contracts[key].shape, tuple(t.shape))
            for key, v in given.items()
            for t in tensors_in(v)
        ]
        bind(tensors, self._values(child), self.symbol_sizes[id(child)])
        for key, value in given.items():
            self._check(child, contracts[key], value, (*path, key))

    def _values(self, child: nn.Module) -> dict[str, Any]:
        return {**self.spec.values, **self._instance(child).arguments}

    def _check(self, child: nn.Module, contract: ContractNode, value: Any, path: Path) -> None:
        """Check one input or output against its contract."""
        declared = contract.declared
        if value is None and declared.optional:
            return
        of_output = path[2] == "outputs"
        title = f"{type(child).__name__}'s {'output' if of_output else 'input'} '{path[3]}'"

        def broken(message: str, causes: tuple[Note, ...] = ()) -> ContractBroken:
            text = f"{title} {message}"
            return ContractBroken(text, child, path, of_output=of_output, causes=causes)

        if declared.shape is None:
            if type(value).__name__ != declared.dtype:
                raise broken(f"is {_kind(value)}, the contract is {declared.dtype}")
        elif not declared.is_list:
            self._check_tensor(child, contract, value, broken)
        elif not isinstance(value, list | tuple):
            raise broken(f"is {_kind(value)}, not a list of tensors")
        else:
            items = cast("list[Any]", value)
            if contract.length is not None:
                length = evaluate(contract.length, self._values(child))
                if len(items) != length:
                    count = "1 tensor" if len(items) == 1 else f"{len(items)} tensors"
                    raise broken(f"has {count}, the contract is {length}")
            for item in items:
                self._check_tensor(child, contract, item, broken)

    def _check_tensor(
        self,
        child: nn.Module,
        contract: ContractNode,
        value: Any,
        broken: Callable[..., ContractBroken],
    ) -> None:
        if not isinstance(value, torch.Tensor):
            raise broken(f"is {_kind(value)}, not a tensor")
        sizes, values = self.symbol_sizes[id(child)], self._values(child)
        try:
            wanted = [size_of(size, values, sizes) for size in contract.shape]
        except ExpressionError as error:
            raise broken(f"has no size: {error.message}") from None
        if len(wanted) != value.ndim or any(
            size not in (None, actual) for size, actual in zip(wanted, value.shape, strict=True)
        ):
            pairs = zip(contract.shape, wanted, strict=True)
            expected = ", ".join(_size_text(size, known) for size, known in pairs)
            shape = self.report.shape(value.shape)
            causes = tuple(self._causes(child, contract))
            raise broken(f"has the shape {shape}, the contract is [{expected}]", causes)
        dtype = str(value.dtype).removeprefix("torch.")
        declared = contract.declared.dtype
        if declared is not None and dtype != declared:
            raise broken(f"is {dtype}, the contract is {declared}")
        if declared is None and not (value.is_floating_point() or value.is_complex()):
            raise broken(f"is {dtype}, the contract is floating point")

    def _causes(self, child: nn.Module, contract: ContractNode) -> Iterator[Note]:
        """Notes on where the sizes in a contract are set."""
        instance, document = self._instance(child), self.spec.document
        for size in contract.shape:
            name = size.id if isinstance(size, Name) else ""
            if name in instance.arguments and document.has((*instance.path, name)):
                fact = f"{name} is {instance.arguments[name]} here"
                yield Note(fact, document.place((*instance.path, name)))


def _size_text(size: Node, known: int | None) -> str:
    """``hidden_size=768``, or only the name or the size if there is no other."""
    name = symbol(size) or written(size)
    return name if known is None or name == str(known) else f"{name}={known}"


def _kind(value: object) -> str:
    return f"a tuple of {len(value)}" if isinstance(value, tuple) else type(value).__name__
