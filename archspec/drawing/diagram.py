"""What a drawing consists of, as data: boxes, arrows, and what is told beside them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from archspec.errors import Place, Problem, UsageError
from archspec.report.display import Displayed

if TYPE_CHECKING:
    from rich.console import RenderableType

Kind = Literal["module", "operation", "input", "output", "tensor", "constant", "more"]
State = Literal["trainable", "frozen", "partly frozen", "no parameters", ""]

SECONDS = 60.0
"""How long laying a drawing out may take."""

SUFFIXES = ("svg", "png", "dot")


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
        place = self.place
        return {
            **{name: getattr(self, name) for name in Box.__slots__ if name != "place"},
            "file": place.file if place else None,
            "line": place.line if place else None,
            "column": place.column if place else None,
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
        found = {name: getattr(self, name) for name in Arrow.__slots__}
        return {**found, "shape": None if self.shape is None else list(self.shape)}


@dataclass(frozen=True, repr=False)
class Drawing(Displayed):
    """The hierarchy of a model's modules, or the data flow of one block.

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

    def __rich__(self) -> RenderableType:
        from archspec.drawing.plain_text import drawn

        return drawn(self)

    def __repr__(self) -> str:
        return f"<Drawing {self.title}: {len(self.nodes)} nodes, {len(self.edges)} edges>"

    @property
    def title(self) -> str:
        return f"{self.spec}: {self.block or 'modules'}"

    @property
    def nodes_by_id(self) -> dict[str, Box]:
        """Each box by what arrows call it."""
        return {node.id: node for node in self.nodes}

    @property
    def dot(self) -> str:
        """The drawing in Graphviz's language; equal drawings give equal texts."""
        from archspec.drawing.dot import dot_text

        return dot_text(self)

    def svg(self, *, seconds: float = SECONDS) -> str:
        """The drawing as SVG, without scripts and styles.

        The group of each box has its id as ``data-node``.

        Args:
            seconds: how long Graphviz may take.

        Raises:
            UsageError: E801, no Graphviz is installed, or it cannot cope with the drawing.
        """
        from archspec.drawing.graphviz_engines import svg

        return svg(self.dot, self.title, seconds)

    def png(self, *, seconds: float = SECONDS) -> bytes:
        """The drawing as a bitmap; takes and raises what ``svg`` does."""
        from archspec.drawing.graphviz_engines import render

        return render(self.with_links("").dot, "png", seconds)

    def data(self, to: str) -> bytes:
        """The drawing as the content of a file.

        Args:
            to: ``svg``, ``png`` or ``dot``.

        Raises:
            UsageError: E801 for anything else, and as ``svg``.
        """
        if to == "png":
            return self.png()
        if to not in SUFFIXES:
            hint = f"there are {', '.join(SUFFIXES)}"
            raise UsageError(Problem("E801", f"a drawing cannot be written as '{to}'", hint=hint))
        return (self.svg() if to == "svg" else self.dot).encode()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the drawing to a file, by its suffix: ``.svg``, ``.png`` or ``.dot``.

        Raises:
            UsageError: E801 for another suffix, and as ``svg``.
            OSError: the file cannot be written.
        """
        file = Path(path)
        data = self.data(file.suffix.removeprefix(".").lower())
        file.write_bytes(data)

    def with_links(self, links: str) -> Drawing:
        """The same drawing with other links.

        Args:
            links: a pattern in which ``{}`` stands for a drawing's name, such as ``{}.svg`` or
                ``#{}``; "" for no links. A path, a fragment, or an address of ``http`` or
                ``https``.

        Raises:
            UsageError: E801 for any other address, such as one of ``javascript``.
        """
        return replace(self, links=links)

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

    def _repr_svg_(self) -> str | None:
        """For notebooks; None, so that its ``repr`` is shown instead, without Graphviz."""
        try:
            return self.with_links("").svg()
        except UsageError:
            return None

    def _repr_html_(self) -> str:
        picture = self._repr_svg_()
        return picture[picture.index("<svg") :] if picture else super()._repr_html_()


def _check_links(links: object) -> None:
    """Browsers take blanks and control characters out of an address before they read its scheme."""
    if isinstance(links, str) and links.isprintable() and " " not in links:
        scheme, colon, _ = re.split(r"[/?#]", links)[0].partition(":")
        if not colon or scheme.lower() in ("http", "https"):
            return
    message = f"this is no pattern of links: {links!r}"
    hint = "such as '{}.svg', '#{}' or 'https://example.org/{}'"
    raise UsageError(Problem("E801", message, hint=hint))
