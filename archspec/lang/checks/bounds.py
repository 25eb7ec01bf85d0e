"""How large the plain numbers and lists of a forward can become, before it ever runs.

Tensors are bounded by the memory of their device. Python's integers and lists are not: ``n: n * n``
in a loop fills the memory of whoever runs the model. So sizes are followed through the steps:
for a number the binary logarithm of its magnitude, for a list or text its length. What a tensor
function returns is taken for a tensor.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from archspec.lang.checks.known import Known
from archspec.lang.expr import Node, Symbol, nodes
from archspec.lang.expr.nodes import Broken, Call
from archspec.lang.tree import AssignNode, BlockNode, ContractNode, ForNode, StepNode
from archspec.lang.yaml import Path

MAX_BITS = 4_096
MAX_ITEMS = 100_000
MAX_STEPS = 1_000_000  # that one run of the model carries out, those of loops and calls included
_FLOAT_BITS = 1_024  # of the largest number that a float can be
_LOG_BITS = 10.1  # of the logarithm of any float: the smallest is about 2**-1074
MAX_ROUNDS = 100_000  # of all loops around one step together
_UNKNOWN_ROUNDS = 100  # of a loop over a container, whose modules are counted elsewhere
_UNKNOWN_LENGTH = 1_000  # of a list of tensors that is an input
_SETTLED = 70  # rounds after which a growth that has not shown itself is linear at most
_MAX_FOLLOWED = 30_000  # steps, each counted as often as it is followed
_OF_NUMBERS = "a number that parameters alone decide may stand in let"
_OF_LISTS = f"a list of unknown length counts as {_UNKNOWN_LENGTH:,} items"
# Functions and layers that always give several tensors, as a tuple.
_SEVERAL = frozenset(
    """aminmax broadcast_tensors chunk cummax cummin kthvalue meshgrid sort split std_mean
    tensor_split topk unbind var_mean""".split()
)
_SEVERAL_LAYERS = frozenset({"GRU", "LSTM", "LSTMCell", "MultiheadAttention", "RNN"})


@dataclass(frozen=True, slots=True)
class Number:
    """An integer of magnitude up to 2**bits."""

    bits: float


@dataclass(frozen=True, slots=True)
class Items:
    """A list, tuple or text of up to ``length`` items, none larger than ``item``."""

    length: float
    item: Size = None


@dataclass(frozen=True, slots=True)
class Real:
    """A float of magnitude up to 2**bits, which was computed from numbers."""

    bits: float


Size = Number | Real | Items | None  # None: a tensor, a float, or nothing that grows
State = dict[str, Size]
Returned = tuple[Size, ...]


class BoundsError(Exception):
    """A step, at ``path``, that could outgrow the limits."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.hint = message, hint
        self.path: Path = ()


