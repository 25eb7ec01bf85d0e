"""Forward steps with the values of each block: which modules they really use.

``steps`` checks what holds for every value. Here the values are known: which children a ``when``
leaves out, which block a ``type: $block`` is, and which side of ``a if c else b`` is taken where
``c`` depends on parameters alone. Blocks that differ in nothing of that are looked at once.
"""

from __future__ import annotations

import ast
from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from archspec.errors import Note, Problem, did_you_mean, listing, shown
from archspec.lang.checks.bounds import Growth, GrowthError
from archspec.lang.checks.calls import call_complaint
from archspec.lang.checks.checker import Checker, iterate_items
from archspec.lang.checks.steps import step_text
from archspec.lang.expr.expressions import Expression, ExpressionError, Value, evaluate_part, parse
from archspec.lang.instances import Instance
from archspec.lang.params import literal
from archspec.lang.registry import layers
from archspec.lang.schema import Assign, Block, For, Module, Step
from archspec.lang.yaml import Path

_MAX_FOLLOWED = 30_000  # steps of all blocks that differ
_Values = Mapping[str, Value]


def check_branches(checker: Checker, root: Instance, values: Mapping[str, Value]) -> None:
    """Check the forward of every block that occurs below ``root``.

    Args:
        root: the tree of modules.
        values: the global parameters.
    """
    growth = Growth(max(checker.architecture.dims.values(), default=1_000))
    followed = 0
    for instance, block in _distinct(checker.architecture.blocks, root, values):
        names = ChainMap[str, Value](dict(instance.arguments), dict(values))
        walk = _Walk(checker, instance, block, names)
        walk.steps(block.forward or (), ("blocks", instance.type, "forward"))
        try:
            growth.check(block, names)
        except GrowthError as error:
            step, at = error.step, ("blocks", instance.type, "forward", *error.at)
            path = step_text(step, at)[1] if step else at
            checker.add("E307", error.message, path, hint=error.hint)
        followed += walk.followed
        if followed > _MAX_FOLLOWED:
            message = f"more than {_MAX_FOLLOWED:,} steps of blocks that all differ"
            checker.add("E401", message, ("blocks", instance.type), key=True)
            return


def _distinct(
    blocks: Mapping[str, Block], root: Instance, values: _Values
) -> Iterator[tuple[Instance, Block]]:
    """One instance of all whose forwards cannot differ, children first."""
    used = {name: _names_used(block) for name, block in blocks.items()}
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
        given = [(n, v) for n, v in instance.arguments.items() if n in used.get(instance.type, ())]
        children = tuple((name, kind_of[id(child)]) for name, child in instance.children)
        kind = (instance.type, repr(given), children)
        if kind not in kinds and instance.type in blocks:
            yield instance, blocks[instance.type]
        kind_of[id(instance)] = kinds.setdefault(kind, len(kinds))


def _names_used(block: Block) -> set[str]:
    """The names in the steps of a block."""
    found: set[str] = set()
    steps = list(block.forward or ())
    while steps:
        step = steps.pop()
        with suppress(ExpressionError):  # told by the step checker
            found |= parse(step_text(step, ())[0]).names()
        steps += step.do if isinstance(step, For) else ()
    return found


