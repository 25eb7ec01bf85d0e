"""Checks what blocks are given and return against their contracts, while a model runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any, NamedTuple, cast

import torch
from torch import nn

from archspec.building.forward_errors import ContractBroken, FailureReport
from archspec.errors import Note
from archspec.lang.checks.bounds import MAX_ITEMS
from archspec.lang.expr import ExpressionError, Node, evaluate
from archspec.lang.expr.evaluate import Budget
from archspec.lang.expr.nodes import Name
from archspec.lang.expr.printing import written
from archspec.lang.instances import Instance
from archspec.lang.sizes import bind, size_of, symbol, symbols_in
from archspec.lang.tree import BlockNode, ContractNode
from archspec.tracing.forward_record import tensors_in
from archspec.tracing.limits import RunLimitExceeded


class _Call(NamedTuple):
    """A call of a module's forward, or of a further method."""

    module: nn.Module
    entry: BlockNode


class ContractChecks(ExitStack):
    """While entered, every call of a block of ``model`` is checked.

    Raises:
        ContractBroken: from the call that breaks one.
    """

    def __init__(self, model: nn.Module, module: str, report: FailureReport) -> None:
        """``module`` is the name of the Python module that the blocks were compiled into."""
        super().__init__()
        self.report, self.spec = report, report.spec
        # Symbols of one call: the inputs set their sizes, the outputs must agree.
        self._symbol_sizes: dict[tuple[int, str], dict[str, int]] = {}
        self._budget = Budget()  # of all expressions that the run computes
        self._known: dict[tuple[object, ...], Any] = {}
        self._shapes: dict[tuple[int, int], tuple[Node, ...]] = {}
        for child in model.modules():
            block = self.spec.tree.blocks.get(type(child).__name__)
            if block is not None and type(child).__module__ == module:
                self._attach(child, block)

    def sizes_of(self, module: nn.Module, entry: BlockNode) -> dict[str, int]:
        """Symbolic dimension → size in the last call."""
        return self._symbol_sizes.setdefault((id(module), entry.name), {})

    def _attach(self, module: nn.Module, block: BlockNode) -> None:
        call = _Call(module, block)

        def check_inputs(_: nn.Module, args: Any, kwargs: Any) -> None:
            self._check_inputs(call, args, kwargs)

        def check_outputs(_: nn.Module, args: Any, result: Any) -> None:
            self._check_outputs(call, result)

        if block.inputs:
            hook = module.register_forward_pre_hook(check_inputs, with_kwargs=True)
            self.callback(hook.remove)
        if block.outputs:
            self.callback(module.register_forward_hook(check_outputs).remove)
        for name, method in block.methods.items():
            module.__dict__[name] = self._checked(_Call(module, method), getattr(module, name))
            self.callback(module.__dict__.pop, name)

    def _checked(self, call: _Call, method: Callable[..., Any]) -> Callable[..., Any]:
        def checked(*args: Any, **kwargs: Any) -> Any:
            self._check_inputs(call, args, kwargs)
            result = method(*args, **kwargs)
            self._check_outputs(call, result)
            return result

        return checked

    def _instance(self, module: nn.Module) -> Instance:
        return self.report.instances[self.report.paths[id(module)]]

    def _values(self, module: nn.Module) -> dict[str, Any]:
        return {**self.spec.values, **self._instance(module).values}

    def _computed(self, node: Node, module: nn.Module, values: Mapping[str, Any]) -> Any:
        """The value of an expression; for equal modules it is computed once."""
        key = (id(node), id(self._instance(module)), module.training)
        if key not in self._known:
            self._known[key] = evaluate(node, values, self._budget)
        return self._known[key]

    def _shape(self, contract: ContractNode, number: int) -> tuple[Node, ...]:
        """The sizes of a tensor by its number; the same nodes each time."""
        if contract.declared.index is None:
            return contract.shape
        key = (id(contract), number)
        if key not in self._shapes:
            self._shapes[key] = contract.shape_of(number)
        return self._shapes[key]

    def _size(self, size: Node, call: _Call) -> int | None:
        sizes = self.sizes_of(*call)
        known = tuple(sizes.get(name) for name in symbols_in(size))
        key = (id(size), id(self._instance(call.module)), known)
        if key not in self._known:
            self._known[key] = size_of(size, self._values(call.module), sizes, self._budget)
        return self._known[key]

    def _check_inputs(self, call: _Call, args: Any, kwargs: Any) -> None:
        inputs = call.entry.inputs
        values = {**dict(zip(inputs, args, strict=False)), **kwargs}
        given = {key: value for key, value in values.items() if key in inputs}
        self.sizes_of(*call).clear()
        self._check_all(call, inputs, given, of_output=False)

    def _check_outputs(self, call: _Call, result: Any) -> None:
        module, entry = call
        if not entry.outputs:
            return
        values = {**self._values(module), "training": module.training}
        outputs = {
            key: contract
            for key, contract in entry.outputs.items()
            if contract.always or self._computed(contract.when, module, values)
        }
        if isinstance(result, dict):
            results = cast("dict[str, Any]", result)
        else:
            alone = len(outputs) == 1 or not isinstance(result, tuple | list)
            several = (result,) if alone else cast("tuple[Any, ...]", result)
            if len(several) != len(outputs):
                given = "1 value" if len(several) == 1 else f"{len(several)} values"
                message = f"{entry.name} returns {given}, its outputs are {len(outputs)}"
                path = (*entry.path, "outputs")
                raise ContractBroken(message, module, path, entry, of_output=True)
            results = dict(zip(outputs, several, strict=True))
        self._check_all(call, outputs, results, of_output=True)

    def _check_all(
        self,
        call: _Call,
        contracts: Mapping[str, ContractNode],
        given: Mapping[str, Any],
        *,
        of_output: bool,
    ) -> None:
        """Check inputs or outputs, once all of them have given the sizes that they know."""
        found = [
            (key, number if contracts[key].declared.index else 0, tuple(tensor.shape))
            for key, value in given.items()
            for number, tensor in enumerate(tensors_in(value))
        ]
        shapes = [
            (self._shape(contracts[key], number), contracts[key].own_sizes(shape))
            for key, number, shape in dict.fromkeys(found)
        ]
        sizes = self.sizes_of(*call)
        for key, contract in contracts.items():
            value = given.get(key, contract.declared.default)
            if contract.declared.is_size and isinstance(value, int):
                sizes.setdefault(key, value)
        bind(shapes, self._values(call.module), sizes, self._budget)
        for key, value in given.items():
            self._check(call, contracts[key], value, of_output=of_output)

    def _check(self, call: _Call, contract: ContractNode, value: Any, *, of_output: bool) -> None:
        """Check one input or output against its contract."""
        declared, (module, entry) = contract.declared, call
        if value is None and declared.optional:
            return
        title = f"{entry.name}'s {'output' if of_output else 'input'} '{contract.name}'"

        def broken(message: str, causes: tuple[Note, ...] = ()) -> ContractBroken:
            text, path = f"{title} {message}", contract.path
            return ContractBroken(text, module, path, entry, of_output=of_output, causes=causes)

        if declared.shape is None:
            if type(value).__name__ != declared.dtype:
                raise broken(f"is {_kind(value)}, the contract is {declared.dtype}")
        elif not declared.is_list:
            self._check_tensor(call, contract, value, broken)
        elif not isinstance(value, list | tuple):
            raise broken(f"is {_kind(value)}, not a list of tensors")
        else:
            items = cast("list[Any]", value)
            if len(items) > MAX_ITEMS:
                raise RunLimitExceeded(f"{title} has more than {MAX_ITEMS:,} tensors")
            if contract.length is not None:
                length = self._computed(contract.length, module, self._values(module))
                if len(items) != length:
                    count = "1 tensor" if len(items) == 1 else f"{len(items)} tensors"
                    raise broken(f"has {count}, the contract is {length}")
            has_index = declared.index is not None
            found = {(id(x), n if has_index else 0): x for n, x in enumerate(items)}
            for (_, number), item in found.items():
                self._check_tensor(call, contract, item, broken, number)

    def _check_tensor(
        self,
        call: _Call,
        contract: ContractNode,
        value: Any,
        broken: Callable[..., ContractBroken],
        number: int = 0,
    ) -> None:
        """Check a tensor, of a list the one with that number."""
        if not isinstance(value, torch.Tensor):
            raise broken(f"is {_kind(value)}, not a tensor")
        sizes = self._shape(contract, number)
        try:
            wanted = [self._size(size, call) for size in sizes]
        except ExpressionError as error:
            raise broken(f"has no size: {error.message}") from None
        actual = contract.own_sizes(value.shape)
        if len(wanted) != len(actual) or any(
            size not in (None, own) for size, own in zip(wanted, actual, strict=True)
        ):
            pairs = zip(sizes, wanted, strict=True)
            expected = contract.shape_text([_size_text(size, known) for size, known in pairs])
            shape = self.report.shape(value.shape)
            causes = tuple(self._causes(call.module, contract))
            where = f" at [{number}]" if contract.declared.index else ""
            raise broken(f"has the shape {shape}{where}, the contract is {expected}", causes)
        dtype = str(value.dtype).removeprefix("torch.")
        declared = contract.declared.dtype
        if declared is not None and dtype != declared:
            raise broken(f"is {dtype}, the contract is {declared}")
        if declared is None and not (value.is_floating_point() or value.is_complex()):
            raise broken(f"is {dtype}, the contract is floating point")

    def _causes(self, module: nn.Module, contract: ContractNode) -> Iterator[Note]:
        """Notes on where the sizes in a contract are set."""
        instance, document = self._instance(module), self.spec.document
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
