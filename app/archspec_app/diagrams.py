"""Diagrams of the open model, one block at a time."""

from __future__ import annotations

import base64
from typing import Any

import archspec
from archspec.drawing import Box, Drawing
from archspec.drawing.dot import label
from archspec.errors import Problem, UsageError
from archspec.inspection.inspecting import example_run
from archspec.lang.instances import ancestors, walk
from archspec_app.session import BuiltSpec

TIME_LIMIT = 15.0
"""Seconds that Graphviz may take."""

MAX_SVG_LENGTH = 3_000_000
FLOW, MODULES = "flow", "modules"


def diagram_data(built: BuiltSpec, path: str, view: str) -> dict[str, Any]:
    """A diagram, and the modules and lines that its boxes stand for.

    Args:
        path: of the selected module: its data flow is drawn, or that of the block that contains it.
        view: ``flow``, or ``modules`` for the hierarchy.

    Returns:
        ``svg``: untrusted text, to be sanitised before it is shown; ``boxes``: with the ids of the
        SVG's nodes; ``trail``: the path of blocks from the root to the one that is drawn.

    Raises:
        UsageError: E801, it cannot be drawn, or is too large.
    """
    block = enclosing_block(built, path)
    drawing = _draw(built, block, view)
    svg = drawing.svg(seconds=TIME_LIMIT)
    if len(svg) > MAX_SVG_LENGTH:
        raise UsageError(_too_large(len(drawing.nodes)))
    return {
        "view": view,
        "path": block,
        "title": drawing.title,
        "svg": svg,
        "text": str(drawing),
        "boxes": [_box(box, drawing) for box in drawing.nodes],
        "trail": _trail(built, block),
        "file": _file(drawing, view),
    }


def png_data(built: BuiltSpec, path: str, view: str) -> dict[str, Any]:
    """The same diagram as a PNG in Base64; raises as ``diagram_data``."""
    drawing = _draw(built, enclosing_block(built, path), view)
    png = drawing.png(seconds=TIME_LIMIT)
    return {"png": base64.b64encode(png).decode(), "file": _file(drawing, view)}


def _draw(built: BuiltSpec, block: str, view: str) -> Drawing:
    """The diagram for the chosen sizes and freeze plan."""
    spec, _ = example_run(built.spec, built.inspection.dims)
    # With the leading dot a path is never taken for the name of a block.
    selected = None if view == MODULES else f".{block}"
    return archspec.draw(spec, block=selected, freeze=built.request.plan).with_links("")


def enclosing_block(built: BuiltSpec, path: str) -> str:
    """The path of the nearest block at or above a module: the one whose data flow shows it."""
    blocks = built.spec.architecture.blocks
    types = _types(built)
    if types.get(path) == "Sequential":
        return path
    candidates = [path, *reversed(ancestors(path))]
    return next((name for name in candidates if types.get(name) in blocks), "")


def _trail(built: BuiltSpec, block: str) -> list[dict[str, str]]:
    types, blocks = _types(built), built.spec.architecture.blocks
    return [
        {"path": path, "name": path.rpartition(".")[2], "type": types[path]}
        for path in [*ancestors(block), block]
        if path == block or types.get(path) in blocks
    ]


def _types(built: BuiltSpec) -> dict[str, str]:
    return {path: instance.type for path, instance in walk(built.spec.root)}


def _box(box: Box, drawing: Drawing) -> dict[str, Any]:
    place = box.place
    return {
        "id": box.id,
        "kind": box.kind,
        "path": box.path if box.kind == "module" else None,
        "times": box.times,
        "can_open": box.link is not None and bool(drawing.block),
        "label": ", ".join(label(box)),
        "file": place.file if place else None,
        "line": place.line if place else None,
    }


def _file(drawing: Drawing, view: str) -> str:
    """The name of a download, without a suffix."""
    return f"{drawing.spec}-{'modules' if view == MODULES else drawing.block}"


def _too_large(boxes: int) -> Problem:
    hint = "open one of its blocks, or select another one in the tree"
    return Problem("E801", f"a diagram of {boxes:,} boxes is too large for the page", hint=hint)
