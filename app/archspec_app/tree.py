"""The module tree as plain data: each kind of subtree once, and what is frozen in it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from archspec.inspection import Inspection, Node
from archspec_app.session import BuiltSpec


def tree_data(opened: BuiltSpec) -> dict[str, Any]:
    """What the page needs to draw the tree, and to unfold it without asking again.

    Returns:
        ``kinds``: a list of what nodes look like, with ``children`` as pairs of a name and an index
        in the list; ``root``: an index; ``trainable``: path → parameters, for the modules
        that are not wholly trainable; ``file``: whose lines a kind's ``line`` counts in.
    """
    kinds = _Kinds()
    root = kinds.number(opened.inspection.root)
    return {
        "name": opened.spec.name,
        "root": root,
        "kinds": kinds.found,
        "trainable": _trainable(opened.inspection.root),
        "dims": dict(opened.inspection.dims),
    }


class _Kinds:
    """Numbers nodes such that subtrees that look alike have the same number."""

    def __init__(self) -> None:
        self.found: list[dict[str, Any]] = []
        self._numbers: dict[object, int] = {}

    def number(self, node: Node) -> int:
        children = [(child.name, self.number(child)) for child in node.children]
        plain = replace(node, path="", trainable=0, activations=0, shared={}, children=())
        key = (
            tuple(getattr(plain, name) for name in Node.__slots__ if name != "shared"),
            tuple(node.shared.items()),
            tuple(children),
        )
        if key not in self._numbers:
            self._numbers[key] = len(self.found)
            self.found.append(self._data(node, children))
        return self._numbers[key]

    def _data(self, node: Node, children: list[tuple[str, int]]) -> dict[str, Any]:
        place = node.place
        return {
            "type": node.type,
            "text": node.text,
            "parameters": node.parameters,
            "buffers": node.buffers,
            "shared": dict(node.shared),
            "calls": node.calls,
            "inputs": [list(shape) for shape in node.inputs],
            "outputs": [list(shape) for shape in node.outputs],
            "macs": node.macs,
            "file": place.file if place else None,
            "line": place.line if place else None,
            "children": children,
        }


def _trainable(root: Node) -> dict[str, int]:
    found: dict[str, int] = {}
    waiting = [root]
    while waiting:
        node = waiting.pop()
        waiting += node.children
        if node.trainable != node.parameters:
            found[node.path] = node.trainable
    return found


def find(inspection: Inspection, path: str) -> Node | None:
    """The node at a path."""
    node: Node | None = inspection.root
    for name in path.split(".") if path else []:
        node = (
            next((child for child in node.children if child.name == name), None) if node else None
        )
    return node
