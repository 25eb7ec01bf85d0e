"""The whole model as data for one canvas: the data flow of each distinct block, with figures."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from archspec.drawing.canvas_page import page
from archspec.drawing.diagram import Arrow, Box
from archspec.drawing.drawn_model import DrawnModel
from archspec.drawing.flow_recorder import RecordedFlow
from archspec.drawing.folding import find_chains
from archspec.drawing.module_changes import module_changes
from archspec.drawing.pictures import record_flows
from archspec.inspection import Inspection, Node, inspect
from archspec.inspection.inspecting import example_run
from archspec.lang.spec import Spec, as_spec
from archspec.report.subtrees import SubtreeNumbers

_BOX = ("kind", "name", "type", "text", "calls", "parameters", "trainable", "state", "shared")
_FIGURES = ("parameters", "trainable", "macs", "activations", "calls")


@dataclass(frozen=True, repr=False)
class Canvas:
    """A model's modules and data flows, to be opened block by block on one canvas.

    Attributes:
        name: the spec's name.
        data: what ``to_dict`` returns.
    """

    name: str
    data: Mapping[str, Any] = field(repr=False)

    def __repr__(self) -> str:
        return f"<Canvas {self.name}: {len(self.data['flows'])} data flows>"

    def to_dict(self) -> dict[str, Any]:
        """The canvas as plain data.

        ``flows`` has the data flow of each distinct block once. In it, ``nodes`` are in the order
        of the forward; ``edges`` refer to them by index, as do ``chains`` of equal modules.
        The ``path`` of a node is relative to the block, unless ``outside`` is set; its ``flow`` is
        the index of what is inside. ``root`` is the node of the whole model. What is left out has
        its usual value: no text, no flow, false, 0, or one call. ``changes`` is what differs from
        another spec, if there is one: see ``module_changes``.
        """
        return dict(self.data)

    @property
    def html(self) -> str:
        """A page of its own that asks for nothing else, neither files nor hosts."""
        return page(self.name, self.data)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the page to a file.

        Raises:
            OSError: the file cannot be written.
        """
        Path(path).write_text(self.html, encoding="utf-8")


def draw_canvas(
    source: str | os.PathLike[str] | Spec,
    *,
    freeze: str | Sequence[str] | None = None,
    batch: int | None = None,
    against: str | os.PathLike[str] | Spec | None = None,
    **dims: int,
) -> Canvas:
    """The whole model for one interactive canvas, in which blocks open in place.

    The model is built on ``meta`` and runs there, in inference mode for its data flow and in
    training for activations, with all optional inputs.

    Args:
        source: as for ``draw``.
        freeze: as for ``draw``.
        batch: as for ``draw``.
        against: another spec, from which the canvas shows what differs.
        **dims: as for ``draw``.

    Returns:
        The canvas; ``save`` writes it as a page that works without a network.

    Raises:
        ShapeError, SpecError, BuildError, FreezeError, UsageError: as ``draw`` and ``inspect``.

    Example:
        >>> canvas = draw_canvas("resnet18")
        >>> canvas
        <Canvas resnet18: 9 data flows>
        >>> canvas.to_dict()["root"]["macs"]
        1814073344
    """
    spec, _ = example_run(source, dims if batch is None else {**dims, "batch": batch})
    other = None if against is None else as_spec(against, {})
    return canvas_of(inspect(spec, freeze=freeze), spec, against=other)


def canvas_of(inspection: Inspection, source: Spec, *, against: Spec | None = None) -> Canvas:
    """The canvas of a model that has been inspected: with its sizes, inputs, plan and precision.

    Args:
        against: as for ``draw_canvas``.
    """
    plan = inspection.freeze
    freeze = list(plan) if isinstance(plan, tuple) else plan
    subject = DrawnModel.of(source, freeze, inspection.dims, inspection.without)
    flows = _Flows(subject, inspection)
    files: dict[str, int] = {}
    data = {
        "spec": inspection.name,
        "dims": dict(inspection.dims),
        "freeze": freeze,
        "without": list(inspection.without),
        "precision": inspection.precision,
        "root": flows.root(files),
        "flows": [flows.flow(path, files) for path in flows.recorded],
        "files": list(files),
    }
    if against is not None:
        data["changes"] = module_changes(against, source)
    return Canvas(inspection.name, data)


