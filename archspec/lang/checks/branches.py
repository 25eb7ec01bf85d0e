"""Forward steps with the values of each block: which modules they really use.

``steps`` checks what holds for every value. Here the values are known: which children a ``when``
leaves out, which block a ``type: $block`` is, and which side of ``a if c else b`` is taken where
``c`` depends on parameters alone. Blocks that differ in nothing of that are looked at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from archspec.errors import Note, Problem, did_you_mean, listing, shown
from archspec.lang.checker import Checker
from archspec.lang.checks.bounds import MAX_STEPS, Bounds, BoundsError, loop_count
from archspec.lang.checks.calls import in_order_complaint, inputs_text
from archspec.lang.checks.steps import check_call
from archspec.lang.expr import ExpressionError, Node, Value, evaluate, nodes
from archspec.lang.expr.nodes import LOOPS
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
    StepNode,
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
    bounds = Bounds(max(checker.architecture.dims.values(), default=1_000))
    followed = 0
    costs: dict[int, _Costs] = {}  # of each kind of module
    for kind, instance, below in _distinct(blocks, root):
        block = blocks.get(instance.type)
        known: Mapping[str, Value] = {**values, **instance.values}
        held = block.held if block else frozenset[str]()
        known = {name: value for name, value in known.items() if name not in held}
        for tensor in block.computed if block else ():
            assert block is not None
            walk = _Walk(checker, block, blocks, instance, known, bounds, {}, {})
            walk.follow(tensor.value)
            followed += walk.followed
        if block is not None and block.forward is None:
            _check_in_order(checker, blocks, instance)
        own = costs[kind] = dict[str, float]()
        if block is None or block.forward is None:
            inside = sum(costs[k]["forward"] for k in below.values())
            own["forward"] = 1 + inside * _repeats(instance)
        if block is None:
            continue
        calls = {child: costs[k] for child, k in below.items()}
        for name in ordered(method_calls(block))[0]:  # those that are called first
            entry = block.entries[name]
            walk = _Walk(checker, entry, blocks, instance, known, bounds, calls, own)
            walk.follow(entry.forward or ())
            if walk.cost > MAX_STEPS:
                return  # what calls it has no fewer
            own.setdefault(name, walk.cost)
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


def _distinct(blocks: Blocks, root: Instance) -> Iterator[tuple[int, Instance, dict[int, int]]]:
    """One instance of all whose forwards cannot differ, children first.

    Yields:
        The number of its kind, the instance, and for the id of each module directly below it the
        number of that one's kind.
    """
    used = {
        name: {found.id for node in forward_expressions(block) for found in nodes.names(node)}
        for name, block in blocks.items()
    }
    kinds: dict[tuple[Any, ...], int] = {}
    kind_of: dict[int, int] = {}
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
            yield kinds[kind], instance, {id(child): kind_of[id(child)] for child in below}
        kind_of[id(instance)] = kinds[kind]


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
        calls: Mapping[int, _Costs],
        own: _Costs,
    ) -> None:
        """
        Args:
            entry: the block, or one of its methods.
            calls: the id of each child → how many steps a call of it carries out.
            own: the same for the methods of the block.
        """
        self.checker, self.blocks, self.instance, self.values = checker, blocks, instance, values
        self.refuse, self.bounds, self.calls = checker.refuse, bounds, calls
        self.rounds: Mapping[int, float] = {}  # the id of each loop → how often it runs at most
        self.block, self.own = entry, own
        self.children = dict(instance.children)
        self.loop_targets: dict[str, list[Instance]] = {}
        self.followed = 0
        self.cost, self.times = 1.0, 1.0  # steps in all; how often the current one is carried out

    def follow(self, steps: Sequence[StepNode]) -> None:
        """Check steps, and how large the plain numbers and lists in them can become."""
        try:
            self.rounds = self.bounds.check(self.block, steps, self.values)
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
            self._visit(step.value)
            if isinstance(step, AssignNode):
                for target in step.targets:
                    self.loop_targets.pop(target, None)

    def _loop(self, step: ForNode) -> None:
        run, function, parts = step.value, "", (step.value,)
        if isinstance(run, nodes.Call) and run.name in LOOPS:
            function, parts = run.name, run.arguments
            if function == "range":
                self._visit(run)
                if loop_count(run, self.values) == 0:
                    return
        before, times = dict(self.loop_targets), self.rounds.get(id(step), 1)
        targets = step.targets
        if function == "enumerate":
            targets, parts = targets[1:], parts[:1]
        for part in parts:
            self._check_run(part, function == "range")
        for target, part in zip(targets, parts, strict=False):
            if (found := self._visit(part)) is not None:
                items = [child for container in found for _, child in container.children]
                if not items:
                    return  # a container that is empty
                self.loop_targets[target], times = items, len(items)
        self.times *= times
        self.steps(step.body)
        self.loop_targets = before
        self.times /= max(times, 1)

    def _count(self, steps: float, node: Node) -> None:
        """Add to the steps of a call, and tell once when they are too many."""
        before, self.cost = self.cost, self.cost + steps
        if before <= MAX_STEPS < self.cost:
            name, number = self.block.name, f"{self.cost:,.0f}"
            number = number if len(number) < 20 else f"about {self.cost:.0e}"
            message = f"a call of {name} carries out {number} steps or more"
            hint = f"at most {MAX_STEPS:,}, those of loops and of the blocks that it calls included"
            self.refuse(node, "E307", message, hint)

    def _check_run(self, node: Node, of_range: bool) -> None:
        """What a loop runs over, or how far it counts, where parameters alone decide it."""
        known, value = self._known(node)
        if known and of_range and (isinstance(value, bool) or not isinstance(value, int)):
            self.refuse(node, "E305", f"range counts in integers, not in {shown(value)}")
        elif known and not of_range and not isinstance(value, tuple):
            message = f"a loop needs a container or values, not {shown(value)}"
            self.refuse(node, "E305", message, "to count: range(…)")

    # ------------------------------------------------------------------------------ expressions

    def _known(self, node: Node) -> tuple[bool, Value]:
        """Whether parameters alone decide the value of ``node``, and that value."""
        try:
            return True, evaluate(node, self.values)
        except ExpressionError:
            return False, None

    def _visit(self, node: Node) -> list[Instance] | None:
        """Follow what is taken of ``node``; the modules that it stands for, None for a value."""
        match node:
            case nodes.Conditional(test=test, yes=yes, no=no):
                self._visit(test)
                known, value = self._known(test)
                for branch in ([yes] if value else [no]) if known else [yes, no]:
                    self._visit(branch)
            case nodes.Boolean(operator=word, values=values):
                for part in values:
                    self._visit(part)
                    known, value = self._known(part)
                    if known and bool(value) is (word == "or"):
                        break
            case nodes.Name(id=name) if name in self.loop_targets:
                return self.loop_targets[name]
            case nodes.Name(id=name) if name in self.block.modules:
                if name in self.instance.left_out:
                    self._left_out(node, name, self.block.modules[name], self.instance)
                return [self.children[name]] if name in self.children else []
            case nodes.Attribute(value=owner):
                return self._attribute(node, self._visit(owner))
            case nodes.Subscript(value=value, index=index):
                self._visit(index)
                owners = self._visit(value)
                return owners and self._indexed(node, owners, index)
            case nodes.Call(function=function):
                for argument in node.given:
                    self._visit(argument)
                self._called(node, function)
            case _:
                for child in nodes.children(node):
                    self._visit(child)
        return None

    def _indexed(self, node: Node, owners: list[Instance], index: Node) -> list[Instance] | None:
        """What ``owner[index]`` can be; a slice of a container is one again."""
        if isinstance(index, nodes.Slice):
            return owners
        known, value = self._known(index)
        found: list[Instance] = []
        for owner in owners:
            items = self._items_at(node, owner, value) if known else None
            found += [child for _, child in owner.children] if items is None else items
        return found

    def _items_at(self, node: Node, owner: Instance, index: Value) -> list[Instance] | None:
        """The item of a container that ``index`` stands for; None if that cannot be told."""
        items = dict(owner.children)
        match owner.container, index:
            case _ if not owner.container:
                return None
            case "ModuleDict", str() if index in items:
                return [items[index]]
            case "ModuleDict", str():
                hint = did_you_mean(index, items) or f"it has: {listing(list(items)) or 'nothing'}"
                self.refuse(node, "E304", f"no item '{index}'", hint)
            case (("ModuleList" | "Sequential"), int()) if not isinstance(index, bool):
                if -len(items) <= index < len(items):
                    return [list(items.values())[index]]
                self.refuse(node, "E306", f"no item {index}: there are {len(items)}")
            case _:
                kind = "names" if owner.container == "ModuleDict" else "numbers"
                self.refuse(node, "E305", f"a {owner.type} is indexed by {kind}")
        return []

    def _attribute(
        self, node: nodes.Attribute, owners: list[Instance] | None
    ) -> list[Instance] | None:
        if owners is None:
            return None
        name, found = node.name, list[Instance]()
        for owner in owners:
            inside = dict(owner.children)
            declared = self._declared(owner)
            if name in inside:
                found.append(inside[name])
            elif name in owner.left_out:
                self._left_out(node, name, declared[name], owner)
            elif owner.type in self.blocks and name not in (*declared, *owner.tensors):
                known = [*declared, *owner.tensors]
                hint = did_you_mean(name, known) or f"it has: {listing(known)}"
                self.refuse(node, "E304", f"no child or parameter '{name}'", hint)
        return found

    def _declared(self, owner: Instance) -> Mapping[str, ModuleNode]:
        """The children that a module would have, were none left out."""
        if block := self.blocks.get(owner.type):
            return block.container.named_items if block.container else block.modules
        return owner.declared.named_items if owner.declared is not None else {}

    def _called(self, call: nodes.Call, function: Node) -> None:
        """A module, or a method of one or of the block itself."""
        if (experts := experts_of(call)) is not None:
            for container in self._visit(experts) or []:
                _check_in_order(self.checker, self.blocks, container)
                cost = self.calls.get(id(container), {}).get("forward", 1)
                self._count(self.times * cost, call)
            return
        match function:
            case nodes.Name(id=name, symbol=nodes.Symbol(kind="method")):
                self._count(self.times * self.own.get(name, 1), call)
            case nodes.Attribute(value=value, name=name) if any(
                name in block.methods for block in self.blocks.values()
            ):
                owners = self._visit(value)
                if owners is None:
                    return
                methods = {
                    o.type: self.blocks[o.type].methods for o in owners if o.type in self.blocks
                }
                if all(name in methods.get(owner.type, ()) for owner in owners):
                    for kind in methods:
                        check_call(self.checker, methods[kind][name], call)
                    costs = [self.calls.get(id(owner), {}).get(name, 1) for owner in owners]
                    self._count(self.times * max(costs, default=0), call)
                else:
                    self._call(call, self._attribute(function, owners) or [])
            case _:
                self._call(call, self._visit(function) or [])

    def _call(self, call: nodes.Call, called: Sequence[Instance]) -> None:
        """What is called must take these inputs, whichever of the modules it is."""
        for kind in dict.fromkeys(instance.type for instance in called):
            if kind in self.blocks:
                check_call(self.checker, self.blocks[kind], call)
        for instance in called:
            if instance.type == "Sequential":
                _check_in_order(self.checker, self.blocks, instance)
        costs = [self.calls.get(id(instance), {}).get("forward", 1) for instance in called]
        self._count(self.times * max(costs, default=0), call)

    # -------------------------------------------------------------------------------- problems

    def _left_out(self, node: Node, name: str, declared: ModuleNode, owner: Instance) -> None:
        """A module whose ``when`` is false is used."""
        scope = {**self.values, **owner.values}
        used = sorted({found.id for found in nodes.names(declared.when)})
        values = ", ".join(f"{n}={shown(scope[n])}" for n in used if n in scope)
        message = f"'{written(node)}' is left out" + (f" with {values}" if values else "")
        document = self.checker.document
        notes = [Note("by this condition", document.place((*declared.path, "when")))]
        if self.instance.path[2:]:  # not the root
            notes.append(Note(f"in this {self.instance.type}", document.place(self.instance.path)))
        hint = "use it only where it is there: … if <the same condition> else …"
        place = self.checker.place(node.span)
        self.checker.findings.add(Problem("E309", message, place, hint, tuple(notes)))
