"""The module tree that a spec describes, with its values, before any module exists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from archspec.lang.expr import Value
from archspec.lang.patterns import Entry
from archspec.lang.tree import ModuleNode
from archspec.lang.yaml import Path


@dataclass(frozen=True, slots=True, eq=False)
class Instance:
    """A module with its values. Equal modules share one ``Instance``; its path is where it is met.

    Attributes:
        type: the name of its block or layer.
        path: where it is declared in the document.
        arguments: its evaluated arguments; for a block, every parameter.
        children: name and instance, in order.
        modules: how many modules it is, itself included.
        elements: about how many tensor elements it holds; an order of magnitude, not a count.
        left_out: the names of the children that a ``when`` leaves out.
        declared: what it was made from; None for the root.
    """

    type: str
    path: Path
    arguments: Mapping[str, Value]
    children: tuple[tuple[str, Instance], ...] = ()
    tensors: tuple[str, ...] = ()
    modules: int = 1
    elements: int = 0
    left_out: tuple[str, ...] = ()
    declared: ModuleNode | None = None


def walk(root: Instance, at: str = "") -> Iterator[tuple[str, Instance]]:
    """Every module with its dotted path, parents first, as ``named_modules`` does."""
    stack = [(at, root)]
    while stack:
        path, instance = stack.pop()
        yield path, instance
        prefix = f"{path}." if path else ""
        stack += [(prefix + name, child) for name, child in reversed(instance.children)]


def ancestors(path: str) -> list[str]:
    """The paths of the modules around a module or tensor, the root first.

    >>> ancestors("encoder.layer.0")
    ['', 'encoder', 'encoder.layer']
    """
    names = path.split(".") if path else []
    return [".".join(names[:i]) for i in range(len(names))]


def entries(root: Instance) -> list[Entry]:
    """The tree as patterns see it: modules, and the tensors that they hold themselves."""
    found: list[Entry] = []
    for path, instance in walk(root):
        found.append(Entry(path, instance.type))
        prefix = f"{path}." if path else ""
        found += [Entry(prefix + name, None) for name in instance.tensors]
    return found
