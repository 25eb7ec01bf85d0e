"""The result of ``inspect``: shown as tables on terminals, as HTML in notebooks, as plain data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from archspec.errors import Note, place_fields
from archspec.inspection.figures import UNITS, Figure, Memory, Node, Shape, figure_dicts
from archspec.report.display import Displayed
from archspec.report.folding import fold_neighbours
from archspec.report.numbers import format_size
from archspec.report.subtrees import SubtreeNumbers
from archspec.report.tables import headed_table, plain_grid, safe_html, safe_text

if TYPE_CHECKING:
    from archspec.freezing import SharedFrozen

_COLUMNS = (
    ("parameters", "parameters"),
    ("trainable", "trainable"),
    ("MACs", "macs"),
    ("saved, bytes", "activations"),
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
class Inspection(Displayed):
    """What a model consists of and costs, for given sizes, precision, optimizer and freeze plan.

    Attributes:
        name: the spec's name.
        root: the tree of modules.
        dims: symbolic dimension → size.
        freeze: the plan's name, or patterns, or None.
        checkpointed: paths of the modules whose activations are recomputed during backward.
        without: names of the optional inputs that are left out.
        device: whose kernels decide what is saved for backward, ``cpu`` or ``cuda``.
        macs: multiply-accumulates of one forward pass over the batch in inference; a freeze plan
            does not change them.
        training_macs: the same for a forward pass in training.
        step_flops: floating-point operations of a training step: two for each multiply-accumulate
            of the forward pass in training, and of the gradients that the freeze plan leaves to be
            made. Estimated with checkpointed modules, and where the model returns several tensors,
            of which a loss may use only some.
        uncounted: operation → how often it runs in inference. None of them is a matrix product or
            a convolution; ``macs`` does not include their arithmetic.
        ties: shared parameters that are frozen though the plan freezes only some of their names.
        warnings: what would fail on a real device, with its place.
    """

    name: str
    root: Node
    dims: Mapping[str, int]
    precision: str
    optimizer: str
    freeze: str | tuple[str, ...] | None
    parameters: Figure
    trainable: Figure
    buffers: Figure
    macs: Figure
    training_macs: Figure
    step_flops: Figure
    memory: Memory
    uncounted: Mapping[str, int]
    ties: tuple[SharedFrozen, ...] = ()
    warnings: tuple[Note, ...] = ()
    checkpointed: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    device: str = "cpu"

    @property
    def totals(self) -> dict[str, Figure]:
        names = ("parameters", "trainable", "buffers", "macs", "flops", "training_macs")
        names += ("step_flops",)
        return {name: getattr(self, name) for name in names}

    @property
    def flops(self) -> Figure:
        """Two for each multiply-accumulate."""
        return Figure(2 * self.macs.value, "FLOPs", self.macs.exact)

    def to_dict(self) -> dict[str, Any]:
        """The inspection as plain data, for ``--json``; ``units`` are those of the tree."""
        plan = self.freeze
        return {
            "name": self.name,
            "dims": dict(self.dims),
            "precision": self.precision,
            "optimizer": self.optimizer,
            "freeze": list(plan) if isinstance(plan, tuple) else plan,
            "checkpointed": list(self.checkpointed),
            "without": list(self.without),
            "device": self.device,
            **figure_dicts(self.totals),
            "memory": self.memory.to_dict(),
            "uncounted": dict(self.uncounted),
            "ties": [tie.to_dict() for tie in self.ties],
            "warnings": [_warning_dict(warning) for warning in self.warnings],
            "units": {name: dict(unit) for name, unit in UNITS.items()},
            "tree": self.root.to_dict(),
        }

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield _renderable(self, console, options)

    def _repr_html_(self) -> str:
        return _format_html(self)


def _warning_dict(note: Note) -> dict[str, Any]:
    return {"message": note.message, **place_fields(note.place)}


# ----------------------------------------------------------------------------------------- tree


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
        return shapes_text(node.inputs if column == "input" else node.outputs)


def shapes_text(shapes: Sequence[Shape]) -> str:
    """The shapes of tensors; three or more that are equal, as in a list of keys, are one.

    >>> shapes_text([(1, 2), (3,), (3,), (3,), (4,), (4,)])
    '[1, 2] 3 × [3] [4] [4]'
    """
    runs = [(list(shape), len(list(equal))) for shape, equal in groupby(shapes)]
    return " ".join(
        f"{times} × {shape}" if times > 2 else " ".join([str(shape)] * times)
        for shape, times in runs
    )


def rows(root: Node) -> Iterator[Row]:
    """The tree, top down; numbered neighbours that are equal in everything are one row."""
    return _rows(root, "", 0, 1, SubtreeNumbers(Node.appearance, Node.named_children))


def _rows(
    node: Node, label: str, depth: int, times: int, numbers: SubtreeNumbers[Node]
) -> Iterator[Row]:
    times_text = f"{times} × " if times > 1 else ""
    shared = f" ({', '.join(node.shared)} shared)" if node.shared else ""
    yield Row(f"{label}{times_text}{node.type}{shared}", depth, times, node)
    for name, group in fold_neighbours(node.children, lambda child: child.name, numbers.number):
        label = f"{name}: " if len(group) > 1 else f"({name}): "
        yield from _rows(group[0], label, depth + 1, len(group), numbers)


def _columns(inspection: Inspection) -> list[str]:
    """Without columns that say nothing: trainable if everything is, buffers if there are none."""
    hidden = {
        "trainable": inspection.trainable.value == inspection.parameters.value,
        "buffers": not inspection.buffers.value,
        "place": inspection.root.place is None,
    }
    return [name for _, name in _COLUMNS if not hidden.get(name)]


# --------------------------------------------------------------------------------------- totals


def _heading(inspection: Inspection) -> str:
    plan = inspection.freeze
    frozen = "nothing frozen" if plan is None else f"freeze plan {plan}"
    if isinstance(plan, tuple):
        frozen = f"frozen: {' '.join(plan)}"
    sizes = ", ".join(f"{name}={size}" for name, size in inspection.dims.items())
    count = len(inspection.checkpointed)
    checkpointed = f"{count} module{'s' if count > 1 else ''} checkpointed" if count else ""
    without = f"without {', '.join(inspection.without)}" if inspection.without else ""
    options = [inspection.precision, inspection.optimizer]
    options += [inspection.device] if inspection.device != "cpu" else []
    return "; ".join(filter(None, [sizes, without, *options, frozen, checkpointed]))


def grouped_figures(inspection: Inspection) -> dict[str, dict[str, Figure]]:
    """Title → name → figure, in the order in which they are shown."""
    memory = inspection.memory
    in_training = {"MACs, forward pass in training": inspection.training_macs}
    groups = {
        "Totals": {
            "parameters": inspection.parameters,
            "trainable": inspection.trainable,
            "buffers": inspection.buffers,
            "MACs, one forward pass": inspection.macs,
            "FLOPs, one forward pass": inspection.flops,
            **(in_training if inspection.training_macs != inspection.macs else {}),
            "FLOPs, one training step": inspection.step_flops,
        },
        "Memory, training": {
            **named_parts(memory.training_parts, "activations saved for backward"),
            "total": memory.training,
            "peak of a step": memory.peak,
        },
        "Memory, inference": {
            **named_parts(memory.inference_parts, "peak activations"),
            "total": memory.inference,
        },
    }
    if parts := memory.generation_parts:
        groups["Memory, generation"] = {**named_parts(parts, ""), "total": memory.generation}
    return groups


def named_parts(parts: Mapping[str, Figure], activations: str) -> dict[str, Figure]:
    names = {
        "activations": activations,
        "temporary": "temporary tensors",
        "recomputed": "recomputed activations",
        "kv_cache": "KV cache",
    }
    return {names.get(name, name): figure for name, figure in parts.items()}


def _figure_cells(figure: Figure) -> tuple[str, str, str, str]:
    """Value, unit, a size also in few digits, and whether it is exact."""
    rounded = format_size(figure.value) if figure.unit == "bytes" else ""
    return f"{figure.value:,}", figure.unit, rounded, "exact" if figure.exact else "estimated"


def _notes(inspection: Inspection) -> list[str]:
    """What a reader has to know about the figures."""
    notes = [
        "The figures of a folded line are those of one of its modules. Parameters, buffers and MACs"
        " are exact; the activations saved for backward are estimated."
    ]
    shared = [
        f"{row.node.path}.{name} is {path}".removeprefix(".")
        for row in rows(inspection.root)
        for name, path in row.node.shared.items()
    ]
    if shared:
        notes.append(f"Shared, counted once: {', '.join(shared)}.")
    notes += [f"Shared: {tie}." for tie in inspection.ties]
    for warning in inspection.warnings:
        place = f"{warning.place.file}:{warning.place.line}: " if warning.place else ""
        notes.append(f"Warning: {place}{warning.message}.")
    if inspection.uncounted:
        counts = ", ".join(f"{name} {times:,}×" for name, times in inspection.uncounted.items())
        notes.append(f"Not counted in MACs: {counts}.")
    if inspection.training_macs != inspection.macs:
        notes.append("The MACs of the tree are those of inference; training takes other branches.")
    return notes


# -------------------------------------------------------------------------------------- terminal


def _renderable(
    inspection: Inspection, console: Console, options: ConsoleOptions
) -> RenderableType:
    """As wide as its longest line; columns that do not fit are left out, the last ones first."""
    columns = _columns(inspection)
    table = _tree_table(inspection, columns)
    while len(columns) > 1 and _width(table, console, options) > options.max_width:
        columns.pop()
        table = _tree_table(inspection, columns)
    parts: list[RenderableType] = [
        safe_text(f"{inspection.name}: {inspection.root.type}", "bold"),
        safe_text(_heading(inspection)),
        Text(),
        table,
    ]
    groups = grouped_figures(inspection)
    cells = [(name, *_figure_cells(f)) for group in groups.values() for name, f in group.items()]
    widths = tuple(max(map(len, column)) for column in zip(*cells, strict=True))
    for title, group in groups.items():
        parts += [Text(), Text(title, style="bold"), _figure_grid(group, *widths[:2])]
    return Group(*parts, Text(), *map(safe_text, _notes(inspection)))


def _tree_table(inspection: Inspection, columns: list[str]) -> Table:
    table = headed_table()
    table.add_column("module", no_wrap=True)
    order = [name for name in _ORDER if name in columns]
    for name in order:
        justify = "right" if name in _NUMBERS else "left"
        table.add_column(_HEADING[name], no_wrap=True, justify=justify)
    for row in rows(inspection.root):
        label = safe_text("  " * row.depth + row.label)
        table.add_row(label, *(safe_text(row.cell(name)) for name in order))
    return table


def _width(table: Table, console: Console, options: ConsoleOptions) -> int:
    unbounded = options.update(max_width=100_000, width=100_000)
    return Measurement.get(console, unbounded, table).maximum


def _figure_grid(figures: Mapping[str, Figure], name_width: int, digits: int) -> RenderableType:
    grid = plain_grid()
    grid.add_column(min_width=name_width, no_wrap=True)
    grid.add_column(min_width=digits, no_wrap=True, justify="right")
    # Bytes are shown as a size, too: of other units, one column takes the room of both.
    in_bytes = all(figure.unit == "bytes" for figure in figures.values())
    widths = (len("bytes"), len("417.6 MiB"))
    grid.add_column(min_width=widths[0] if in_bytes else 2 + sum(widths))
    if in_bytes:
        grid.add_column(justify="right", min_width=widths[1])
    grid.add_column()
    for name, figure in figures.items():
        value, unit, size, accuracy = _figure_cells(figure)
        cells = (value, unit, *((size,) if in_bytes else ()), accuracy)
        grid.add_row(name, *map(Text, cells), style="bold" if name == "total" else "")
    return Padding(grid, (0, 0, 0, 2))


# ------------------------------------------------------------------------------------------ HTML


def _format_html(inspection: Inspection) -> str:
    """A fragment of HTML, without scripts, and without styles but alignment."""
    order = [name for name in _ORDER if name in _columns(inspection)]
    head = "".join(_cell(_HEADING[name], name in _NUMBERS, "th") for name in order)
    body = "".join(
        f"<tr>{_indented(row)}{''.join(_cell(row.cell(n), n in _NUMBERS) for n in order)}</tr>"
        for row in rows(inspection.root)
    )
    title = safe_html(f"{inspection.name}: {inspection.root.type}")
    parts = [
        f"<p><b>{title}</b><br>{safe_html(_heading(inspection))}</p>",
        f"<table><thead><tr>{_cell('module', False, 'th')}{head}</tr></thead>"
        f"<tbody>{body}</tbody></table>",
    ]
    for title, figures in grouped_figures(inspection).items():
        lines = "".join(
            f"<tr>{_cell(name)}{''.join(_cell(c, i in (0, 2)) for i, c in enumerate(cells))}</tr>"
            for name, cells in ((name, _figure_cells(f)) for name, f in figures.items())
        )
        parts.append(f"<table><caption>{safe_html(title)}</caption><tbody>{lines}</tbody></table>")
    parts += [f"<p>{safe_html(note)}</p>" for note in _notes(inspection)]
    return f'<div class="archspec-inspection">{"".join(parts)}</div>'


def _indented(row: Row) -> str:
    style = f"text-align:left;white-space:nowrap;padding-left:{row.depth}em"
    return f'<td style="{style}">{safe_html(row.label)}</td>'


def _cell(text: str, right: bool = False, tag: str = "td") -> str:
    return f'<{tag} style="text-align:{"right" if right else "left"}">{safe_html(text)}</{tag}>'