class _Walk:
    """One way through the forward of one block."""

    def __init__(self, checker: Checker, instance: Instance, block: Block, values: _Values) -> None:
        self.checker, self.instance, self.block, self.values = checker, instance, block, values
        self.blocks = checker.architecture.blocks
        self.children = dict(instance.children)
        self.loop_targets: dict[str, list[Instance]] = {}
        self.followed = 0

    def steps(self, steps: Sequence[Step], path: Path) -> None:
        for i, step in enumerate(steps):
            self.followed += 1
            text, self.path, self.offset = step_text(step, (*path, i))
            try:
                self.expression = parse(text)
            except ExpressionError:
                continue  # told by the step checker
            tree = self.expression.tree
            if isinstance(step, For):
                self._loop(step, tree, (*path, i, "do"))
                continue
            self._visit(tree)
            if isinstance(step, Assign):
                for target in step.targets:
                    self.loop_targets.pop(target, None)

    def _loop(self, step: For, tree: ast.expr, path: Path) -> None:
        parts, targets = [tree], list(step.targets)
        if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name):
            if tree.func.id == "range":
                self._visit(tree)
                if not self._rounds(tree):
                    return
            parts = tree.args
            targets = targets[1:] if tree.func.id == "enumerate" else targets
        before = dict(self.loop_targets)
        for target, part in zip(targets, parts, strict=False):
            if (found := self._visit(part)) is not None:
                items = [child for container in found for _, child in container.children]
                if not items:
                    return  # a container that is empty
                self.loop_targets[target] = items
        self.steps(step.do, path)
        self.loop_targets = before

    def _rounds(self, call: ast.Call) -> bool:
        """Whether a loop over ``range`` runs at all, as far as that is known."""
        bounds = [self._known(argument) for argument in call.args]
        if not all(known and isinstance(bound, int) for known, bound in bounds):
            return True
        numbers = [bound for _, bound in bounds]
        try:
            return len(range(*numbers)) > 0
        except (TypeError, ValueError, OverflowError):
            return True

    # ------------------------------------------------------------------------------ expressions

    def _known(self, node: ast.expr) -> tuple[bool, Value]:
        """Whether parameters alone decide the value of ``node``, and that value."""
        try:
            return True, evaluate_part(self.expression, node, self.values)
        except ExpressionError:
            return False, None

    def _visit(self, node: ast.AST) -> list[Instance] | None:
        """Follow what is taken of ``node``; the modules that it stands for, None for a value."""
        match node:
            case ast.IfExp(test=test, body=body, orelse=orelse):
                self._visit(test)
                known, value = self._known(test)
                for branch in ([body] if value else [orelse]) if known else [body, orelse]:
                    self._visit(branch)
            case ast.BoolOp(op=op, values=values):
                for part in values:
                    self._visit(part)
                    known, value = self._known(part)
                    if known and bool(value) is isinstance(op, ast.Or):
                        break
            case ast.Name(id=name) if name in self.loop_targets:
                return self.loop_targets[name]
            case ast.Name(id=name) if name in self.block.modules:
                if name in self.instance.left_out:
                    self._left_out(node, self.block.modules[name], self.instance)
                return [self.children[name]] if name in self.children else []
            case ast.Attribute(value=owner, attr=name):
                return self._attribute(node, self._visit(owner), name)
            case ast.Subscript(value=value, slice=index):
                self._visit(index)
                owners = self._visit(value)
                return owners and self._indexed(node, owners, index)
            case ast.Call(func=func, args=args, keywords=keywords):
                for argument in [*args, *(keyword.value for keyword in keywords)]:
                    self._visit(argument)
                self._call(node, self._visit(func) or [])
            case _:
                for child in ast.iter_child_nodes(node):
                    self._visit(child)
        return None

    def _indexed(
        self, node: ast.AST, owners: list[Instance], index: ast.expr
    ) -> list[Instance] | None:
        """What ``owner[index]`` can be; a slice of a container is one again."""
        if isinstance(index, ast.Slice):
            return owners
        known, value = self._known(index)
        found: list[Instance] = []
        for owner in owners:
            items = self._items_at(node, owner, value) if known else None
            found += [child for _, child in owner.children] if items is None else items
        return found

    def _items_at(self, node: ast.AST, owner: Instance, index: Value) -> list[Instance] | None:
        """The item of a container that ``index`` stands for; None if that cannot be told."""
        items = dict(owner.children)
        match owner.type, index:
            case _ if owner.type not in layers.CONTAINERS:
                return None
            case "ModuleDict", str() if index in items:
                return [items[index]]
            case "ModuleDict", str():
                hint = did_you_mean(index, items) or f"it has: {listing(list(items)) or 'nothing'}"
                self._error(node, "E304", f"no item '{index}'", hint)
            case (("ModuleList" | "Sequential"), int()) if not isinstance(index, bool):
                if -len(items) <= index < len(items):
                    return [list(items.values())[index]]
                self._error(node, "E306", f"no item {index}: there are {len(items)}")
            case _:
                kind = "names" if owner.type == "ModuleDict" else "numbers"
                self._error(node, "E305", f"a {owner.type} is indexed by {kind}")
        return []

    def _attribute(
        self, node: ast.Attribute, owners: list[Instance] | None, name: str
    ) -> list[Instance] | None:
        if owners is None:
            return None
        found: list[Instance] = []
        for owner in owners:
            children = dict(owner.children)
            declared = self._declared(owner)
            if name in children:
                found.append(children[name])
            elif name in owner.left_out:
                self._left_out(node, declared[name], owner)
            elif owner.type in self.blocks and name not in (*declared, *owner.tensors):
                known = [*declared, *owner.tensors]
                hint = did_you_mean(name, known) or f"it has: {listing(known)}"
                self._error(node, "E304", f"no child or parameter '{name}'", hint)
        return found

    def _declared(self, owner: Instance) -> Mapping[str, Module]:
        """The children that a module would have, were none left out."""
        if owner.type in self.blocks:
            return self.blocks[owner.type].modules
        return self._items(owner.path) if owner.type in layers.CONTAINERS else {}

    def _items(self, path: Path) -> Mapping[str, Module]:
        """The items of the container at ``path``, if they are named."""
        module = self.blocks[str(path[1])].modules[str(path[3])]
        for part, key in zip(path[4::2], path[5::2], strict=False):
            found = dict(iterate_items(module)) if part == "items" else {}
            if key not in found:
                return {}
            module = found[key]
        return module.items if isinstance(module.items, dict) else {}

    def _call(self, call: ast.Call, called: Sequence[Instance]) -> None:
        """What is called must take these inputs, whichever of the modules it is."""
        for kind in dict.fromkeys(instance.type for instance in called):
            if kind not in self.blocks:
                continue
            inputs = self.blocks[kind].inputs
            if complaint := call_complaint(kind, inputs, call):
                hint = f"its inputs: {listing(list(inputs)) or 'x'}"
                self._error(call, "E305", complaint, hint)

    # -------------------------------------------------------------------------------- problems

    def _error(self, node: ast.AST, code: str, message: str, hint: str = "") -> None:
        error = self.expression.error(node, code, message, hint)
        self.checker.add_expression(error, self.path, self.offset)

    def _left_out(self, node: ast.AST, declared: Module, owner: Instance) -> None:
        """A module whose ``when`` is false is used."""
        is_block = owner.type in self.blocks
        at: Path = ("blocks", owner.type, "modules") if is_block else (*owner.path, "items")
        name = node.attr if isinstance(node, ast.Attribute) else ast.unparse(node)
        condition = literal(declared.when)
        values = ""
        if isinstance(condition, Expression):
            scope = {**self.values, **owner.arguments}
            known = [n for n in sorted(condition.names()) if n in scope]
            values = ", ".join(f"{n}={shown(scope[n])}" for n in known)
        message = f"'{ast.unparse(node)}' is left out" + (f" with {values}" if values else "")
        start, end = self.expression.stretch(node)
        document = self.checker.document
        place = document.stretch(self.path, start + self.offset, end + self.offset)
        notes = [Note("by this condition", document.place((*at, name, "when")))]
        if self.instance.path[2:]:  # not the root
            notes.append(Note(f"in this {self.instance.type}", document.place(self.instance.path)))
        hint = "use it only where it is there: … if <the same condition> else …"
        self.checker.findings.add(Problem("E309", message, place, hint, tuple(notes)))
