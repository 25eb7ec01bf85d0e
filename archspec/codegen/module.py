"""The one code generator: a checked spec as the text of a plain PyTorch module."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile
from weakref import WeakKeyDictionary

from archspec.codegen.adapters import Attributes, write_adapter
from archspec.codegen.constructor import BODY, Constructor, annotation, list_annotation
from archspec.codegen.forward import Forward
from archspec.codegen.init_rules import Initialisation
from archspec.codegen.line_breaks import LINE_LENGTH
from archspec.codegen.names import Names, classes_used, collect
from archspec.codegen.printing import ArgumentPrinter, comment, constant, docstring, identifier
from archspec.codegen.writer import Writer
from archspec.lang.declarations import inferred
from archspec.lang.expr import Node
from archspec.lang.expr.nodes import Call, walk
from archspec.lang.expr.nodes import names as names_in
from archspec.lang.registry import functions, layers
from archspec.lang.schema import ONE_OR_LIST, Param
from archspec.lang.spec import Spec
from archspec.lang.tree import BlockNode, forward_expressions
from archspec.lang.yaml import Path


@dataclass(frozen=True, slots=True)
class Generated:
    """A generated module.

    Attributes:
        text: the Python source.
        root: the name of the root class.
        paths: line number, counted from 1, → path of the spec's document.
        initialize: the names that ``initialize`` takes beside the module; None without it.
        filled: module path → its parameters that ``initialize`` fills as a whole.
        ties: the tensors that are another's, which decides their values.
    """

    text: str
    root: str
    paths: Mapping[int, Path]
    initialize: tuple[str, ...] | None
    filled: Mapping[str, frozenset[str]]
    ties: frozenset[str]

    def lines_of(self, path: Path) -> list[int]:
        """The lines made from what stands at ``path``, or from what it is a part of."""
        for length in range(len(path), 0, -1):
            start = path[:length]
            if found := [line for line, made in self.paths.items() if made[:length] == start]:
                return sorted(found)
        return []

    def source_of(self, block: str) -> tuple[int, list[str]]:
        """The number of the first line of a block's class, and its lines."""
        first = min(line for line, path in self.paths.items() if path[:2] == ("blocks", block))
        head, *rest = self.text.splitlines()[first - 1 :]
        body = list(takewhile(lambda line: not line or line.startswith(" "), rest))
        return first, "\n".join([head, *body]).rstrip().split("\n")


# Of specs that are in use: a page makes one of each edit.
_generated: WeakKeyDictionary[Spec, Generated] = WeakKeyDictionary()


def generate(spec: Spec) -> Generated:
    """The Python source of a spec: one class a block, and a ``Config`` of its parameters.

    Raises:
        SpecError: E302 if a ``type:`` expression is too clever to be written as Python.
    """
    generated = _generated.get(spec)
    if generated is None:
        generated = _generated[spec] = _generate(spec)
    return generated


def _generate(spec: Spec) -> Generated:
    names = collect(spec)
    body = Writer()
    if names.values:
        _write_config(names, body)
    uses: tuple[str, ...] | None = None
    filled: dict[str, frozenset[str]] = {}
    initialisation = Initialisation(names, body)
    for name in names.blocks:
        if name == names.root and initialisation.rules:
            uses = initialisation.arguments
            initialisation.write()
            filled = initialisation.filled()
            body.add()
            body.add()
        constructor = Constructor(names, name, body)
        constructor.write()
        if name == names.root:
            _finish_root(names, body, uses)
        constructor.write_reset()
        forward = Forward(names, name, body)
        forward.write_values()
        forward.write()
        body.add()
        body.add()
    head = _head(names, body.text())
    paths = {line + len(head): path for line, path in body.paths.items()}
    text = "\n".join(head) + "\n" + body.text()
    ties = frozenset(spec.ties)
    return Generated(text, names.root, paths, uses, filled, ties)


def _head(names: Names, body: str) -> list[str]:
    """The module's docstring and exactly the imports that the body needs."""
    architecture = names.spec.architecture
    about = architecture.description or architecture.model
    lines = [docstring(f"{about.rstrip('.')}.")]
    if architecture.paper:
        lines = [lines[0][:-3], "", f"{docstring(architecture.paper)[3:-3]}", '"""']
    standard = ["import math"] if "math." in body else []
    if "OrderedDict(" in body:
        standard.append("from collections import OrderedDict")
    if names.values:
        standard.append("from dataclasses import dataclass")
    if "@cached_property" in body:
        standard.append("from functools import cached_property")
    lines += ["", *standard] if standard else []
    imports: list[str] = []
    helpers = _MAKE_DIVISIBLE if "make_divisible(" in body else []
    helpers = [*helpers, *_MAKE_PAIR] if "make_pair(" in body else helpers
    if _CALLS_ROUTE.search(body):
        helpers = [*helpers, *_ROUTE]
        body = "\n".join([*_ROUTE, body])
    if "torch." in body:
        imports.append("import torch")
    if "F." in body:
        imports.append("import torch.nn.functional as F")
    tensor = "Tensor, " if ": Tensor" in body or ": list[Tensor]" in body else ""
    imports.append(f"from torch import {tensor}nn")
    lines += ["", *imports]
    foreign = _foreign_imports(names)
    lines += ["", *foreign] if foreign else []
    return [*lines, *helpers, "", ""]