class Bounds:
    """Follows the sizes through the steps of blocks."""

    def __init__(
        self, largest_dim: int, kinds: Mapping[int, int], returned: Mapping[int, Returned]
    ) -> None:
        """
        Args:
            largest_dim: what a size of an input may be at most.
            kinds: the id of a module → the number of its kind.
            returned: of the kinds that are known, what a call gives.
        """
        self.largest_dim = largest_dim
        self._kinds, self._returned = kinds, returned
        self._bits_of_input = math.log2(max(largest_dim, 1) + 1)  # all dims may be 0
        self._followed = 0

    def check(
        self, block: BlockNode, steps: Sequence[StepNode], known: Known
    ) -> Mapping[int, float]:
        """Follow the sizes through steps of one block; ``last`` is then what they return.

        Args:
            known: what is known in front of these steps.

        Returns:
            The id of each loop → how often it runs at most.

        Raises:
            BoundsError: at the first step that could outgrow the limits.
        """
        self._block, self._known = block, known
        self._rounds: dict[int, float] = {}
        self.last: Returned = ()
        self._values: dict[int, tuple[bool, Size]] = {}  # of each node: whether it is known
        self._lengths: dict[int, int | None] = {}  # of each node that a loop runs over
        inputs = {name: self._of_input(contract) for name, contract in block.inputs.items()}
        self._steps(steps, inputs, 1)
        return self._rounds

    def _of_input(self, contract: ContractNode) -> Size:
        """A number is taken to be no larger than a size, and a list to have some length."""
        if contract.declared.is_list:
            known, length = self._known.value(contract.length) if contract.length else (False, 0)
            is_number = known and isinstance(
                length, int | float
            )  # what else it is has been reported
            return Items(float(length) if is_number else _UNKNOWN_LENGTH)
        counts = contract.declared.shape is None and contract.declared.dtype != "float"
        return Number(self._bits_of_input) if counts else None

    def _steps(self, steps: Sequence[StepNode], state: State, rounds: float) -> None:
        for step in steps:
            try:
                self._step(step, state, rounds)
            except BoundsError as error:
                error.path = error.path or step.path
                raise

    def _step(self, step: StepNode, state: State, rounds: float) -> None:
        self._followed += 1
        if self._followed > _MAX_FOLLOWED:
            raise BoundsError("the loops are nested too deeply to be followed")
        if isinstance(step.value, Broken):
            return
        if isinstance(step, ForNode):
            self._loop(step, state, rounds)
            return
        size = self._checked(step.value, state)
        several = self._several(step.value, state)
        if isinstance(step, AssignNode):
            if len(step.targets) == len(several) > 1:
                state |= zip(step.targets, several, strict=True)
            else:
                shared = size if len(step.targets) == 1 else _element(size)
                state |= dict.fromkeys(step.targets, shared)
            self._known.assign(step)
        else:
            self.last = several or (size,)

    def _several(self, node: Node, state: State) -> Returned:
        """Each of the values that ``node`` gives, where they can be distinguished."""
        if isinstance(node, nodes.Sequence):
            return tuple(self._checked(item, state) for item in node.items)
        if not isinstance(node, Call):
            return ()
        return self._results(node, [self._checked(argument, state) for argument in node.given])

    def _results(self, call: Call, given: Sequence[Size]) -> Returned:
        """What a call of a module gives, whichever of several it is; () if that is not known.

        What it gives was worked out for inputs no larger than a size. For the powers of larger ones
        it has as many more bits.
        """
        owners = self._known.modules(call.function) or []
        found = {self._returned.get(self._kinds.get(id(owner), -1), ()) for owner in owners}
        if not found or len({len(sizes) for sizes in found}) > 1:
            return ()
        bits = max([size.bits for size in given if isinstance(size, Number)], default=0)
        larger = max(1.0, bits / self._bits_of_input)
        results = [_largest(sizes) for sizes in zip(*found, strict=True)]
        return tuple(Number(r.bits * larger) if isinstance(r, Number) else r for r in results)

    def _loop(self, step: ForNode, state: State, rounds: float) -> None:
        times = self._times(step.value, state)
        self._rounds[id(step)] = max(times, self._rounds.get(id(step), 0))
        if rounds * times > MAX_ROUNDS:
            hint = f"at most {MAX_ROUNDS:,} rounds, all loops around a step together"
            raise BoundsError("the loops run too often", hint)
        state |= dict.fromkeys(step.targets, self._loop_item(step.value, state, times))
        self._rounds_of(step, state, times, rounds * times)
        self._known.leave(step)

    def _rounds_of(self, step: ForNode, state: State, times: float, rounds: float) -> None:
        """Follow the rounds of a loop, until nothing grows any more."""
        before: State = {}
        for _ in range(int(min(times, _SETTLED))):
            before = dict(state)
            self._known.enter(step)
            self._steps(step.body, state, rounds)
            state |= {name: None for name, size in state.items() if _varies(size, before.get(name))}
            if state == before:
                return
        rest = max(0, times - _SETTLED)
        for name, size in state.items():
            match size, before.get(name):
                case Number(bits), Number(last) if bits + (bits - last) * rest > MAX_BITS:
                    raise BoundsError(f"'{name}' may grow beyond {MAX_BITS:,} bits in this loop")
                case Items(length), Items(last) if length + (length - last) * rest > MAX_ITEMS:
                    message = f"'{name}' may grow beyond {MAX_ITEMS:,} items in this loop"
                    raise BoundsError(message, hint=_OF_LISTS)
                case _:
                    pass

    def _loop_item(self, node: Node, state: State, times: float) -> Size:
        """What a loop's targets can be: counters, or items of what it runs over."""
        parts = node.arguments if isinstance(node, Call) else [node]
        items = [_element(self._checked(part, state)) for part in parts]
        return _largest([Number(math.log2(times + 1)), *items])

    def _times(self, node: Node, state: State) -> float:
        """How often a loop over ``node`` runs at most."""
        if isinstance(node, Call) and node.arguments:
            if node.name == "range":
                known = self._known.range_count(node)
                if known is not None:
                    return known
                sizes = [self._checked(argument, state) for argument in node.arguments]
                numbers = [2**size.bits - 1 for size in sizes if isinstance(size, Number)]
                return max([*numbers, *([self.largest_dim] if len(numbers) < len(sizes) else [])])
            if node.name in ("enumerate", "zip"):
                return min(self._times(argument, state) for argument in node.arguments)
        if id(node) not in self._lengths:
            self._lengths[id(node)] = self._known.length(node)
        if (length := self._lengths[id(node)]) is not None:
            return length
        size = self._checked(node, state)
        return size.length if isinstance(size, Items) else _UNKNOWN_ROUNDS

    # ----------------------------------------------------------------------------------- sizes

    def _checked(self, node: Node, state: State) -> Size:
        size = self._size(node, state)
        if isinstance(size, Number) and size.bits > MAX_BITS:
            raise BoundsError(f"the number may have more than {MAX_BITS:,} bits", hint=_OF_NUMBERS)
        if _total(size) > MAX_ITEMS:
            raise BoundsError(f"the list may have more than {MAX_ITEMS:,} items", hint=_OF_LISTS)
        return size

    def _size(self, node: Node, state: State) -> Size:
        if id(node) not in self._values:
            known, value = self._known.value(node)
            self._values[id(node)] = known, _of_value(value) if known else None
        if self._values[id(node)][0]:
            return self._values[id(node)][1]
        if isinstance(node, nodes.Conditional):
            self._checked(node.test, state)
            return _largest([self._checked(side, state) for side in self._known.branches(node)])
        # Every part is looked at, whatever the whole may be; a function's name is none.
        below = node.given if isinstance(node, Call) and node.name else nodes.children(node)
        parts = [self._checked(part, state) for part in below]
        match node:
            case nodes.Name(id=name):
                return state.get(name)
            case nodes.Sequence():
                return Items(len(parts), _largest(parts))
            case nodes.Attribute(name="shape"):
                return Items(64, Number(math.log2(self.largest_dim + 1)))
            case nodes.Attribute(name="ndim"):
                return Number(6)
            case nodes.Subscript(index=index):
                return parts[0] if isinstance(index, nodes.Slice) else _element(parts[0])
            case nodes.Unary(operator="not") | nodes.Compare():
                return Number(1)
            case nodes.Unary():
                return parts[0]
            case nodes.Boolean():
                return _largest(parts)
            case nodes.Binary(operator=sign):
                return _binary(sign, parts[0], parts[1])
            case Call(function=nodes.Name(id=name, symbol=Symbol(kind="numeric"))):
                return _numeric(name, parts)
            case Call() if len(results := self._results(node, parts)) == 1:
                return results[0]
            case Call(name=name) if name:
                return self._call(name)
            case _:
                return None

    def _call(self, name: str) -> Size:
        if name in ("len", "numel"):
            return Number(math.log2(self.largest_dim + 1) if name == "len" else 63)
        child = self._block.modules.get(name)
        gives_several = name in _SEVERAL if child is None else child.kind in _SEVERAL_LAYERS
        return Items(64, None) if gives_several else None


