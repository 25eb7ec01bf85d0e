"""An adapter in the constructor of the root: each layer that it replaces, by its path."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable

from archspec.codegen.constructor import BODY
from archspec.codegen.names import Names
from archspec.codegen.printing import constant, identifier
from archspec.codegen.writer import Writer
from archspec.lang.adapters import AppliedAdapter
from archspec.lang.instances import Instance, walk

_INDEX = re.compile(r"\[(\d+)\]")


def write_adapter(names: Names, adapter: AppliedAdapter, body: Writer) -> None:
    """``self.layer[i].query = LoraLinear(…)``, in a loop over what differs in one index alone."""
    instances = dict(walk(names.spec.root))
    attributes = Attributes(names.spec.root)
    modules: dict[tuple[str, str], list[str]] = {}
    for path, kind in adapter.classes.items():
        given = ["config"] if kind in names.configured else []
        params = names.tree.blocks[kind].params
        given += [
            f"{identifier(key)}={constant(value)}"
            for key, value in instances[path].arguments.items()
            if params[key].required or value != params[key].declared.default
        ]
        made = f"{identifier(kind)}({', '.join(given)})"
        text = attributes.text(path)
        modules.setdefault((_INDEX.sub("[i]", text, count=1), made), []).append(text)
    path = ("adapters", adapter.name)
    at = path if names.spec.document.has(path) else None
    numbers: dict[tuple[str, ...], list[tuple[str, str]]] = {}
    for (text, made), texts in modules.items():
        indices = tuple(match[1] for one in texts if (match := _INDEX.search(one)))
        is_loop = len(texts) > 1
        numbers.setdefault(indices if is_loop else (), []).append(
            (text if is_loop else texts[0], made)
        )
    for indices, statements in numbers.items():
        if indices:
            body.add(f"for i in {_range(indices)}:", BODY, at)
        for text, made in statements:
            body.add(f"{text} = {made}", BODY + 4 * bool(indices), at)


def _range(indices: Iterable[str]) -> str:
    """What a loop over these numbers runs over.

    >>> _range(["0", "1", "2"]), _range(["2", "4"])
    ('range(3)', '(2, 4)')
    """
    numbers = [int(index) for index in indices]
    if numbers == [*range(len(numbers))]:
        return f"range({len(numbers)})"
    return f"({', '.join(map(str, numbers))})"


class Attributes:
    """Dotted paths of a tree as Python."""

    def __init__(self, root: Instance) -> None:
        self._root = root
        self._children: dict[int, dict[str, tuple[int, Instance]]] = {}

    def text(self, path: str) -> str:
        """A path of a module or tensor: ``self.encoder.layer[0].weight``."""
        text = "self"
        instance: Instance | None = self._root
        for name in path.split("."):
            kind = instance.container if instance is not None else ""
            position, child = self._child(instance, name)
            if kind == "ModuleDict":
                text += f"[{constant(name)}]"
            elif kind and name == str(position):
                text += f"[{name}]"
            elif name.isascii() and name.isidentifier() and not keyword.iskeyword(name):
                text += f".{identifier(name)}"
            else:
                text = f"{text}.get_submodule({constant(name)})"
            instance = child
        return text

    def _child(self, instance: Instance | None, name: str) -> tuple[int | None, Instance | None]:
        """The place of a child among all, and the child itself, if there is one."""
        if instance is None:
            return None, None
        children = self._children.get(id(instance))
        if children is None:
            children = {n: (i, child) for i, (n, child) in enumerate(instance.children)}
            self._children[id(instance)] = children
        return children.get(name, (None, None))
