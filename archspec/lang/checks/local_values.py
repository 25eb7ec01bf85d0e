"""Names that a spec gives to values of its own: ``let``, and the targets of comprehensions."""

from __future__ import annotations

from collections.abc import Iterator

from archspec.lang.checker import Checker
from archspec.lang.checks.names import check_names, is_taken
from archspec.lang.expr import Node
from archspec.lang.expr.nodes import Clause, walk
from archspec.lang.expr.numeric import FUNCTIONS
from archspec.lang.params import needed_names, ordered, report_circles
from archspec.lang.registry.attributes import MODULE_ATTRIBUTES
from archspec.lang.tree import BlockNode, SpecTree, constructor_expressions, init_expressions


def check_local_values(checker: Checker, tree: SpecTree) -> None:
    """No name is given twice, taken by the generated code, or computed from itself."""
    declared = tree.declared
    taken = {*MODULE_ATTRIBUTES, *FUNCTIONS}
    check_names(checker, declared.let, ("let",), taken)
    for name in declared.let.keys() & declared.params.keys():
        hint = "choose another name"
        checker.add("E207", f"'{name}' is already a parameter", ("let", name), key=True, hint=hint)
    shared = {*tree.params, *tree.let}
    for node in _global_expressions(tree):
        _check_targets(checker, node, shared)
    for block in tree.blocks.values():
        report_circles(
            checker, ordered(needed_names(block.params, block.let))[1], block.params, block.path
        )
        own = {*shared, *block.params, *block.let}
        for node in _block_expressions(block):
            _check_targets(checker, node, own)


def _global_expressions(tree: SpecTree) -> Iterator[Node]:
    for param in tree.params.values():
        if param.default is not None:
            yield param.default
    yield from (local.value for local in tree.let.values())
    for rule in tree.init:
        for fill in rule.fills:
            yield from fill.init.arguments.values()


def _block_expressions(block: BlockNode) -> Iterator[Node]:
    yield from constructor_expressions(block)
    for contract in (*block.inputs.values(), *block.outputs.values()):
        yield from contract.shape
    yield from init_expressions(block)


def _check_targets(checker: Checker, node: Node, names: set[str]) -> None:
    """What a comprehension gives its rounds must not be the name of something else."""
    for part in walk(node):
        for target in part.targets if isinstance(part, Clause) else ():
            if target in names:
                message = f"'{target}' is already a name here"
                checker.refuse(part, "E207", message, "choose another name")
            elif is_taken(target, FUNCTIONS):
                hint = "PyTorch or the generated Python uses it: choose another name"
                checker.refuse(part, "E207", f"'{target}' cannot be used as a name here", hint)
