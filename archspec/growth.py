"""How large the plain numbers and lists of a forward can become, before it ever runs.

Tensors are bounded by the memory of their device. Python's integers and lists are not: ``n: n * n``
in a loop fills the memory of whoever runs the model. So sizes are followed through the steps:
for a number the binary logarithm of its magnitude, for a list or text its length. What a tensor
function returns is taken for a tensor.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from archspec.expressions import ExpressionError, parse
from archspec.schema import Assign, Block, For, Return, Step
from archspec.steps import step_text

MAX_BITS = 4_096
MAX_ITEMS = 100_000
MAX_ROUNDS = 1_000_000  # of all loops around one step together
_UNKNOWN_ROUNDS = 100  # of a loop over a container, whose modules are counted elsewhere
_SETTLED = 70  # rounds after which a growth that has not shown itself is linear at most


@dataclass(frozen=True, slots=True)
class Number:
    """An integer of magnitude up to 2**bits."""

    bits: float


@dataclass(frozen=True, slots=True)
class Items:
    """A list, tuple or text of up to ``length`` items."""

    length: float


Size = Number | Items | None  # None: a tensor, a float, or nothing that grows
State = dict[str, Size]


class GrowthError(Exception):
    """A step that could outgrow the limits; ``at`` is its path below ``forward``."""

    def __init__(self, message: str, at: tuple[int | str, ...], hint: str = "") -> None:
        super().__init__(message)
        self.message, self.at, self.hint = message, at, hint


def check_growth(block: Block, values: Mapping[str, Any], largest_dim: int) -> None:
    """Follow the sizes through a block's steps.

    Args:
        block: its ``forward`` is read.
        values: the global parameters; integers among them have known magnitudes.
        largest_dim: what a size of an input may be at most.

    Raises:
        GrowthError: at the first step that could outgrow the limits.
    """
    state: State = {name: _of_value(value) for name, value in values.items()}
    state |= dict.fromkeys(block.params, Number(63))
    state |= dict.fromkeys(block.inputs)
    _Growth(values, largest_dim).steps(block.forward or (), state, (), 1)


def _of_value(value: Any) -> Size:
    match value:
        case bool() | int():
            return Number(math.log2(abs(value) + 1))
        case str() | tuple():
            return Items(len(value))  # pyright: ignore[reportUnknownArgumentType]
        case _:
            return None


class _Growth:
    def __init__(self, values: Mapping[str, Any], largest_dim: int) -> None:
        self.values, self.largest_dim = values, largest_dim

    def steps(
        self, steps: Sequence[Step], state: State, at: tuple[int | str, ...], rounds: float
    ) -> None:
        for i, step in enumerate(steps):
            here = (*at, i)
            try:
                tree = parse(step_text(step, ())[0]).tree
            except ExpressionError:
                continue  # told by the step checker
            match step:
                case For():
                    self._loop(step, tree, state, here, rounds)
                case Assign():
                    size = self._checked(tree, state, here)
                    shared = size if len(step.targets) == 1 else _element(size)
                    state |= dict.fromkeys(step.targets, shared)
                case Return():
                    self._checked(tree, state, here)

    def _loop(
        self, step: For, tree: ast.expr, state: State, at: tuple[int | str, ...], rounds: float
    ) -> None:
        times = self._times(tree, state)
        if rounds * times > MAX_ROUNDS:
            hint = f"at most {MAX_ROUNDS:,} rounds, all loops around a step together"
            raise GrowthError("the loops run too often", at, hint)
        state |= dict.fromkeys(step.targets, Number(40))
        before: State = {}
        for _ in range(int(min(times, _SETTLED))):
            before = dict(state)
            self.steps(step.do, state, (*at, "do"), rounds * times)
            if state == before:
                return
        rest = max(0, times - _SETTLED)
        for name, size in state.items():
            match size, before.get(name):
                case Number(bits), Number(last) if bits + (bits - last) * rest > MAX_BITS:
                    raise GrowthError(f"'{name}' grows without bound in this loop", at)
                case Items(length), Items(last) if length + (length - last) * rest > MAX_ITEMS:
                    raise GrowthError(f"'{name}' grows without bound in this loop", at)
                case _:
                    pass

    def _times(self, tree: ast.expr, state: State) -> float:
        if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name):
            if tree.func.id == "range" and tree.args:
                return max(self._most(argument, state) for argument in tree.args)
            if tree.func.id in ("enumerate", "zip") and tree.args:
                return min(self._times(argument, state) for argument in tree.args)
        size = self._size(tree, state, ())
        return size.length if isinstance(size, Items) else _UNKNOWN_ROUNDS

    def _most(self, tree: ast.expr, state: State) -> float:
        """The largest value of an argument of ``range``."""
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute | ast.Call):
                return self.largest_dim
        size = self._size(tree, state, ())
        return 2 ** min(size.bits, 60) if isinstance(size, Number) else self.largest_dim

    # ----------------------------------------------------------------------------------- sizes

    def _checked(self, tree: ast.expr, state: State, at: tuple[int | str, ...]) -> Size:
        size = self._size(tree, state, at)
        if isinstance(size, Number) and size.bits > MAX_BITS:
            raise GrowthError("the number grows beyond any use", at, f"at most {MAX_BITS} bits")
        if isinstance(size, Items) and size.length > MAX_ITEMS:
            raise GrowthError("the list grows beyond any use", at, f"at most {MAX_ITEMS:,} items")
        return size

    def _size(self, node: ast.expr, state: State, at: tuple[int | str, ...]) -> Size:
        match node:
            case ast.Constant(value=value):
                return _of_value(value)
            case ast.Name(id=name):
                return state.get(name)
            case ast.List(elts=items) | ast.Tuple(elts=items):
                for item in items:
                    self._checked(item, state, at)
                return Items(len(items))
            case ast.Attribute(attr="shape"):
                return Items(64)
            case ast.Attribute(attr="ndim"):
                return Number(6)
            case ast.Subscript(value=value, slice=index):
                owner = self._size(value, state, at)
                return owner if isinstance(index, ast.Slice) else _element(owner)
            case ast.UnaryOp(operand=operand):
                return self._checked(operand, state, at)
            case ast.IfExp(body=body, orelse=orelse):
                return _larger(self._checked(body, state, at), self._checked(orelse, state, at))
            case ast.BoolOp(values=values):
                sizes = [self._checked(value, state, at) for value in values]
                return _larger(sizes[0], sizes[-1])
            case ast.BinOp(left=left, op=op, right=right):
                sides = self._checked(left, state, at), self._checked(right, state, at)
                return self._binary(op, *sides, right, at)
            case ast.Call(func=func, args=args, keywords=keywords):
                for argument in [*args, *(k.value for k in keywords)]:
                    self._checked(argument, state, at)
                is_count = isinstance(func, ast.Name) and func.id in ("len", "numel")
                return Number(63) if is_count else None
            case _:
                return None

    def _binary(
        self,
        op: ast.operator,
        left: Size,
        right: Size,
        exponent: ast.expr,
        at: tuple[int | str, ...],
    ) -> Size:
        match op, left, right:
            case ast.Mod(), Items(), _:
                raise GrowthError("text cannot be formatted in an expression", at)
            case ast.Add() | ast.Sub(), Number(a), Number(b):
                return Number(max(a, b) + math.log2(1 + 2.0 ** -min(abs(a - b), 60)))
            case ast.Mult(), Number(a), Number(b):
                return Number(a + b)
            case ast.Pow() | ast.LShift(), Number(a), Number():
                power = exponent.value if isinstance(exponent, ast.Constant) else None
                if not isinstance(power, int):
                    raise GrowthError("a power of numbers needs a literal exponent", at)
                return Number(a * max(power, 1) if isinstance(op, ast.Pow) else a + power)
            case ast.Mult(), Items(n), Number(b):
                return Items(n * 2 ** min(b, 60))
            case ast.Mult(), Number(b), Items(n):
                return Items(n * 2 ** min(b, 60))
            case ast.Add(), Items(n), Items(m):
                return Items(n + m)
            case ast.Add(), Items(n), None:
                return Items(n + 1_000)
            case ast.Add(), None, Items(n):
                return Items(n + 1_000)
            case _, Number(), Number():
                return left
            case _:
                return None


def _element(size: Size) -> Size:
    """An item of a list: a number at most, as far as growth goes."""
    return Number(63) if isinstance(size, Items) else None


def _larger(a: Size, b: Size) -> Size:
    if isinstance(a, Number) and isinstance(b, Number):
        return Number(max(a.bits, b.bits))
    if isinstance(a, Items) and isinstance(b, Items):
        return Items(max(a.length, b.length))
    return a or b
