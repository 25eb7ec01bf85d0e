"""An inspection for people: tables for a terminal by rich, and HTML for notebooks.

Names and paths come from specs of strangers: control characters are taken out for terminals,
and everything is escaped for HTML.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import PurePath

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from archspec.inspection.report import Figure, Inspection, Node, Shape
from archspec.report.folding import fold_neighbours
from archspec.report.numbers import format_size
from archspec.report.subtrees import SubtreeNumbers
from archspec.report.text import printable

_COLUMNS = (
    ("parameters", "parameters"),
    ("trainable", "trainable"),
    ("MACs", "macs"),
    ("kept, bytes", "activations"),
    ("output", "output"),
    ("buffers", "buffers"),
    ("input", "input"),
    ("declared", "place"),
)
"""Heading and name of each column after the module, the most important ones first."""

_ORDER = ("input", "output", "parameters", "trainable", "buffers", "macs", "activations", "place")
_HEADING = {name: heading for heading, name in _COLUMNS}
_NUMBERS = frozenset({"parameters", "trainable", "buffers", "macs", "activations"})


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the tree: a module, or ``times`` equal neighbours."""

    label: str
    depth: int
    times: int
    node: Node

    def cell(self, column: str) -> str:
        node = self.node
        if column in _NUMBERS:
            return f"{getattr(node, column):,}"
        if column == "place":
            return f"{PurePath(node.place.file).name}:{node.place.line}" if node.place else ""
        return shapes(node.inputs if column == "input" else node.outputs)


def rows(root: Node) -> Iterator[Row]:
    """The tree, top down; numbered neighbours that are equal in everything are one row."""
    numbers = SubtreeNumbers[Node](Node.appearance, Node.named_children)
    return _rows(root, "", 0, 1, numbers)


def _rows(
    node: Node, label: str, depth: int, times: int, numbers: SubtreeNumbers[Node]
) -> Iterator[Row]:
    times_text = f"{times} × " if times > 1 else ""
    name = f"{label}{times_text}{node.type}"
    shared = f" ({', '.join(node.shared)} shared)" if node.shared else ""
    yield Row(name + shared, depth, times, node)
    for name, group in fold_neighbours(node.children, lambda child: child.name, numbers.number):
        label = f"{name}: " if len(group) > 1 else f"({name}): "
        yield from _rows(group[0], label, depth + 1, len(group), numbers)


def shapes(found: tuple[Shape, ...]) -> str:
    """``[8, 128, 768] [8, 12]``."""
    return " ".join(str(list(shape)) for shape in found)


def columns(found: Inspection) -> list[str]:
    """The columns that say something: not trainable if all is, no buffers if there are none."""
    silent = {
        "trainable": found.trainable.value == found.parameters.value,
        "buffers": not found.buffers.value,
        "place": found.root.place is None,
    }
    return [name for _, name in _COLUMNS if not silent.get(name)]


# --------------------------------------------------------------------------------------- totals


def heading(found: Inspection) -> str:
    plan = found.freeze
    frozen = "nothing frozen" if plan is None else f"freeze plan {plan}"
    if isinstance(plan, tuple):
        frozen = f"frozen: {' '.join(plan)}"
    sizes = ", ".join(f"{name}={size}" for name, size in found.dims.items())
    count = len(found.checkpointed)
    checkpointed = f"{count} module{'s' if count > 1 else ''} checkpointed" if count else ""
    without = f"without {', '.join(found.without)}" if found.without else ""
    parts = [sizes, without, found.precision, found.optimizer, frozen, checkpointed]
    return "; ".join(filter(None, parts))


def totals(found: Inspection) -> dict[str, dict[str, Figure]]:
    """Title → name → figure."""
    memory = found.memory
    generation = {**_named(memory.generation_parts, ""), "total": memory.generation}
    in_training = {"MACs, forward pass in training": found.training_macs}
    return {
        "Totals": {
            "parameters": found.parameters,
            "trainable": found.trainable,
            "buffers": found.buffers,
            "MACs, one forward pass": found.macs,
            "FLOPs, one forward pass": found.flops,
            **(in_training if found.training_macs != found.macs else {}),
        },
        "Memory, training": {
            **_named(memory.training_parts, "kept for backward"),
            "total": memory.training,
        },
        "Memory, inference": {
            **_named(memory.inference_parts, "alive at once"),
            "total": memory.inference,
        },
        **({"Memory, generation": generation} if memory.generation_parts else {}),
    }


def _named(parts: Mapping[str, Figure], activations: str) -> dict[str, Figure]:
    longer = {
        "activations": activations,
        "temporary": "alive for a while",
        "recomputed": "recomputed at once",
        "kv_cache": "KV cache",
    }
    return {longer.get(name, name): figure for name, figure in parts.items()}


def cells(figure: Figure) -> tuple[str, str, str, str]:
    """Value, unit, a size also in few digits, and whether it is exact."""
    rounded = format_size(figure.value) if figure.unit == "bytes" else ""
    return f"{figure.value:,}", figure.unit, rounded, "exact" if figure.exact else "estimated"


