"""From a checked spec and its parameters to the tree of its modules.

Each distinct block (by name and argument values) is elaborated once, however often it occurs, so
that a hostile ``repeat`` costs nothing before it is refused.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn, cast

from pydantic import ValidationError

from archspec.errors import did_you_mean, shown
from archspec.lang.checks.checker import (
    MAX_NAME,
    Checker,
    chooses_class,
    class_complaint,
    item_name_complaint,
    iterate_items,
)
from archspec.lang.declarations import fit, inferred
from archspec.lang.expr import expressions
from archspec.lang.expr.expressions import Expression, ExpressionError, Value, evaluate
from archspec.lang.instances import Instance
from archspec.lang.params import Resolved, literal
from archspec.lang.registry import layers
from archspec.lang.schema import Contract, Module, Tensor
from archspec.lang.yaml import Path

MAX_MODULES = 100_000
MAX_DISTINCT = 30_000  # modules that differ, or could: those of a repeat with an index do
MAX_REPEAT = 10_000
MAX_NESTING = 100
MAX_ELEMENTS = 10**15  # of all tensors together: a thousand times the largest models


_TOO_MANY = f"the model has more than {MAX_MODULES:,} modules"
_LEFT_OUT = Instance("", (), {})  # stands for a module whose ``when`` is false


_Names = ChainMap[str, Value]


class _TooMany(Exception):
    """Ends an elaboration that would not end soon by itself; its problem has been told."""


@dataclass(frozen=True, slots=True)
class _Scope:
    """The names that an expression of one block instance may use, and the blocks around it."""

    values: _Names
    stack: tuple[str, ...]


class Elaborator:
    """Makes the instance tree of one spec."""

    def __init__(self, checker: Checker, params: Mapping[str, Resolved]) -> None:
        self.checker = checker
        self.blocks = checker.architecture.blocks
        self.globals = {name: found.value for name, found in params.items()}
        self._done: dict[tuple[Any, ...], Instance | None] = {}
        self._told: set[tuple[str, Path]] = set()
        self._looked_at = 0

    def elaborate(self) -> Instance | None:
        """The root, or None if a problem (told to ``checker``) prevents it."""
        root = self.checker.architecture.model
        if root not in self.blocks:
            return None  # told by check
        path: Path = ("blocks", root)
        required = [name for name, param in self.blocks[root].params.items() if param.required]
        for name in required:
            message = f"the root block needs a value for '{name}'"
            hint = "give it a default: the root is constructed without arguments"
            self._add("E210", message, (*path, "params", name), key=True, hint=hint)
        try:
            return None if required else self._block(root, {}, path, (), {})
        except _TooMany:
            return None

    def _add(
        self, code: str, message: str, path: Path, *, key: bool = False, hint: str = ""
    ) -> None:
        """The same mistake in many instances is one problem."""
        if (code, path) not in self._told:
            self._told.add((code, path))
            self.checker.add(code, message, path, key=key, hint=hint)

    # --------------------------------------------------------------------------------- blocks

    def _block(
        self,
        name: str,
        given: Mapping[str, Value],
        path: Path,
        stack: tuple[str, ...],
        places: Mapping[str, Path],
    ) -> Instance | None:
        values = self._block_values(name, given, places)
        if values is None:
            return None
        if name in stack:
            self._add("E211", f"{name} contains itself", path, hint=" → ".join([*stack, name]))
            return None
        key = (name, path, repr(values))  # as text: 1 and true are equal, and yet are not
        if key in self._done:
            return self._done[key]
        if len(stack) >= MAX_NESTING:
            self._add("E401", f"blocks nested more than {MAX_NESTING} deep", path)
            return None
        scope = _Scope(ChainMap(values, self.globals), (*stack, name))
        block = self.blocks[name]
        at: Path = ("blocks", name)
        self._check_contracts(block.inputs, (*at, "inputs"), scope)
        self._check_contracts(block.outputs, (*at, "outputs"), scope)
        children = [
            (child, found)
            for child, module in block.modules.items()
            if (found := self._module(module, (*at, "modules", child), scope, scope.values))
        ]
        elements = self._tensors(block.parameters, (*at, "parameters"), scope)
        elements += self._tensors(block.buffers, (*at, "buffers"), scope)
        tensors = (*block.parameters, *block.buffers)
        made = self._made(name, path, values, children, tensors, elements)
        self._done[key] = made
        return made

    def _block_values(
        self, name: str, given: Mapping[str, Value], places: Mapping[str, Path]
    ) -> dict[str, Value] | None:
        """The values of a block's own parameters; None if one of them does not fit."""
        values: dict[str, Value] = {}
        for param, declared in self.blocks[name].params.items():
            path = places.get(param, ("blocks", name, "params", param, "default"))
            if param in given:
                value = given[param]
            elif declared.required:
                return None  # told by check
            else:
                value, good = self._value(declared.default, path, _Names(self.globals))
                if not good:
                    return None
            kind = declared.type or inferred(declared, None)
            value, complaint = fit(value, declared, kind)
            if isinstance(value, Instance):
                complaint = "takes a value, not a mapping"
            if complaint:
                self._add("E205", f"{name}'s {param} {complaint}", path)
                return None
            if kind in ("block", "layer"):
                message, hint = class_complaint(self.blocks, kind, str(value))
                if message:
                    self._add("E206", message, path, hint=hint)
                    return None
            values[param] = value
        return values

    def _made(
        self,
        kind: str,
        path: Path,
        arguments: Mapping[str, Value],
        children: list[tuple[str, Instance]],
        tensors: tuple[str, ...] = (),
        elements: int = 0,
    ) -> Instance | None:
        left_out = tuple(name for name, child in children if child is _LEFT_OUT)
        children = [(name, child) for name, child in children if child is not _LEFT_OUT]
        modules = 1 + sum(child.modules for _, child in children)
        elements += sum(child.elements for _, child in children)
        if modules > MAX_MODULES:
            self._stop("E401", _TOO_MANY, path)
        if elements > MAX_ELEMENTS:
            self._stop("E402", "the model has more than 10^15 parameters", path)
        inside = tuple(children)
        return Instance(kind, path, arguments, inside, tensors, modules, elements, left_out)

    def _check_contracts(
        self, contracts: Mapping[str, Contract], path: Path, scope: _Scope
    ) -> None:
        """Sizes that are expressions must have a value that is a size."""
        for name, contract in contracts.items():
            at = (*path, name)
            below = (contract.below, (*at, "below"))
            at = (*at, "shape") if self.checker.document.has((*at, "shape")) else at
            for size, place in (*((s, (*at, i)) for i, s in enumerate(contract.shape)), below):
                if isinstance(size, str) and size.startswith("$"):
                    self._size(size, place, scope)

    def _size(self, size: int | str, path: Path, scope: _Scope) -> int:
        """A size of a tensor; 1 if it has a problem."""
        told = isinstance(size, str) and not size.startswith("$")
        found = None if told else self._whole(size, path, scope.values, "a size is")
        return 1 if found is None else found

    def _whole(self, value: int | str, path: Path, names: _Names, title: str) -> int | None:
        """An integer of 0 or more; None if it has a problem."""
        found, good = self._value(value, path, names)
        if good and isinstance(found, int) and not isinstance(found, bool) and found >= 0:
            return found
        if good:
            self._add("E205", f"{title} an integer of 0 or more, not {shown(found)}", path)
        return None

    def _stop(self, code: str, message: str, path: Path) -> NoReturn:
        self._add(code, message, path)
        raise _TooMany

    def _tensors(self, tensors: Mapping[str, Tensor], path: Path, scope: _Scope) -> int:
        total = 0
        for name, tensor in tensors.items():
            elements = 1
            for i, size in enumerate(tensor.shape):
                size = self._size(size, (*path, name, "shape", i), scope)
                elements = min(elements * size, MAX_ELEMENTS + 1)
            total += elements
        return total

    # -------------------------------------------------------------------------------- modules

    def _module(self, module: Module, path: Path, scope: _Scope, names: _Names) -> Instance | None:
        """One module; None if it is wrong."""
        self._looked_at += 1
        if self._looked_at > MAX_DISTINCT:
            self._stop("E401", f"the model has more than {MAX_DISTINCT:,} distinct modules", path)
        condition, good = self._value(module.when, (*path, "when"), names)
        if not good:
            return None
        if not isinstance(condition, bool | int | None):
            self._add("E205", f"when takes true or false, not {shown(condition)}", (*path, "when"))
            return None
        if module.type in layers.CONTAINERS:
            children = self._items(module, path, scope, names) if condition else []
            return self._made(module.type, path, {}, children)
        if not condition:
            return _LEFT_OUT
        kind, good = self._value(module.type, (*path, "type"), names)
        good = good and chooses_class(module.type, self.globals)  # else told by check
        arguments: dict[str, Value] = {}
        for name, value in module.arguments.items():
            arguments[name], fine = self._argument(value, (*path, name), scope, names)
            good = good and fine
        if not good:
            return None
        if kind in self.blocks:
            return self._block_module(str(kind), module, arguments, path, scope)
        if not isinstance(kind, str):
            self._add("E206", f"'{module.type[1:]}' is no block or layer", (*path, "type"))
            return None
        return self._layer(kind, arguments, path)

    def _block_module(
        self, kind: str, module: Module, arguments: dict[str, Value], path: Path, scope: _Scope
    ) -> Instance | None:
        params = self.blocks[kind].params
        if module.type.startswith("$"):  # else it has been told
            unknown = [name for name in arguments if name not in params]
            missing = [n for n, p in params.items() if p.required and n not in arguments]
            for name in unknown:
                self._unknown_argument(kind, name, list(params), path)
            for name in missing:
                self._add("E204", f"{kind} needs the argument '{name}'", (*path, "type"))
            if unknown or missing:
                return None
        places: dict[str, Path] = {name: (*path, name) for name in arguments}
        return self._block(kind, arguments, path, scope.stack, places)

    def _layer(self, kind: str, arguments: dict[str, Value], path: Path) -> Instance | None:
        layer = layers.find(kind)
        if layer is None:
            hint = did_you_mean(kind, [*self.blocks, *layers.names()])
            self._add("E206", f"no block or layer is called '{kind}'", (*path, "type"), hint=hint)
            return None
        good = True
        for name, value in arguments.items():
            argument = layer.argument(name)
            if argument is None:
                self._unknown_argument(kind, name, [a.name for a in layer.arguments], path)
                good = False
            elif not isinstance(value, Instance) and not argument.accepts(value):
                message = f"{kind}'s {name} takes {argument.expects}, not {shown(value)}"
                self._add("E205", message, (*path, name))
                good = False
        for argument in layer.required if good else ():
            if argument.name not in arguments:
                self._add("E204", f"{kind} needs the argument '{argument.name}'", (*path, "type"))
                good = False
        return self._bounded_layer(layer, arguments, path) if good else None

    def _unknown_argument(self, kind: str, name: str, known: list[str], path: Path) -> None:
        hint = did_you_mean(name, known)
        self._add("E203", f"{kind} has no argument '{name}'", (*path, name), key=True, hint=hint)

    def _bounded_layer(
        self, layer: layers.Layer, arguments: dict[str, Value], path: Path
    ) -> Instance | None:
        plain = {k: v for k, v in arguments.items() if not isinstance(v, Instance)}
        nested = sum(v.elements for v in arguments.values() if isinstance(v, Instance))
        depth = layers.depth_bound(plain)
        if depth > layers.MAX_DEPTH:
            self._add("E401", f"{layer.name} would stack {depth:,} layers", path)
            return None
        elements = layers.size_bound(layer, plain) + nested * depth
        if elements >= MAX_ELEMENTS:
            self._add("E402", f"{layer.name} would hold about {elements:.0e} parameters", path)
            return None
        inside = sum(v.modules for v in arguments.values() if isinstance(v, Instance))
        modules = layers.modules_bound(layer, plain, inside)
        if modules > MAX_MODULES:
            self._stop("E401", f"{layer.name} would hold {modules:,} modules", path)
        tensors = (*layer.parameters, *layer.buffers)
        made = self._made(layer.name, path, arguments, [], tensors, elements)
        return made and replace(made, modules=modules)

    def _argument(self, value: Any, path: Path, scope: _Scope, names: _Names) -> tuple[Value, bool]:
        """An argument's value; a nested module becomes an ``Instance``."""
        if isinstance(value, dict):
            try:
                module = Module.model_validate(value)
            except ValidationError:
                return None, False  # told by check
            made = self._module(module, path, scope, names)
            return made, made is not None and made is not _LEFT_OUT
        return self._value(value, path, names)

    # ------------------------------------------------------------------------------ containers

    def _items(
        self, module: Module, path: Path, scope: _Scope, names: _Names
    ) -> list[tuple[str, Instance]]:
        children: dict[str, Instance] = {}
        for key, item in iterate_items(module):
            at = (*path, "items", key)
            for name, child in self._repeated(item, at, scope, names):
                if item.name is None and isinstance(key, str):
                    name = key
                elif child is _LEFT_OUT or name is None:
                    continue  # nobody can ask for it by name, or its name is wrong
                elif item.name is None:
                    name = str(len(children))
                elif complaint := item_name_complaint(name, module.type):
                    self._add("E207", complaint, (*at, "name"))
                if name in children and (item.repeat is None or item.name is not None):
                    self._add("E207", f"two items are called '{name}'", at)
                children[name] = child
                if len(children) > MAX_MODULES:
                    self._stop("E401", _TOO_MANY, path)
        return list(children.items())

    def _repeated(
        self, item: Module, path: Path, scope: _Scope, names: _Names
    ) -> Iterator[tuple[str | None, Instance]]:
        """The modules that one item stands for, with the names that it gives them, if any."""
        times, at = 1, (*path, "repeat")
        if item.repeat is not None:
            times = self._whole(item.repeat, at, names, "repeat takes") or 0
        if times > MAX_REPEAT:
            self._add("E401", f"repeated more than {MAX_REPEAT:,} times", at)
            return
        made: Instance | None = None
        for i in range(times):
            inner = names.new_child({item.index: i}) if item.index else names
            if i == 0 or item.index:
                made = self._module(item, path, scope, inner)
            if made is not None:
                yield self._item_name(item, path, inner), made
            if not item.index and (made is None or made is _LEFT_OUT):
                return

    def _item_name(self, item: Module, path: Path, names: _Names) -> str | None:
        name = ""
        try:
            for part in expressions.template(item.name or ""):
                name += part if isinstance(part, str) else str(evaluate(part, names))
                if len(name) > MAX_NAME:
                    return name[: MAX_NAME + 1]
        except ExpressionError as error:
            if error.code in ("E306", "E307"):  # the others have been told by check
                self._add(error.code, error.message, (*path, "name"), hint=error.hint)
            return None
        return name

    # ------------------------------------------------------------------------------ expressions

    def _value(self, value: Any, path: Path, names: _Names) -> tuple[Value, bool]:
        """A value of the document, computed; False if a problem prevents it."""
        if isinstance(value, list):
            given = enumerate(cast("list[Any]", value))
            items = [self._value(item, (*path, i), names) for i, item in given]
            return tuple(item for item, _ in items), all(good for _, good in items)
        try:
            parsed = literal(value)
        except ExpressionError:
            return None, False  # told by check
        try:
            return (evaluate(parsed, names) if isinstance(parsed, Expression) else parsed), True
        except ExpressionError as error:
            self.checker.add_expression(error, path, 1)
            return None, False
