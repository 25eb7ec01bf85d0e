"""What can be said of blocks before parameters have values: names, arguments, expressions.

Every problem that can be found is found, each at its place. What depends on values (sizes, repeats,
conditions, patterns) is checked by ``elaborate``, forward steps by ``steps``.
"""

from __future__ import annotations

import ast
import keyword
from collections import ChainMap
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, cast

from pydantic import ValidationError

from archspec.errors import did_you_mean, listing, shown
from archspec.lang.checks.checker import (
    MODULE_ATTRIBUTES,
    Checker,
    check_block_names,
    check_names,
    chooses_class,
    item_name_complaint,
    iterate_items,
)
from archspec.lang.declarations import check_declarations, inferred
from archspec.lang.expr import expressions
from archspec.lang.expr.expressions import Expression, ExpressionError
from archspec.lang.params import circle_text, literal, ordered
from archspec.lang.registry import layers
from archspec.lang.schema import Block, Contract, Module, Param, Tensor
from archspec.lang.yaml import Path


def check(checker: Checker) -> None:
    """Find all problems of the spec that do not depend on values."""
    architecture, document = checker.architecture, checker.document
    checker.findings.add(*check_declarations(architecture.params, document, ("params",)))
    check_names(checker, architecture.params, ("params",), MODULE_ATTRIBUTES)
    if architecture.model not in architecture.blocks:
        hint = did_you_mean(architecture.model, architecture.blocks)
        hint = hint or f"blocks: {listing(list(architecture.blocks))}"
        checker.add("E206", f"no block is called '{architecture.model}'", ("model",), hint=hint)
    check_names(checker, architecture.blocks, ("blocks",), layers.CONTAINERS)
    for name, block in architecture.blocks.items():
        BlockChecker(checker, name, block).check()
    _check_recursion(checker)


def _check_recursion(checker: Checker) -> None:
    blocks = checker.architecture.blocks
    uses = {
        name: {m.type for m in _all_modules(block.modules.values()) if m.type in blocks}
        for name, block in blocks.items()
    }
    for circle in ordered(uses)[1]:
        message = f"a block contains itself: {circle_text(circle)}"
        checker.add("E211", message, ("blocks", circle[0]), key=True)


def _all_modules(modules: Iterable[Module]) -> Iterator[Module]:
    for module in modules:
        yield module
        items = module.items or ()
        yield from _all_modules(items.values() if isinstance(items, dict) else items)


