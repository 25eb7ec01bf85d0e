"""A diagram as text for terminals: boxes with their inputs, or an indented tree of modules."""

from __future__ import annotations

from collections import defaultdict

from rich.console import Group, RenderableType
from rich.text import Text

from archspec.drawing.diagram import Arrow, Box, Diagram
from archspec.drawing.dot import label
from archspec.report.tables import plain_grid, safe_text

_STYLES = {"frozen": "dim", "partly frozen": "yellow", "trainable": "cyan"}


def renderable(diagram: Diagram) -> RenderableType:
    """Title, notes and boxes, as rich prints them."""
    notes = (safe_text(note, "dim") for note in diagram.notes)
    return Group(
        safe_text(diagram.title, "bold"),
        *notes,
        Text(),
        _flow(diagram) if diagram.block else _tree(diagram),
    )


def _tree(diagram: Diagram) -> RenderableType:
    below: dict[str, list[Box]] = defaultdict(list)
    boxes = diagram.nodes_by_id
    for edge in diagram.edges:
        below[edge.source].append(boxes[edge.target])
    children = {edge.target for edge in diagram.edges}
    stack = [(node, 0) for node in reversed(diagram.nodes) if node.id not in children]
    lines: list[Text] = []
    while stack:
        node, depth = stack.pop()
        lines.append(_line(node, "  " * depth))
        stack += [(child, depth + 1) for child in reversed(below[node.id])]
    return Group(*lines)


def _flow(diagram: Diagram) -> RenderableType:
    incoming: dict[str, list[Arrow]] = defaultdict(list)
    for edge in diagram.edges:
        incoming[edge.target].append(edge)
    names = {node.id: label(node)[0] for node in diagram.nodes}
    grid = plain_grid()
    for node in diagram.nodes:
        sources = [f"{names[edge.source]} {edge.text}".rstrip() for edge in incoming[node.id]]
        arrow = "←" if sources else ""
        grid.add_row(_line(node), arrow, safe_text("  ".join(sources), "dim"))
    return grid


def _line(node: Box, indent: str = "") -> Text:
    return safe_text(f"{indent}{'  '.join(label(node))}", _STYLES.get(node.state, ""))
