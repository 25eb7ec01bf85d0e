"""The value of an expression, computed without running Python code.

The tree is walked node by node, and every operation that could hang or fill memory is bounded
before it is carried out.

>>> from archspec.lang.expr.parse import parse
>>> evaluate(parse("64 * expansion"), {"expansion": 4})
256
"""

from __future__ import annotations

import operator
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from archspec.lang.expr import nodes
from archspec.lang.expr.errors import ExpressionError
from archspec.lang.expr.nodes import LOOPS, Node, Value
from archspec.lang.expr.numeric import FINFO, FUNCTIONS
from archspec.lang.expr.parse import MAX_INTEGER

MAX_LENGTH = 10_000  # elements of a list, characters of a string
MAX_DEPTH = 64  # lists in lists
MAX_WORK = 200_000  # values that the comprehensions of a spec look at, together
_FREE = 10  # elements that count as much elsewhere as one there: short lists cost nothing


@dataclass
class Budget:
    """How much the expressions of a spec may still look at."""

    left: int = MAX_WORK


_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt,
    ">=": operator.ge, "is": operator.is_, "is not": operator.is_not,
    "in": lambda a, b: a in b, "not in": lambda a, b: a not in b,
}  # fmt: skip
_UNARY: dict[str, Callable[[Any], Any]] = {
    "not": operator.not_, "-": operator.neg, "+": operator.pos, "~": operator.invert,
}  # fmt: skip
_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b,
    "/": lambda a, b: a / b, "//": lambda a, b: a // b, "%": lambda a, b: a % b,
    "**": lambda a, b: a**b, "<<": lambda a, b: a << b, ">>": lambda a, b: a >> b,
    "&": lambda a, b: a & b, "|": lambda a, b: a | b, "^": lambda a, b: a ^ b,
}  # fmt: skip


def evaluate(node: Node, names: Mapping[str, Value], budget: Budget | None = None) -> Value:
    """The value of an expression whose names are all in ``names``; lists become tuples.

    Args:
        budget: what several expressions share; left out, this one has a budget of its own.

    Raises:
        ExpressionError: E303 for an unknown name, E304 for a function or attribute, E306 for an
            operation that has no value (division by zero, an index out of range), E307 beyond the
            limits.
    """
    return Evaluator(names, budget).visit(node)


def rounds(
    clause: nodes.Clause, names: Mapping[str, Value], budget: Budget | None = None
) -> Iterator[dict[str, Value]]:
    """What each round of ``for targets in iterable`` gives its targets.

    Raises:
        ExpressionError: as ``evaluate``, before a round or in front of the first.
    """
    return Evaluator(names, budget).rounds(clause)


