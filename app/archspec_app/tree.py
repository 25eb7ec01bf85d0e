"""The module tree as plain data: each kind of subtree once, and what is trainable in it."""

from __future__ import annotations

from typing import Any

from archspec.inspection import Inspection, Node
from archspec.report.subtrees import SubtreeNumbers
from archspec_app.session import BuiltSpec

# Modules of one kind may differ in these, as a freeze plan decides.
_PER_MODULE = ("trainable", "activations")


def tree_data(built: BuiltSpec) -> dict[str, Any]:
    """What the page needs to draw the tree, and to expand it without another request.

    Returns:
        ``kinds``: the different subtrees, with ``children`` as pairs of a name and an index in this
        list; ``root``: an index; ``trainable``: path → trainable parameters, for the modules that
        are not entirely trainable; ``file``: the file that the lines of ``kinds`` refer to.
    """
    numbers = SubtreeNumbers[Node](
        lambda node: node.appearance(ignored=_PER_MODULE), Node.named_children
    )
    root = numbers.number(built.inspection.root)
    return {
        "name": built.spec.name,
        "root": root,
        "kinds": [
            {
                **{name: fact for name, fact in node.facts().items() if name not in _PER_MODULE},
                "children": [(name, numbers.number(n)) for name, n in node.named_children()],
            }
            for node in numbers.firsts
        ],
        "trainable": _trainable(built.inspection.root),
        "dims": dict(built.inspection.dims),
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
