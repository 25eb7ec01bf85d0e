"""``rename: {Old: New}``: the blocks of a parent under other names, wherever it speaks of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from archspec.errors import Problem, did_you_mean, listing
from archspec.lang.yaml import Entry, Listing, Mapping, Node, Path, Scalar, find

_SELECTING = ("init", "freeze", "adapters", "checkpoints")  # whose patterns name types: @Old
Change = Callable[[str], str]


def with_renamed(parent: Mapping, child: Mapping, problems: list[Problem]) -> Mapping:
    """The parent as its child's ``rename`` has it; a name that it does not have is a problem."""
    wanted = find(child, ("rename",))
    if not isinstance(wanted, Mapping):
        return parent
    blocks = find(parent, ("blocks",))
    known = list(blocks.entries) if isinstance(blocks, Mapping) else []
    names: dict[str, str] = {}
    for old, entry in wanted.entries.items():
        new = entry.value.text if isinstance(entry.value, Scalar) else ""
        if old not in known:
            hint = did_you_mean(old, known) or f"its blocks: {listing(known) or 'none'}"
            message = f"rename: the parent has no block '{old}'"
            problems.append(Problem("E111", message, entry.key.place(), hint))
        elif new in known and new not in wanted.entries:
            message = f"rename: the parent already has a block '{new}'"
            problems.append(Problem("E207", message, entry.value.span.place()))
        elif new:
            names[old] = new
    return _Renamer(parent, names).spec() if names else parent


class _Renamer:
    def __init__(self, root: Mapping, names: dict[str, str]) -> None:
        self.root, self.names = root, names
        self.class_params = {*_class_params(root)}
        word = "|".join(map(re.escape, names))
        self._quoted = re.compile(rf"(['\"])({word})\1")
        self._typed = re.compile(rf"@({word})\b")

    def spec(self) -> Mapping:
        def section(path: Path, node: Node) -> Node:
            match path:
                case ("model",):
                    return _texts(node, self._class)
                case ("blocks",):
                    return self._blocks(node)
                case ("params",):
                    return self._params(node)
                case (key,) if key in _SELECTING:
                    return _texts(node, self._pattern)
                case _:
                    return node

        return _with_changed_values(self.root, section)

    def _class(self, text: str) -> str:
        """A block's name, or an expression that chooses one."""
        if text.startswith("$"):
            return self._quoted.sub(
                lambda found: f"{found[1]}{self.names[found[2]]}{found[1]}", text
            )
        return self.names.get(text, text)

    def _pattern(self, text: str) -> str:
        return self._typed.sub(lambda found: f"@{self.names[found[1]]}", text)

    def _blocks(self, node: Node) -> Node:
        if not isinstance(node, Mapping):
            return node
        blocks = {
            self.names.get(n, n): replace(e, value=self._block(e.value))
            for n, e in node.entries.items()
        }
        return replace(node, entries=blocks)

    def _block(self, node: Node) -> Node:
        def group(path: Path, node: Node) -> Node:
            match path:
                case ("params",):
                    return self._params(node)
                case ("modules" | "items",):
                    return self._modules(node)
                case ("inputs" | "outputs",):
                    return self._like(node)
                case ("methods",):
                    return _changed(node, lambda _, method: _changed(method, group))
                case (key,) if key in _SELECTING:
                    return _texts(node, self._pattern)
                case _:
                    return node

        return _changed(node, group)

    def _params(self, node: Node) -> Node:
        """The defaults and choices of parameters that hold classes."""

        def one(path: Path, declared: Node) -> Node:
            if path[-1] not in self.class_params:
                return declared
            if not isinstance(declared, Mapping):
                return _texts(declared, self._class)
            keys = ("default", "choices")
            return _changed(declared, lambda p, v: _texts(v, self._class) if p[-1] in keys else v)

        return _changed(node, one)

    def _modules(self, node: Node) -> Node:
        """Types, and arguments that are classes, at any depth."""
        if isinstance(node, Listing):
            return replace(node, items=tuple(map(self._modules, node.items)))

        def value(path: Path, node: Node) -> Node:
            if path[-1] == "type" or path[-1] in self.class_params:
                return _texts(node, self._class)
            return self._modules(node)

        return _changed(node, value)

    def _like(self, node: Node) -> Node:
        return _changed(node, lambda p, v: _texts(v, self._class) if p[-1] == "like" else v)


def _class_params(root: Mapping) -> Iterator[str]:
    """The names of all parameters that hold blocks."""
    blocks = find(root, ("blocks",))
    names = blocks.entries if isinstance(blocks, Mapping) else {}
    for path in (("params",), *(("blocks", name, "params") for name in names)):
        group = find(root, path)
        for name, entry in group.entries.items() if isinstance(group, Mapping) else ():
            declared = entry.value
            kind = find(declared, ("type",)) if isinstance(declared, Mapping) else declared
            if isinstance(kind, Scalar) and kind.text in ("block", "list[block]"):
                yield name


def _changed(node: Node, change: Callable[[Path, Node], Node]) -> Node:
    """A mapping with other values; what is none stays as it is."""
    return _with_changed_values(node, change) if isinstance(node, Mapping) else node


def _with_changed_values(node: Mapping, change: Callable[[Path, Node], Node]) -> Mapping:
    entries = {key: Entry(e.key, change((key,), e.value)) for key, e in node.entries.items()}
    return replace(node, entries=entries)


def _texts(node: Node, change: Change) -> Node:
    """Every text of a node, keys included, as ``change`` has it."""
    match node:
        case Mapping():
            entries = {
                change(k): Entry(e.key, _texts(e.value, change)) for k, e in node.entries.items()
            }
            return replace(node, entries=entries)
        case Listing():
            return replace(node, items=tuple(_texts(item, change) for item in node.items))
        case Scalar(value=str(text)) if change(text) != text:
            return replace(node, value=change(text), text=change(text))
        case _:
            return node