class Evaluator(nodes.Visitor[Value]):
    """Evaluates expressions whose names are all in ``names``."""

    def __init__(self, names: Mapping[str, Value], budget: Budget | None = None) -> None:
        self.names, self.budget = names, budget or Budget()
        self._inside = 0  # how many comprehensions are around what is evaluated

    def visit(self, node: Node) -> Value:
        try:
            result = super().visit(node)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            reason = error.args[-1] if error.args else error  # a power's has an errno in front
            raise ExpressionError("E306", f"cannot be evaluated: {reason}", node) from None
        if isinstance(result, int):
            if not -MAX_INTEGER <= result <= MAX_INTEGER:
                raise ExpressionError("E307", "the result does not fit into 64 bits", node)
        elif isinstance(result, complex):
            raise ExpressionError("E306", "the result is not a real number", node)
        is_copied = not isinstance(node, nodes.Name | nodes.Constant)
        self._spend(node, 1, result if is_copied else None)
        return result

    def _spend(self, node: Node, count: int, *values: Value) -> None:
        """Count what is looked at: in a comprehension each value, elsewhere long lists only."""
        for value in values:
            if isinstance(value, tuple | str):
                count += _elements(value)
        self.budget.left -= count if self._inside else count // _FREE
        if self.budget.left < 0:
            message = f"comprehensions and long lists: more than {MAX_WORK:,} values are looked at"
            raise ExpressionError("E307", message, node)

    def default(self, node: Node) -> Value:
        raise ExpressionError("E304", "this has no meaning in an argument", node)

    def visit_constant(self, node: nodes.Constant) -> Value:
        return self.default(node) if node.value is ... else node.value

    def visit_name(self, node: nodes.Name) -> Value:
        if node.id not in self.names:
            raise ExpressionError("E303", f"unknown name '{node.id}'", node)
        return self.names[node.id]

    def visit_sequence(self, node: nodes.Sequence) -> Value:
        made = tuple(map(self.visit, node.items))
        if problem := _too_long(_elements(made)):
            raise ExpressionError("E307", problem, node)
        return made

    def visit_template(self, node: nodes.Template) -> Value:
        return "".join(str(self.visit(piece)) for piece in node.pieces)

    def visit_unary(self, node: nodes.Unary) -> Value:
        return _UNARY[node.operator](self.visit(node.operand))

    def visit_binary(self, node: nodes.Binary) -> Value:
        left, right = self.visit(node.left), self.visit(node.right)
        if node.operator not in _BINARY:
            raise ExpressionError("E304", "@ has no meaning in an argument", node)
        self._spend(node, 0, left, right)
        if problem := _too_large(node.operator, left, right):
            raise ExpressionError("E307", problem, node)
        return _BINARY[node.operator](left, right)

    def visit_boolean(self, node: nodes.Boolean) -> Value:
        result: Value = None
        for value in node.values:
            result = self.visit(value)
            if bool(result) is (node.operator == "or"):
                break
        return result

    def visit_compare(self, node: nodes.Compare) -> bool:
        left = self.visit(node.left)
        for word, other in zip(node.operators, node.others, strict=True):
            right = self.visit(other)
            self._spend(node, 0, left, right)
            if not _COMPARE[word](left, right):
                return False
            left = right
        return True

    def visit_conditional(self, node: nodes.Conditional) -> Value:
        return self.visit(node.yes if self.visit(node.test) else node.no)

    def visit_subscript(self, node: nodes.Subscript) -> Value:
        return self.visit(node.value)[self._index(node.index)]

    def _index(self, node: Node) -> Any:
        if not isinstance(node, nodes.Slice):
            return self.visit(node)
        parts = (node.lower, node.upper, node.step)
        return slice(*(None if part is None else self.visit(part) for part in parts))

    def visit_comprehension(self, node: nodes.Comprehension) -> Value:
        names = self.names
        made: list[Value] = []
        length = 0
        self._inside += 1
        for _ in self._nested(node.clauses):
            value = self.visit(node.element)
            length += 1 + _elements(value)
            if problem := _too_long(length):
                raise ExpressionError("E307", problem, node)
            made.append(value)
        self._inside -= 1
        self.names = names
        return tuple(made)

    def _nested(self, clauses: Sequence[nodes.Clause]) -> Iterator[None]:
        """Once for each round of the innermost clause, with the names of all of them."""
        if not clauses:
            yield
            return
        clause, outside = clauses[0], self.names
        for given in self.rounds(clause):
            self.names = ChainMap(given, outside)  # pyright: ignore[reportArgumentType]
            if all(self.visit(condition) for condition in clause.conditions):
                yield from self._nested(clauses[1:])
            self.names = outside

    def rounds(self, clause: nodes.Clause) -> Iterator[dict[str, Value]]:
        """What the targets of a clause are in each round."""
        targets = clause.targets
        for item in self._iterated(clause.iterable):
            if len(targets) == 1:
                yield {targets[0]: item}
                continue
            values = cast("tuple[Value, ...]", item) if isinstance(item, tuple) else ()
            if len(values) == len(targets):
                yield dict(zip(targets, values, strict=True))
            else:
                given = f"{len(values)} values" if isinstance(item, tuple) else repr(item)[:60]
                message = f"{given} for the {len(targets)} names {', '.join(targets)}"
                raise ExpressionError("E306", message, clause.iterable)

    def _iterated(self, node: Node) -> Iterator[Value]:
        """What a loop over ``node`` gives."""
        if isinstance(node, nodes.Call) and node.name in LOOPS and node.name not in self.names:
            try:
                if node.name == "range":
                    return iter(range(*map(self.visit, node.arguments)))
                parts = [self._iterated(argument) for argument in node.arguments]
                if not parts:  # zip() would have no round, and end no loop around it
                    raise TypeError(f"{node.name} takes a list")
                if node.name == "zip":
                    return zip(*parts, strict=False)
                return enumerate(*parts)  # pyright: ignore[reportArgumentType]
            except (TypeError, ValueError) as error:
                raise ExpressionError("E306", f"cannot be evaluated: {error}", node) from None
        value = self.visit(node)
        if not isinstance(value, tuple):
            message = f"a loop needs a list, not {value!r}"[:200]
            is_text = isinstance(value, str) and isinstance(node, nodes.Constant)
            hint = 'a list in quotes begins with $: "$[…]"' if is_text else ""
            raise ExpressionError("E306", message, node, hint)
        return iter(cast("tuple[Value, ...]", value))

    def visit_attribute(self, node: nodes.Attribute) -> Value:
        match node.value:
            case nodes.Call(function=nodes.Name(id="finfo"), arguments=(nodes.Name(id=dtype),)):
                if node.name in FINFO.get(dtype, ()):
                    return FINFO[dtype][node.name]
            case _:
                pass
        return self.default(node)

    def visit_call(self, node: nodes.Call) -> Value:
        if not node.name or node.keywords:
            return self.default(node if node.name else node.function)
        if node.name not in FUNCTIONS or node.name in self.names:
            raise ExpressionError("E304", f"unknown function '{node.name}'", node.function)
        given = [self.visit(argument) for argument in node.arguments]
        self._spend(node, 0, *given)
        return FUNCTIONS[node.name](*given)


def _too_large(op: str, left: Value, right: Value) -> str:
    """Why an operation may not be carried out, before it is: afterwards is too late."""
    match op:
        case "**" if isinstance(left, int) and isinstance(right, int):
            if (abs(left).bit_length() - 1) * right > 63:
                return "the power does not fit into 64 bits"
        case "<<" if isinstance(right, int) and right > 64:
            return "a shift by more than 64 bits"
        case "%" if isinstance(left, str):
            return "text cannot be formatted in an expression"
        case "*":
            for sequence, count in ((left, right), (right, left)):
                if isinstance(sequence, str | tuple) and isinstance(count, int):
                    return _too_long(_elements(cast(Value, sequence)) * count)
        case "+" if isinstance(left, str | tuple) and isinstance(right, str | tuple):
            return _too_long(_elements(cast(Value, left)) + _elements(cast(Value, right)))
        case _:
            pass
    return ""


def _elements(value: Value, depth: int = 0) -> int:
    """How much a value holds, lists in lists included: sharing makes small ones of huge trees."""
    if isinstance(value, tuple):
        if depth > MAX_DEPTH:
            raise ValueError(f"lists are nested more than {MAX_DEPTH} deep")
        return sum(
            1 + (_elements(item, depth + 1) if isinstance(item, tuple | str) else 0)
            for item in cast("tuple[Any, ...]", value)
        )
    return len(value) if isinstance(value, str) else 0


def _too_long(length: int) -> str:
    return f"longer than {MAX_LENGTH} elements" if length > MAX_LENGTH else ""
