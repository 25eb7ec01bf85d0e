"""The declarations of a spec with their expressions as nodes: what all passes work on.

Where the pydantic models of ``schema`` hold the document's strings, these hold parsed and resolved
nodes. ``reading`` makes them, once; ``declared`` is the model that each was made from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from archspec.lang import schema
from archspec.lang.expr import Node
from archspec.lang.expr.nodes import Clause, Constant, Name, Template, names, rebuilt
from archspec.lang.registry.layers import CONTAINERS
from archspec.lang.yaml import Path


@dataclass(frozen=True, slots=True, eq=False)
class ParamNode:
    """A parameter; ``default`` is None if it has none."""

    name: str
    path: Path
    declared: schema.Param
    default: Node | None

    @property
    def required(self) -> bool:
        return self.default is None

    @property
    def is_class(self) -> bool:
        """Whether it holds a block or a layer."""
        return self.declared.type in ("block", "layer")

    @property
    def is_computed(self) -> bool:
        """Whether its default is computed when the model is built."""
        if isinstance(self.default, Constant) or self.default is None:
            return False
        return isinstance(self.declared.default, str) or any(names(self.default))


@dataclass(frozen=True, slots=True, eq=False)
class LetNode:
    """A local value."""

    name: str
    path: Path
    value: Node


@dataclass(frozen=True, slots=True, eq=False)
class ContractNode:
    """An input or an output.

    Attributes:
        shape: the sizes of the tensor, or of each tensor in a list, without the ``...`` of any
            dimensions; a symbolic dimension is a constant text.
        length: how many tensors a list has; None: any number.
        when: whether an output is returned at all.
    """

    name: str
    path: Path
    declared: schema.Contract
    shape: tuple[Node, ...]
    below: Node | None
    length: Node | None
    when: Node

    @property
    def always(self) -> bool:
        """Whether no ``when`` can leave it out."""
        return isinstance(self.when, Constant) and self.when.value is True

    def shape_of(self, number: int) -> tuple[Node, ...]:
        """The sizes of a tensor by its number in the list, where the shape depends on it."""
        if self.declared.index is None:
            return self.shape
        return tuple(_with_number(size, self.declared.index, number) for size in self.shape)

    def own_sizes(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The sizes of a tensor that the contract speaks of: all but those at ``...``."""
        at, extra = self.declared.open_at, max(len(shape) - len(self.shape), 0)
        return tuple(shape) if at is None else (*shape[:at], *shape[at + extra :])

    def shape_text(self, sizes: Sequence[str]) -> str:
        """``[batch, ..., 8]``, of texts for the sizes that the contract speaks of."""
        at = self.declared.open_at
        texts = sizes if at is None else (*sizes[:at], schema.ANY_DIMENSIONS, *sizes[at:])
        return f"[{', '.join(texts)}]"


def _with_number(node: Node, index: str, number: int) -> Node:
    if isinstance(node, Name) and node.id == index:
        return Constant(node.span, number)
    return rebuilt(node, lambda part: _with_number(part, index, number))


@dataclass(frozen=True, slots=True, eq=False)
class InitNode:
    """A function of ``torch.nn.init`` with its arguments."""

    path: Path
    function: str
    arguments: Mapping[str, Node]
    declared: schema.Initialiser


@dataclass(frozen=True, slots=True, eq=False)
class TensorNode:
    """A raw parameter or buffer.

    Attributes:
        shape: None if it is that of the value.
        value: the steps that compute what it starts as; () where ``init`` fills it.
        when: whether it is there at all; where it is not, the attribute is None.
    """

    name: str
    path: Path
    declared: schema.Tensor
    shape: tuple[Node, ...] | None
    init: InitNode
    value: tuple[StepNode, ...]
    when: Node

    @property
    def always(self) -> bool:
        """Whether no ``when`` can leave it out."""
        return isinstance(self.when, Constant) and self.when.value is True

    @property
    def method(self) -> str:
        """The name of the generated method that computes its value."""
        return f"compute_{self.name}"


