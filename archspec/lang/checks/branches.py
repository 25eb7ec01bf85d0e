"""Forward steps with the values of each block: which modules they really use.

``steps`` checks what holds for every value. Here the values are known: which children a ``when``
leaves out, which block a ``type: $block`` is, and which side of ``a if c else b`` is taken where
``c`` depends on parameters alone. Blocks that differ in nothing of that are looked at once.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

from archspec.errors import Note, Problem, did_you_mean, listing, shown
from archspec.lang.checker import Checker
from archspec.lang.checks.bounds import MAX_STEPS, Bounds, BoundsError, Returned
from archspec.lang.checks.calls import in_order_complaint, inputs_text
from archspec.lang.checks.known import Known, items_at, loop_parts
from archspec.lang.checks.steps import check_call
from archspec.lang.expr import Node, Value, nodes
from archspec.lang.expr.printing import written
from archspec.lang.instances import Instance
from archspec.lang.params import ordered
from archspec.lang.references import Blocks, experts_of, method_calls
from archspec.lang.registry import layers
from archspec.lang.tree import (
    AssignNode,
    BlockNode,
    ForNode,
    ModuleNode,
    ReturnNode,
    StepNode,
    TensorNode,
    forward_expressions,
)

_MAX_FOLLOWED = 30_000  # steps of all blocks that differ
_Values = Mapping[str, Value]
_Costs = Mapping[str, float]  # forward or a method → how many steps a call of it carries out


def check_branches(checker: Checker, blocks: Blocks, root: Instance, values: _Values) -> None:
    """Check the forward of every block that occurs below ``root``.

    Args:
        root: the tree of modules.
        values: the global parameters.
    """
    kinds: dict[int, int] = {}  # the id of each module → the number of its kind
    returned: dict[int, Returned] = {}  # of each kind
    bounds = Bounds(max(checker.architecture.dims.values(), default=1_000), kinds, returned)
    followed = 0
    costs: dict[int, _Costs] = {}  # of each kind
    for kind, instance, below in _distinct(blocks, root, kinds):
        block = blocks.get(instance.type)
        known: Mapping[str, Value] = {**values, **instance.values}
        for tensor in block.computed if block else ():
            if tensor.name in instance.left_out:
                continue
            assert block is not None
            walk = _Walk(checker, block, blocks, instance, known, bounds, _Calls(kinds, {}), {})
            walk.follow(tensor.value)
            followed += walk.followed
        if block is not None and block.forward is None:
            _check_in_order(checker, blocks, instance)
        own = costs[kind] = dict[str, float]()
        if block is None or block.forward is None:
            inside = sum(costs[kinds[id(child)]]["forward"] for child in below)
            own["forward"] = 1 + inside * _repeats(instance)
        if block is None:
            continue
        calls = _Calls(kinds, costs)
        for name in ordered(method_calls(block))[0]:  # those that are called first
            entry = block.entries[name]
            walk = _Walk(checker, entry, blocks, instance, known, bounds, calls, own)
            walk.follow(entry.forward or ())
            if walk.cost > MAX_STEPS:
                return  # what calls it has no fewer
            own.setdefault(name, walk.cost)
            if name == "forward":
                returned[kind] = walk.returned
            followed += walk.followed
        if followed > _MAX_FOLLOWED:
            message = f"more than {_MAX_FOLLOWED:,} steps of blocks that all differ"
            checker.add("E401", message, block.path, key=True)
            return


def _check_in_order(checker: Checker, blocks: Blocks, chain: Instance) -> None:
    """Modules that run one after another are given one value each, by position."""
    for _, child in chain.children:
        if child.type == "Sequential":
            _check_in_order(checker, blocks, child)
        elif child.type in blocks and not checker.findings.is_broken_below(
            (*blocks[child.type].path, "inputs")
        ):
            inputs = blocks[child.type].inputs
            if complaint := in_order_complaint(child.type, inputs):
                message = f"{complaint}, but gets one value by position in {chain.type}"
                hint = f"call it in the forward steps; its inputs: {inputs_text(inputs)}"
                checker.add("E305", message, (*child.path, "type"), hint=hint)


def _repeats(instance: Instance) -> int:
    """How often a layer that stacks modules, such as nn.TransformerEncoder, runs each of them."""
    plain = {k: v for k, v in instance.arguments.items() if not isinstance(v, Instance)}
    return layers.depth_bound(plain)


def _distinct(
    blocks: Blocks, root: Instance, kind_of: dict[int, int]
) -> Iterator[tuple[int, Instance, list[Instance]]]:
    """One instance of all whose forwards cannot differ, children first.

    Args:
        kind_of: filled with the id of each module and the number of its kind.

    Yields:
        The number of its kind, the instance, and the modules directly below it, each once.
    """
    used = {
        name: {found.id for node in forward_expressions(block) for found in nodes.names(node)}
        for name, block in blocks.items()
    }
    kinds: dict[tuple[Any, ...], int] = {}
    stack = [(root, False)]
    while stack:
        instance, ready = stack.pop()
        if id(instance) in kind_of:
            continue
        below = [child for _, child in instance.children]
        below += [value for value in instance.arguments.values() if isinstance(value, Instance)]
        if not ready:
            stack.append((instance, True))
            stack += [(child, False) for child in below]
            continue
        given = [(n, v) for n, v in instance.values.items() if n in used.get(instance.type, ())]
        inside = tuple((name, kind_of[id(child)]) for name, child in instance.children)
        handed = tuple(kind_of[id(child)] for child in below[len(inside) :])
        kind = (instance.type, repr(given), inside, handed)
        if kind not in kinds:
            kinds[kind] = len(kinds)
            yield kinds[kind], instance, list({id(child): child for child in below}.values())
        kind_of[id(instance)] = kinds[kind]


class _Calls(NamedTuple):
    """How many steps calls of modules carry out, wherever the modules are."""

    kinds: Mapping[int, int]
    costs: Mapping[int, _Costs]

    def cost(self, instance: Instance, method: str = "forward") -> float:
        """1 for a module that is not known, or has no such method."""
        return self.costs.get(self.kinds.get(id(instance), -1), {}).get(method, 1)


class _Walk:
    """One way through steps of one block."""

    def __init__(
        self,
        checker: Checker,
        entry: BlockNode,
        blocks: Blocks,
        instance: Instance,
        values: _Values,
        bounds: Bounds,
        calls: _Calls,
        own: _Costs,
    ) -> None:
        """
        Args:
            entry: the block, or one of its methods.
            calls: how many steps calls of other modules carry out.
            own: the same for the methods of the block.
        """
        self.checker, self.blocks, self.instance, self.values = checker, blocks, instance, values
        self.known = Known(entry, instance, values)
        self.refuse, self.bounds, self.calls = checker.refuse, bounds, calls
        self.rounds: Mapping[int, float] = {}  # the id of each loop → how often it runs at most
        self.block, self.own = entry, own
        self.returned: Returned = ()
        self.followed = 0
        self.cost, self.times = 1.0, 1.0  # steps in all; how often the current one is carried out

    def follow(self, steps: Sequence[StepNode]) -> None:
        """Check steps, and how large the plain numbers and lists in them can become."""
        try:
            known = Known(self.block, self.instance, self.values)
            self.rounds = self.bounds.check(self.block, steps, known)
            self.returned = self.bounds.last
        except BoundsError as error:
            self.checker.add("E307", error.message, error.path, hint=error.hint)
        self.steps(steps)

    def steps(self, steps: Sequence[StepNode]) -> None:
        for step in steps:
            self.followed += 1
            self._count(self.times, step.value)
            if isinstance(step, ForNode):
                self._loop(step)
                continue
            for node in self._evaluated(step):
                self._visit(node)
            if isinstance(step, AssignNode):
                self.known.assign(step)

    def _evaluated(self, step: StepNode) -> Sequence[Node]:
        """What a step computes: of a return, all but the outputs that a ``when`` leaves out."""
        if not isinstance(step, ReturnNode) or not isinstance(step.value, nodes.Sequence):
            return (step.value,)
        items, outputs = step.value.items, self.block.outputs
        declared = [outputs.get(n) for n in step.names] if step.names else list(outputs.values())
        pairs = itertools.zip_longest(items, declared[: len(items)])
        return [i for i, o in pairs if o is None or self.known.truth(o.when) is not False]

    def _loop(self, step: ForNode) -> None:
        run, counted = step.value, None
        if isinstance(run, nodes.Call) and run.name == "range":
            for part in run.arguments:
                self._visit(part)
                self._check_run(part, of_range=True)
            counted = self.known.range_count(run)
        for _, part in loop_parts(step):
            self._visit(part)
            self._check_run(part, of_range=False)
        times = max(1, self.rounds.get(id(step), 1))
        self.known.enter(step)
        if counted != 0 and all(self.known.targets.get(name, True) for name in step.targets):
            self.times *= times
            self.steps(step.body)
            self.times /= times
        self.known.leave(step)

    def _count(self, steps: float, node: Node) -> None:
        """Add to the steps of a call, and tell once when they are too many."""
        before, self.cost = self.cost, self.cost + steps
        if before <= MAX_STEPS < self.cost:
            name, number = self.block.name, f"{self.cost:,.0f}"
            number = number if len(number) < 20 else f"about {self.cost:.0e}"
            message = f"a call of {name} carries out {number} steps or more"
            hint = f"at most {MAX_STEPS:,}, those of loops and of the blocks that it calls included"
            self.refuse(node, "E307", message, hint)

    def _check_run(self, node: Node, *, of_range: bool) -> None:
        """What a loop runs over, or how far it counts, where parameters alone decide it."""
        known, value = self.known.value(node)
        if known and of_range and (isinstance(value, bool) or not isinstance(value, int)):
            self.refuse(node, "E305", f"range counts in integers, not in {shown(value)}")
        elif known and not of_range and not isinstance(value, tuple):
            message = f"a loop needs a container or values, not {shown(value)}"
            self.refuse(node, "E305", message, "to count: range(…)")

    # ------------------------------------------------------------------------------ expressions

    def _visit(self, node: Node) -> None:
        """Follow what is taken of ``node``."""
        match node:
            case nodes.Conditional(test=test, yes=yes, no=no):
                self._visit(test)
                taken = self.known.branches(node)
                for branch, wanted in ((yes, True), (no, False)):
                    if branch in taken:
                        with self.known.assuming(test, wanted):
                            self._visit(branch)
            case nodes.Boolean(operator=word, values=values):
                with ExitStack() as stack:
                    for part in values:
                        self._visit(part)
                        if self.known.truth(part) is (word == "or"):
                            break
                        stack.enter_context(self.known.assuming(part, word == "and"))
            case nodes.Name(id=name) if name in self.instance.left_out:
                held = {**self.block.modules, **self.block.tensors}
                if not node.is_param and name in held and name not in self.known.targets:
                    self._left_out(node, name, held[name], self.instance)
            case nodes.Attribute(value=owner):
                self._visit(owner)
                self._attribute(node, self.known.modules(owner))
            case nodes.Subscript(value=value, index=index):
                self._visit(index)
                self._visit(value)
                self._indexed(node, self.known.modules(value), index)
            case nodes.Call(function=function):
                for argument in node.given:
                    self._visit(argument)
                self._called(node, function)
            case _:
                for child in nodes.children(node):
                    self._visit(child)

    def _indexed(self, node: Node, owners: list[Instance] | None, index: Node) -> None:
        """``owner[index]`` must be an item; a slice may be empty."""
        known, value = (False, None) if isinstance(index, nodes.Slice) else self.known.value(index)
        if not known:
            return
        if owners is None and isinstance(value, tuple) and not isinstance(index, nodes.Sequence):
            message = "a list alone as an index would be one index for each dimension"
            name = written(index)
            hint = f"[tensor({name})] selects as many; one element is [{name}[0], {name}[1]]"
            self.refuse(node, "E305", message, hint)
        for owner in owners or ():
            if items_at(owner, value) == []:
                self._no_item(node, owner, value)

    def _no_item(self, node: Node, owner: Instance, index: Value) -> None:
        items = [name for name, _ in owner.children]
        match owner.container, index:
            case "ModuleDict", str():
                hint = did_you_mean(index, items) or f"it has: {listing(items) or 'nothing'}"
                self.refuse(node, "E304", f"no item '{index}'", hint)
            case (("ModuleList" | "Sequential"), int()) if not isinstance(index, bool):
                self.refuse(node, "E306", f"no item {index}: there are {len(items)}")
            case _:
                kind = "names" if owner.container == "ModuleDict" else "numbers"
                self.refuse(node, "E305", f"a {owner.type} is indexed by {kind}")

    def _attribute(self, node: nodes.Attribute, owners: list[Instance] | None) -> None:
        name = node.name
        for owner in owners or ():
            inside = dict(owner.children)
            declared = self._declared(owner)
            if name in inside:
                continue
            is_child = declared is not None and isinstance(declared.get(name), ModuleNode)
            if declared is not None and (is_child or name in owner.left_out):
                self._left_out(node, name, declared[name], owner)
            elif declared is None or (owner.type in self.blocks and name not in declared):
                known = [*(inside if declared is None else declared)]
                hint = did_you_mean(name, known) or f"it has: {listing(known)}"
                self.refuse(node, "E304", f"no child or parameter '{name}'", hint)

    def _declared(self, owner: Instance) -> Mapping[str, ModuleNode | TensorNode] | None:
        """The children and raw tensors that a module would have, were none left out.

        None if their names are computed.
        """
        if block := self.blocks.get(owner.type):
            held = {**block.modules, **block.tensors}
            return block.container.named_items if block.container else held
        return owner.declared.named_items if owner.declared is not None else {}

    def _called(self, call: nodes.Call, function: Node) -> None:
        """A module, or a method of one or of the block itself."""
        if (experts := experts_of(call)) is not None:
            self._visit(experts)
            for container in self.known.modules(experts) or []:
                _check_in_order(self.checker, self.blocks, container)
                self._count(self.times * self.calls.cost(container), call)
            return
        match function:
            case nodes.Name(id=name, symbol=nodes.Symbol(kind="method")):
                self._count(self.times * self.own.get(name, 1), call)
            case nodes.Attribute(value=value, name=name) if any(
                name in block.methods for block in self.blocks.values()
            ):
                self._visit(value)
                if (owners := self.known.modules(value)) is None:
                    return
                methods = {
                    o.type: self.blocks[o.type].methods for o in owners if o.type in self.blocks
                }
                if all(name in methods.get(owner.type, ()) for owner in owners):
                    for kind in methods:
                        check_call(self.checker, methods[kind][name], call)
                    costs = [self.calls.cost(owner, name) for owner in owners]
                    self._count(self.times * max(costs, default=0), call)
                else:
                    self._attribute(function, owners)
                    self._call(call, self.known.modules(function) or [])
            case _:
                self._visit(function)
                self._call(call, self.known.modules(function) or [])

    def _call(self, call: nodes.Call, called: Sequence[Instance]) -> None:
        """What is called must take these inputs, whichever of the modules it is."""
        for kind in dict.fromkeys(instance.type for instance in called):
            if kind in self.blocks:
                check_call(self.checker, self.blocks[kind], call)
        for instance in called:
            if instance.type == "Sequential":
                _check_in_order(self.checker, self.blocks, instance)
        costs = [self.calls.cost(instance) for instance in called]
        self._count(self.times * max(costs, default=0), call)

    # -------------------------------------------------------------------------------- problems

    def _left_out(
        self, node: Node, name: str, declared: ModuleNode | TensorNode, owner: Instance
    ) -> None:
        """A module or raw tensor whose ``when`` is false is used."""
        scope = {**self.values, **owner.values}
        used = sorted({found.id for found in nodes.names(declared.when)})
        values = ", ".join(f"{n}={shown(scope[n])}" for n in used if n in scope)
        message = f"'{written(node)}' is left out" + (f" with {values}" if values else "")
        document = self.checker.document
        notes = [Note("by this condition", document.place((*declared.path, "when")))]
        if self.instance.path[2:]:  # not the root
            notes.append(Note(f"in this {self.instance.type}", document.place(self.instance.path)))
        hint = self._guard(declared, owner)
        place = self.checker.place(node.span)
        self.checker.findings.add(Problem("E309", message, place, hint, tuple(notes)))

    def _guard(self, declared: ModuleNode | TensorNode, owner: Instance) -> str:
        """How a module or raw tensor that may be left out is used."""
        symbols = [name.symbol for name in nodes.names(declared.when)]
        kinds = {symbol.kind for symbol in symbols if symbol is not None}
        condition = written(declared.when)
        hidden = any(n.id in self.block.held for n in nodes.names(declared.when))
        if hidden and owner is self.instance and "counter" not in kinds:
            name = f"has_{declared.path[-1]}"
            return f"let: {{{name}: ${condition}}} in this block, then … if {name} else …"
        if kinds <= {"global"} or (owner is self.instance and "counter" not in kinds):
            return f"use it under the same condition: … if {condition} else …"
        hint = f"use it in a step of {owner.type}"
        if isinstance(declared, TensorNode):
            return hint
        return f"{hint}, or make it a Sequential, which 'when' empties"
