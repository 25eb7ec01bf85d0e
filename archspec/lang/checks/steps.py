"""Forward steps: what each name stands for, and whether it may be used so.

A name in a step is a value (an input, a parameter, an earlier target) or a module (a child, an item
of a container). Modules are called, indexed, looped over, or asked for a child or a parameter;
everything else is done with values.
"""

from __future__ import annotations

import ast
import keyword
from collections import ChainMap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from archspec.errors import did_you_mean, listing
from archspec.lang.checks.arguments import BlockChecker
from archspec.lang.checks.calls import call_complaint, count_complaint, values_returned
from archspec.lang.checks.checker import BUILTINS, GENERATED_NAMES, iterate_items
from archspec.lang.expr.expressions import ATTRIBUTES, Expression, ExpressionError, parse
from archspec.lang.registry import functions, layers
from archspec.lang.schema import Assign, Block, For, Module, Return, Step
from archspec.lang.yaml import Path

LOOPS = ("enumerate", "zip", "range")
VALUE_ATTRIBUTES = ATTRIBUTES - {"weight", "bias"}


@dataclass(frozen=True, slots=True)
class ModuleRef:
    """What stands for one of these declared modules; if there are none, for anything."""

    modules: tuple[Module, ...]


@dataclass(frozen=True, slots=True)
class Text:
    """An expression of a step and where it stands; ``offset`` is what precedes it in its scalar."""

    expression: Expression
    path: Path
    offset: int = 0


def step_text(step: Step, path: Path) -> tuple[str, Path, int]:
    """The text of a step's expression, the path of its scalar, and its offset there."""
    match step:
        case Assign():
            return step.value, (*path, step.key), 0
        case Return():
            return step.value, (*path, "return"), 0
        case For():
            return step.iterable, (*path, "for"), len(step.loop) - len(step.iterable)


