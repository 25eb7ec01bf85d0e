"""What a spec declares whatever the values: modules that a ``when`` or a ``repeat: 0`` leaves out.

A pattern that selects one of them is right with other values, and no error with these.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from archspec.errors import Findings, TooManyProblems
from archspec.lang.checker import Checker
from archspec.lang.expand import Instantiator, Scope
from archspec.lang.expr import Value
from archspec.lang.inherit import Document
from archspec.lang.instances import Instance
from archspec.lang.layer_parts import entries
from archspec.lang.patterns import Tree
from archspec.lang.registry import layers
from archspec.lang.tree import (
    BlockNode,
    GroupNode,
    ItemNode,
    ModuleNode,
    SpecTree,
    TensorNode,
)


def everything(document: Document, tree: SpecTree, values: Mapping[str, Value]) -> Tree | None:
    """The paths of a model in which nothing is left out; None if it would be too large.

    What cannot be made with these values has the children that stand in the spec.

    Args:
        values: of the global parameters.
    """
    checker = Checker(tree.declared, document, Findings())
    with contextlib.suppress(TooManyProblems):
        root = _Everything(checker, tree, values).instantiate()
        return None if root is None else Tree(entries(root))
    return None


class _Everything(Instantiator):
    """Makes the tree as if every ``when`` were true; what is wrong is reported elsewhere."""

    def __init__(self, checker: Checker, tree: SpecTree, values: Mapping[str, Value]) -> None:
        super().__init__(checker, tree, values)
        self._declared: dict[str, Instance | None] = {}

    def _holds(self, declared: ModuleNode | TensorNode, scope: Scope) -> bool:
        return True

    def _times(self, item: ModuleNode, scope: Scope) -> int:
        return super()._times(item, scope) or 1

    def _rounds(self, group: GroupNode, scope: Scope) -> Iterator[dict[str, Value]]:
        found = super()._rounds(group, scope)
        yield next(found, dict[str, Value]())
        yield from found

    def _module(self, module: ModuleNode, scope: Scope) -> Instance | None:
        return super()._module(module, scope) or self._as_declared(module)

    def _as_declared(self, module: ModuleNode) -> Instance | None:
        """A module by what stands in the spec alone; None if only values say what it is."""
        kind, block = module.kind, self.blocks.get(module.kind)
        if module.is_container:
            children = self._children(self._named(module))
            return self._counted(Instance(kind, module.path, {}, children))
        if block is None:
            layer = layers.find(kind)
            tensors = (*layer.parameters, *layer.buffers) if layer else ()
            return Instance(kind, module.path, {}, (), tensors) if layer else None
        if kind not in self._declared:
            self._declared[kind] = None  # in itself it is not looked at again
            self._declared[kind] = self._block_as_declared(block)
        return self._declared[kind]

    def _block_as_declared(self, block: BlockNode) -> Instance:
        container = block.container
        children = block.modules if container is None else self._named(container)
        tensors = (*block.tensors,)
        made = Instance(block.name, block.path, {}, self._children(children), tensors)
        return self._counted(made)

    def _named(self, module: ModuleNode) -> dict[str, ModuleNode]:
        found: dict[str, ModuleNode] = {}
        waiting: list[tuple[str | int, ItemNode]] = [*reversed(module.items)]
        while waiting:
            key, item = waiting.pop()
            if isinstance(item, GroupNode):
                waiting += reversed(item.items)
            else:
                found[key if isinstance(key, str) else str(len(found))] = item
        return found

    def _children(self, modules: Mapping[str, ModuleNode]) -> tuple[tuple[str, Instance], ...]:
        made = ((name, self._as_declared(module)) for name, module in modules.items())
        return tuple((name, child) for name, child in made if child is not None)
