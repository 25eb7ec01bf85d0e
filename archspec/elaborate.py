"""The module tree that a spec describes, with its values, before any module exists.

Each distinct block (by name and argument values) is elaborated once, however often it occurs, so
that a hostile ``repeat`` costs nothing before it is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from archspec import expressions, layers
from archspec.check import Checker, iterate_items, shown
from archspec.errors import did_you_mean
from archspec.expressions import Expression, ExpressionError, Value, evaluate
from archspec.extends import Document
from archspec.params import Resolved, fit, literal
from archspec.patterns import Entry
from archspec.schema import Architecture, Module, Tensor
from archspec.source import Path

MAX_MODULES = 100_000
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
    """

    type: str
    path: Path
    arguments: Mapping[str, Value]
    children: tuple[tuple[str, Instance], ...] = ()
    tensors: tuple[str, ...] = ()
    modules: int = 1
    elements: int = 0


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


class _TooMany(Exception):
    """Ends an elaboration that would not end soon by itself; its problem has been told."""


@dataclass(frozen=True, slots=True)
class _Scope:
    """The names that an expression of one block instance may use, and the blocks around it."""

    values: Mapping[str, Value]
    stack: tuple[str, ...]


class Elaborator:
    """Makes the instance tree of one spec."""

    def __init__(
        self, architecture: Architecture, document: Document, values: Mapping[str, Resolved]
    ) -> None:
        self.checker = Checker(architecture, document, [])
        self.blocks = architecture.blocks
        self.globals = {name: found.value for name, found in values.items()}
        self.architecture = architecture
        self._done: dict[tuple[Any, ...], Instance | None] = {}
        self._told: set[tuple[str, Path]] = set()
        self._looked_at = 0  # modules, bounded: repeats with a counter are looked at one by one

    def elaborate(self) -> Instance | None:
        """The root, or None if a problem (now in ``checker.problems``) prevents it."""
        self._check_class_params()
        root = self.architecture.model
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
        for name, param in self.architecture.params.items():
            value = self.globals.get(name)
            if param.type in ("block", "layer") and isinstance(value, str):
                self._check_class(param.type, value, ("params", name, "default"))

    def _check_class(self, kind: str, value: str, path: Path) -> bool:
        known = list(self.blocks) if kind == "block" else list(layers.names())
        if value not in known:
            hint = did_you_mean(value, known)
            self._add("E206", f"no {kind} is called '{value}'", path, hint=hint)
        return value in known

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
        key = (name, path, tuple(values.items()))
        if key in self._done:
            return self._done[key]
        if len(stack) >= MAX_NESTING:
            self._add("E401", f"blocks nested more than {MAX_NESTING} deep", path)
            return None
        scope = _Scope({**self.globals, **values}, (*stack, name))
        block = self.blocks[name]
        at: Path = ("blocks", name)
        children: list[tuple[str, Instance]] = []
        for child, module in block.modules.items():
            found = self._module(module, (*at, "modules", child), scope, scope.values)
            if found is not None:
                children.append((child, found))
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
                value, good = self._value(declared.default, path, self.globals)
                if not good:
                    return None
            kind = declared.type or ("any" if declared.required else _kind(declared.default))
            value, complaint = fit(value, declared, kind)
            if complaint:
                self._add("E205", f"{name}'s {param} {complaint}", path)
                return None
            if kind in ("block", "layer") and not self._check_class(kind, str(value), path):
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
        modules = 1 + sum(child.modules for _, child in children)
        elements += sum(child.elements for _, child in children)
        if modules > MAX_MODULES:
            self._add("E401", f"the model has more than {MAX_MODULES:,} modules", path)
            return None
        if elements > MAX_ELEMENTS:
            self._add("E402", "the model has more than 10^15 parameters", path)
            return None
        return Instance(kind, path, arguments, tuple(children), tensors, modules, elements)

    def _tensors(self, tensors: Mapping[str, Tensor], path: Path, scope: _Scope) -> int:
        total = 0
        for name, tensor in tensors.items():
            elements = 1
            for i, size in enumerate(tensor.shape):
                at = (*path, name, "shape", i)
                value, good = self._value(size, at, scope.values)
                if good and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
                    self._add("E205", f"a size is an integer of 0 or more, not {shown(value)}", at)
                elif good:
                    elements *= cast(int, value)
            total += elements
        return total

    # -------------------------------------------------------------------------------- modules

    def _module(
        self, module: Module, path: Path, scope: _Scope, names: Mapping[str, Value]
    ) -> Instance | None:
        """One module; None if it is left out or wrong."""
        self._looked_at += 1
        if self._looked_at > 2 * MAX_MODULES:
            self._add("E401", f"the model has more than {MAX_MODULES:,} modules", ("model",))
            raise _TooMany
        condition, good = self._value(module.when, (*path, "when"), names)
        if not good:
            return None
        if module.type in layers.CONTAINERS:
            children = self._items(module, path, scope, names) if condition else []
            return self._made(module.type, path, {}, children)
        if not condition:
            return None
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

    def _argument(
        self, value: Any, path: Path, scope: _Scope, names: Mapping[str, Value]
    ) -> tuple[Value, bool]:
        """An argument's value; a nested module becomes an ``Instance``."""
        if isinstance(value, dict):
            made = self._module(Module.model_validate(value), path, scope, names)
            return made, made is not None
        return self._value(value, path, names)

    # ------------------------------------------------------------------------------ containers

    def _items(
        self, module: Module, path: Path, scope: _Scope, names: Mapping[str, Value]
    ) -> list[tuple[str, Instance]]:
        children: dict[str, Instance] = {}
        for key, item in iterate_items(module):
            at = (*path, "items", key)
            for name, child in self._repeated(item, at, scope, names):
                name = name or (key if isinstance(key, str) else str(len(children)))
                if name in children:
                    self._add("E207", f"two items are called '{name}'", at)
                children[name] = child
        return list(children.items())

    def _repeated(
        self, item: Module, path: Path, scope: _Scope, names: Mapping[str, Value]
    ) -> Iterator[tuple[str, Instance]]:
        """The modules that one item stands for, with their own names, if it gives them any."""
        times = 1
        if item.repeat is not None:
            value, good = self._value(item.repeat, (*path, "repeat"), names)
            if not good:
                return
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                message = f"repeat takes an integer of 0 or more, not {shown(value)}"
                self._add("E205", message, (*path, "repeat"))
                return
            if value > MAX_REPEAT:
                self._add("E401", f"repeated more than {MAX_REPEAT:,} times", (*path, "repeat"))
                return
            times = value
        made: Instance | None = None
        for i in range(times):
            inner = {**names, item.index: i} if item.index else names
            if i == 0 or item.index:
                made = self._module(item, path, scope, inner)
            if made is not None:
                yield self._item_name(item, path, inner), made

    def _item_name(self, item: Module, path: Path, names: Mapping[str, Value]) -> str:
        if item.name is None:
            return ""
        try:
            parts = [
                part if isinstance(part, str) else str(evaluate(part, names))
                for part in expressions.template(item.name)
            ]
        except ExpressionError as error:
            self._add(error.code, error.message, (*path, "name"), hint=error.hint)
            return ""
        name = "".join(parts)
        if not name or "." in name:
            self._add("E207", f"'{name}' cannot name a module", (*path, "name"))
        return name

    # ------------------------------------------------------------------------------ expressions

    def _value(self, value: Any, path: Path, names: Mapping[str, Value]) -> tuple[Value, bool]:
        """A value of the document, computed; False if a problem prevents it."""
        if isinstance(value, list):
            items = [
                self._value(item, (*path, i), names)
                for i, item in enumerate(cast("list[Any]", value))
            ]
            return tuple(item for item, _ in items), all(good for _, good in items)
        try:
            parsed = literal(value)
            if not isinstance(parsed, Expression):
                return parsed, True
            return evaluate(parsed, names), True
        except ExpressionError as error:
            # Unknown names and bad syntax have been told by check.
            if error.code in ("E306", "E307") and (error.code, path) not in self._told:
                self._told.add((error.code, path))
                self.checker.add_expression(error, path, 1)
            return None, False


def _kind(default: Any) -> str:
    """The type that a block parameter's default implies."""
    if isinstance(default, str) and default.startswith("$") and not default.startswith("$$"):
        return "any"
    if isinstance(default, list):
        return "list"
    return "any" if default is None else type(default).__name__