@dataclass(frozen=True, slots=True, eq=False)
class ModuleNode:
    """A child of a block, an item of a container, or a module given as an argument.

    Attributes:
        type: a constant name, or an expression that gives one.
        items: the items of a container, and groups of such, with their keys in the document.
        is_mapping: whether the items are written as a mapping.
    """

    path: Path
    declared: schema.Module
    type: Node
    when: Node
    repeat: Node | None
    index: str | None
    name: Template | Node | None
    items: tuple[tuple[str | int, ItemNode], ...]
    is_mapping: bool
    arguments: Mapping[str, Node | ModuleNode]

    @property
    def kind(self) -> str:
        """The name of its block or layer; "" if an expression chooses it."""
        given = self.type.value if isinstance(self.type, Constant) else ""
        return given if isinstance(given, str) else ""

    @property
    def is_container(self) -> bool:
        return self.kind in CONTAINERS

    @property
    def always(self) -> bool:
        """Whether no ``when`` can leave it out."""
        return isinstance(self.when, Constant) and self.when.value is True

    @property
    def named_items(self) -> Mapping[str, ModuleNode] | None:
        """The items that have names; None if these are computed."""
        modules = {str(k): item for k, item in self.items if isinstance(item, ModuleNode)}
        if self.is_mapping:
            return modules
        named: dict[str, ModuleNode] = {}
        for item in self.item_modules:
            match item.name:
                case None:
                    pass
                case Template(pieces=(Constant(value=str(name)),)):
                    named[name] = item
                case _:
                    return None
        return named

    @property
    def item_modules(self) -> tuple[ModuleNode, ...]:
        """The items, those in groups included."""
        return tuple(modules_among(item for _, item in self.items))


@dataclass(frozen=True, slots=True, eq=False)
class CarryNode:
    """A running value of a group: the first one, and the one after each round."""

    name: str
    path: Path
    first: Node
    after: Node


@dataclass(frozen=True, slots=True, eq=False)
class GroupNode:
    """Items that are repeated together; ``each`` is None if ``repeat`` counts the rounds."""

    path: Path
    declared: schema.Group
    repeat: Node | None
    index: str | None
    each: Clause | None
    carry: tuple[CarryNode, ...]
    items: tuple[tuple[str | int, ItemNode], ...]

    @property
    def item_modules(self) -> tuple[ModuleNode, ...]:
        """The items, those in groups included."""
        return tuple(modules_among(item for _, item in self.items))

    @property
    def names(self) -> tuple[str, ...]:
        """What a round gives names to."""
        targets = self.each.targets if self.each else ()
        return (*((self.index,) if self.index else ()), *targets)


ItemNode = ModuleNode | GroupNode


def modules_among(items: Iterable[ItemNode]) -> Iterator[ModuleNode]:
    """The modules among items, those in groups included."""
    for item in items:
        if isinstance(item, GroupNode):
            yield from modules_among(inner for _, inner in item.items)
        else:
            yield item


def groups_among(items: Iterable[tuple[str | int, ItemNode]]) -> Iterator[GroupNode]:
    """The groups among some items, and those inside of them."""
    for _, item in items:
        if isinstance(item, GroupNode):
            yield item
            yield from groups_among(item.items)


@dataclass(frozen=True, slots=True, eq=False)
class AssignNode:
    path: Path  # of the expression's scalar
    targets: tuple[str, ...]
    value: Node


@dataclass(frozen=True, slots=True, eq=False)
class ReturnNode:
    """What a block returns; with ``names``, a dict of the items of ``value``, a ``Sequence``."""

    path: Path
    value: Node
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class ForNode:
    path: Path
    targets: tuple[str, ...]
    value: Node  # what it runs over
    body: tuple[StepNode, ...]


StepNode = AssignNode | ReturnNode | ForNode


