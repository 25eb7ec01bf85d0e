"""What is known in the steps of one block: values, conditions, and the modules that a name means.

A value is known if all that it is computed from is: parameters, how many modules a container has,
and earlier steps of this kind. Conditions are evaluated as three-valued logic: what is unknown
and false is false, what is unknown or true is true.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager

from archspec.lang.expr import ExpressionError, Node, Value, nodes
from archspec.lang.expr.evaluate import Evaluator
from archspec.lang.instances import Instance
from archspec.lang.tree import AssignNode, BlockNode, ForNode, steps_below

_MAX_TRIED = 30_000
_MAX_TEXT = 100  # of a text that a step gives; lists are not kept either, so that none is copied


class Known:
    """Follows the steps of one block: ``enter`` a loop, ``assign`` what a step gives."""

    def __init__(self, block: BlockNode, instance: Instance, values: Mapping[str, Value]) -> None:
        """``values`` are those of the parameters and local values."""
        self.params = values
        self.values = {name: value for name, value in values.items() if name not in block.held}
        self.targets: dict[str, list[Instance]] = {}  # of loops → the modules that they stand for
        self._truths: dict[str, bool] = {}  # of names of which nothing more is known
        self._declared, self._children = block.modules, dict(instance.children)
        self._entered: dict[int, dict[str, list[Instance]]] = {}  # of each loop, its ``targets``
        self._tried = 0  # modules that a condition has been looked at for

    # --------------------------------------------------------------------------------- steps

    def assign(self, step: AssignNode) -> None:
        """From here on, the targets of a step are what it gives them."""
        known, value = self.value(step.value)
        truth = self.truth(step.value)
        self._forget(step.targets)
        if len(step.targets) != 1:
            return
        (name,) = step.targets
        if known and not isinstance(value, tuple) and len(str(value)) <= _MAX_TEXT:
            self.values[name] = value
        elif truth is not None:
            self._truths[name] = truth

    def enter(self, step: ForNode) -> None:
        """A round of a loop begins, or the last one is over: what rounds change is not known."""
        for inner in steps_below((step,)):
            if isinstance(inner, AssignNode | ForNode):
                self._forget(inner.targets)
        if id(step) not in self._entered:
            found = {target: self.modules(iterable) for target, iterable in loop_parts(step)}
            self._entered[id(step)] = {
                target: list({id(c): c for owner in owners for _, c in owner.children}.values())
                for target, owners in found.items()
                if owners is not None
            }
        self.targets |= self._entered[id(step)]

    def leave(self, step: ForNode) -> None:
        """The loop is over."""
        self.enter(step)
        self._forget(step.targets)

    def _forget(self, names: tuple[str, ...]) -> None:
        for name in names:
            self.values.pop(name, None)
            self._truths.pop(name, None)
            self.targets.pop(name, None)

    @contextmanager
    def assuming(self, test: Node, wanted: bool) -> Generator[None]:
        """Where ``test`` has come out as ``wanted``: the targets of loops stand for fewer modules.

        With ``len(block.extra) > 0``, they are the blocks that have some ``extra``.
        """
        before = dict(self.targets)
        for name in {found.id for found in nodes.names(test)} & before.keys():
            self._tried += len(before[name])
            if self._tried > _MAX_TRIED:
                break
            left: list[Instance] = []
            for instance in before[name]:
                self.targets[name] = [instance]
                if self.truth(test) is not (not wanted):
                    left.append(instance)
            self.targets[name] = left
        yield
        self.targets = before

    # ----------------------------------------------------------------------------- expressions

    def value(self, node: Node) -> tuple[bool, Value]:
        """Whether the value of ``node`` is known, and that value."""
        try:
            return True, _StepEvaluator(self).visit(node)
        except ExpressionError:
            return False, None

    def truth(self, node: Node) -> bool | None:
        """Whether ``node`` is true; None if that is not known."""
        match node:
            case nodes.Boolean(operator=word, values=parts):
                truths = {self.truth(part) for part in parts}
                decides = word == "or"
                return decides if decides in truths else None if None in truths else not decides
            case nodes.Unary(operator="not", operand=operand):
                truth = self.truth(operand)
                return None if truth is None else not truth
            case nodes.Conditional(test=test, yes=yes, no=no):
                truth = self.truth(test)
                truths = {self.truth(part) for part in _taken(truth, yes, no)}
                return truths.pop() if len(truths) == 1 else None
            case nodes.Name(id=name) if name in self._truths:
                return self._truths[name]
            case _:
                known, value = self.value(node)
                return bool(value) if known else None

    def branches(self, node: nodes.Conditional) -> list[Node]:
        """The sides of ``a if c else b`` that can be taken."""
        return _taken(self.truth(node.test), node.yes, node.no)

    def range_count(self, call: nodes.Call) -> float | None:
        """How often a loop over ``range`` runs, where that is known."""
        found = [self.value(argument) for argument in call.arguments]
        if not all(known for known, _ in found):
            return None
        try:
            return float(len(range(*(value for _, value in found))))
        except (TypeError, ValueError, OverflowError):
            return None

    # --------------------------------------------------------------------------------- modules

    def modules(self, node: Node) -> list[Instance] | None:
        """The modules that ``node`` can stand for; None if it is a value."""
        match node:
            case nodes.Name(is_param=True):
                return None
            case nodes.Name(id=name) if name in self.targets:
                return self.targets[name]
            case nodes.Name(id=name) if name in self._declared:
                return [self._children[name]] if name in self._children else []
            case nodes.Attribute(value=value, name=name):
                owners = self.modules(value)
                if owners is None:
                    return None
                return [child for o in owners for n, child in o.children if n == name]
            case nodes.Subscript(value=value, index=index):
                owners = self.modules(value)
                if owners is None or isinstance(index, nodes.Slice):
                    return owners  # a part of a container is one again
                known, at = self.value(index)
                found = [items_at(owner, at) if known else None for owner in owners]
                return [
                    child
                    for owner, items in zip(owners, found, strict=True)
                    for child in ([c for _, c in owner.children] if items is None else items)
                ]
            case _:
                return None

    def length(self, node: Node) -> int | None:
        """How many modules a container has at most; None if it is none."""
        owners = self.modules(node)
        if owners is None or not all(owner.container for owner in owners):
            return None
        return max((len(owner.children) for owner in owners), default=0)


class _StepEvaluator(Evaluator):
    """Evaluates expressions of steps, as far as they are known."""

    def __init__(self, known: Known) -> None:
        super().__init__(known.values)
        self.known = known

    def visit_name(self, node: nodes.Name) -> Value:
        """A parameter may have the name of a module or tensor, which steps mean."""
        if node.is_param and node.id in self.known.params:
            return self.known.params[node.id]
        return super().visit_name(node)

    def visit_call(self, node: nodes.Call) -> Value:
        match node:
            case nodes.Call(function=nodes.Name(id="len"), arguments=(container,)):
                owners = self.known.modules(container) or []
                sliced = any(isinstance(part, nodes.Slice) for part in nodes.walk(container))
                lengths = {len(o.children) if o.container else None for o in owners}
                if len(lengths) == 1 and None not in lengths and not sliced:
                    return lengths.pop()
            case _:
                pass
        symbol = node.function.symbol if isinstance(node.function, nodes.Name) else None
        if symbol is not None and symbol.kind not in ("numeric", "function"):
            return self.default(node)  # a child with the name of a function
        return super().visit_call(node)

    def visit_conditional(self, node: nodes.Conditional) -> Value:
        taken = self.known.branches(node)
        return self.visit(taken[0]) if len(taken) == 1 else self.default(node)


def _taken(truth: bool | None, yes: Node, no: Node) -> list[Node]:
    return [yes, no] if truth is None else [yes] if truth else [no]


def loop_parts(step: ForNode) -> list[tuple[str, Node]]:
    """Each target of a loop over containers or values, with what it runs over."""
    call, targets = step.value, step.targets
    if not (isinstance(call, nodes.Call) and call.name in nodes.LOOPS):
        return list(zip(targets, (call,), strict=False))
    if call.name == "range":
        return []
    if call.name == "enumerate":
        targets = targets[1:]
    return list(zip(targets, call.arguments, strict=False))


def items_at(owner: Instance, index: Value) -> list[Instance] | None:
    """The item of a container that ``index`` stands for, [] if there is none; None for others."""
    items = dict(owner.children)
    match owner.container, index:
        case "ModuleDict", str():
            return [items[index]] if index in items else []
        case (("ModuleList" | "Sequential"), int()) if not isinstance(index, bool):
            return [list(items.values())[index]] if -len(items) <= index < len(items) else []
        case "", _:
            return None
        case _:
            return []
