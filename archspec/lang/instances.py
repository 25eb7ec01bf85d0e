"""The module tree that a spec describes, with its values, before any module exists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from archspec.lang.expr import Value
from archspec.lang.tree import ModuleNode
from archspec.lang.yaml import Path
from archspec.report.text import shortened


@dataclass(frozen=True, slots=True, eq=False)
class Instance:
    """A module with its values. Equal modules share one ``Instance``; its path is where it is met.

    Attributes:
        type: the name of its block or layer.
        path: where it is declared in the document.
        arguments: its evaluated arguments; for a block, every parameter.
        let: the local values of a block.
        children: name and instance, in order.
        modules: how many modules it is, itself included.
        elements: about how many tensor elements it holds; an order of magnitude, not a count.
        work: how many values its constructor looks at, as ``expr.evaluate.Budget`` counts them.
        left_out: the names of the children and raw tensors that a ``when`` leaves out.
        declared: what it was made from; None for the root.
        container: which container of torch.nn it is, itself or as a block with items; else "".
    """

    type: str
    path: Path
    arguments: Mapping[str, Value]
    let: Mapping[str, Value] = field(default_factory=dict[str, Value], kw_only=True)
    children: tuple[tuple[str, Instance], ...] = ()
    tensors: tuple[str, ...] = ()
    modules: int = 1
    elements: int = 0
    work: int = 0
    left_out: tuple[str, ...] = ()
    declared: ModuleNode | None = None
    container: str = ""

    @property
    def values(self) -> dict[str, Value]:
        """What the names of a block stand for in its expressions."""
        return {**self.arguments, **self.let}


def walk(root: Instance, at: str = "") -> Iterator[tuple[str, Instance]]:
    """Every module with its dotted path, parents first, as ``named_modules`` does."""
    stack = [(at, root)]
    while stack:
        path, instance = stack.pop()
        yield path, instance
        prefix = f"{path}." if path else ""
        stack += [(prefix + name, child) for name, child in reversed(instance.children)]


def argument_texts(instance: Instance) -> dict[str, str]:
    """An instance's arguments as Python writes the values: ``{"in_features": "768"}``."""
    return {name: _python_text(value) for name, value in instance.arguments.items()}


def _python_text(value: object) -> str:
    if isinstance(value, Instance):
        return f"{value.type}({format_arguments(argument_texts(value))})"
    return repr(value)


def format_arguments(texts: Mapping[str, str], max_length: int | None = None) -> str:
    """Arguments as they stand in a call.

    Args:
        texts: name → value, as Python writes it.
        max_length: characters of one value; the rest is cut off.

    >>> format_arguments({"in_features": "768", "out_features": "2"})
    'in_features=768, out_features=2'
    """
    return ", ".join(
        f"{name}={text if max_length is None else shortened(text, max_length)}"
        for name, text in texts.items()
    )


def ancestors(path: str) -> list[str]:
    """The paths of the modules around a module or tensor, the root first.

    >>> ancestors("encoder.layer.0")
    ['', 'encoder', 'encoder.layer']
    """
    names = path.split(".") if path else []
    return [".".join(names[:i]) for i in range(len(names))]
