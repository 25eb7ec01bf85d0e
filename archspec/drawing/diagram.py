"""What a drawing consists of, as data: boxes, arrows, and notes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from archspec.errors import Place, Problem, UsageError, place_fields

Kind = Literal["module", "operation", "input", "output", "tensor", "constant", "more"]
State = Literal["trainable", "frozen", "partly frozen", "no parameters", ""]


@dataclass(frozen=True, slots=True)
class Box:
    """One node.

    Attributes:
        id: ``n0``, ``n1``, … in the order of the model or of its forward.
        kind: a ``module``; an ``operation``, an ``input`` or an ``output`` of a forward; a
            ``tensor`` that is a parameter or a buffer; a ``constant``; ``more`` stands for boxes
            that are left out.
        name: what the spec calls it, relative to what is drawn.
        type: the class of a module, the function of an operation.
        text: arguments of an operation or a layer.
        path: the dotted path of a module or tensor; of the first, if it stands for several.
        times: how many equal modules it stands for.
        calls: how often each of them is called, one time after the other.
        parameters, trainable: elements; of one module, if it stands for several.
        state: what a freeze plan makes of its parameters.
        shared: whether some of its parameters belong to another module, too.
        place: the step that runs it; in the hierarchy, where it is declared.
        link: the name of the drawing of what is inside.
    """

    id: str
    kind: Kind
    name: str
    type: str = ""
    text: str = ""
    path: str = ""
    times: int = 1
    calls: int = 1
    parameters: int = 0
    trainable: int = 0
    state: State = ""
    shared: bool = False
    place: Place | None = None
    link: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The box as plain data; a place is a file, a line, a column."""
        return {
            **{name: getattr(self, name) for name in Box.__slots__ if name != "place"},
            **place_fields(self.place),
        }


@dataclass(frozen=True, slots=True)
class Arrow:
    """One edge: a tensor on its way, or, in the hierarchy, that a module holds another.

    Attributes:
        source, target: ids of boxes.
        shape: of the tensor; None in the hierarchy.
        text: the shape, by the names of its dimensions: ``[batch, seq, 768]``.
        output: which of several results of the source it is, counted from 0.
        argument: as what the target takes it: an input's name, or a position.
    """

    source: str
    target: str
    shape: tuple[int, ...] | None = None
    text: str = ""
    output: int = 0
    argument: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The arrow as plain data; a shape is a list."""
        data = {name: getattr(self, name) for name in Arrow.__slots__}
        return {**data, "shape": None if self.shape is None else list(self.shape)}


@dataclass(frozen=True, repr=False)
class Diagram:
    """The hierarchy of a model's modules, or the data flow of one block, as data.

    Attributes:
        spec: the spec's name.
        block: the type of the block whose forward is drawn; "" for the hierarchy.
        path: where the block stands in the model; "" for the root and for the hierarchy.
        nodes, edges: what is drawn.
        dims: symbolic dimension → size.
        freeze: the plan's name, or patterns, or None.
        notes: what has to be known beside the drawing.
        links: what a link is made of: ``{}`` stands for the name of a drawing; "" for no links.
        above: titles and names of the drawings that lead here.
    """

    spec: str
    block: str
    path: str
    nodes: tuple[Box, ...]
    edges: tuple[Arrow, ...]
    dims: Mapping[str, int]
    freeze: str | tuple[str, ...] | None
    notes: tuple[str, ...] = ()
    links: str = "{}.svg"
    above: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        _check_links(self.links)

    @property
    def title(self) -> str:
        return f"{self.spec}: {self.block or 'modules'}"

    @property
    def nodes_by_id(self) -> dict[str, Box]:
        """Each box by what arrows call it."""
        return {node.id: node for node in self.nodes}

    def to_dict(self) -> dict[str, Any]:
        """The drawing as plain data, for ``--json``."""
        plan = self.freeze
        return {
            "spec": self.spec,
            "block": self.block,
            "path": self.path,
            "dims": dict(self.dims),
            "freeze": list(plan) if isinstance(plan, tuple) else plan,
            "notes": list(self.notes),
            "nodes": [node.to_dict() for node in self.nodes],
            "edges": [edge.to_dict() for edge in self.edges],
        }


def _check_links(links: object) -> None:
    """Browsers take blanks and control characters out of an address before they read its scheme."""
    if isinstance(links, str) and links.isprintable() and " " not in links:
        scheme, colon, _ = re.split(r"[/?#]", links)[0].partition(":")
        if not colon or scheme.lower() in ("http", "https"):
            return
    message = f"this is no pattern of links: {links!r}"
    hint = "such as '{}.svg', '#{}' or 'https://example.org/{}'"
    raise UsageError(Problem("E801", message, hint=hint))