@dataclass(frozen=True, slots=True, eq=False)
class BlockNode:
    """A class of modules; ``forward`` is None if its modules run in order.

    Attributes:
        container: the Sequential that it is, where it has items in place of modules.
        methods: further methods; each is the block with another name, and with contracts and steps
            of its own.
    """

    name: str
    path: Path
    declared: schema.Block
    params: Mapping[str, ParamNode]
    let: Mapping[str, LetNode]
    inputs: Mapping[str, ContractNode]
    outputs: Mapping[str, ContractNode]
    modules: Mapping[str, ModuleNode]
    parameters: Mapping[str, TensorNode]
    buffers: Mapping[str, TensorNode]
    forward: tuple[StepNode, ...] | None
    methods: Mapping[str, BlockNode]
    container: ModuleNode | None = None

    @property
    def entries(self) -> Mapping[str, BlockNode]:
        """What can be called: forward, and the further methods."""
        return {"forward": self, **self.methods}

    @property
    def tensors(self) -> Mapping[str, TensorNode]:
        return {**self.parameters, **self.buffers}

    @property
    def held(self) -> frozenset[str]:
        """The names of its children and raw tensors, which steps mean by them."""
        return frozenset({*self.modules, *self.tensors})

    @property
    def computed(self) -> tuple[TensorNode, ...]:
        """The raw tensors that start as a computed value."""
        return tuple(tensor for tensor in self.tensors.values() if tensor.value)


@dataclass(frozen=True, slots=True, eq=False)
class FillNode:
    """How an init rule fills a parameter, or the part of it that ``index`` selects."""

    path: Path
    tensor: str
    index: Node | None
    init: InitNode


@dataclass(frozen=True, slots=True, eq=False)
class RuleNode:
    path: Path
    declared: schema.InitRule
    fills: tuple[FillNode, ...]


@dataclass(frozen=True, slots=True, eq=False)
class TieNode:
    """A parameter, by its path, that shares the tensor of another one."""

    name: str
    path: Path
    to: str
    when: Node


@dataclass(frozen=True, slots=True, eq=False)
class SpecTree:
    """A whole spec."""

    declared: schema.Architecture
    params: Mapping[str, ParamNode]
    let: Mapping[str, LetNode]
    blocks: Mapping[str, BlockNode]
    init: tuple[RuleNode, ...]
    ties: tuple[TieNode, ...] = ()


# ------------------------------------------------------------------------------------- walking


def modules_below(modules: Mapping[str, ModuleNode]) -> Iterator[ModuleNode]:
    """Every module of some, items and module arguments included."""
    stack = list(modules.values())
    while stack:
        module = stack.pop()
        yield module
        stack += module.item_modules
        stack += [value for value in module.arguments.values() if isinstance(value, ModuleNode)]


def modules_of_block(block: BlockNode) -> Iterator[ModuleNode]:
    """Every module that a block declares, at any depth."""
    yield from modules_below(block.modules)
    if block.container is not None:
        items = block.container.item_modules
        yield from modules_below({str(i): item for i, item in enumerate(items)})


def steps_below(steps: tuple[StepNode, ...] | None) -> Iterator[StepNode]:
    """Every step, those inside loops included."""
    for step in steps or ():
        yield step
        if isinstance(step, ForNode):
            yield from steps_below(step.body)


def constructor_expressions(block: BlockNode) -> Iterator[Node]:
    """Every expression of a block but those of its forward, its contracts and initial values."""
    for param in block.params.values():
        if param.default is not None:
            yield param.default
    for local in block.let.values():
        yield local.value
    containers = [] if block.container is None else [block.container]
    for module in (*containers, *modules_of_block(block)):
        for group in groups_among(module.items):
            yield from (node for node in (group.repeat, group.each) if node is not None)
            yield from (node for one in group.carry for node in (one.first, one.after))
    for module in modules_of_block(block):
        yield from (module.type, module.when)
        yield from (node for node in (module.repeat, module.name) if node is not None)
        yield from (v for v in module.arguments.values() if not isinstance(v, ModuleNode))
    for tensor in block.tensors.values():
        yield from (tensor.when, *(tensor.shape or ()))


def init_expressions(block: BlockNode) -> Iterator[Node]:
    """The arguments of the functions that fill the raw tensors of a block."""
    for tensor in block.tensors.values():
        yield from tensor.init.arguments.values()


def forward_expressions(block: BlockNode) -> Iterator[Node]:
    """Every expression that computes with tensors, and what decides which outputs there are."""
    for entry in block.entries.values():
        for step in steps_below(entry.forward):
            yield step.value
        for output in entry.outputs.values():
            if not output.always:
                yield output.when
    for tensor in block.computed:
        for step in steps_below(tensor.value):
            yield step.value
