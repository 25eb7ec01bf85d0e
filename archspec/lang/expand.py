"""From a checked spec and its parameters to the tree of its modules.

Each distinct block (by name and argument values) is instantiated once, however often it occurs, so
that a hostile ``repeat`` costs nothing before it is refused.
"""

from __future__ import annotations

import contextlib
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn, cast

from archspec.errors import Place, Problem, shown
from archspec.lang.checker import Checker
from archspec.lang.checks.classes import chooses_class, class_complaint, unknown_class
from archspec.lang.checks.names import MAX_NAME, item_name_complaint
from archspec.lang.checks.signatures import missing_arguments, wrong_arguments
from archspec.lang.declarations import fit, inferred, text_hint, whole_number_hint
from archspec.lang.expr import ExpressionError, Node, Value
from archspec.lang.expr.evaluate import MAX_WORK as BUDGET
from archspec.lang.expr.evaluate import rounds
from archspec.lang.expr.nodes import Constant, is_literal, names
from archspec.lang.expr.printing import written
from archspec.lang.instances import Instance
from archspec.lang.limits import MODULES_VARIABLE, max_modules
from archspec.lang.params import let_value, needed_names, ordered
from archspec.lang.registry import initializers, layers
from archspec.lang.sizes import symbols_in
from archspec.lang.tree import (
    BlockNode,
    ContractNode,
    GroupNode,
    InitNode,
    ItemNode,
    ModuleNode,
    SpecTree,
    TensorNode,
)
from archspec.lang.yaml import Path

MAX_DISTINCT = 30_000  # modules that differ, or could: those of a repeat with an index do
MAX_REPEAT = 10_000
MAX_NESTING = 100
MAX_WORK = 2_000_000  # values that the constructors of all modules look at, equal ones included
MAX_ELEMENTS = 10**15  # of all tensors together: a thousand times the largest models

_Items = tuple[tuple[str | int, ItemNode], ...]
_LEFT_OUT = Instance("", (), {})  # stands for a module whose ``when`` is false


class _TooMany(Exception):
    """Ends an elaboration that would not end soon by itself; its problem has been reported."""


class _Wrong(Exception):
    """Ends the making of one module; its problem has been reported."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The names that an expression may use, and the blocks around it.

    Attributes:
        work: how many values the expressions of the innermost block have looked at, as one item.
    """

    values: ChainMap[str, Value]
    stack: tuple[str, ...] = ()
    work: list[int] = field(default_factory=lambda: [0])

    def counting(self, name: str, i: int) -> Scope:
        """The same inside of a repeat."""
        return replace(self, values=self.values.new_child({name: i}))