class BlockChecker:
    """Checks one block; ``steps.StepChecker`` does its forward."""

    def __init__(self, checker: Checker, name: str, block: Block) -> None:
        self.checker, self.name, self.block = checker, name, block
        self.path: Path = ("blocks", name)
        self.globals = checker.architecture.params
        params = block.params
        # Block params that hold a class, and those that hold a value.
        self.classes = {name: p for name, p in params.items() if p.type in ("block", "layer")}
        self.values = {name: p for name, p in params.items() if name not in self.classes}

    def check(self) -> None:
        block, checker = self.block, self.checker
        checker.findings.add(
            *check_declarations(block.params, checker.document, (*self.path, "params"))
        )
        check_block_names(checker, block, self.path)
        for name, param in block.params.items():
            path = (*self.path, "params", name, "default")
            if not param.required:
                self._expression(param.default, path, self.globals)
        for part, contracts in (("inputs", block.inputs), ("outputs", block.outputs)):
            for name, contract in contracts.items():
                self._check_contract(contract, (*self.path, part, name))
        self._check_input_order()
        for name, module in block.modules.items():
            path = (*self.path, "modules", name)
            for key in ("repeat", "index", "name"):
                if key in module.model_fields_set:
                    hint = f"{key} belongs to the items of a container"
                    checker.add(
                        "E212", f"'{key}' means nothing here", (*path, key), key=True, hint=hint
                    )
            self.check_module(module, path, frozenset())
        for part, tensors in (("parameters", block.parameters), ("buffers", block.buffers)):
            for name, tensor in tensors.items():
                self._check_tensor(tensor, (*self.path, part, name))

    def _check_input_order(self) -> None:
        optional = ""
        for name, contract in self.block.inputs.items():
            if optional and not contract.optional:
                message = f"'{name}' must be given, but stands behind the optional '{optional}'"
                path = (*self.path, "inputs", name)
                self.checker.add("E202", message, path, key=True, hint="put required inputs first")
            optional = name if contract.optional else optional

    # ------------------------------------------------------------------------------- modules

    def check_module(self, module: Module, path: Path, counters: frozenset[str]) -> None:
        """One module of the block, or an item of a container in it."""
        checker = self.checker
        # A repeat cannot use its own counter; everything else of the item can.
        if module.repeat is not None:
            self._expression(module.repeat, (*path, "repeat"), self.scope(counters))
        if module.index is not None:
            if module.repeat is None:
                hint = "index names the counter of repeat"
                checker.add(
                    "E212", "'index' without 'repeat'", (*path, "index"), key=True, hint=hint
                )
            if module.index in self.scope(counters) or module.index in self.block.inputs:
                checker.add("E207", f"'{module.index}' is already a name here", (*path, "index"))
            check_names(checker, [module.index], (*path, "index"))
            counters |= {module.index}
        self._expression(module.when, (*path, "when"), self.scope(counters))
        if isinstance(module.when, str) and not _holds_expression(module.when):
            message = f"when takes true or false, not {shown(module.when)}"
            hint = "an expression begins with $"
            checker.add("E205", message, (*path, "when"), hint=hint)
        if module.name is not None:
            self._check_template(module.name, (*path, "name"), counters)
        if module.type in layers.CONTAINERS:
            self._check_container(module, path, counters)
        else:
            if module.items is not None:
                hint = f"items belong to {', '.join(layers.CONTAINERS)}"
                checker.add(
                    "E212", f"{module.type} has no items", (*path, "items"), key=True, hint=hint
                )
            self._check_arguments(module, path, counters)

    def _check_container(self, module: Module, path: Path, counters: frozenset[str]) -> None:
        for name in module.arguments:
            hint = did_you_mean(name, Module.model_fields) or "its children are its items"
            message = f"{module.type} has no argument '{name}'"
            self.checker.add("E203", message, (*path, name), key=True, hint=hint)
        if module.type == "ModuleDict" and not isinstance(module.items, dict | None):
            hint = "write items: {name: {type: …}, …}"
            self.checker.add("E212", "a ModuleDict's items need names", (*path, "items"), hint=hint)
        items = list(iterate_items(module))
        if module.type == "ModuleList" and (
            isinstance(module.items, dict) or any(item.name is not None for _, item in items)
        ):
            hint = "write items: [{type: …}, …], or use a ModuleDict"
            self.checker.add(
                "E212", "a ModuleList's items have no names", (*path, "items"), hint=hint
            )
        named = [item.name is not None for _, item in items]
        for key, item in items:
            self.check_module(item, (*path, "items", key), counters)
            at = (*path, "items", key)
            own_name = key if item.name is None and isinstance(key, str) else "0"
            if complaint := item_name_complaint(own_name, module.type):
                self.checker.add("E207", complaint, at, key=True, hint="choose another name")
            if isinstance(module.items, dict):
                if item.repeat is not None and (item.name is None or "{" not in item.name):
                    hint = 'for example index: i, name: "layer_{i}"'
                    message = "a repeated item of a mapping needs a name with its counter"
                    self.checker.add("E212", message, (*at, "repeat"), key=True, hint=hint)
            elif any(named) and item.name is None:
                message = "some items of this list have a name, this one has none"
                self.checker.add("E212", message, at, hint="name all of them, or none")

    def _check_template(self, text: str, path: Path, counters: frozenset[str]) -> None:
        try:
            parts = list(expressions.template(text))
        except ExpressionError as error:
            self.checker.add_expression(error, path)
            return
        offset = 0
        for part in parts:
            if isinstance(part, Expression):
                self._names(part, path, self.scope(counters), offset + 1)
            offset += len(part) if isinstance(part, str) else len(part.text) + 2

    def _check_arguments(self, module: Module, path: Path, counters: frozenset[str]) -> None:
        kind = self.checker.literal(module.type, (*path, "type"))
        if isinstance(kind, Expression):
            self._names(kind, (*path, "type"), self.scope(counters, classes=True), 1)
            for node in expressions.outcomes(kind.tree):
                if isinstance(node, ast.Constant) and not self._is_class(node.value):
                    self._unknown_type(str(node.value), path)
                elif isinstance(node, ast.Name) and self._is_value(node.id, counters):
                    hint = "declare it as {type: block} or {type: layer}"
                    message = f"'{node.id}' is no block or layer"
                    self.checker.add("E206", message, (*path, "type"), hint=hint)
            if not chooses_class(module.type, self.globals):
                hint = "a type is a name, a parameter, or 'A' if … else 'B'"
                message = "this cannot choose a block or layer"
                self.checker.add("E206", message, (*path, "type"), hint=hint)
        elif kind in self.checker.architecture.blocks:
            params = self.checker.architecture.blocks[kind].params
            self._check_against_block(kind, params, module, path)
        elif layer := layers.find(str(kind)):
            self._check_against_layer(layer, module, path, counters)
        elif kind is not None:
            self._unknown_type(kind, path)
        for name, value in module.arguments.items():
            if not isinstance(value, dict):
                self._expression(value, (*path, name), self.scope(counters, classes=True))
            elif self._takes_module(kind, name):
                self._check_nested(cast("dict[str, Any]", value), (*path, name), counters)

    def _takes_module(self, kind: object, name: str) -> bool:
        """Whether an argument may be a module; that it may not is told elsewhere."""
        if isinstance(kind, Expression):
            return True
        layer = layers.find(str(kind)) if kind not in self.checker.architecture.blocks else None
        argument = layer.argument(name) if layer else None
        return argument is not None and argument.accepts({})

    def _is_class(self, name: object) -> bool:
        blocks = self.checker.architecture.blocks
        return isinstance(name, str) and (name in blocks or layers.find(name) is not None)

    def _is_value(self, name: str, counters: frozenset[str]) -> bool:
        """Whether a name can be no class: a counter, or a parameter that is not declared as one."""
        if name in counters or name in self.values:
            return True
        param = self.globals.get(name)
        kind = (param.type or inferred(param, None)) if param is not None else "any"
        return kind not in ("block", "layer", "str", "any")

    def _unknown_type(self, kind: str, path: Path) -> None:
        known = [*self.checker.architecture.blocks, *layers.CONTAINERS, *layers.names()]
        hint = did_you_mean(kind.rpartition(".")[2], known)
        if kind in layers.CONTAINERS:
            hint = f"write type: {kind}"
        elif "." in kind:
            hint = f"a type is a name, never an import; {hint or 'see archspec.register_layer'}"
        message = f"no block or layer is called '{kind}'"
        self.checker.add("E206", message, (*path, "type"), hint=hint)

    def _check_nested(self, value: dict[str, Any], path: Path, counters: frozenset[str]) -> None:
        """A module as an argument, such as the layer that nn.TransformerEncoder copies."""
        try:
            module = Module.model_validate(value)
        except ValidationError:
            message = "a mapping as an argument is a module: it needs a type"
            self.checker.add("E202", message, path, hint="write {type: NAME, …}")
            return
        if module.type in layers.CONTAINERS:
            self.checker.add("E212", "a module argument is one layer or block", path)
            return
        for key in ("when", "repeat", "index", "name"):
            if key in module.model_fields_set:
                message = f"'{key}' means nothing in an argument"
                self.checker.add("E212", message, (*path, key), key=True)
        self.check_module(module, path, counters)

    def _check_against_layer(
        self, layer: layers.Layer, module: Module, path: Path, counters: frozenset[str]
    ) -> None:
        names = [argument.name for argument in layer.arguments]
        for name, value in module.arguments.items():
            argument = layer.argument(name)
            if argument is None:
                self._unknown_argument(layer.name, name, names, path)
            elif not _holds_expression(value) and not argument.accepts(_plain(value)):
                message = f"{layer.name}'s {name} takes {argument.expects}, not {shown(value)}"
                is_name = isinstance(value, str) and value in self.scope(counters)
                hint = f"write ${value} for its value" if is_name else ""
                self.checker.add("E205", message, (*path, name), hint=hint)
        missing = [a.name for a in layer.required if a.name not in module.arguments]
        self._missing_arguments(layer.name, missing, module, names, path)

    def _check_against_block(
        self, block: str, params: dict[str, Param], module: Module, path: Path
    ) -> None:
        for name, value in module.arguments.items():
            if name not in params:
                self._unknown_argument(block, name, list(params), path)
            elif isinstance(value, dict):
                message = f"{block}'s {name} takes a value, not a mapping"
                self.checker.add("E205", message, (*path, name))
        missing = [n for n, p in params.items() if p.required and n not in module.arguments]
        self._missing_arguments(block, missing, module, list(params), path)

    def _unknown_argument(self, kind: str, name: str, names: list[str], path: Path) -> None:
        reserved = [key for key in Module.model_fields if key != "type"]
        hint = did_you_mean(name, [*names, *reserved])
        if name in ("device", "dtype"):
            hint = "device and dtype are chosen when the model is built"
        elif not hint:
            hint = f"it takes: {listing(names)}" if names else "it takes none"
        self.checker.add(
            "E203", f"{kind} has no argument '{name}'", (*path, name), key=True, hint=hint
        )

    def _missing_arguments(
        self, kind: str, missing: list[str], module: Module, names: list[str], path: Path
    ) -> None:
        """What is required and not there; a misspelt one has been told already."""
        meant = {did_you_mean(name, names) for name in module.arguments if name not in names}
        missing = [name for name in missing if f"did you mean '{name}'?" not in meant]
        if missing:
            what = "argument" if len(missing) == 1 else "arguments"
            listed = ", ".join(f"'{name}'" for name in missing)
            self.checker.add("E204", f"{kind} needs the {what} {listed}", (*path, "type"))

    # --------------------------------------------------------------- tensors and expressions

    def scope(
        self, counters: Collection[str] = (), *, classes: bool = False
    ) -> Mapping[str, object]:
        """The names that an argument's expression may use; with ``classes`` if it may be one."""
        own = self.block.params if classes else self.values
        return ChainMap[str, Any](dict.fromkeys(counters), own, self.globals)

    def _check_contract(self, contract: Contract, path: Path) -> None:
        for i, size in enumerate(contract.shape):
            self._check_dimension(size, (*path, "shape", i) if self._long(path) else (*path, i))
        if contract.below is not None:
            self._expression(contract.below, (*path, "below"), self.scope())

    def _long(self, path: Path) -> bool:
        """Whether a contract is written in its long form, with a key ``shape``."""
        return self.checker.document.has((*path, "shape"))

    def _check_dimension(self, size: int | str, path: Path) -> None:
        if isinstance(size, str) and not size.startswith("$"):
            if not size.isidentifier() or keyword.iskeyword(size):
                hint = "a size is an integer, a name, or an $expression"
                self.checker.add("E202", f"'{size}' is no size", path, hint=hint)
            elif size in self.scope():
                hint = f"write ${size} for its value"
                self.checker.add(
                    "E207", f"'{size}' is a parameter, here a dimension", path, hint=hint
                )
        else:
            self._expression(size, path, self.scope())

    def _check_tensor(self, tensor: Tensor, path: Path) -> None:
        for i, size in enumerate(tensor.shape):
            if isinstance(size, str) and not size.startswith("$"):
                hint = "a raw tensor's sizes are integers or $expressions"
                self.checker.add("E202", f"'{size}' is no size", (*path, "shape", i), hint=hint)
            else:
                self._expression(size, (*path, "shape", i), self.scope())

    def _expression(self, value: Any, path: Path, scope: Mapping[str, object]) -> None:
        if isinstance(value, list):
            for i, item in enumerate(cast("list[Any]", value)):
                self._expression(item, (*path, i), scope)
            return
        parsed = self.checker.literal(value, path)
        if isinstance(parsed, Expression):
            self._names(parsed, path, scope, 1)

    def _names(
        self, expression: Expression, path: Path, scope: Mapping[str, object], offset: int
    ) -> None:
        """Every name must be known; ``offset`` counts what stands before the expression."""
        for error in expressions.misplaced(expression):
            self.checker.add_expression(error, path, offset)
        for node in expression.free_names():
            if node.id in scope:
                continue
            if node.id in self.classes:
                message = f"'{node.id}' is a class, not a value"
                error = expression.error(node, "E303", message, "use it as type: or pass it on")
            else:
                hint = did_you_mean(node.id, scope)
                hint = hint or f"names here: {listing(list(scope)) or 'none'}"
                error = expression.error(node, "E303", f"unknown name '{node.id}'", hint)
            self.checker.add_expression(error, path, offset)


def _plain(value: Any) -> Any:
    """``literal`` of what is no expression; integers of any size."""
    if isinstance(value, list):
        return tuple(map(_plain, cast("list[Any]", value)))
    return literal(value) if isinstance(value, str) else value


def _holds_expression(value: Any) -> bool:
    if isinstance(value, list):
        return any(_holds_expression(item) for item in cast("list[Any]", value))
    return isinstance(value, str) and value.startswith("$") and not value.startswith("$$")
