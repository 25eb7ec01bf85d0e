"""One block's ``forward``: the steps as Python statements."""

from __future__ import annotations

import ast

from archspec.codegen.constructor import BODY
from archspec.codegen.folding import LINE_LENGTH
from archspec.codegen.names import Names, contract_text
from archspec.codegen.printing import Printer, constant, docstring
from archspec.codegen.writer import Writer
from archspec.lang.checks.checker import iterate_items
from archspec.lang.checks.steps import step_text
from archspec.lang.expr.expressions import Expression, parse
from archspec.lang.params import literal
from archspec.lang.registry import functions, layers
from archspec.lang.schema import Assign, For, Module, Return, Step
from archspec.lang.yaml import Path


class Forward:
    """Writes ``def forward`` of one block."""

    def __init__(self, names: Names, name: str, writer: Writer) -> None:
        self.names, self.name, self.writer = names, name, writer
        self.block = names.block(name)
        self.path: Path = ("blocks", name)
        self.children = {*self.block.modules, *self.block.parameters, *self.block.buffers}
        self.locals = set(self.block.inputs)
        self.loops: dict[str, list[Module]] = {}  # a loop's target: what it runs over
        self.printer = Printer(self._name, self._call)

    def _name(self, name: str) -> str:
        if name in self.locals:
            return name
        if name in self.names.classes:
            return constant(self.names.classes[name])
        if name in functions.CONSTANTS and name not in self.children:
            return functions.CONSTANTS[name]
        return f"self.{name}"

    def _call(self, name: str, arguments: list[str]) -> str | None:
        function = functions.find(name)
        if name in self.locals or name in self.block.modules:
            return None
        if function is None:
            return f"{name}({', '.join(arguments)})"  # len
        if function.target.startswith("."):
            return f"{_receiver(arguments[0])}{function.target}({', '.join(arguments[1:])})"
        return f"{function.target}({', '.join(arguments)})"

    def write(self) -> None:
        inputs = self.block.inputs
        arguments = [
            f"{name}: Tensor{' | None = None' if contract.optional else ''}"
            for name, contract in inputs.items()
        ]
        if not inputs and self.block.forward is None:
            arguments = ["x: Tensor"]
        add = self.writer.add
        add()
        add(f"def forward({', '.join(['self', *arguments])}):", 4, (*self.path, "inputs"))
        if inputs:
            self._docstring()
        if self.block.forward is None:
            self._in_order(next(iter(inputs), "x"))
        else:
            self._steps(self.block.forward, (*self.path, "forward"), BODY)

    def _docstring(self) -> None:
        """What the inputs look like, on one line if it fits."""
        printed = {
            str(size): Printer(lambda name: name).text(expression.tree)
            for contract in self.block.inputs.values()
            for size in contract.shape
            if isinstance(expression := literal(size), Expression)
        }
        shapes = [f"{name}: {contract_text(c, printed)}" for name, c in self.block.inputs.items()]
        one_line = docstring(f"{'; '.join(shapes)}.")
        if BODY + len(one_line) <= LINE_LENGTH:
            self.writer.add(one_line, BODY)
            return
        quotes = docstring("")[:3]
        for line in (quotes, *(docstring(shape)[3:-3] for shape in shapes), quotes):
            self.writer.add(line, BODY)

    def _in_order(self, name: str) -> None:
        """Without steps, the modules run in their order."""
        modules = self.block.modules
        path = (*self.path, "modules")
        if any(m.when is not True and m.type not in layers.CONTAINERS for m in modules.values()):
            self.writer.add("for module in self.children():", BODY, path)
            self.writer.add(f"{name} = module({name})", BODY + 4, path)
        else:
            *first, last = modules or [""]
            for child in first:
                self.writer.add(f"{name} = self.{child}({name})", BODY, (*path, child))
            if last:
                self.writer.add(f"return self.{last}({name})", BODY, (*path, last))
                return
        self.writer.add(f"return {name}", BODY, path)

    def _steps(self, steps: list[Step], path: Path, indent: int) -> None:
        for i, step in enumerate(steps):
            text, at, _ = step_text(step, (*path, i))
            tree = parse(text).tree
            match step:
                case Return():
                    self.writer.add(f"return {self._top(tree)}", indent, at)
                case Assign():
                    value = self._top(tree)
                    self.locals |= set(step.targets)
                    self.loops = {k: v for k, v in self.loops.items() if k not in step.targets}
                    self.writer.add(f"{', '.join(step.targets)} = {value}", indent, at)
                case For():
                    iterable = self._iterable(tree)
                    self._loop_targets(step.targets, tree)
                    self.locals |= set(step.targets)
                    self.writer.add(f"for {', '.join(step.targets)} in {iterable}:", indent, at)
                    self._steps(step.do, (*path, i, "do"), indent + 4)

    def _top(self, tree: ast.expr) -> str:
        """The right side of a statement, where a tuple needs no parentheses."""
        if isinstance(tree, ast.Tuple) and len(tree.elts) > 1:
            return ", ".join(self.printer.text(item, 1) for item in tree.elts)
        return self.printer.text(tree)

    def _iterable(self, tree: ast.expr) -> str:
        """What a loop runs over; a ModuleDict gives its modules."""
        if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name):
            if tree.func.id == "range":
                return f"range({', '.join(self.printer.text(a) for a in tree.args)})"
            if tree.func.id in ("enumerate", "zip"):
                return f"{tree.func.id}({', '.join(self._iterable(a) for a in tree.args)})"
        text = self.printer.text(tree)
        return f"{text}.values()" if self._is_module_dict(tree) else text

    def _is_module_dict(self, tree: ast.expr) -> bool:
        found = self._modules(tree)
        return bool(found) and all(module.type == "ModuleDict" for module in found)

    def _modules(self, tree: ast.expr) -> list[Module]:
        """The declared modules that an expression can stand for; none for a value."""
        match tree:
            case ast.Name(id=name) if name in self.loops:
                return self.loops[name]
            case ast.Name(id=name) if name in self.block.modules and name not in self.locals:
                return [self.block.modules[name]]
            case ast.Attribute(value=owner, attr=name):
                children = map(self._named_children, self._modules(owner))
                return [named[name] for named in children if name in named]
            case ast.Subscript(value=owner, slice=ast.Slice()):
                return self._modules(owner)
            case ast.Subscript(value=owner):
                return [item for m in self._modules(owner) for _, item in iterate_items(m)]
            case _:
                return []

    def _named_children(self, module: Module) -> dict[str, Module]:
        if block := self.names.spec.architecture.blocks.get(module.type):
            return block.modules
        return {str(key): item for key, item in iterate_items(module)}

    def _loop_targets(self, targets: tuple[str, ...], tree: ast.expr) -> None:
        """Remember which modules a loop's targets run over."""
        runs = [tree]
        if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name):
            runs = [] if tree.func.id == "range" else tree.args
            targets = targets[1:] if tree.func.id == "enumerate" else targets
        for target, run in zip(targets, runs, strict=False):
            modules = self._modules(run)
            self.loops[target] = [item for m in modules for _, item in iterate_items(m)]


def _receiver(text: str) -> str:
    """An argument as the object of a method call: ``(a + b).expand``."""
    simple = ast.parse(text, mode="eval").body
    atoms = ast.Name | ast.Attribute | ast.Call | ast.Subscript
    return text if isinstance(simple, atoms) else f"({text})"
