"""The module tree as plain data: each kind of subtree once, and what is trainable in it."""

from __future__ import annotations

from typing import Any

from archspec.inspection import Inspection, Node
from archspec.report.subtrees import SubtreeNumbers
from archspec_app.session import BuiltSpec


def tree_data(built: BuiltSpec) -> dict[str, Any]:
    """What the page needs to draw the tree, and to expand it without another request.

    Returns:
        ``kinds``: the different subtrees, with ``children`` as pairs of a name and an index in this
        list; ``root``: an index; ``trainable``: path → trainable parameters, for the modules that
        are not entirely trainable; ``file``: the file that the lines of ``kinds`` refer to.
    """
    numbers = SubtreeNumbers[Node](
        lambda node: node.appearance(ignored=("trainable", "activations")), Node.named_children
    )
    root = numbers.number(built.inspection.root)
    return {
        "name": built.spec.name,
        "root": root,
        "kinds": [
            _kind_data(node, [(name, numbers.number(n)) for name, n in node.named_children()])
            for node in numbers.firsts
        ],
        "trainable": _trainable(built.inspection.root),
        "dims": dict(built.inspection.dims),
    }


def _kind_data(node: Node, children: list[tuple[str, int]]) -> dict[str, Any]:
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
    counts: dict[str, int] = {}
    nodes = [root]
    while nodes:
        node = nodes.pop()
        nodes += node.children
        if node.trainable != node.parameters:
            counts[node.path] = node.trainable
    return counts


def find(inspection: Inspection, path: str) -> Node | None:
    """The node at a path; None if there is none."""
    node: Node | None = inspection.root
    for name in path.split(".") if path else []:
        children = node.children if node else ()
        node = next((child for child in children if child.name == name), None)
    return node