class StepChecker:
    """Checks the forward of one block."""

    def __init__(self, owner: BlockChecker, blocks: dict[str, Block]) -> None:
        self.owner, self.blocks = owner, blocks
        self.block, self.add = owner.block, owner.checker.add
        tensors = (self.block.parameters, self.block.buffers)
        self.values: Mapping[str, object] = ChainMap[str, Any](
            owner.values, owner.globals, *tensors, functions.CONSTANTS, {"training": None}
        )
        self.targets: dict[str, ModuleRef | None] = dict.fromkeys(self.block.inputs)

    def check(self) -> None:
        path = (*self.owner.path, "forward")
        if self.block.forward is None:
            self._check_default_forward()
            return
        self._check_steps(self.block.forward, path)
        if not any(isinstance(step, Return) for step in self.block.forward):
            at = (*path, len(self.block.forward) - 1)
            self.add("E308", "forward ends without a return", at, hint="add a step {return: …}")

    def _check_default_forward(self) -> None:
        if len(self.block.inputs) > 1:
            message = "without forward, the modules run in order on a single input"
            hint = "write the forward steps"
            self.add("E308", message, (*self.owner.path, "inputs"), key=True, hint=hint)
        for name, module in self.block.modules.items():
            if module.type in ("ModuleList", "ModuleDict"):
                hint = "use a Sequential, or write the forward steps"
                path = (*self.owner.path, "modules", name, "type")
                self.add("E308", f"a {module.type} cannot be called", path, hint=hint)

    def _check_steps(self, steps: Sequence[Step], path: Path, *, inside: bool = False) -> None:
        for i, step in enumerate(steps):
            at = (*path, i)
            value = self._parse(step, at)
            match step:
                case Return():
                    if inside:
                        self.add("E308", "return inside a loop", (*at, "return"), key=True)
                    elif i != len(steps) - 1:
                        self.add("E308", "return must be the last step", (*at, "return"), key=True)
                    self._check_value(value)
                case Assign():
                    self._check_value(value)
                    self._check_count(value, len(step.targets))
                    for target in step.targets:
                        self._bind(target, None, (*at, step.key))
                case For():
                    known = dict(self.targets)
                    self._bind_loop(step, value, at)
                    self._check_steps(step.do, (*at, "do"), inside=True)
                    # A loop may run no time at all: what it defines is not there after it.
                    self.targets = {k: v for k, v in self.targets.items() if k in known}

    def _parse(self, step: Step, at: Path) -> Text | None:
        text, path, offset = step_text(step, at)
        try:
            return Text(parse(text), path, offset)
        except ExpressionError as error:
            self.owner.checker.add_expression(error, path, offset)
            return None

    def _bind(self, target: str, ref: ModuleRef | None, path: Path) -> None:
        """A step may rebind an input or an earlier target, nothing else."""
        groups = (self.values, self.owner.classes, self.block.modules, GENERATED_NAMES, BUILTINS)
        key = path[-1] != "for"
        if keyword.iskeyword(target):
            self.add("E308", f"'{target}' is a Python keyword", path, key=key)
        elif any(target in taken for taken in groups) or "__" in target:
            message = f"'{target}' cannot be a target: it already means something else"
            self.add("E308", message, path, key=key, hint="choose another name")
        self.targets[target] = ref

    # ----------------------------------------------------------------------------------- loops

    def _bind_loop(self, step: For, value: Text | None, at: Path) -> None:
        refs: list[ModuleRef | None] = [None] * len(step.targets)
        if value is not None:
            tree = value.expression.tree
            name = (
                tree.func.id
                if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name)
                else ""
            )
            if isinstance(tree, ast.Call) and name in LOOPS:
                refs = self._loop_refs(name, tree, step, value)
            else:
                refs = [self._items(tree, value), *refs[1:]]
                if refs[0] is not None and len(refs) > 1:
                    message = f"the loop gives 1 module, but there are {len(refs)} targets"
                    self._error(value, tree, "E305", message, "to count them: enumerate(…)")
                    refs = [ModuleRef(())] * len(refs)
        for target, ref in zip(step.targets, refs, strict=False):
            self._bind(target, ref, (*at, "for"))

    def _loop_refs(
        self, name: str, call: ast.Call, step: For, value: Text
    ) -> list[ModuleRef | None]:
        wanted = {"enumerate": 2, "range": 1, "zip": len(call.args)}[name]
        least, most = {"enumerate": (1, 1), "range": (1, 3), "zip": (1, 16)}[name]
        if call.keywords or not least <= len(call.args) <= most:
            takes = "1 argument" if most == 1 else f"{least} to {most} arguments"
            self._error(value, call, "E305", f"{name} takes {takes}")
        if len(step.targets) != wanted:
            self._error(value, call, "E305", count_complaint(name, wanted, len(step.targets)))
        if name == "range":
            for argument in call.args:
                self._value(argument, value)
            return [None]
        items = [self._items(argument, value) for argument in call.args]
        return [None, *items] if name == "enumerate" else list(items)

    def _items(self, node: ast.expr, text: Text) -> ModuleRef | None:
        """What a loop over ``node`` gives: modules for a container, else values."""
        ref = self._resolve(node, text)
        if ref is None:
            return None
        if any(module.type not in layers.CONTAINERS for module in ref.modules):
            self._error(text, node, "E305", "a loop needs a container or values, this is a module")
        return ModuleRef(tuple(item for m in ref.modules for _, item in iterate_items(m)))

    # ----------------------------------------------------------------------------- expressions

    def _check_value(self, text: Text | None) -> None:
        if text is not None:
            self._value(text.expression.tree, text)

    def _check_count(self, text: Text | None, targets: int) -> None:
        """Several targets take as many values, where that can be seen."""
        tree = text.expression.tree if text is not None else None
        if text is None or targets == 1:
            return
        name, given = "this", None
        if isinstance(tree, ast.Tuple | ast.List):
            given = len(tree.elts)
        elif isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name):
            child = self.block.modules.get(tree.func.id)
            if child is not None and child.type in self.blocks:
                name, given = child.type, values_returned(self.blocks[child.type])
        if given is not None and given != targets:
            self._error(text, text.expression.tree, "E305", count_complaint(name, given, targets))

    def _error(self, text: Text, node: ast.AST, code: str, message: str, hint: str = "") -> None:
        error = text.expression.error(node, code, message, hint)
        self.owner.checker.add_expression(error, text.path, text.offset)

    def _value(self, node: ast.AST, text: Text) -> None:
        """``node`` where a value is wanted."""
        ref = self._resolve(node, text)
        if ref is not None and ref.modules:
            name = ast.unparse(node)
            hint = f"call it: {name}(…)"
            self._error(text, node, "E305", f"'{name}' is a module, not a value", hint)

    def _resolve(self, node: ast.AST, text: Text) -> ModuleRef | None:
        """The modules that ``node`` stands for, or None if it is a value."""
        match node:
            case ast.Name(id=name):
                return self._name(node, name, text)
            case ast.Attribute(value=owner, attr=name):
                return self._attribute(node, self._resolve(owner, text), name, text)
            case ast.Subscript(value=owner, slice=index):
                self._index(index, text)
                return self._subscript(node, self._resolve(owner, text), index, text)
            case ast.Call():
                self._call(node, text)
            case _:
                for child in ast.iter_child_nodes(node):
                    if isinstance(child, ast.expr):
                        self._value(child, text)
        return None

    def _name(self, node: ast.AST, name: str, text: Text) -> ModuleRef | None:
        if name in self.targets:
            return self.targets[name]
        if name in self.block.modules:
            return ModuleRef((self.block.modules[name],))
        if name in self.owner.classes:
            self._error(text, node, "E303", f"'{name}' is a class, not a value")
        elif name not in self.values:
            hint = did_you_mean(name, [*self.targets, *self.block.modules, *self.values])
            if not hint and functions.find(name):
                hint = f"{name} is a function: call it"
            hint = hint or "a name is an input, a child, a parameter or an earlier target"
            self._error(text, node, "E303", f"unknown name '{name}'", hint)
        return None

    def _attribute(
        self, node: ast.AST, ref: ModuleRef | None, name: str, text: Text
    ) -> ModuleRef | None:
        if ref is None:
            if name not in VALUE_ATTRIBUTES:
                hint = f"values have {', '.join(sorted(VALUE_ATTRIBUTES))}"
                self._error(text, node, "E304", f"no attribute '{name}'", hint)
            return None
        children: list[Module] = []
        known: list[str] = []
        is_anything = not ref.modules
        for module in ref.modules:
            members = self._members(module, name)
            if members is None:
                is_anything = True
            elif name not in members:
                known += members or ["nothing of its own"]
            elif child := members[name]:
                children.append(child)
        if known:
            hint = did_you_mean(name, known) or f"it has: {listing(known)}"
            self._error(text, node, "E304", f"no child or parameter '{name}'", hint)
        return ModuleRef(tuple(children)) if children or known or is_anything else None

    def _members(self, module: Module, name: str) -> dict[str, Module | None] | None:
        """The children (and, without a module, the tensors) of a declared module.

        None if it is not known what it has, or what the member ``name`` is.
        """
        if module.type in layers.CONTAINERS:
            return dict(module.items) if isinstance(module.items, dict) else {}
        if block := self.blocks.get(module.type):
            tensors = dict.fromkeys([*block.parameters, *block.buffers])
            return {**tensors, **block.modules}
        layer = layers.find(module.type)
        if layer is None or layer.registered or name in layer.children:
            return None
        held = [name] if layer.may_hold(name) else []
        return dict.fromkeys([*held, *layer.parameters, *layer.buffers, *layer.children])

    def _subscript(
        self, node: ast.AST, ref: ModuleRef | None, index: ast.expr, text: Text
    ) -> ModuleRef | None:
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Constant):
            self._error(text, node, "E305", "a number or a text cannot be indexed")
        if ref is None or not ref.modules:
            return ref
        if any(module.type not in layers.CONTAINERS for module in ref.modules):
            self._error(text, node, "E305", "only a container can be indexed")
            return ModuleRef(())
        if isinstance(index, ast.Slice):
            return ref
        return ModuleRef(tuple(item for m in ref.modules for _, item in iterate_items(m)))

    def _index(self, node: ast.expr, text: Text) -> None:
        for part in node.elts if isinstance(node, ast.Tuple) else [node]:
            if isinstance(part, ast.Slice):
                for bound in (part.lower, part.upper, part.step):
                    if bound is not None:
                        self._value(bound, text)
            elif not (isinstance(part, ast.Constant) and part.value is ...):
                self._value(part, text)

    # ----------------------------------------------------------------------------------- calls

    def _call(self, call: ast.Call, text: Text) -> None:
        lens = isinstance(call.func, ast.Name) and call.func.id == "len"
        for argument in [*call.args, *(k.value for k in call.keywords)]:
            if lens:
                self._resolve(argument, text)
            else:
                self._value(argument, text)
        name = call.func.id if isinstance(call.func, ast.Name) else ""
        if name and name not in self.targets and name not in self.block.modules:
            self._function(name, call, text)
            return
        if isinstance(call.func, ast.Attribute) and self._is_value(call.func.value):
            self._method(call.func, call.func.value, text)
            return
        ref = self._resolve(call.func, text)
        if ref is None:
            self._error(text, call.func, "E304", f"'{ast.unparse(call.func)}' cannot be called")
        elif len({id(self.blocks.get(m.type)) for m in ref.modules}) == 1:
            self._module_call(ref.modules[0], call, text)

    def _method(self, node: ast.Attribute, owner: ast.expr, text: Text) -> None:
        """``x.mean()``, or ``torch.mean(x)``: neither is of the language, but ``mean(x)`` is."""
        known = functions.find(node.attr) is not None
        if isinstance(owner, ast.Name) and owner.id not in (*self.targets, *self.values):
            hint = f"write {node.attr}(…)" if known else "functions have plain names"
            self._error(text, owner, "E303", f"unknown name '{owner.id}'", hint)
        else:
            hint = f"write {node.attr}({ast.unparse(owner)}, …)" if known else ""
            message = f"values have no methods such as '{node.attr}'"
            self._error(text, node, "E304", message, hint)

    def _is_value(self, node: ast.expr) -> bool:
        """Whether a node is a value at first sight: its problems are not told here."""
        if isinstance(node, ast.Name):
            return self.targets.get(node.id) is None and node.id not in self.block.modules
        return not isinstance(node, ast.Attribute | ast.Subscript)

    def _function(self, name: str, call: ast.Call, text: Text) -> None:
        keywords = [k.arg or "" for k in call.keywords]
        if name == "len":
            if keywords or len(call.args) != 1:
                self._error(text, call, "E305", "len takes 1 argument")
        elif function := functions.find(name):
            if complaint := function.problem_with(len(call.args), keywords):
                hint = f"its arguments: {listing(function.arguments)}" if function.arguments else ""
                self._error(text, call, "E305", complaint, hint)
        elif name in self.values:
            self._error(text, call.func, "E304", f"'{name}' is a value and cannot be called")
        else:
            known = [*self.block.modules, *functions.names(), "len"]
            hint = did_you_mean(name, known) or "see archspec.register_op for functions of your own"
            self._error(text, call.func, "E304", f"no function or child is called '{name}'", hint)

    def _module_call(self, module: Module, call: ast.Call, text: Text) -> None:
        if module.type in ("ModuleList", "ModuleDict"):
            hint = "call its items, or use a Sequential"
            self._error(text, call, "E305", f"a {module.type} cannot be called", hint)
        elif module.type == "Sequential":
            if len(call.args) != 1 or call.keywords:
                self._error(text, call, "E305", "a Sequential takes exactly one input")
        elif (block := self.blocks.get(module.type)) and (
            complaint := call_complaint(module.type, block.inputs, call)
        ):
            hint = f"its inputs: {listing(list(block.inputs)) or 'x'}"
            self._error(text, call, "E305", complaint, hint)
