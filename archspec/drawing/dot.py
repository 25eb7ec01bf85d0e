"""A diagram in DOT, Graphviz's language; every text from a spec is quoted and escaped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from urllib.parse import quote

from archspec.drawing.diagram import Box, Diagram
from archspec.report.numbers import format_count
from archspec.report.text import printable, shortened

_MAX_LINE = 44  # characters of one line
_MAX_TOOLTIP = 300

_NOT_IN_ADDRESSES = str.maketrans({character: quote(character) for character in '"<>'})

_INK, _GREY = "#1f2933", "#5b6673"
_LEGEND = {"fontsize": "10", "margin": "0.1,0.04", "height": "0.2", "tooltip": " "}
_STYLES: dict[str, dict[str, str]] = {
    "trainable": {"fillcolor": "#dcebfb", "color": "#2f6da8"},
    "frozen": {"fillcolor": "#e9ebee", "color": "#6b7480", "style": "filled,dashed"},
    "partly frozen": {"fillcolor": "#fbeecb", "color": "#a06b12"},
    "no parameters": {"fillcolor": "#ffffff", "color": "#8a94a0"},
    "operation": {
        "fillcolor": "#f4f5f7", "color": "#c9ced6", "style": "filled,rounded", "fontcolor": _INK,
    },
    "input": {"fillcolor": "#def2e4", "color": "#2c7a4b", "style": "filled,rounded"},
    "output": {"fillcolor": "#def2e4", "color": "#2c7a4b", "style": "filled,rounded,bold"},
    "constant": {"fillcolor": "#f4f5f7", "color": "#c9ced6", "shape": "note"},
    "more": {"color": "#8a94a0", "style": "dotted", "fontcolor": _GREY},
    "link": {"color": "none", "style": "filled", "fillcolor": "#ffffff", "fontcolor": "#2f6da8"},
}  # fmt: skip


def dot_text(diagram: Diagram) -> str:
    """The text that Graphviz lays out; equal diagrams give equal texts, byte for byte."""
    flows = bool(diagram.block)
    head = {
        "rankdir": "TB" if flows else "LR",
        "bgcolor": "#ffffff",
        "pad": "0.3",
        "nodesep": "0.25" if flows else "0.12",
        "ranksep": "0.3" if flows else "0.4",
        "fontname": "Helvetica",
        "fontsize": "15",
        "fontcolor": _INK,
        "labelloc": "t",
        "labeljust": "l",
    }
    node = {
        "shape": "box", "style": "filled", "fontname": head["fontname"], "fontsize": "12",
        "fontcolor": _INK, "margin": "0.14,0.06", "height": "0.3", "penwidth": "1.2",
    }  # fmt: skip
    edge = {
        "fontname": head["fontname"], "fontsize": "10", "fontcolor": _GREY, "color": "#7b8794",
        "arrowsize": "0.6", "penwidth": "1.1",
    }  # fmt: skip
    lines = [
        "digraph {",
        f"  graph [{_attributes(head)}]",
        f"  node [{_attributes(node)}]",
        f"  edge [{_attributes(edge)}]",
        *(f"  {line}" for line in _head(diagram)),
        *(f"  {box.id} [{_attributes(_box_attributes(box, diagram))}]" for box in diagram.nodes),
        *(f"  {line}" for line in _arrows(diagram)),
        "}",
    ]
    return "\n".join(lines) + "\n"


# ----------------------------------------------------------------------------------------- boxes


def _box_attributes(box: Box, diagram: Diagram) -> dict[str, str]:
    style = dict(_STYLES[box.state or box.kind])
    if box.kind == "tensor":
        style["shape"] = "note"
    href = _href(diagram, box.link)
    if box.link is not None and diagram.block:  # it is a block of the spec
        style["peripheries"] = "2"
    tooltip = _tooltip_text(" · ".join(filter(None, _tooltip(box))))
    return {
        "label": "\\n".join(_escaped(line) for line in label(box)),
        **style,
        "tooltip": tooltip,
        **({"URL": href} if href else {}),
    }


def label(box: Box) -> list[str]:
    """The lines of text in a box."""
    if box.kind == "operation":
        arguments = box.text.removeprefix(box.type)
        long = len(box.text) > _MAX_LINE and arguments != box.text
        return [box.type, arguments] if long else [box.text]
    if box.kind != "module":
        return [box.name, _figures(box)] if box.kind == "tensor" else [box.name]
    times = f"{box.times:,} × " if box.times > 1 else ""
    kind = f"{times}{box.type}"
    called = f"called {box.calls:,} ×" if box.calls > 1 else ""
    facts = [*filter(None, [_figures(box), called])]
    if box.name == box.type and not times:
        return [box.type, *([" · ".join(facts)] if facts else [])]
    return [box.name, " · ".join([kind, *facts])]


def _figures(box: Box) -> str:
    """``7.088 M each, frozen``."""
    if not box.parameters:
        return ""
    state = {"frozen": "frozen", "partly frozen": "partly frozen"}.get(box.state, "")
    each = " each" if box.times > 1 else ""
    shared = "shared" if box.shared else ""
    return ", ".join(filter(None, [f"{format_count(box.parameters)}{each}", shared, state]))


def _tooltip(box: Box) -> Iterator[str]:
    if box.kind == "module":
        yield f"{box.path or box.name}: {box.type}"
        yield box.text
        yield f"{box.parameters:,} parameters" if box.parameters else ""
        yield f"{box.trainable:,} trainable" if box.state == "partly frozen" else box.state
    elif box.kind == "tensor":
        yield f"{box.path}: {box.type}"
        yield box.state if box.parameters else ""
    else:
        yield box.kind
        yield box.text or box.name
    if box.place:
        yield f"{box.place.file}:{box.place.line}"


def _href(diagram: Diagram, link: str | None) -> str:
    if link is None or not diagram.links:
        return ""
    links = diagram.links.translate(_NOT_IN_ADDRESSES)
    return _escaped(links.replace("{}", quote(link, safe="")), 10_000)


# ---------------------------------------------------------------------------------------- arrows


def _arrows(diagram: Diagram) -> Iterator[str]:
    """One line per arrow; a tensor that a box takes several times is one arrow."""
    kinds = {box.id: box.kind for box in diagram.nodes}
    taken = Counter((e.source, e.target, e.output, e.text) for e in diagram.edges)
    names: dict[tuple[object, ...], list[str]] = {}
    for e in diagram.edges:
        names.setdefault((e.source, e.target, e.output, e.text), []).append(e.argument)
    for (source, target, output, text), times in taken.items():
        arguments = ", ".join(filter(None, names[source, target, output, text]))
        attributes = {
            "label": _escaped(f" {text}{f' × {times}' if times > 1 else ''} ") if text else "",
            "tooltip": _tooltip_text(f"{arguments}: {text}" if arguments else text),
        }
        if not diagram.block:
            attributes = {"arrowhead": "none", "tooltip": " "}
        elif kinds[source] in ("tensor", "constant"):
            attributes["style"] = "dashed"
        yield f"{source} -> {target} [{_attributes(attributes)}]"


# ------------------------------------------------------------------------------- title and legend


def _head(diagram: Diagram) -> Iterator[str]:
    """The title, and a row with the legend and the links up, laid out by itself above the rest."""
    lines = [diagram.title, *_facts(diagram)]
    label = "".join(f"{_escaped(line, 120)}\\l" for line in lines)
    yield f"label={_quoted(label)}"
    entries = list(_legend(diagram))
    names = [f"legend{i}" for i in range(len(entries))]
    for name, (text, style) in zip(names, entries, strict=True):
        attributes = {**_LEGEND, "label": _escaped(text), **style}
        yield f"{name} [{_attributes(attributes)}]"
    if not names:
        return
    invisible = '[style="invis", weight="0"]'
    if diagram.block:  # a row above
        yield f"{{rank=same {' '.join(names)}}}"
        yield f'{" -> ".join(names)} [style="invis"]' if len(names) > 1 else ""
        first = [
            box.id for box in diagram.nodes if not any(e.target == box.id for e in diagram.edges)
        ]
        for node in first:
            yield f"{names[len(names) // 2]} -> {node} {invisible}"
    else:  # a column beside the root
        yield f"{{rank=same {diagram.nodes[0].id} {' '.join(names)}}}"
        yield f'{" -> ".join([diagram.nodes[0].id, *names])} [style="invis"]'


def _facts(diagram: Diagram) -> Iterator[str]:
    sizes = ", ".join(f"{name}={size}" for name, size in diagram.dims.items())
    plan = diagram.freeze
    frozen = f"frozen: {' '.join(plan)}" if isinstance(plan, tuple) else f"freeze plan {plan}"
    yield ", ".join(filter(None, [sizes, frozen if plan is not None else ""]))
    yield from diagram.notes


def _legend(diagram: Diagram) -> Iterator[tuple[str, Mapping[str, str]]]:
    for title, name in diagram.above:
        if href := _href(diagram, name):
            yield f"↑ {title}", {**_STYLES["link"], "URL": href}
    styles = {box.state or box.kind for box in diagram.nodes}
    if diagram.block and any(box.link is not None for box in diagram.nodes):
        yield "a block", {**_STYLES["no parameters"], "peripheries": "2"}
    texts = {
        "input": "input, output",
        "operation": "operation",
        "trainable": "trainable",
        "partly frozen": "partly frozen",
        "frozen": "frozen",
        "no parameters": "no parameters",
    }
    for name, text in texts.items():
        if name in styles:
            yield text, _STYLES[name]


# --------------------------------------------------------------------------------------- quoting


def _escaped(text: str, max_length: int = _MAX_LINE) -> str:
    """A text for use within quotes: without Graphviz's escapes, entities and line breaks."""
    text = shortened(printable(text), max_length)
    return text.replace("\\", "\\\\").replace("&", "&amp;")


def _tooltip_text(text: str) -> str:
    """As ``_escaped``, for a tooltip: some versions of Graphviz resolve escapes in them twice."""
    return _escaped(text.replace("\\", "\N{REVERSE SOLIDUS OPERATOR}"), _MAX_TOOLTIP)


def _quoted(escaped: str) -> str:
    return '"' + escaped.replace('"', '\\"') + '"'


def _attributes(values: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={_quoted(value)}" for name, value in values.items())
