"""The nodes of expressions: frozen, each with its place in the document.

Every expression of a spec is parsed once into these, and every pass over expressions is a
``Visitor`` or a ``match`` over them. A name gets its meaning, a ``Symbol``, when it is resolved.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Generic, Literal, TypeVar, cast

from archspec.lang.yaml import Path

Value = Any  # None, bool, int, float, str, or a tuple of these
LOOPS = ("enumerate", "zip", "range")  # what a loop may run over beside lists and containers

SymbolKind = Literal[
    "global",  # a parameter of the spec
    "param",  # a parameter of the block
    "let",  # a local value of the block
    "counter",  # of a repeat, a name that a group of items gives, a target of a comprehension
    "size",  # a symbolic dimension, in a contract
    "input",  # of the block
    "local",  # given by an earlier step or a loop
    "child",  # a module of the block
    "method",  # of the block, beside forward
    "tensor",  # a raw parameter or buffer of the block
    "constant",  # a dtype, inf, …: the table is in registry.functions
    "training",
    "function",
    "numeric",  # a function of plain numbers, in a forward step
    "broken",  # its declaration is wrong: nothing is known of it, and nothing more is said
]


@dataclass(frozen=True, slots=True)
class Symbol:
    """What a name means.

    Attributes:
        path: where it is declared in the document; () for what the language defines.
        declared: its declaration: a ``tree.ParamNode``, or for a child and the target of a loop
            over a container, the ``tree.ModuleNode``s that it can stand for.
        is_class: whether it stands for a block or a layer, not for a value.
    """

    kind: SymbolKind
    name: str
    path: Path = ()
    declared: Any = None
    is_class: bool = False

    @property
    def modules(self) -> tuple[Any, ...] | None:
        """The modules that it can stand for; none of them: any; None for a value."""
        return self.declared if self.kind in ("child", "local") else None


@dataclass(frozen=True, slots=True)
class Span:
    """Characters ``[start, end)`` of the scalar at ``path``; all of what stands there if equal."""

    path: Path = ()
    start: int = 0
    end: int = 0


@dataclass(frozen=True, slots=True)
class Node:
    """Base of all nodes; ``parts`` are the fields that hold nodes, in the order of the text."""

    span: Span = field(compare=False)
    parts: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        kinds = cls.__annotations__.items()  # as texts
        classes = ("Node", "Keyword", "Clause")
        cls.parts = tuple(name for name, kind in kinds if any(word in kind for word in classes))


@dataclass(frozen=True, slots=True)
class Constant(Node):
    """A value of the document as it stands, or a literal of an expression."""

    value: Value


def is_literal(node: Node) -> bool:
    """Whether a node stands in the document as it is, not in an expression."""
    return isinstance(node, Constant) and node.span.end == 0


@dataclass(frozen=True, slots=True)
class Name(Node):
    id: str
    symbol: Symbol | None = field(default=None, compare=False)

    @property
    def is_param(self) -> bool:
        """Whether it means a parameter or a local value, which a module may have the name of."""
        return self.symbol is not None and self.symbol.kind in ("global", "param", "let")


@dataclass(frozen=True, slots=True)
class Broken(Node):
    """Text that is no expression, which has been reported."""


@dataclass(frozen=True, slots=True)
class Sequence(Node):
    """A list or a tuple; as a value, both are tuples."""

    items: tuple[Node, ...]
    is_list: bool


@dataclass(frozen=True, slots=True)
class Unary(Node):
    operator: str  # "not", "-", "+", "~"
    operand: Node


@dataclass(frozen=True, slots=True)
class Binary(Node):
    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Boolean(Node):
    operator: str  # "and", "or"
    values: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Compare(Node):
    left: Node
    operators: tuple[str, ...]
    others: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Conditional(Node):
    """``yes if test else no``"""

    yes: Node
    test: Node
    no: Node


@dataclass(frozen=True, slots=True)
class Subscript(Node):
    value: Node
    index: Node


@dataclass(frozen=True, slots=True)
class Slice(Node):
    lower: Node | None
    upper: Node | None
    step: Node | None


@dataclass(frozen=True, slots=True)
class Keyword(Node):
    name: str
    value: Node


@dataclass(frozen=True, slots=True)
class Call(Node):
    function: Node
    arguments: tuple[Node, ...]
    keywords: tuple[Keyword, ...]

    @property
    def name(self) -> str:
        """The name that is called; "" for anything but a plain name."""
        return self.function.id if isinstance(self.function, Name) else ""

    @property
    def given(self) -> tuple[Node, ...]:
        """What is handed over, by position and by name."""
        return (*self.arguments, *(keyword.value for keyword in self.keywords))


@dataclass(frozen=True, slots=True)
class Attribute(Node):
    value: Node
    name: str


@dataclass(frozen=True, slots=True)
class Clause(Node):
    """``for targets in iterable if condition`` of a comprehension."""

    targets: tuple[str, ...]
    iterable: Node
    conditions: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Comprehension(Node):
    """``[element for … in …]``; as a value, a tuple."""

    element: Node
    clauses: tuple[Clause, ...]


@dataclass(frozen=True, slots=True)
class Template(Node):
    """A name such as ``layer_{i + 1}``: its texts are constants."""

    pieces: tuple[Node, ...]


# ---------------------------------------------------------------------------------------- passes


def children(node: Node) -> Iterator[Node]:
    """The nodes directly below one, in the order of ``parts``."""
    for part in node.parts:
        held = getattr(node, part)
        if isinstance(held, tuple):
            yield from cast("tuple[Node, ...]", held)
        elif held is not None:
            yield held


def walk(node: Node) -> Iterator[Node]:
    """A node and all below it, the node first."""
    stack = [node]
    while stack:
        node = stack.pop()
        yield node
        stack += reversed(list(children(node)))


def names(node: Node) -> Iterator[Name]:
    """Every name that an expression needs, but those of the functions that it calls."""
    if isinstance(node, Name):
        yield node
    if isinstance(node, Comprehension):
        given = {target for clause in node.clauses for target in clause.targets}
        inside = (name for child in children(node) for name in names(child))
        yield from (name for name in inside if name.id not in given)
        return
    for child in children(node):
        if not (isinstance(node, Call) and child is node.function and isinstance(child, Name)):
            yield from names(child)


def conditions(node: Node) -> tuple[Node, ...]:
    """The parts of a node that decide which way it goes."""
    match node:
        case Conditional(test=test):
            return (test,)
        case Boolean(values=values):
            return values
        case Unary(operator="not", operand=operand):
            return (operand,)
        case _:
            return ()


def index_parts(node: Node) -> tuple[Node, ...]:
    """What stands between the commas of an index."""
    return node.items if isinstance(node, Sequence) and not node.is_list else (node,)


def outcomes(node: Node) -> Iterator[Node]:
    """The expressions that a conditional can come to: A and B of ``A if c else B``."""
    if isinstance(node, Conditional):
        yield from outcomes(node.yes)
        yield from outcomes(node.no)
    else:
        yield node


def rebuilt(node: Node, change: Callable[[Node], Node]) -> Node:
    """``node`` with ``change`` applied to each node directly below it."""
    changed: dict[str, Any] = {}
    for part in node.parts:
        held = getattr(node, part)
        if isinstance(held, tuple):
            changed[part] = tuple(map(change, cast("tuple[Node, ...]", held)))
        elif held is not None:
            changed[part] = change(held)
    return replace(node, **changed) if changed else node


T = TypeVar("T")


@functools.cache
def _method_for(kind: type[Node]) -> str:
    return f"visit_{kind.__name__.lower()}"


class Visitor(Generic[T]):
    """A pass over expressions: one method a kind of node, ``visit_binary`` for ``Binary``.

    Nodes without a method of their own go to ``default``.
    """

    def visit(self, node: Node) -> T:
        method = getattr(self, _method_for(type(node)), None)
        return method(node) if method else self.default(node)

    def default(self, node: Node) -> T:
        raise NotImplementedError(type(node).__name__)
