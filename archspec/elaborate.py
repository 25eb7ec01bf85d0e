"""The module tree that a spec describes, with its values, before any module exists.

Each distinct block (by name and argument values) is elaborated once, however often it occurs, so
that a hostile ``repeat`` costs nothing before it is refused.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from pydantic import ValidationError

from archspec import expressions, layers
from archspec.check import MAX_NAME, Checker, item_name_complaint, iterate_items, shown
from archspec.errors import Problem, did_you_mean, listing
from archspec.expressions import Expression, ExpressionError, Value, evaluate
from archspec.params import Resolved, fit, literal
from archspec.patterns import Entry
from archspec.schema import Contract, Module, Tensor
from archspec.source import Path

MAX_MODULES = 100_000
MAX_DISTINCT = 30_000  # modules that differ, or could: those of a repeat with an index do
MAX_REPEAT = 10_000
MAX_NESTING = 100
MAX_ELEMENTS = 10**15  # of all tensors together: a thousand times the largest models


@dataclass(frozen=True, slots=True, eq=False)
class Instance:
    """A module with its values. Equal modules share one ``Instance``; its path is where it is met.

    Attributes:
        type: the name of its block or layer.
        path: where it is declared in the document.
        arguments: its evaluated arguments; for a block, every parameter.
        children: name and instance, in order.
        modules: how many modules it is, itself included.
        elements: about how many tensor elements it holds; an order of magnitude, not a count.
        left_out: the names of the children that a ``when`` leaves out.
    """

    type: str
    path: Path
    arguments: Mapping[str, Value]
    children: tuple[tuple[str, Instance], ...] = ()
    tensors: tuple[str, ...] = ()
    modules: int = 1
    elements: int = 0
    left_out: tuple[str, ...] = ()


_LEFT_OUT = Instance("", (), {})  # stands for a module whose ``when`` is false


def walk(root: Instance, at: str = "") -> Iterator[tuple[str, Instance]]:
    """Every module with its dotted path, parents first, as ``named_modules`` does."""
    stack = [(at, root)]
    while stack:
        path, instance = stack.pop()
        yield path, instance
        prefix = f"{path}." if path else ""
        stack += [(prefix + name, child) for name, child in reversed(instance.children)]


def entries(root: Instance) -> list[Entry]:
    """The tree as patterns see it: modules, and the tensors that they hold themselves."""
    found: list[Entry] = []
    for path, instance in walk(root):
        found.append(Entry(path, instance.type))
        prefix = f"{path}." if path else ""
        found += [Entry(prefix + name, None) for name in instance.tensors]
    return found


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
        self.checker, self.params = checker, params
        self.architecture = checker.architecture
        self.blocks = checker.architecture.blocks
        self.globals = {name: found.value for name, found in params.items()}
        self._done: dict[tuple[Any, ...], Instance | None] = {}
        self._told: set[tuple[str, Path]] = set()
        self._looked_at = 0

    def elaborate(self) -> Instance | None:
        """The root, or None if a problem (told to ``checker``) prevents it."""
        self._check_class_params()
        root = self.architecture.model
        if root not in self.blocks:
            return None  # told by check
        block = self.blocks[root]
        path: Path = ("blocks", root)
        required = [name for name, param in block.params.items() if param.required]
        if required:
            message = f"the root block needs a value for '{required[0]}'"
            hint = "give it a default: the root is constructed without arguments"
            self._add("E210", message, (*path, "params", required[0]), hint=hint)
            return None
        try:
            return self._block(root, {}, path, (), {})
        except _TooMany:
            return None

    def _check_class_params(self) -> None:
        """Parameters that name a block or a layer must name one."""
        for param in self.params.values():
            if param.type in ("block", "layer") and isinstance(param.value, str):
                message, hint = self._class_complaint(param.type, param.value)
                if message:
                    message += "" if param.place else f" ({param.origin})"
                    problem = Problem("E206", message, param.place, hint)
                    self.checker.findings.add(problem)
                    self.checker.findings.broken.add(param.value)

    def _class_complaint(self, kind: str, value: str) -> tuple[str, str]:
        """What is wrong with a name that must be a block's or a layer's, and a hint."""
        if value in self.blocks if kind == "block" else layers.find(value):
            return "", ""
        known = list(self.blocks if kind == "block" else layers.names())
        hint = did_you_mean(value, known) or f"{kind}s: {listing(known)}"
        return f"no {kind} is called '{value}'", hint

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
            kind = declared.type or ("any" if declared.required else _kind(declared.default))
            value, complaint = fit(value, declared, kind)
            if isinstance(value, Instance):
                complaint = "takes a value, not a mapping"
            if complaint:
                self._add("E205", f"{name}'s {param} {complaint}", path)
                return None
            if kind in ("block", "layer"):
                message, hint = self._class_complaint(kind, str(value))
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
            raise self._too_many(f"the model has more than {MAX_MODULES:,} modules", path)
        if elements > MAX_ELEMENTS:
            self._add("E402", "the model has more than 10^15 parameters", path)
            raise _TooMany
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
        value, good = self._value(size, path, scope.values)
        if not good:
            return 1
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            self._add("E205", f"a size is an integer of 0 or more, not {shown(value)}", path)
            return 1
        return value

    def _too_many(self, message: str, path: Path) -> _TooMany:
        self._add("E401", message, path)
        return _TooMany()

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
            raise self._too_many(f"the model has more than {MAX_DISTINCT:,} distinct modules", path)
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
        arguments: dict[str, Value] = {}
        for name, value in module.arguments.items():
            arguments[name], fine = self._argument(value, (*path, name), scope, names)
            good = good and fine
        if not good:
            return None
        if kind in self.blocks:
            return self._block_module(str(kind), module, arguments, path, scope)
        return self._layer(str(kind), arguments, path)

    def _block_module(
        self, kind: str, module: Module, arguments: dict[str, Value], path: Path, scope: _Scope
    ) -> Instance | None:
        params = self.blocks[kind].params
        if module.type.startswith("$"):  # else check has told
            for name in arguments:
                if name not in params:
                    hint = did_you_mean(name, params)
                    self._add(
                        "E203",
                        f"{kind} has no argument '{name}'",
                        (*path, name),
                        key=True,
                        hint=hint,
                    )
                    return None
            for name, param in params.items():
                if param.required and name not in arguments:
                    self._add("E204", f"{kind} needs the argument '{name}'", (*path, "type"))
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
                hint = did_you_mean(name, [a.name for a in layer.arguments])
                self._add(
                    "E203", f"{kind} has no argument '{name}'", (*path, name), key=True, hint=hint
                )
                good = False
            elif not isinstance(value, Instance) and not argument.accepts(value):
                message = f"{kind}'s {name} takes {argument.expects}, not {shown(value)}"
                self._add("E205", message, (*path, name))
                good = False
        for argument in layer.required:
            if argument.name not in arguments:
                self._add("E204", f"{kind} needs the argument '{argument.name}'", (*path, "type"))
                good = False
        if not good:
            return None
        return self._bounded_layer(layer, arguments, path)

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
        tensors = (*layer.parameters, *layer.buffers)
        return self._made(layer.name, path, arguments, [], tensors, elements)

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
                if item.name is None:
                    name = key if isinstance(key, str) else str(len(children))
                elif name is None:
                    continue  # told
                elif complaint := item_name_complaint(name, module.type):
                    self._add("E207", complaint, (*at, "name"))
                if name in children:
                    self._add("E207", f"two items are called '{name}'", at)
                children[name] = child
                if len(children) > MAX_MODULES:
                    message = f"the model has more than {MAX_MODULES:,} modules"
                    raise self._too_many(message, path)
        return list(children.items())

    def _repeated(
        self, item: Module, path: Path, scope: _Scope, names: _Names
    ) -> Iterator[tuple[str | None, Instance]]:
        """The modules that one item stands for, with the names that it gives them, if any."""
        times = 1 if item.repeat is None else self._times(item.repeat, (*path, "repeat"), names)
        made: Instance | None = None
        for i in range(times):
            inner = names.new_child({item.index: i}) if item.index else names
            if i == 0 or item.index:
                made = self._module(item, path, scope, inner)
            if made is not None:
                yield self._item_name(item, path, inner), made
            elif not item.index:
                return

    def _times(self, repeat: int | str, path: Path, names: _Names) -> int:
        value, good = self._value(repeat, path, names)
        if not good:
            return 0
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            self._add("E205", f"repeat takes an integer of 0 or more, not {shown(value)}", path)
            return 0
        if value > MAX_REPEAT:
            self._add("E401", f"repeated more than {MAX_REPEAT:,} times", path)
            return 0
        return value

    def _item_name(self, item: Module, path: Path, names: _Names) -> str | None:
        name = ""
        try:
            for part in expressions.template(item.name or ""):
                name += part if isinstance(part, str) else str(evaluate(part, names))
                if len(name) > MAX_NAME:
                    return name
        except ExpressionError as error:
            if error.code in ("E306", "E307"):  # the others have been told by check
                self._add(error.code, error.message, (*path, "name"), hint=error.hint)
            return None
        return name

    # ------------------------------------------------------------------------------ expressions

    def _value(self, value: Any, path: Path, names: _Names) -> tuple[Value, bool]:
        """A value of the document, computed; False if a problem prevents it."""
        if isinstance(value, list):
            items = [
                self._value(item, (*path, i), names)
                for i, item in enumerate(cast("list[Any]", value))
            ]
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


def _kind(default: Any) -> str:
    """The type that a block parameter's default implies."""
    if isinstance(default, str) and default.startswith("$") and not default.startswith("$$"):
        return "any"
    if isinstance(default, list):
        return "list"
    return "any" if default is None else type(default).__name__
