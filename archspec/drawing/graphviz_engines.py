"""Graphviz: ``dot`` if the system has it, else the one of graphviz-pure; and SVG made safe."""

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
        UsageError: E801, none is installed.
    """
    found = shutil.which("dot") or _pure()
    if found is None:
        hint = "pip install graphviz-pure, or install Graphviz so that 'dot' is on the PATH"
        raise UsageError(Problem("E801", "drawing needs Graphviz", hint=hint))
    return found


def _pure() -> str | None:
    """The program that the package graphviz-pure holds, whether or not it is on the PATH."""
    try:
        files = metadata.files("graphviz-pure") or []
    except metadata.PackageNotFoundError:
        files = []
    places = [Path(str(file.locate())) for file in files if file.stem == "graphviz-pure"]
    places.append(Path(sysconfig.get_path("scripts")) / "graphviz-pure")
    found = (shutil.which(place) for place in places)
    return next(filter(None, found), None) or shutil.which("graphviz-pure")


def render(dot: str, to: str, seconds: float) -> bytes:
    """Lay a graph out, in a process of its own.

    Args:
        dot: text in Graphviz's language.
        to: ``svg`` or ``png``; the latter at most 100 × 100 inches large.
        seconds: how long that may take.

    Raises:
        UsageError: E801, no Graphviz is installed, or it cannot cope with the graph.
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
    """A graph as SVG that holds shapes, texts, links and tooltips, and nothing else.

    Args:
        dot: text in Graphviz's language.
        title: what the picture is, for those who hear it.
        seconds: how long laying it out may take.

    Raises:
        UsageError: E801, as ``render``.
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


def _cleaned(given: ElementTree.Element) -> ElementTree.Element | None:
    """An element and what is in it, of what is known to be harmless."""
    tag = given.tag.removeprefix(f"{{{_SVG}}}")
    if tag not in _ATTRIBUTES or tag == "title":  # Graphviz's titles are our ids
        return None
    known = _ATTRIBUTES[tag] | _PAINT
    attributes = {name.removeprefix(_XLINK): value for name, value in given.attrib.items()}
    made = ElementTree.Element(tag, {n: v for n, v in attributes.items() if n in known})
    made.text, made.tail = given.text, given.tail
    if attributes.get("class") == "node":
        name = given.findtext(f"{{{_SVG}}}title", "")
        if _NODE.fullmatch(name):
            made.set("data-node", name)
    if attributes.get("title", "").strip():
        ElementTree.SubElement(made, "title").text = attributes["title"]
    if tag == "a" and "href" not in attributes:
        made.tag = "g"  # a tooltip alone is no link
    for child in map(_cleaned, given):
        if child is not None:
            made.append(child)
    return made
