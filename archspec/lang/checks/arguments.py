"""What can be said of blocks before parameters have values: names, types, arguments.

Every problem that can be found is found, each at its place. What depends on values (sizes, repeats,
conditions, patterns) is checked while the modules are instantiated, forward steps by ``steps``.
"""

from __future__ import annotations

import keyword
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, cast

from archspec.errors import did_you_mean, listing, near_misses, shown
from archspec.lang.checker import Checker
from archspec.lang.checks.classes import chooses_class, is_global, unknown_class
from archspec.lang.checks.contracts import check_contracts
from archspec.lang.checks.names import (
    MAX_NAME,
    MODULE_ATTRIBUTES,
    check_block_names,
    check_names,
    is_plain_name,
    item_name_complaint,
)
from archspec.lang.checks.signatures import arguments_of, missing_arguments, wrong_arguments
from archspec.lang.declarations import check_declarations, inferred
from archspec.lang.expr import ExpressionError, Node
from archspec.lang.expr.nodes import (
    Constant,
    Name,
    Sequence,
    Template,
    is_literal,
    names,
    outcomes,
)
from archspec.lang.expr.numeric import FUNCTIONS
from archspec.lang.expr.printing import written
from archspec.lang.params import circle_text, ordered
from archspec.lang.registry import layers
from archspec.lang.schema import Module, Param
from archspec.lang.tree import (
    BlockNode,
    GroupNode,
    ItemNode,
    ModuleNode,
    SpecTree,
    TensorNode,
    modules_of_block,
)
from archspec.lang.yaml import Path


def check_declared(checker: Checker, tree: SpecTree) -> None:
    """Find all problems of the spec's declarations that do not depend on values."""
    architecture, document = checker.architecture, checker.document
    checker.findings.add(*check_declarations(architecture.params, document, ("params",)))
    check_names(checker, architecture.params, ("params",), MODULE_ATTRIBUTES)
    if architecture.model not in tree.blocks and not checker.is_broken(("model",)):
        hint = did_you_mean(architecture.model, tree.blocks)
        hint = hint or f"blocks: {listing(list(tree.blocks))}"
        if not checker.is_broken(("blocks", architecture.model)):
            checker.add("E206", f"no block is called '{architecture.model}'", ("model",), hint=hint)
    check_names(checker, architecture.blocks, ("blocks",), {*layers.CONTAINERS, *FUNCTIONS})
    for block in tree.blocks.values():
        _BlockChecker(checker, tree, block).check()
    _check_recursion(checker, tree)


def _check_recursion(checker: Checker, tree: SpecTree) -> None:
    users = {
        name: {m.kind: m for m in modules_of_block(block) if m.kind in tree.blocks}
        for name, block in tree.blocks.items()
    }
    for circle in ordered(users)[1]:
        last = users[circle[-1]][circle[0]]  # the use that closes the circle
        message = f"a block contains itself: {circle_text(circle)}"
        checker.add("E211", message, (*last.path, "type"))
        checker.findings.broken.add(("blocks", circle[0]))


