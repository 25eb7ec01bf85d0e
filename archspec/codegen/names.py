"""Which classes the generated module holds, and which of them take the ``Config``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from archspec.lang.expr import ExpressionError, Node, Value, evaluate
from archspec.lang.expr.nodes import Constant, names, outcomes
from archspec.lang.instances import walk
from archspec.lang.registry.attributes import MODULE_ATTRIBUTES
from archspec.lang.spec import Spec
from archspec.lang.tree import (
    BlockNode,
    ModuleNode,
    SpecTree,
    constructor_expressions,
    forward_expressions,
    groups_among,
    init_expressions,
    modules_of_block,
)


@dataclass(frozen=True)
class Names:
    """What the passes of the generator know about names.

    Attributes:
        blocks: the blocks that can occur, each behind those that it uses.
        values: global parameters and local values: the fields and properties of ``Config``.
        classes: global parameters that are classes, with their names: a choice of code.
        configured: blocks whose constructor takes the ``Config``.
    """

    spec: Spec
    blocks: tuple[str, ...]
    values: frozenset[str]
    classes: dict[str, Value]
    configured: frozenset[str]

    @property
    def tree(self) -> SpecTree:
        return self.spec.tree

    @property
    def root(self) -> str:
        return self.spec.architecture.model


def collect(spec: Spec) -> Names:
    """Look once over the spec for everything that spans blocks."""
    tree, root = spec.tree, spec.architecture.model
    classes = {n: spec.params[n].value for n, param in tree.params.items() if param.is_class}
    values = frozenset({*tree.params, *tree.let}) - classes.keys()
    uses = {
        name: classes_used(block, spec) & tree.blocks.keys() for name, block in tree.blocks.items()
    }
    if spec.adapter is not None:
        uses[root] |= set(spec.adapter.classes.values())
    blocks = _children_first(root, uses)
    passed = set(_passed_blocks(spec))
    configured = {
        name
        for name in blocks
        if name in passed
        or any(param.declared.type == "block" for param in tree.blocks[name].params.values())
        or (values and names_used(tree.blocks[name]) & values)
    }
    if _names_in_rules(tree) & values:
        configured.add(root)
    while more := {n for n in blocks if n not in configured and uses[n] & configured}:
        configured |= more
    return Names(spec, blocks, values, classes, frozenset(configured) if values else frozenset())


def _passed_blocks(spec: Spec) -> Iterator[str]:
    """The blocks that are handed over as arguments."""
    for _, instance in walk(spec.root):
        block = spec.tree.blocks.get(instance.type)
        for name, value in instance.arguments.items() if block else ():
            if block and block.params[name].declared.type == "block":
                yield value


def classes_used(block: BlockNode, spec: Spec) -> set[str]:
    """The blocks and layers that the generated code of one block may name."""
    classes: set[str] = set()
    for module in modules_of_block(block):
        classes |= set(class_names(module.type, spec))
        for name, value in module.arguments.items():
            if not isinstance(value, ModuleNode) and name in class_params(module, spec.tree):
                classes |= set(class_names(value, spec))
    for param in block.params.values():
        if param.is_class and param.default is not None:
            classes |= set(class_names(param.default, spec))
    return classes


def class_params(module: ModuleNode, tree: SpecTree) -> set[str]:
    """The parameters of a module's block that hold classes; of any block, if one is chosen."""
    callee = tree.blocks.get(module.kind)
    callees = [callee] if callee else [] if module.kind else tree.blocks.values()
    return {n for block in callees for n, param in block.params.items() if param.is_class}


def class_names(node: Node, spec: Spec) -> Iterator[str]:
    """The classes that a ``type:`` (or an argument that is a class) can stand for."""
    for part in outcomes(node):
        if isinstance(part, Constant):
            if isinstance(part.value, str):
                yield part.value
        elif isinstance(value := known_value(part, spec), str):
            yield value


def known_value(node: Node, spec: Spec) -> object:
    """The value of an expression of global parameters alone; None if there is none."""
    used = list(names(node))
    if not all(name.symbol is not None and name.symbol.kind == "global" for name in used):
        return None
    try:
        return evaluate(node, spec.values)
    except ExpressionError:
        return None


def _children_first(root: str, uses: dict[str, set[str]]) -> tuple[str, ...]:
    """The blocks reachable from the root, each behind those it uses, else in their own order."""
    order = list(uses)
    done: dict[str, None] = {}
    begun: set[str] = set()  # a text that is no class can have the name of a block around it
    stack = [(root, False)]
    while stack:
        name, ready = stack.pop()
        if ready:
            done[name] = None
        elif name not in begun:
            begun.add(name)
            stack.append((name, True))
            stack += [(n, False) for n in sorted(uses[name], key=order.index, reverse=True)]
    return tuple(done)


def names_used(block: BlockNode) -> set[str]:
    """Every name that occurs in the constructor or another method of a block."""
    expressions = constructor_expressions(block)
    return {name.id for node in expressions for name in names(node)} | attributes_of(block).keys()


def local_names(block: BlockNode) -> set[str]:
    """The names that mean something in the constructor of a block."""
    containers = [] if block.container is None else [block.container]
    declared = {*block.params, *block.let}
    for module in (*containers, *modules_of_block(block)):
        for group in groups_among(module.items):
            declared |= {*group.names, *(one.name for one in group.carry)}
        declared |= {module.index} if module.index else set()
    return declared


def attributes_of(block: BlockNode) -> dict[str, str]:
    """Each parameter or local value that methods of a block read → the attribute that keeps it.

    It has the name of the parameter, unless a child, a tensor or a method has that.
    """
    expressions = (*forward_expressions(block), *init_expressions(block))
    used = {name.id for node in expressions for name in names(node) if name.is_param}
    taken = {*block.held, *block.methods, *(tensor.method for tensor in block.computed)}
    attributes = {name: name for name in used - taken}
    for name in sorted(used & taken):
        attribute = f"{name}_value"
        while attribute in {*taken, *attributes.values(), *MODULE_ATTRIBUTES}:
            attribute += "_"
        attributes[name] = attribute
    return attributes


def _names_in_rules(tree: SpecTree) -> set[str]:
    """Every name that occurs in the spec's ``init`` and ``tie``, which the root applies."""
    expressions: list[Node] = []
    for rule in tree.init:
        for fill in rule.fills:
            expressions += [fill.index] if fill.index is not None else []
            expressions += fill.init.arguments.values()
    expressions += [tie.when for tie in tree.ties]
    return {name.id for node in expressions for name in names(node)}
