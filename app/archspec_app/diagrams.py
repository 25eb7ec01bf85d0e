"""Drawings of the open model, one block at a time, as the page shows them."""

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

SECONDS = 15.0
"""How long Graphviz may take while somebody waits."""

MOST_LETTERS = 3_000_000
FLOW, MODULES = "flow", "modules"


def diagram_data(opened: BuiltSpec, path: str, view: str) -> dict[str, Any]:
    """A drawing and what its boxes lead to.

    Args:
        path: of the selected module: its data flow is drawn, or that of the block around it.
        view: ``flow``, or ``modules`` for the hierarchy.

    Returns:
        ``svg``: a text that must be cleaned by whoever shows it; ``boxes``: by id; ``trail``: the
        blocks around the one that is drawn, the root first, itself last.

    Raises:
        UsageError: E801, it cannot be drawn, or is too large.
    """
    block = around(opened, path)
    drawing = drawn(opened, block, view)
    svg = drawing.svg(seconds=SECONDS)
    if len(svg) > MOST_LETTERS:
        raise UsageError(_too_large(len(drawing.nodes)))
    return {
        "view": view,
        "path": block,
        "title": drawing.title,
        "svg": svg,
        "text": str(drawing),
        "boxes": [_box(box, drawing) for box in drawing.nodes],
        "trail": _trail(opened, block),
        "file": _file(drawing, view),
    }


def png_data(opened: BuiltSpec, path: str, view: str) -> dict[str, Any]:
    """The same drawing as a bitmap, in Base64; raises as ``diagram_data``."""
    drawing = drawn(opened, around(opened, path), view)
    png = drawing.png(seconds=SECONDS)
    return {"png": base64.b64encode(png).decode(), "file": _file(drawing, view)}


def drawn(opened: BuiltSpec, block: str, view: str) -> Drawing:
    """The drawing, at the sizes and under the plan that are chosen."""
    spec, _ = example_run(opened.spec, opened.inspection.dims)
    # With the dot a path is never taken for the name of a block.
    wanted = None if view == MODULES else f".{block}"
    return archspec.draw(spec, block=wanted, freeze=opened.asked.plan).with_links("")


def around(opened: BuiltSpec, path: str) -> str:
    """The path of the module whose data flow shows a module: its own, if it is a block."""
    blocks = opened.spec.architecture.blocks
    types = {at: instance.type for at, instance in walk(opened.spec.root)}
    if types.get(path) == "Sequential":
        return path
    above = (at for at in [path, *reversed(ancestors(path))] if types.get(at) in blocks)
    return next(above, "")


def _trail(opened: BuiltSpec, block: str) -> list[dict[str, str]]:
    types = {at: instance.type for at, instance in walk(opened.spec.root)}
    blocks = opened.spec.architecture.blocks
    path = [at for at in [*ancestors(block), block] if at == block or types.get(at) in blocks]
    return [{"path": at, "name": at.rpartition(".")[2], "type": types[at]} for at in path]


def _box(box: Box, drawing: Drawing) -> dict[str, Any]:
    place = box.place
    return {
        "id": box.id,
        "kind": box.kind,
        "path": box.path if box.kind == "module" else None,
        "times": box.times,
        "down": box.link is not None and bool(drawing.block),
        "label": ", ".join(label(box)),
        "file": place.file if place else None,
        "line": place.line if place else None,
    }


def _file(drawing: Drawing, view: str) -> str:
    """What a download is called, without a suffix."""
    return f"{drawing.spec}-{'modules' if view == MODULES else drawing.block}"


def _too_large(boxes: int) -> Problem:
    hint = "go down into one of its blocks, or select another one in the tree"
    return Problem("E801", f"the drawing of {boxes:,} boxes is too large for a page", hint=hint)