class _BlockChecker:
    """Checks the declarations of one block."""

    def __init__(self, checker: Checker, tree: SpecTree, block: BlockNode) -> None:
        self.checker, self.tree, self.block = checker, tree, block
        self.names = {**tree.params, **tree.let, **block.params, **block.let}

    def check(self) -> None:
        block, checker = self.block, self.checker
        declared, params = block.declared, (*block.path, "params")
        checker.findings.add(*check_declarations(declared.params, checker.document, params))
        check_block_names(checker, declared, block.path)
        for entry in block.entries.values():
            check_contracts(checker, entry, self.names)
        if block.container is not None:
            self._check_sequential(block.container)
        for module in block.modules.values():
            for key in ("repeat", "index", "name"):
                hint = f"{key} belongs to the items of a container"
                self._meaningless(module, key, f"'{key}' means nothing here", hint)
            self._check_module(module, frozenset())
        for tensor in block.tensors.values():
            self._check_tensor(tensor)

    def _check_sequential(self, container: ModuleNode) -> None:
        """A block with items in place of modules and steps."""
        for key in ("modules", "forward", "methods", "parameters", "buffers"):
            if self.checker.document.has((*self.block.path, key)):
                message = f"a block with items is a Sequential: it has no '{key}'"
                hint = "write modules and forward in place of items"
                self.checker.add("E212", message, (*self.block.path, key), key=True, hint=hint)
        self._check_container(container, frozenset())

    def _meaningless(self, node: ModuleNode, key: str, message: str, hint: str = "") -> None:
        """A reserved key where it has no meaning."""
        if key in node.declared.model_fields_set:
            self.checker.add("E212", message, (*node.path, key), key=True, hint=hint)

    # ------------------------------------------------------------------------------- modules

    def _check_module(self, module: ModuleNode, counters: frozenset[str]) -> None:
        """One module of the block, or an item of a container in it."""
        checker, path, index = self.checker, module.path, module.index
        if index is not None:
            if module.repeat is None:
                hint = "index names the counter of repeat"
                self._meaningless(module, "index", "'index' without 'repeat'", hint)
            if index in counters or index in self.names or index in self.block.inputs:
                checker.add("E207", f"'{index}' is already a name here", (*path, "index"))
            check_names(checker, [index], (*path, "index"))
            counters |= {index}
        self._check_when(module)
        if module.is_container:
            self._check_container(module, counters)
        else:
            hint = f"items belong to {', '.join(layers.CONTAINERS)}"
            self._meaningless(module, "items", f"{module.declared.type} has no items", hint)
            self._check_type(module)
            self._check_arguments(module, counters)

    def _check_container(self, module: ModuleNode, counters: frozenset[str]) -> None:
        at = (*module.path, "items")
        for name in module.arguments:
            hint = did_you_mean(name, Module.model_fields) or "its children are its items"
            message = f"{module.kind} has no argument '{name}'"
            self.checker.add("E203", message, (*module.path, name), key=True, hint=hint)
        items = module.item_modules
        is_named = module.is_mapping or any(item.name is not None for item in items)
        if module.kind == "ModuleDict" and module.items and not is_named:
            hint = "write items: {name: {type: …}, …}, or give each its name"
            if any(item.repeat is not None for item in items):
                hint += '; the name of a repeated item is its own key: name: "layer_{i}"'
            self.checker.add("E212", "a ModuleDict's items need names", at, hint=hint)
        if module.kind == "ModuleList" and is_named:
            hint = "write items: [{type: …}, …], or use a ModuleDict"
            self.checker.add("E212", "a ModuleList's items have no names", at, hint=hint)
        self._check_items(module, module.items, counters, is_named=is_named)

    def _check_items(
        self,
        module: ModuleNode,
        items: Iterable[tuple[str | int, ItemNode]],
        counters: frozenset[str],
        *,
        is_named: bool,
    ) -> None:
        for key, item in items:
            if isinstance(item, GroupNode):
                self._check_group(item, counters)
                inside = counters | {*item.names, *(one.name for one in item.carry)}
                self._check_items(module, item.items, inside, is_named=is_named)
            else:
                self._check_module(item, counters)
                self._check_item_name(module, key, item, is_named=is_named)

    def _check_group(self, group: GroupNode, counters: frozenset[str]) -> None:
        """How often a group is repeated, and the names that it gives."""
        declared, path = group.declared, group.path
        given = declared.model_fields_set
        hint = "write {repeat: $n, items: […]}, or {each: [a, b], in: $pairs, items: […]}"
        if self.checker.findings.is_broken_below(path):
            pass  # what it lacks has been reported
        elif ("repeat" in given) is ("each" in given):
            message = "a group of items has either 'repeat' or 'each'"
            self.checker.add("E212", message, path, hint=hint)
        elif ("each" in given) is not ("over" in given):
            message = "'each' says what the values 'in' a list are called: both are needed"
            self.checker.add("E212", message, path, hint=hint)
        # The targets of all loops are held against parameters and reserved names elsewhere.
        places = [(name, (*path, "each")) for name in declared.each or ()]
        names = [*declared.carry, *([group.index] if group.index else [])]
        places += [(one.name, one.path) for one in group.carry]
        places += [(group.index, (*path, "index"))] if group.index else []
        listed = [name for name, _ in places]
        for name, at in dict(places).items():
            if name in counters or listed.count(name) > 1 or (name in names and name in self.names):
                self.checker.add("E207", f"'{name}' is already a name here", at)
        check_names(self.checker, declared.carry, (*path, "carry"), FUNCTIONS)
        check_names(self.checker, names[len(declared.carry) :], (*path, "index"), FUNCTIONS)

    def _check_item_name(
        self, module: ModuleNode, key: str | int, item: ModuleNode, *, is_named: bool
    ) -> None:
        own_name = key if item.name is None and isinstance(key, str) else "0"
        if complaint := item_name_complaint(own_name, module.kind):
            self.checker.add("E207", complaint, item.path, key=True, hint="choose another name")
        for piece in item.name.pieces if isinstance(item.name, Template) else ():
            if isinstance(piece, Constant) and not is_plain_name(str(piece.value)):
                message = f"'{str(piece.value)[:MAX_NAME]}' cannot be part of a module's name"
                hint = "write letters, digits, _ and -, and expressions in { }"
                self.checker.report(ExpressionError("E207", message, piece, hint))
                self.checker.findings.broken.add((*item.path, "name"))
        if module.is_mapping:
            if item.repeat is not None and "{" not in (item.declared.name or ""):
                hint = 'for example index: i, name: "layer_{i}"'
                message = "a repeated item of a mapping needs a name with its counter"
                self.checker.add("E212", message, (*item.path, "repeat"), key=True, hint=hint)
        elif is_named and item.name is None:
            message = "some items of this list have a name, this one has none"
            self.checker.add("E212", message, item.path, hint="name all of them, or none")

    # --------------------------------------------------------------------------------- types

    def _check_type(self, module: ModuleNode) -> None:
        path = (*module.path, "type")
        if module.kind:
            self._check_class(module.kind, path)
            return
        for node in outcomes(module.type):
            if isinstance(node, Constant):
                self._check_class(node.value, path)
            elif isinstance(node, Name) and self._is_value(node):
                hint = "declare it as {type: block} or {type: layer}"
                if node.symbol is not None and node.symbol.kind == "counter":
                    hint = f"write here what it is: $'A' if {node.id} == … else 'B'"
                if node.symbol is not None and node.symbol.kind == "let":
                    hint = "write here what it is: $'A' if … else 'B'"
                message = f"'{node.id}' is no block or layer"
                self.checker.add("E206", message, path, hint=hint)
        if not chooses_class(module.type):
            hint = "a type is a name, a parameter, or 'A' if … else 'B'"
            self.checker.add("E206", "this cannot choose a block or layer", path, hint=hint)

    def _check_class(self, name: object, path: Path) -> None:
        is_class = name in self.tree.blocks or layers.find(str(name)) is not None
        if not is_class and not self.checker.is_broken(("blocks", str(name))):
            problem = unknown_class(self.checker, self.tree.blocks, str(name), path)
            self.checker.findings.add(problem)

    def _is_value(self, name: Name) -> bool:
        """Whether a name can be no class: a counter, or a parameter that is not declared as one."""
        symbol = name.symbol
        if symbol is None or symbol.kind == "broken" or symbol.is_class:
            return False
        if symbol.kind != "global":
            return True
        param = symbol.declared
        if not isinstance(param, Param):  # of let: its value is looked at when it is known
            return False
        return (param.type or inferred(param, None)) not in ("str", "any")

    # ----------------------------------------------------------------------------- arguments

    def _check_arguments(self, module: ModuleNode, counters: frozenset[str]) -> None:
        known = {name: known_value(value) for name, value in module.arguments.items()}
        for name, value in known.items():
            if value and isinstance(value[0], dict):
                self._check_nested(module, name, counters)
        checker, takes = self.checker, self.tree.blocks.get(module.kind) or layers.find(module.kind)
        if takes is not None:
            names = arguments_of(takes)
            for problem in wrong_arguments(checker, module, takes, known, self.names):
                checker.findings.add(problem)  # one by one: beyond the limit none is looked for
            # A misspelt argument has been reported already.
            meant = {near for n in known if n not in names for near in near_misses(n, names)}
            checker.findings.add(*missing_arguments(checker, module, takes, {*known, *meant}))
        if takes is None or (isinstance(takes, layers.Layer) and takes.keywords_any):
            self._check_keywords(module)
        if takes is None:
            self._check_alternatives(module)
        self._check_class_arguments(module)

    def _check_class_arguments(self, module: ModuleNode) -> None:
        """What a block takes as a class is known when code is made, or a parameter of this one."""
        if module.kind and module.kind not in self.tree.blocks:
            return
        chosen = [self.tree.blocks[module.kind]] if module.kind else self.tree.blocks.values()
        takes_class = {n for block in chosen for n, param in block.params.items() if param.is_class}
        for name in takes_class & module.arguments.keys():
            value = module.arguments[name]
            for node in () if isinstance(value, ModuleNode) else outcomes(value):
                is_own = isinstance(node, Name) and node.id in self.block.params
                if not is_own and not all(is_global(used) for used in names(node)):
                    message = f"'{written(node)}' cannot choose a class"
                    hint = "it is a name, a block or layer parameter, or 'A' if … else 'B'"
                    self.checker.add("E302", message, (*module.path, name), hint=hint)

    def _check_alternatives(self, module: ModuleNode) -> None:
        """Each class that a choice names has all arguments, whichever is chosen."""
        for node in outcomes(module.type):
            name = str(node.value) if isinstance(node, Constant) else ""
            takes = self.tree.blocks.get(name) or layers.find(name)
            if takes is not None:
                given = dict.fromkeys(module.arguments)
                for problem in wrong_arguments(self.checker, module, takes, given):
                    hint = "each type of the choice gets all arguments: where they differ, use a"
                    self.checker.findings.add(replace(problem, hint=f"{hint} block for each"))

    def _check_keywords(self, module: ModuleNode) -> None:
        """Names of arguments that no signature says: each must be one that Python can pass."""
        for name in module.arguments:
            if not _is_keyword(name):
                message = f"'{name[:60]}' cannot name an argument"
                hint = "an argument's name is letters, digits and _"
                self.checker.add("E207", message, (*module.path, name), key=True, hint=hint)

    def _check_nested(self, module: ModuleNode, name: str, counters: frozenset[str]) -> None:
        """A module as an argument, where one is taken; else it is reported with the argument."""
        value, path = module.arguments[name], (*module.path, name)
        layer = layers.find(module.kind) if module.kind not in self.tree.blocks else None
        argument = layer.argument(name) if layer else None
        if module.kind and not (argument and argument.accepts({})):
            return
        if not isinstance(value, ModuleNode):
            message = "a mapping as an argument is a module: it needs a type"
            self.checker.add("E202", message, path, hint="write {type: NAME, …}")
        elif value.is_container:
            self.checker.add("E212", "a module argument is one layer or block", path)
        else:
            for key in ("when", "repeat", "index", "name"):
                self._meaningless(value, key, f"'{key}' means nothing in an argument")
            self._check_module(value, counters)

    def _check_when(self, declared: ModuleNode | TensorNode) -> None:
        if isinstance(declared.when, Constant) and isinstance(declared.when.value, str):
            message = f"when takes true or false, not {shown(declared.when.value)}"
            hint = "an expression begins with $"
            self.checker.add("E205", message, (*declared.path, "when"), hint=hint)

    # ------------------------------------------------------------------------------- tensors

    def _check_tensor(self, tensor: TensorNode) -> None:
        checker, path = self.checker, tensor.path
        self._check_when(tensor)
        is_told = checker.is_broken(path) or tensor.init.function.startswith("$")
        if not tensor.value and tensor.shape is None and not is_told:
            hint = "or a value: $expression"
            message = f"the key 'shape' is missing in '{tensor.name}'"
            checker.add("E202", message, path, key=True, hint=hint)
        if tensor.value and "init" in tensor.declared.model_fields_set:
            hint = "keep one of them: the value says what the tensor starts as"
            message = f"'{tensor.name}' has both a value and an init"
            checker.add("E202", message, (*path, "init"), key=True, hint=hint)
        for size in tensor.shape or ():
            if isinstance(name := _plain(size), str):
                hint = "a raw tensor's sizes are integers or $expressions"
                self.checker.add("E202", f"'{name}' is no size", size.span.path, hint=hint)


def _is_keyword(name: str) -> bool:
    plain = name.isascii() and name.isidentifier() and not keyword.iskeyword(name)
    return plain and "__" not in name and name != "self"


def _plain(node: Node) -> Any:
    """The value that a node has without any expression; None if it has none."""
    return node.value if isinstance(node, Constant) and is_literal(node) else None


def known_value(node: Node | ModuleNode) -> tuple[Any] | None:
    """The value of an argument, if it takes no expression to know it; a module is a mapping."""
    match node:
        case ModuleNode():
            return ({},)
        case Constant(value=value):
            return (value,)
        case Sequence(items=items) if node.span.start == node.span.end:
            known = [known_value(item) for item in items]
            return None if None in known else (tuple(cast("tuple[Any]", k)[0] for k in known),)
        case _:
            return None