_MAKE_PAIR = '''

def make_pair(value: float | tuple) -> tuple:
    """Two numbers: those of a pair, or one number twice."""
    return value if isinstance(value, tuple) else (value, value)'''.split("\n")
_MAKE_DIVISIBLE = '''

def make_divisible(value: float, divisor: int) -> int:
    """The multiple of divisor nearest to value; the next one if that is under 90 % of value."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded'''.split("\n")
_CALLS_ROUTE = re.compile(r"(?<!def )(?<![\w.])route\(")
_ROUTE = '''

def route(x: Tensor, experts: nn.ModuleList, chosen: Tensor, weights: Tensor) -> Tensor:
    """The weighted sum of what the experts that are chosen for a row make of it, of each row."""
    total = torch.zeros_like(x)
    for i, expert in enumerate(experts):
        rows, ranks = torch.where(chosen == i)
        given = expert(x[rows]) * weights[rows, ranks, None]
        total.index_add_(0, rows, given.to(total.dtype))
    return total'''.split("\n")


def _foreign_imports(names: Names) -> list[str]:
    """Imports of what trusted Python registered, one line a module."""
    imported: dict[str, set[str]] = {}
    for name in names.blocks:
        block = names.tree.blocks[name]
        used = classes_used(block, names.spec) - names.tree.blocks.keys()
        for item in (*map(layers.find, used), *map(functions.find, _called(block))):
            if item is not None and item.registered:
                imported.setdefault(item.module, set()).add(item.qualname.partition(".")[0])
    return [
        f"from {module} import {', '.join(sorted(imported[module], key=_import_order))}"
        for module in sorted(imported)
    ]


def _import_order(name: str) -> tuple[int, str]:
    """Constants, classes, functions: the order that formatters of imports have."""
    return 0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2, name


def _called(block: BlockNode) -> set[str]:
    """The names of the functions that a block's forward calls."""
    expressions = forward_expressions(block)
    return {part.name for node in expressions for part in walk(node) if isinstance(part, Call)}


def _write_config(names: Names, body: Writer) -> None:
    spec = names.spec
    body.add("@dataclass(frozen=True)")
    body.add("class Config:")
    computed: dict[str, tuple[Node, str, Path]] = {}
    for name, param in spec.architecture.params.items():
        if name not in names.values:
            continue
        resolved = spec.params[name]
        expression = resolved.expression
        if expression is not None and {n.id for n in names_in(expression)} & names.values:
            computed[name] = expression, _field_type(resolved.type, ""), ("params", name)
            continue
        kind = _field_type(resolved.type, annotation(param))
        nullable = " | None" if param.default is None and not param.required else ""
        line = f"{identifier(name)}: {kind}{nullable} = {constant(resolved.value)}"
        note = f"  {comment(param.help)}" if param.help else ""
        if note and 4 + len(line) + len(note) > LINE_LENGTH:
            body.add(comment(param.help), 4)
            note = ""
        body.add(line + note, 4, ("params", name))
    for name, local in names.tree.let.items():
        value = spec.let[name]
        kind = _field_type(inferred(Param.model_validate({"default": value}), value), "")
        if {n.id for n in names_in(local.value)} & names.values:
            computed[name] = local.value, kind, local.path
        else:
            body.add(f"{identifier(name)}: {kind} = {constant(value)}", 4, local.path)
    printer = ArgumentPrinter(names.classes, owner="self")
    for name, (expression, kind, path) in computed.items():
        body.add()
        body.add("@cached_property", 4)
        body.add(f"def {identifier(name)}(self) -> {kind}:", 4)
        body.add(f"return {printer.text(expression)}", BODY, path)
    body.add()
    body.add()


def _field_type(kind: str, declared: str) -> str:
    if kind.startswith("list[") or kind in ONE_OR_LIST:
        return list_annotation(kind)
    return declared or {"any": "object", "list": "tuple"}.get(kind, kind)


def _finish_root(names: Names, body: Writer, uses: tuple[str, ...] | None) -> None:
    """What concerns the whole tree: first values, then parameters that share others."""
    if names.spec.adapter is not None:
        write_adapter(names, names.spec.adapter, body)
    if uses is not None:
        loop = (
            "name, module in self.named_modules()" if "name" in uses else "module in self.modules()"
        )
        body.add(f"for {loop}:", BODY)
        body.add(f"initialize({', '.join(['module', *uses])})", BODY + 4)
    printer, attributes = ArgumentPrinter(names.classes), Attributes(names.spec.root)
    for tie in names.tree.ties:
        condition, indent = printer.text(tie.when), BODY
        if condition == "False":
            continue
        if condition != "True":
            body.add(f"if {condition}:", BODY, tie.path)
            indent += 4
        shared = f"{attributes.text(tie.name)} = {attributes.text(tie.to)}"
        body.add(shared, indent, tie.path)
