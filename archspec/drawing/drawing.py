"""A drawing as SVG, as a bitmap, as DOT, on terminals and in notebooks."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import RenderableType

from archspec.drawing import graphviz_engines
from archspec.drawing.diagram import Diagram
from archspec.drawing.dot import dot_text
from archspec.drawing.plain_text import renderable
from archspec.errors import Problem, UsageError
from archspec.report.display import Displayed

TIMEOUT = 60.0
"""Seconds that the layout of a drawing may take."""

SUFFIXES = ("svg", "png", "dot")


@dataclass(frozen=True, repr=False)
class Drawing(Diagram, Displayed):
    """The hierarchy of a model's modules, or the data flow of one block, and how it is shown."""

    def __rich__(self) -> RenderableType:
        return renderable(self)

    def __repr__(self) -> str:
        return f"<Drawing {self.title}: {len(self.nodes)} nodes, {len(self.edges)} edges>"

    @property
    def dot(self) -> str:
        """The drawing in DOT, Graphviz's language; equal drawings give equal texts."""
        return dot_text(self)

    def svg(self, *, seconds: float = TIMEOUT) -> str:
        """The drawing as SVG, without scripts and styles.

        The group of each box has its id as ``data-node``.

        Args:
            seconds: how long Graphviz may take.

        Raises:
            UsageError: E801 if Graphviz is not installed, or fails to lay the drawing out.
        """
        return graphviz_engines.svg(self.dot, self.title, seconds)

    def png(self, *, seconds: float = TIMEOUT) -> bytes:
        """The drawing as a bitmap; takes and raises what ``svg`` does."""
        return graphviz_engines.render(self.with_links("").dot, "png", seconds)

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
            hint = f"there are {', '.join(SUFFIXES)}; draw_canvas writes html"
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

    def _repr_svg_(self) -> str | None:
        """For notebooks; without Graphviz None, and they show the text instead."""
        try:
            return self.with_links("").svg()
        except UsageError:
            return None

    def _repr_html_(self) -> str:
        picture = self._repr_svg_()
        return picture[picture.index("<svg") :] if picture else super()._repr_html_()
