"""Which declared modules an expression of a forward can stand for.

A name in a step is a value or a module: a child, an item of a container, the target of a loop over
one. ``None`` means a value, ``()`` a module of which nothing is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from archspec.lang.expr import Node
from archspec.lang.expr.nodes import (
    LOOPS,
    Attribute,
    Call,
    Constant,
    Name,
    Slice,
    Subscript,
    Unary,
    walk,
)
from archspec.lang.registry import layers
from archspec.lang.tree import BlockNode, GroupNode, ModuleNode, modules_among, steps_below

Blocks = Mapping[str, BlockNode]
Modules = tuple[ModuleNode, ...] | None
_ANY: tuple[ModuleNode, ...] = ()


def modules_of(node: Node, blocks: Blocks) -> Modules:
    """The modules that ``node`` can stand for."""
    match node:
        case Name(symbol=symbol) if symbol is not None:
            return _ANY if symbol.kind == "broken" else symbol.modules
        case Attribute(value=value, name=name):
            return _attribute(modules_of(value, blocks), name, blocks)
        case Subscript(value=value, index=index):
            return subscript(modules_of(value, blocks), index, blocks)
        case _:
            return None


def _attribute(owners: Modules, name: str, blocks: Blocks) -> Modules:
    if not owners:
        return owners
    found = [members(owner, name, blocks) for owner in owners]
    children = tuple(child for known in found if known and (child := known.get(name)))
    certain = all(known is not None and name in known for known in found)
    return children or (None if certain else _ANY)


_OF_CONTAINERS = frozenset("append clear extend insert items keys pop update values".split())
"""What PyTorch's containers have themselves, beside what every module has."""


def members(
    module: ModuleNode, name: str, blocks: Blocks
) -> Mapping[str, ModuleNode | None] | None:
    """The children of a module, and its tensors as None.

    None if it is not known what it has, or what the member ``name`` is.
    """
    if container := container_of(module, blocks):
        named = container.named_items
        return {} if named is None and name in _OF_CONTAINERS else named
    if block := blocks.get(module.kind):
        return {**dict.fromkeys(block.tensors), **block.modules}
    layer = layers.find(module.kind)
    if layer is None or layer.registered or name in layer.children:
        return None
    held = [name] if layer.may_hold(name) else []
    return dict.fromkeys([*held, *layer.parameters, *layer.buffers, *layer.children])


def container_of(module: ModuleNode, blocks: Blocks) -> ModuleNode | None:
    """The container that a module is, itself or as a block with items."""
    if module.is_container:
        return module
    block = blocks.get(module.kind)
    return block.container if block else None


def methods_of(owners: Modules, name: str, blocks: Blocks) -> list[BlockNode]:
    """The further method of that name of each of these modules; [] unless all of them have it."""
    found = [blocks[owner.kind].methods for owner in owners or () if owner.kind in blocks]
    has_all = len(found) == len(owners or ()) and all(name in methods for methods in found)
    return [methods[name] for methods in found] if has_all else []


def method_calls(block: BlockNode) -> dict[str, dict[str, Node]]:
    """Each entry of a block → the methods of the same block that its steps call, and one call."""
    return {
        name: {
            part.name: part
            for step in steps_below(entry.forward)
            for part in walk(step.value)
            if isinstance(part, Call) and part.name in block.methods
        }
        for name, entry in block.entries.items()
    }


def experts_of(call: Call) -> Node | None:
    """The experts of ``route(x, experts, chosen, weights)``; None for any other call."""
    function = call.function
    is_function = (
        isinstance(function, Name) and function.symbol and function.symbol.kind == "function"
    )
    if not is_function or call.name != "route":
        return None
    named = [keyword.value for keyword in call.keywords if keyword.name == "experts"]
    return next(iter((*call.arguments[1:2], *named)), None)


def subscript(owners: Modules, index: Node, blocks: Blocks) -> Modules:
    """The items of containers; a slice of a container is one again."""
    if not owners or isinstance(index, Slice):
        return owners
    found = [container_of(owner, blocks) for owner in owners]
    if not all(found):
        return _ANY
    return tuple(item for container in found if container for item in _items_at(container, index))


def _items_at(container: ModuleNode, index: Node) -> Iterable[ModuleNode]:
    """The items that can have an index: one, if all those before it are there once."""
    match index:
        case Constant(value=int() as number) if not isinstance(number, bool):
            pass
        case Unary(operator="-", operand=Constant(value=int() as number)):
            number = -number
        case _:
            return container.item_modules
    ordered = [item for _, item in container.items]
    ordered, at = (ordered, number) if number >= 0 else (ordered[::-1], -1 - number)
    for i, item in enumerate(ordered):
        if isinstance(item, GroupNode) or item.repeat is not None or not item.always:
            return modules_among(ordered[i:])
        if i == at:
            return (item,)
    return container.item_modules  # none has it, which is told with the values


def items(owners: tuple[ModuleNode, ...], blocks: Blocks) -> tuple[ModuleNode, ...]:
    """What a loop over containers gives; anything if one of them is no container."""
    found = [container_of(owner, blocks) for owner in owners]
    if not all(found):
        return _ANY
    return tuple(item for container in found if container for item in container.item_modules)


def loop_items(node: Node, targets: int, blocks: Blocks) -> list[Modules]:
    """What each of ``targets`` names in ``for … in node`` stands for."""
    if not (isinstance(node, Call) and node.name in LOOPS):
        found = modules_of(node, blocks)
        if found is not None and targets > 1:
            return [_ANY] * targets
        return [None if found is None else items(found, blocks), *[None] * (targets - 1)]
    if node.name == "range":
        return [None] * targets
    runs = [modules_of(argument, blocks) for argument in node.arguments]
    given = [None if run is None else items(run, blocks) for run in runs]
    counted: list[Modules] = [None] if node.name == "enumerate" else []
    return [*counted, *given, *[None] * targets][:targets]
