"""Runs Graphviz, the system's ``dot`` or graphviz-pure, and makes its SVG safe."""

from __future__ import annotations

import re
import shutil
import subprocess
import sysconfig
from importlib import metadata
from pathlib import Path
from xml.etree import ElementTree

from archspec.errors import Problem, UsageError
from archspec.report.text import first_line, printable

MAX_BYTES = 64 * 2**20

_SVG = "http://www.w3.org/2000/svg"
_XLINK = "{http://www.w3.org/1999/xlink}"
_SMALLER = "draw one block, or write the text with 'dot' and lay it out elsewhere"


def engine() -> str:
    """The program that lays graphs out.

    Raises:
        UsageError: E801 if none is installed.
    """
    program = shutil.which("dot") or _graphviz_pure()
    if program is None:
        hint = "pip install graphviz-pure, or install Graphviz so that 'dot' is on the PATH"
        raise UsageError(Problem("E801", "drawing needs Graphviz", hint=hint))
    return program


def _graphviz_pure() -> str | None:
    """The program of the package graphviz-pure, whether or not it is on the PATH."""
    try:
        files = metadata.files("graphviz-pure") or []
    except metadata.PackageNotFoundError:
        files = []
    places = [Path(str(file.locate())) for file in files if file.stem == "graphviz-pure"]
    places.append(Path(sysconfig.get_path("scripts")) / "graphviz-pure")
    programs = map(shutil.which, places)
    return next(filter(None, programs), None) or shutil.which("graphviz-pure")


def render(dot: str, to: str, seconds: float) -> bytes:
    """Lay a graph out in a process of its own.

    Args:
        dot: the graph in DOT.
        to: ``svg`` or ``png``; the latter at most 100 × 100 inches large.
        seconds: time limit.

    Raises:
        UsageError: E801 if Graphviz is not installed, fails, or exceeds a limit.
    """
    size = ["-Gsize=100,100", "-Gdpi=120"] if to == "png" else []
    command = [engine(), "-Kdot", f"-T{to}", *size]
    try:
        done = subprocess.run(command, input=dot.encode(), capture_output=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise _refused(f"Graphviz took more than {seconds:g} seconds") from None
    except OSError as error:
        raise _refused(f"Graphviz cannot be run: {error.strerror}") from None
    if done.returncode or not done.stdout:
        message = first_line(done.stderr.decode(errors="replace")) or "no message"
        raise _refused(f"Graphviz failed: {message}")
    if len(done.stdout) > MAX_BYTES:
        raise _refused(f"the drawing has more than {MAX_BYTES // 2**20} MiB")
    return done.stdout


def _refused(message: str) -> UsageError:
    return UsageError(Problem("E801", message, hint=_SMALLER))


# ------------------------------------------------------------------------------------------- SVG

_ATTRIBUTES = {
    "svg": {"width", "height", "viewBox"},
    "g": {"class", "transform"},
    "a": {"href", "target"},
    "polygon": {"points"},
    "polyline": {"points"},
    "path": {"d"},
    "ellipse": {"cx", "cy", "rx", "ry"},
    "text": {"x", "y", "text-anchor", "font-family", "font-size", "font-weight"},
    "title": set[str](),
}
_NODE = re.compile(r"n\d+")
_PAINT = {"fill", "stroke", "stroke-width", "stroke-dasharray", "opacity"}


def svg(dot: str, title: str, seconds: float) -> str:
    """A graph as SVG with shapes, texts, links and tooltips, and nothing else.

    Args:
        dot: the graph in DOT.
        title: text alternative for screen readers.
        seconds: time limit of the layout.

    Raises:
        UsageError: E801 as ``render``.
    """
    data = render(dot, "svg", seconds)
    try:
        root = _cleaned(ElementTree.fromstring(data))
    except ElementTree.ParseError:
        root = None
    if root is None:
        raise _refused("Graphviz made no SVG")
    root.set("xmlns", _SVG)
    root.set("role", "img")
    root.set("aria-label", printable(title))
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _cleaned(element: ElementTree.Element) -> ElementTree.Element | None:
    """An element and its children, reduced to tags and attributes that are known to be harmless."""
    tag = element.tag.removeprefix(f"{{{_SVG}}}")
    if tag not in _ATTRIBUTES or tag == "title":  # Graphviz's titles are our ids
        return None
    allowed = _ATTRIBUTES[tag] | _PAINT
    attributes = {name.removeprefix(_XLINK): value for name, value in element.attrib.items()}
    made = ElementTree.Element(tag, {n: v for n, v in attributes.items() if n in allowed})
    made.text, made.tail = element.text, element.tail
    if attributes.get("class") == "node":
        name = element.findtext(f"{{{_SVG}}}title", "")
        if _NODE.fullmatch(name):
            made.set("data-node", name)
    if attributes.get("title", "").strip():
        ElementTree.SubElement(made, "title").text = attributes["title"]
    if tag == "a" and "href" not in attributes:
        made.tag = "g"  # a tooltip alone is no link
    for child in map(_cleaned, element):
        if child is not None:
            made.append(child)
    return made