class Instantiator:
    """Makes the instance tree of one spec."""

    def __init__(self, checker: Checker, tree: SpecTree, values: Mapping[str, Value]) -> None:
        """``values`` are those of the global parameters."""
        self.checker, self.blocks = checker, tree.blocks
        self.globals = ChainMap(dict(values))
        self._done: dict[tuple[Any, ...], Instance] = {}
        self._told: set[tuple[str, Place | None]] = set()
        self._orders: dict[str, list[str]] = {}
        self._looked_at = 0
        self._max_modules = max_modules()
        self._lacks_some = False

    @property
    def is_whole(self) -> bool:
        """Whether no module is missing from the tree because it has a problem."""
        broken = self.checker.findings.broken
        lost = any(group in path[2:3] for path in broken for group in ("modules", "items"))
        return not self._lacks_some and not lost

    def instantiate(self) -> Instance | None:
        """The root, or None if a problem, which is reported, prevents it."""
        root = self.blocks.get(self.checker.architecture.model)
        if root is None:
            return None  # reported already
        required = [param for param in root.params.values() if param.required]
        for param in required:
            message = f"the root block needs a value for '{param.name}'"
            hint = "give it a default: the root is constructed without arguments"
            if not self.checker.is_broken(param.path):
                self._add("E210", message, param.path, key=True, hint=hint)
        try:
            return None if required else self._block(root, {}, ())
        except (_TooMany, _Wrong):
            return None

    def made(self, name: str, arguments: Mapping[str, Value]) -> Instance | None:
        """A block that no other one holds; None if a problem, which is reported, prevents it."""
        try:
            return self._block(self.blocks[name], arguments, ())
        except (_TooMany, _Wrong):
            return None

    def _add(
        self, code: str, message: str, path: Path, *, key: bool = False, hint: str = ""
    ) -> None:
        self._tell(self.checker.document.problem(code, message, path, key=key, hint=hint))

    def _tell(self, *problems: Problem) -> None:
        """The same mistake in many instances is one problem."""
        new = [problem for problem in problems if (problem.code, problem.place) not in self._told]
        self._told |= {(problem.code, problem.place) for problem in new}
        self.checker.findings.add(*new)

    # --------------------------------------------------------------------------------- blocks

    def _block(
        self,
        block: BlockNode,
        given: Mapping[str, Value],
        stack: tuple[str, ...],
        declared: ModuleNode | None = None,
    ) -> Instance:
        name, path = block.name, declared.path if declared else block.path
        work = [0]
        values, let = self._block_values(block, given, declared, work)
        if name in stack:
            at = path if declared is None else (*declared.path, "type")
            self._refuse("E211", f"{name} contains itself", at, " → ".join([*stack, name]))
        key = (name, path, repr(values))  # as text: 1 and true are equal, and yet are not
        if key in self._done:
            return self._done[key]
        if len(stack) >= MAX_NESTING:
            self._refuse("E401", f"blocks nested more than {MAX_NESTING} deep", path)
        scope = Scope(self.globals.new_child({**values, **let}), (*stack, name), work)
        contracts = (*block.inputs.values(), *block.outputs.values())
        self._check_contracts(contracts, replace(scope, work=[0]))  # no constructor has them
        children = [
            (child, found)
            for child, module in block.modules.items()
            if (found := self._module(module, scope))
        ]
        tensors = {n: one for n, one in block.tensors.items() if self._holds(one, scope)}
        left_out, container = tuple(n for n in block.tensors if n not in tensors), ""
        if block.container is not None:
            children, container = self._items(block.container, scope), block.container.kind
        for tensor in tensors.values():
            self._check_init(tensor.init, scope)
        elements = sum(self._elements(tensor, scope) for tensor in tensors.values())
        made = Instance(
            name,
            path,
            values,
            tuple(children),
            tuple(tensors),
            elements=elements,
            work=work[0],
            left_out=left_out,
            declared=declared,
            container=container,
            let=let,
        )
        self._done[key] = self._counted(made)
        return self._done[key]

    def _names_at(self, path: Path) -> set[str]:
        """The parameters and local values that an argument at a path may use."""
        block = self.blocks.get(str(path[1])) if path[:1] == ("blocks",) else None
        return {*self.globals, *(block.params if block else ()), *(block.let if block else ())}

    def _block_values(
        self,
        block: BlockNode,
        given: Mapping[str, Value],
        module: ModuleNode | None,
        work: list[int],
    ) -> tuple[dict[str, Value], dict[str, Value]]:
        """The values of a block's own parameters, and of what ``let`` computes from them."""
        values: dict[str, Value] = {}
        scope = Scope(self.globals.new_child(values), work=work)
        for name in self._order(block):
            if name not in block.params:
                before = self.checker.budget.left
                found = let_value(self.checker, block.let[name], scope.values)
                work[0] += before - self.checker.budget.left
                if not found:
                    raise _Wrong
                values |= found
                continue
            param = block.params[name]
            path = (*param.path, "default")
            if name in given:
                value, path = given[name], (*module.path, name) if module else path
            elif param.default is None:
                raise _Wrong
            else:
                value = self._value(param.default, scope)
            kind = param.declared.type or inferred(param.declared, value)
            if isinstance(value, tuple):
                self._look_through(cast("tuple[Value, ...]", value), path)
            value, complaint = fit(value, param.declared, kind)
            if isinstance(value, Instance):
                complaint = "takes a value, not a mapping"
            if complaint:
                hint = whole_number_hint(self.checker.document.root, path, value)
                hint = hint or text_hint(value, self._names_at(path))
                self._refuse("E205", f"{block.name}'s {name} {complaint}", path, hint)
            if kind in ("block", "layer") and value is not None:
                message, hint = class_complaint(self.blocks, kind, str(value))
                if message and self.checker.is_broken(("blocks", str(value))):
                    raise _Wrong
                if message:
                    self._refuse("E206", message, path, hint)
            values[name] = value
        params, let = ({name: values[name] for name in part} for part in (block.params, block.let))
        return params, let

    def _look_through(self, value: tuple[Value, ...], path: Path) -> None:
        """Count what it takes to hold a list against its type."""
        self.checker.budget.left -= len(value) // 2
        if self.checker.budget.left < 0:
            message = f"lists given to blocks: more than {BUDGET:,} values are looked at"
            self._stop("E307", message, path)

    def _order(self, block: BlockNode) -> list[str]:
        """The parameters and local values of a block, each behind those that it needs."""
        if block.name not in self._orders:
            order, circles = ordered(needed_names(block.params, block.let))
            if circles:
                raise _Wrong  # reported
            self._orders[block.name] = order
        return self._orders[block.name]

    def _counted(self, made: Instance) -> Instance:
        """A module with its children counted in, and those that are left out set apart."""
        left_out = (*made.left_out, *(n for n, child in made.children if child is _LEFT_OUT))
        children = tuple(pair for pair in made.children if pair[1] is not _LEFT_OUT)
        modules = made.modules + sum(child.modules for _, child in children)
        elements = made.elements + sum(child.elements for _, child in children)
        work = made.work + sum(child.work for _, child in children)
        if modules > self._max_modules:
            self._too_many_modules(made.path)
        if work > MAX_WORK:
            message = f"the constructors of all modules look at more than {MAX_WORK:,} values"
            self._stop("E307", message, made.path, "compute long lists once, in the spec's own let")
        if elements > MAX_ELEMENTS:
            self._stop("E402", "the model has more than 10^15 parameters", made.path)
        if not made.children:
            return made
        counts = {"modules": modules, "elements": elements, "work": work}
        return replace(made, children=children, left_out=left_out, **counts)

    def _check_contracts(self, contracts: Iterable[ContractNode], scope: Scope) -> None:
        """Sizes that are expressions of parameters alone must have a value that is a size."""
        for contract in contracts:
            length = self._checked_size(contract.length, scope)
            for number in {0, max(length - 1, 0)}:
                for size in (*contract.shape_of(number), contract.below):
                    self._checked_size(size, scope)

    def _checked_size(self, size: Node | None, scope: Scope) -> int:
        """A size that is an expression of parameters alone; 1 for any other."""
        if size is None or symbols_in(size):
            return 1
        return self._size(size, scope)

    def _size(self, size: Node, scope: Scope) -> int:
        """A size of a tensor; 1 if it has a problem."""
        if is_literal(size) and isinstance(size, Constant) and isinstance(size.value, str):
            return 1  # reported already
        return self._whole(size, scope, "a size is", 1)

    def _whole(self, node: Node, scope: Scope, title: str, otherwise: int) -> int:
        """An integer of 0 or more; ``otherwise`` if it has a problem."""
        with contextlib.suppress(_Wrong):
            found = self._value(node, scope)
            if isinstance(found, int) and not isinstance(found, bool) and found >= 0:
                return found
            message = f"{title} an integer of 0 or more, not {shown(found)}"
            self._add("E205", message, node.span.path)
        return otherwise

    def _refuse(self, code: str, message: str, path: Path, hint: str = "") -> NoReturn:
        self._add(code, message, path, hint=hint)
        raise _Wrong

    def _stop(self, code: str, message: str, path: Path, hint: str = "") -> NoReturn:
        self._add(code, message, path, hint=hint)
        raise _TooMany

    def _too_many_modules(self, path: Path) -> NoReturn:
        message = f"the model has more than {self._max_modules:,} modules"
        self._stop("E401", message, path, f"raise the limit with {MODULES_VARIABLE}")

    def _check_init(self, init: InitNode, scope: Scope) -> None:
        """Arguments that the block's own parameters decide; the others are checked once for all."""
        for key, node in init.arguments.items():
            if not any(
                name.symbol and name.symbol.kind in ("param", "let") for name in names(node)
            ):
                continue
            argument = initializers.argument(key)
            with contextlib.suppress(_Wrong):
                value = self._value(node, scope)
                if not argument.accepts(value):
                    message = (
                        f"{init.function}'s {key} takes {argument.expects}, not {shown(value)}"
                    )
                    self._add("E205", message, (*init.path, init.function, key))

    def _elements(self, tensor: TensorNode, scope: Scope) -> int:
        elements = 1
        for size in tensor.shape or ():  # a value's own size is bounded where it is computed
            elements = min(elements * self._size(size, scope), MAX_ELEMENTS + 1)
        return elements

    # -------------------------------------------------------------------------------- modules

    def _module(self, module: ModuleNode, scope: Scope) -> Instance | None:
        """One module; None if it is wrong."""
        try:
            return self._instance(module, scope)
        except _Wrong:
            self._lacks_some = True
            return None

    def _instance(self, module: ModuleNode, scope: Scope) -> Instance:
        path = module.path
        self._look_at(path)
        condition = self._holds(module, scope)
        if module.is_container:
            children = self._items(module, scope) if condition else ()
            made = Instance(module.kind, path, {}, children, declared=module)
            return self._counted(replace(made, container=module.kind))
        if not condition:
            return _LEFT_OUT
        return self._chosen(module, scope)

    def _holds(self, declared: ModuleNode | TensorNode, scope: Scope) -> bool:
        """Whether a module or a raw tensor is there."""
        condition = self._value(declared.when, scope)
        if not isinstance(condition, bool | int | None):
            message = f"when takes true or false, not {shown(condition)}"
            self._refuse("E205", message, (*declared.path, "when"))
        return bool(condition)

    def _look_at(self, path: Path) -> None:
        """Count a module, or a round of a group."""
        self._looked_at += 1
        if self._looked_at > MAX_DISTINCT:
            self._stop("E401", f"the model has more than {MAX_DISTINCT:,} distinct modules", path)

    def _chosen(self, module: ModuleNode, scope: Scope) -> Instance:
        """A module that is there, once its type and arguments are known."""
        arguments: dict[str, Value] = {}
        for name, value in module.arguments.items():
            with contextlib.suppress(_Wrong):
                arguments[name] = self._argument(value, scope)
        kind, path = self._value(module.type, scope), (*module.path, "type")
        is_told = not chooses_class(module.type) or self._is_broken(module.type, kind)
        if is_told or len(arguments) < len(module.arguments):
            raise _Wrong
        if not isinstance(kind, str):
            self._refuse("E206", f"'{written(module.type)}' is no block or layer", path)
        takes = self.blocks.get(kind) or layers.find(kind)
        if takes is None:
            self._tell(unknown_class(self.checker, self.blocks, kind, path))
            raise _Wrong
        is_block = isinstance(takes, BlockNode)
        if not (is_block and module.kind):  # else reported already, and what is inside goes on
            given = arguments.items()
            known = {n: None if isinstance(value, Instance) else (value,) for n, value in given}
            is_wrong = False
            for problem in wrong_arguments(self.checker, module, takes, known):
                self._tell(problem)  # one by one: beyond the limit none is looked for
                is_wrong = True
            if is_block or not is_wrong:
                missing = list(missing_arguments(self.checker, module, takes, known))
                self._tell(*missing)
                is_wrong = is_wrong or bool(missing)
            if is_wrong:
                raise _Wrong
        if isinstance(takes, BlockNode):
            return self._block(takes, arguments, scope.stack, module)
        return self._bounded_layer(takes, arguments, module)

    def _is_broken(self, node: Node, kind: Value) -> bool:
        """Whether a type comes from a declaration of which nothing is known."""
        used = [name.symbol.path for name in names(node) if name.symbol]
        return any(self.checker.is_broken(path) for path in (*used, ("blocks", kind)) if path)

    def _bounded_layer(
        self, layer: layers.Layer, arguments: dict[str, Value], module: ModuleNode
    ) -> Instance:
        path = module.path
        plain = {k: v for k, v in arguments.items() if not isinstance(v, Instance)}
        nested = sum(v.elements for v in arguments.values() if isinstance(v, Instance))
        depth = layers.depth_bound(plain)
        if depth > layers.MAX_DEPTH:
            self._refuse("E401", f"{layer.name} would stack {depth:,} layers", path)
        elements = layers.size_bound(layer, plain) + nested * depth
        if elements >= MAX_ELEMENTS:
            message = f"{layer.name} would hold about {elements:.0e} parameters"
            self._refuse("E402", message, path)
        inside = sum(v.modules for v in arguments.values() if isinstance(v, Instance))
        modules = layers.modules_bound(layer, plain, inside)
        if modules > self._max_modules:
            self._stop("E401", f"{layer.name} would hold {modules:,} modules", path)
        tensors = (*layer.parameters, *layer.buffers)
        made = Instance(
            layer.name, path, arguments, (), tensors, modules, elements, declared=module
        )
        return self._counted(made)

    def _argument(self, value: Node | ModuleNode, scope: Scope) -> Value:
        """An argument's value; a nested module becomes an ``Instance``."""
        if isinstance(value, ModuleNode):
            made = self._module(value, scope)
            if made is None or made is _LEFT_OUT:
                raise _Wrong
            return made
        if isinstance(value, Constant) and isinstance(value.value, dict):
            raise _Wrong
        return self._value(value, scope)

    # ------------------------------------------------------------------------------ containers

    def _items(self, module: ModuleNode, scope: Scope) -> tuple[tuple[str, Instance], ...]:
        children: dict[str, Instance] = {}
        self._add_items(module, module.items, scope, children)
        return tuple(children.items())

    def _add_items(
        self, module: ModuleNode, items: _Items, scope: Scope, children: dict[str, Instance]
    ) -> None:
        for key, item in items:
            if isinstance(item, GroupNode):
                self._add_group(module, item, scope, children)
                continue
            for name, child in self._repeated(item, scope):
                if item.name is None and isinstance(key, str):
                    name = key
                elif child is _LEFT_OUT:
                    continue  # nobody can ask for it by name
                elif item.name is None:
                    name = str(len(children))
                else:
                    self._check_name(name, module, item)
                if name in children and (item.repeat is None or item.name is not None):
                    self._add("E207", f"two items are called '{name}'", item.path)
                children[name] = child
                if len(children) > self._max_modules:
                    self._too_many_modules(module.path)

    def _add_group(
        self, module: ModuleNode, group: GroupNode, scope: Scope, children: dict[str, Instance]
    ) -> None:
        """The items of all rounds; running values stay in ``scope``."""
        running = scope.values.maps[0]
        running.update({one.name: self._value(one.first, scope) for one in group.carry})
        for i, given in enumerate(self._rounds(group, scope)):
            self._look_at(group.path)
            if i >= MAX_REPEAT:
                self._stop("E401", f"repeated more than {MAX_REPEAT:,} times", group.path)
            given |= {group.index: i} if group.index else {}
            inner = replace(scope, values=scope.values.new_child(given))
            self._add_items(module, group.items, inner, children)
            running.update({one.name: self._value(one.after, inner) for one in group.carry})

    def _rounds(self, group: GroupNode, scope: Scope) -> Iterator[dict[str, Value]]:
        """What each round of a group gives names to."""
        if group.each is None:
            times = 0
            if group.repeat is not None:
                times = self._whole(group.repeat, scope, "repeat takes", 0)
            yield from ({} for _ in range(times))
            return
        try:
            yield from rounds(group.each, scope.values, self.checker.budget)
        except ExpressionError as error:
            if error.code in ("E306", "E307"):  # the others have been reported
                self.checker.report(error)
            raise _Wrong from None

    def _check_name(self, name: str, module: ModuleNode, item: ModuleNode) -> None:
        complaint, path = item_name_complaint(name, module.kind), (*item.path, "name")
        if complaint and not self.checker.is_broken(path):
            self._add("E207", complaint, path)

    def _repeated(self, item: ModuleNode, scope: Scope) -> Iterator[tuple[str, Instance]]:
        """The modules that one item stands for, with the names that it gives them, if any."""
        times = self._times(item, scope)
        if times > MAX_REPEAT:
            at = (*item.path, "repeat")
            self._add("E401", f"repeated more than {MAX_REPEAT:,} times", at)
            return
        made: Instance | None = None
        before = scope.work[0]
        for i in range(times):
            inner = scope.counting(item.index, i) if item.index else scope
            if i == 0 or item.index:
                made = self._module(item, inner)
            if i == 0 and not item.index:  # its arguments are computed in each round
                scope.work[0] += (times - 1) * (scope.work[0] - before)
            if made is not None:
                with contextlib.suppress(_Wrong):
                    yield self._item_name(item, inner), made
            if not item.index and (made is None or made is _LEFT_OUT):
                return

    def _times(self, item: ModuleNode, scope: Scope) -> int:
        return 1 if item.repeat is None else self._whole(item.repeat, scope, "repeat takes", 0)

    def _item_name(self, item: ModuleNode, scope: Scope) -> str:
        return self._value(item.name, scope)[: MAX_NAME + 1] if item.name is not None else ""

    # ------------------------------------------------------------------------------ expressions

    def _evaluated(self, node: Node, scope: Scope) -> tuple[Value] | None:
        """As ``Checker.evaluated``; what is looked at counts for the block around it."""
        before = self.checker.budget.left
        found = self.checker.evaluated(node, scope.values)
        scope.work[0] += before - self.checker.budget.left
        return found

    def _value(self, node: Node, scope: Scope) -> Value:
        """The value of an expression."""
        if isinstance(node, Constant):
            return node.value
        found = self._evaluated(node, scope)
        if self.checker.budget.left < 0:
            raise _TooMany  # reported: nothing else can be computed
        if found is None:
            raise _Wrong
        return found[0]