def _numeric(name: str, parts: Sequence[Size]) -> Size:
    """What a function of plain numbers gives."""
    flat = [_element(part) if isinstance(part, Items) else part for part in parts]
    match name:
        case "round" if isinstance(digits := [*flat, None][1], Number) and digits.bits >= 5:
            raise BoundsError("round takes at most 30 digits")  # it computes 10**digits
        case "abs" | "max" | "min":
            return _largest(flat)
        case "log" | "log2" if len(flat) == 1:
            bits = flat[0].bits if isinstance(flat[0], Number) else 0
            return Real(max(_LOG_BITS, math.log2(bits + 1)))
        case "sqrt" if isinstance(flat[0], Number):
            return Real(flat[0].bits / 2)
        case "float" if isinstance(flat[0], Number):
            return Real(flat[0].bits)
        case "ceil" | "floor" | "int" | "round" if len(flat) == 1 and isinstance(flat[0], Real):
            return _binary("+", Number(flat[0].bits), Number(0))  # rounded up by less than 1
        case "ceil" | "divisible" | "floor" | "int" | "round":
            return _largest([Number(_FLOAT_BITS), *flat])
        case "pair" if isinstance(flat[0], Number):
            return Items(2, flat[0])
        case "sum" if isinstance(parts[0], Items) and isinstance(flat[0], Number):
            return Number(flat[0].bits + math.log2(parts[0].length + 1))
        case _:
            return None


