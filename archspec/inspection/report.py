"""What an inspection found: figures with units, a node a module, totals, memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from archspec.errors import Note, Place
from archspec.report.display import Displayed

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

    from archspec.freezing import Tie

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with its unit, and whether it is exact or an estimate.

    >>> str(Figure(109483778, "parameters"))
    '109,483,778 parameters'
    """

    value: int
    unit: str
    exact: bool = True

    def __str__(self) -> str:
        return f"{'' if self.exact else '~'}{self.value:,} {self.unit}"


UNITS: Mapping[str, Mapping[str, str | bool]] = {
    "parameters": {"unit": "parameters", "exact": True},
    "trainable": {"unit": "parameters", "exact": True},
    "buffers": {"unit": "elements", "exact": True},
    "macs": {"unit": "MACs", "exact": True},
    "training_macs": {"unit": "MACs", "exact": True},
    "activations": {"unit": "bytes", "exact": False},
}
"""What the numbers of a node count, and whether they are exact."""


@dataclass(frozen=True, slots=True)
class Node:
    """One module of the tree; its figures include everything below it.

    Attributes:
        path: dotted, "" for the root.
        type: class name.
        text: the layer with its arguments, as PyTorch prints it.
        parameters, trainable, buffers: elements; a shared tensor counts once.
        shared: name of a parameter of its own that counts elsewhere → its path there.
        calls: how often one forward pass in inference calls it; containers are never called.
        inputs, outputs: shapes of the tensors that go in and come out, of its first call; of its
            first in training where inference does not call it.
        macs: multiply-accumulates of matrix products and convolutions, exact, in inference.
        training_macs: the same of a forward pass in training, where steps that ask for
            ``training`` may go another way; a freeze plan decides for which modules.
        activations: bytes that it keeps for the backward pass.
        place: where it is declared in the spec.
    """

    path: str
    type: str
    text: str
    parameters: int
    trainable: int
    buffers: int
    shared: Mapping[str, str]
    calls: int
    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]
    macs: int
    training_macs: int
    activations: int
    place: Place | None
    children: tuple[Node, ...] = ()

    @property
    def name(self) -> str:
        return self.path.rpartition(".")[2]

    def named_children(self) -> list[tuple[str, Node]]:
        return [(child.name, child) for child in self.children]

    def appearance(self, ignored: Collection[str] = ()) -> tuple[object, ...]:
        """What two equal modules have in common, whatever their paths and children.

        Args:
            ignored: attributes that may differ.
        """
        hidden = {"path", "shared", "children", *ignored}
        values = (getattr(self, name) for name in Node.__slots__ if name not in hidden)
        return (*values, *self.shared.items())

    def to_dict(self) -> dict[str, Any]:
        """The node and those below it; shapes are lists, a place is a file, a line, a column."""
        place = self.place
        return {
            "path": self.path,
            "type": self.type,
            "text": self.text,
            "parameters": self.parameters,
            "trainable": self.trainable,
            "buffers": self.buffers,
            "shared": dict(self.shared),
            "calls": self.calls,
            "inputs": [list(shape) for shape in self.inputs],
            "outputs": [list(shape) for shape in self.outputs],
            "macs": self.macs,
            "training_macs": self.training_macs,
            "activations": self.activations,
            "file": place.file if place else None,
            "line": place.line if place else None,
            "column": place.column if place else None,
            "children": [child.to_dict() for child in self.children],
        }


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that a model takes in use.

    Attributes:
        weights, buffers: in the dtypes in which they are held.
        gradients, optimizer: of the trainable parameters.
        activations: kept for the backward pass, of all samples of the batch; as PyTorch's kernels
            for the CPU keep them.
        temporary: further activations that live at once, at most, during the forward pass; what is
            ``recomputed`` has its place when that is over.
        live: activations that live at once, at most, in a forward pass without gradients.
        recomputed: what backward makes anew of the largest checkpointed module, and keeps for it.
        kv_cache: keys and values of causal attention, for all tokens of the inputs; 0 without it.
    """

    weights: Figure
    buffers: Figure
    gradients: Figure
    optimizer: Figure
    activations: Figure
    temporary: Figure
    live: Figure
    recomputed: Figure
    kv_cache: Figure

    @property
    def training_parts(self) -> dict[str, Figure]:
        names = ("weights", "buffers", "gradients", "optimizer", "activations", "temporary")
        names += ("recomputed",) if self.recomputed.value else ()
        return {name: getattr(self, name) for name in names}

    @property
    def inference_parts(self) -> dict[str, Figure]:
        return {"weights": self.weights, "buffers": self.buffers, "activations": self.live}

    @property
    def generation_parts(self) -> dict[str, Figure]:
        """What stays while a decoder writes token after token; empty for other models."""
        names = ("weights", "buffers", "kv_cache")
        return {name: getattr(self, name) for name in names} if self.kv_cache.value else {}

    @property
    def training(self) -> Figure:
        """Everything that a training step holds."""
        return _total(self.training_parts)

    @property
    def inference(self) -> Figure:
        """Everything that a forward pass without gradients holds."""
        return _total(self.inference_parts)

    @property
    def generation(self) -> Figure:
        """Everything that stays between the steps of a decoder; 0 for other models."""
        return _total(self.generation_parts)

    def to_dict(self) -> dict[str, Any]:
        held = self.generation_parts
        return {
            "training": _figures({**self.training_parts, "total": self.training}),
            "inference": _figures({**self.inference_parts, "total": self.inference}),
            "generation": _figures({**held, "total": self.generation} if held else {}),
        }


def _total(parts: Mapping[str, Figure]) -> Figure:
    found = parts.values()
    return Figure(sum(p.value for p in found), "bytes", all(p.exact for p in found))


def _figures(figures: Mapping[str, Figure]) -> dict[str, Any]:
    return {name: asdict(figure) for name, figure in figures.items()}


def _warning(note: Note) -> dict[str, Any]:
    place = note.place
    return {
        "message": note.message,
        "file": place.file if place else None,
        "line": place.line if place else None,
        "column": place.column if place else None,
    }


@dataclass(frozen=True, slots=True)
class Inspection(Displayed):
    """What a model is and costs, for given sizes, precision, optimizer and freeze plan.

    Attributes:
        name: the spec's name.
        root: the tree of modules.
        dims: symbolic dimension → size.
        freeze: the plan's name, or patterns, or None.
        checkpointed: paths of the modules whose activations backward computes anew.
        without: names of the optional inputs that are left out.
        macs: multiply-accumulates of one forward pass over the batch, in inference; no freeze plan
            changes them.
        training_macs: of one in training.
        uncounted: operation → how often it runs in inference; none of them is a matrix product or a
            convolution, and their arithmetic is not in ``macs``.
        ties: shared parameters that are frozen though the plan freezes only some of their names.
        warnings: what would fail on a device, where tensors have values; with its place.
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
    memory: Memory
    uncounted: Mapping[str, int]
    ties: tuple[Tie, ...] = ()
    warnings: tuple[Note, ...] = ()
    checkpointed: tuple[str, ...] = ()
    without: tuple[str, ...] = ()

    @property
    def totals(self) -> dict[str, Figure]:
        names = ("parameters", "trainable", "buffers", "macs", "flops", "training_macs")
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
            **_figures(self.totals),
            "memory": self.memory.to_dict(),
            "uncounted": dict(self.uncounted),
            "ties": [tie.to_dict() for tie in self.ties],
            "warnings": [_warning(warning) for warning in self.warnings],
            "units": {name: dict(unit) for name, unit in UNITS.items()},
            "tree": self.root.to_dict(),
        }

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from archspec.inspection.rendering import renderable

        yield renderable(self, console, options)

    def _repr_html_(self) -> str:
        from archspec.inspection.rendering import html

        return html(self)