def notes(found: Inspection) -> list[str]:
    """What has to be known to read the figures."""
    told = [
        "A folded line's figures are those of one of its modules. Parameters, buffers and MACs are"
        " exact; what is kept for the backward pass is estimated."
    ]
    shared = [
        f"{row.node.path}.{own} is {path}".removeprefix(".")
        for row in rows(found.root)
        for own, path in row.node.shared.items()
    ]
    if shared:
        told.append(f"Shared, counted once: {', '.join(shared)}.")
    told += [f"Shared: {tie}." for tie in found.ties]
    for warning in found.warnings:
        place = f"{warning.place.file}:{warning.place.line}: " if warning.place else ""
        told.append(f"Warning: {place}{warning.message}.")
    if found.uncounted:
        listed = ", ".join(f"{name} {times:,}×" for name, times in found.uncounted.items())
        told.append(f"Not counted in MACs: {listed}.")
    if found.training_macs != found.macs:
        told.append("The MACs of the tree are those of inference; training goes other ways.")
    return told


# -------------------------------------------------------------------------------------- terminal


def renderable(found: Inspection, console: Console, options: ConsoleOptions) -> RenderableType:
    """As wide as its longest line; columns that do not fit are left out, the last ones first."""
    shown = columns(found)
    table = _tree(found, shown)
    while len(shown) > 1 and _width(table, console, options) > options.max_width:
        shown.pop()
        table = _tree(found, shown)
    parts: list[RenderableType] = [
        Text(printable(f"{found.name}: {found.root.type}"), style="bold"),
        Text(printable(heading(found))),
        Text(),
        table,
    ]
    figures = totals(found)
    width = max(len(name) for named in figures.values() for name in named)
    digits = max(len(cells(figure)[0]) for named in figures.values() for figure in named.values())
    for title, named in figures.items():
        parts += [Text(), Text(title, style="bold"), _figures(named, width, digits)]
    return Group(*parts, Text(), *(Text(printable(note)) for note in notes(found)))


def _tree(found: Inspection, shown: list[str]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("module", no_wrap=True)
    order = [name for name in _ORDER if name in shown]
    for name in order:
        justify = "right" if name in _NUMBERS else "left"
        table.add_column(_HEADING[name], no_wrap=True, justify=justify)
    for row in rows(found.root):
        label = Text("  " * row.depth + printable(row.label))
        table.add_row(label, *(Text(printable(row.cell(name))) for name in order))
    return table


def _width(table: Table, console: Console, options: ConsoleOptions) -> int:
    unbounded = options.update(max_width=100_000, width=100_000)
    return Measurement.get(console, unbounded, table).maximum


def _figures(named: Mapping[str, Figure], width: int, digits: int) -> RenderableType:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(min_width=width, no_wrap=True)
    grid.add_column(min_width=digits, no_wrap=True, justify="right")
    grid.add_column(min_width=len("parameters"))
    grid.add_column(justify="right", min_width=len("417.6 MiB"))
    grid.add_column()
    for name, figure in named.items():
        grid.add_row(name, *map(Text, cells(figure)), style="bold" if name == "total" else "")
    return Padding(grid, (0, 0, 0, 2))


# ------------------------------------------------------------------------------------------ HTML


def html(found: Inspection) -> str:
    """The same as a fragment of HTML, without scripts and styles of its own but alignment."""
    order = [name for name in _ORDER if name in columns(found)]
    head = "".join(_td(_HEADING[name], name in _NUMBERS, "th") for name in order)
    body = "".join(
        f"<tr>{_indented(row)}{''.join(_td(row.cell(n), n in _NUMBERS) for n in order)}</tr>"
        for row in rows(found.root)
    )
    parts = [
        f"<p><b>{_html(f'{found.name}: {found.root.type}')}</b><br>{_html(heading(found))}</p>",
        f"<table><thead><tr>{_td('module', False, 'th')}{head}</tr></thead>"
        f"<tbody>{body}</tbody></table>",
    ]
    for title, named in totals(found).items():
        lines = "".join(
            f"<tr>{_td(name, False)}{''.join(_td(c, i in (0, 2)) for i, c in enumerate(row))}</tr>"
            for name, row in ((name, cells(figure)) for name, figure in named.items())
        )
        parts.append(f"<table><caption>{_html(title)}</caption><tbody>{lines}</tbody></table>")
    parts += [f"<p>{_html(note)}</p>" for note in notes(found)]
    return f'<div class="archspec-inspection">{"".join(parts)}</div>'


def _indented(row: Row) -> str:
    style = f"text-align:left;white-space:nowrap;padding-left:{row.depth}em"
    return f'<td style="{style}">{_html(row.label)}</td>'


def _td(text: str, right: bool, tag: str = "td") -> str:
    return f'<{tag} style="text-align:{"right" if right else "left"}">{_html(text)}</{tag}>'


def _html(text: str) -> str:
    return escape(printable(text))