def _binary(sign: str, left: Size, right: Size) -> Size:
    match sign, left, right:
        case "%", Items(), _:
            raise BoundsError("text cannot be formatted in an expression")
        case (("+" | "-"), Real(a), Real(b) | Number(b)) | (("+" | "-"), Number(a), Real(b)):
            return _real(max(a, b) + 1)
        case ("*", Real(a), Real(b) | Number(b)) | ("*", Number(a), Real(b)):
            return _real(a + b)
        case "/", Real(bits) | Number(bits), Number():  # an integer that is not 0
            return _real(bits)
        case (("+" | "-"), Number(a), Number(b)):
            return Number(max(a, b) + math.log2(1 + 2.0 ** -min(abs(a - b), 60)))
        case "*", Number(a), Number(b):
            return Number(a + b)
        case "**", Number(a), Number(b):
            return Number(a * 2 ** min(b, 60))
        case "<<", Number(a), Number(b):
            return Number(a + 2 ** min(b, 60))
        case "/", _, _:
            return None
        case "%", Number(), Number():
            return right
        case _, Number(a), Number(b):
            return Number(max(a, b))
        case ("*", Items(length, item), Number(b)) | (
            "*", Number(b), Items(length, item)
        ):  # fmt: skip
            return Items(length * 2 ** min(b, 60), item)
        case "+", Items(n, item), Items(m, other):
            return Items(n + m, _largest([item, other]))
        case ("+", Items(length, item), None) | ("+", None, Items(length, item)):
            return Items(length + 1_000, item)
        case _:
            return None


def _varies(size: Size, before: Size) -> bool:
    """Whether it is a float that is another one after each round, which is followed no further."""
    return isinstance(size, Real) and size != before


def _real(bits: float) -> Size:
    return Real(bits) if bits < _FLOAT_BITS else None


def _of_value(value: Any) -> Size:
    match value:
        case float() if math.isfinite(value):
            return Real(math.log2(abs(value) + 1))
        case bool() | int():
            return Number(math.log2(abs(value) + 1))
        case str():
            return Items(len(value), Items(1, None))
        case tuple():
            items = cast("tuple[Any, ...]", value)
            return Items(len(items), _largest([_of_value(item) for item in items]))
        case _:
            return None


def _element(size: Size) -> Size:
    """An item of a list."""
    return size.item if isinstance(size, Items) else None


def _largest(sizes: Sequence[Size]) -> Size:
    """A size that is none of these, yet no smaller than any of them; lists outweigh numbers."""
    lists = [size for size in sizes if isinstance(size, Items)]
    if lists:
        length = max(size.length for size in lists)
        return Items(length, _largest([size.item for size in lists]))
    numbers = [size.bits for size in sizes if isinstance(size, Number)]
    return Number(max(numbers)) if numbers else None


def _total(size: Size) -> float:
    """The items of a list, those of lists in it included."""
    total = 0.0 if not isinstance(size, Items) else 1.0
    while isinstance(size, Items):
        total *= max(size.length, 1)
        size = size.item
    return total
