"""A drawing as text, for terminals: each box with what flows into it, or below what holds it."""

from __future__ import annotations

from collections import defaultdict

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from archspec.drawing.diagram import Arrow, Box, Diagram
from archspec.drawing.dot import label
from archspec.report.text import printable

_STYLES = {"frozen": "dim", "partly frozen": "yellow", "trainable": "cyan"}


def drawn(diagram: Diagram) -> RenderableType:
    """Everything that rich has to print."""
    notes = [Text(printable(note), style="dim") for note in diagram.notes]
    title = Text(printable(diagram.title), style="bold")
    return Group(title, *notes, Text(), _flow(diagram) if diagram.block else _tree(diagram))


def _tree(diagram: Diagram) -> RenderableType:
    below: dict[str, list[Box]] = defaultdict(list)
    boxes = diagram.nodes_by_id
    for edge in diagram.edges:
        below[edge.source].append(boxes[edge.target])
    held = {edge.target for edge in diagram.edges}
    stack = [(node, 0) for node in reversed(diagram.nodes) if node.id not in held]
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
    grid = Table.grid(padding=(0, 2, 0, 0))
    for node in diagram.nodes:
        sources = [f"{names[edge.source]} {edge.text}".rstrip() for edge in incoming[node.id]]
        arrow = "←" if sources else ""
        grid.add_row(_line(node), arrow, Text(printable("  ".join(sources)), style="dim"))
    return grid


def _line(node: Box, indent: str = "") -> Text:
    text = f"{indent}{'  '.join(label(node))}"
    return Text(printable(text), style=_STYLES.get(node.state, ""))