class _Flows:
    """The data flows of a model's distinct blocks.

    Blocks are equal if they are built and frozen alike and have the same shapes and figures.

    Attributes:
        recorded: path of the first of each kind of blocks → its data flow; the root's first.
    """

    def __init__(self, subject: DrawnModel, inspection: Inspection) -> None:
        self.subject = subject
        numbers = SubtreeNumbers(self._features, Node.named_children)
        self.nodes: dict[str, Node] = {}
        self.kinds: dict[str, int] = {}
        firsts: dict[int, str] = {}
        for node in _walk(inspection.root):
            self.nodes[node.path] = node
            self.kinds[node.path] = numbers.number(node)
            if self._is_block(node.path):
                firsts.setdefault(self.kinds[node.path], node.path)
        flows = record_flows(subject, list(firsts.values()))
        self.recorded = {path: flows[path] for path in firsts.values() if path in flows}
        numbered = {path: i for i, path in enumerate(self.recorded)}
        self.index = {kind: numbered[path] for kind, path in firsts.items() if path in numbered}

    def _features(self, node: Node) -> tuple[object, ...]:
        known = node.path in self.subject.instances
        return (self.subject.kind(node.path) if known else None, *node.appearance())

    def _is_block(self, path: str) -> bool:
        instance = self.subject.instances.get(path)
        return instance is not None and instance.type in self.subject.spec.architecture.blocks

    def root(self, files: dict[str, int]) -> dict[str, Any]:
        box = Box("n0", "module", **{**self.subject.module_facts(""), "place": None})
        return self._node(box, "", files)

    def flow(self, path: str, files: dict[str, int]) -> dict[str, Any]:
        """What is in one block."""
        flow = self.recorded[path]
        index = {node.id: i for i, node in enumerate(flow.nodes)}
        chains = find_chains(flow.nodes, flow.edges, self.subject.kind)
        return {
            "nodes": [self._node(node, path, files) for node in flow.nodes],
            "edges": [_edge(edge, index) for edge in flow.edges],
            "chains": [[index[box.id] for box in chain] for chain in chains if len(chain) > 1],
            "notes": list(_notes(flow)),
        }

    def _node(self, box: Box, path: str, files: dict[str, int]) -> dict[str, Any]:
        facts = {name: getattr(box, name) for name in _BOX}
        prefix = f"{path}." if path else ""
        if box.path:
            is_inside = box.path.startswith(prefix)
            facts |= {"path": box.path.removeprefix(prefix), "outside": not is_inside}
        node = self.nodes.get(box.path) if box.kind == "module" else None
        if node is not None:
            facts |= {name: getattr(node, name) for name in _FIGURES}
            facts |= {"flow": self.index.get(self.kinds[box.path])}
            facts |= {
                name: [list(s) for s in getattr(node, name)] for name in ("inputs", "outputs")
            }
            facts |= {"input_names": self._texts(node.inputs), "names": self._texts(node.outputs)}
        if box.place is not None:
            facts["place"] = [files.setdefault(box.place.file, len(files)), box.place.line]
        usual: dict[str, Any] = {"calls": 1}
        return {
            name: value
            for name, value in facts.items()
            if value is not None and (value or name == "flow") and value != usual.get(name)
        }

    def _texts(self, shapes: Sequence[Sequence[int]]) -> list[str]:
        return [self.subject.shape_text(shape) for shape in shapes]


def _walk(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from _walk(child)


def _edge(edge: Arrow, index: Mapping[str, int]) -> dict[str, Any]:
    facts = {"source": index[edge.source], "target": index[edge.target], "text": edge.text}
    facts["shape"] = list(edge.shape or ())
    return facts | {n: v for n in ("output", "argument") if (v := getattr(edge, n))}


def _notes(flow: RecordedFlow) -> Iterator[str]:
    if flow.absent:
        yield f"not given: {', '.join(flow.absent)}"
    if not flow.complete:
        yield f"it has too many steps: only the first {len(flow.nodes):,} are drawn"
