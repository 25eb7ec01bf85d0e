"""Figures with units, the nodes of the module tree, and memory: what an inspection consists of."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from archspec.errors import Place, place_fields

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
"""Unit of each number of a node, and whether it is exact."""


@dataclass(frozen=True, slots=True)
class Node:
    """One module of the tree; its figures include those of its submodules.

    Attributes:
        path: dotted, "" for the root.
        type: class name.
        text: the layer with its arguments, as PyTorch prints it.
        parameters, trainable, buffers: elements; a shared tensor counts once.
        shared: name of a parameter that is counted in another module → its path there.
        calls: how often one forward pass in inference calls it; containers are never called.
        inputs, outputs: shapes of the tensors of its first call in inference; of the first call in
            training if inference does not call it.
        macs: multiply-accumulates of matrix products and convolutions in inference; exact.
        training_macs: the same for a forward pass in training, where steps that depend on
            ``training`` may take another branch; a freeze plan decides for which modules.
        activations: bytes of the activations that it saves for backward.
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
        """The node and its children as plain data; shapes are lists, a place is three keys."""
        children = [child.to_dict() for child in self.children]
        return {"path": self.path, **self.facts(), "children": children}

    def facts(self) -> dict[str, Any]:
        """What ``to_dict`` says of the node itself, without its path and children."""
        return {
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
            **place_fields(self.place),
        }


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory that a model needs, in bytes.

    Attributes:
        weights, buffers: in the dtypes in which they are stored.
        gradients, optimizer: for the trainable parameters.
        activations: saved for backward, for all samples of the batch, as PyTorch's kernels for the
            device save them.
        temporary: peak memory of the forward pass in training beyond ``activations``;
            ``recomputed`` takes its place after the forward pass.
        live: peak memory of activations in a forward pass without gradients.
        recomputed: activations of the largest checkpointed module, recomputed during backward.
        kv_cache: keys and values of causal attention for all tokens of the inputs; 0 without it.
        peak: the most that a training step needs at once. Gradients of weights come as activations
            go, so a large model needs less than the sum of all parts; what the model returns, and
            with CUDA the workspace of cuBLAS, come on top.
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
    peak: Figure

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
        """What stays allocated while a decoder generates tokens; empty for other models."""
        names = ("weights", "buffers", "kv_cache")
        return {name: getattr(self, name) for name in names} if self.kv_cache.value else {}

    @property
    def training(self) -> Figure:
        """Sum of the parts of a training step."""
        return _total(self.training_parts)

    @property
    def inference(self) -> Figure:
        """Total of a forward pass without gradients."""
        return _total(self.inference_parts)

    @property
    def generation(self) -> Figure:
        """Total of what stays allocated between the steps of a decoder; 0 for other models."""
        return _total(self.generation_parts)

    def to_dict(self) -> dict[str, Any]:
        generation = self.generation_parts
        return {
            "training": figure_dicts(
                {**self.training_parts, "total": self.training, "peak": self.peak}
            ),
            "inference": figure_dicts({**self.inference_parts, "total": self.inference}),
            "generation": figure_dicts(
                {**generation, "total": self.generation} if generation else {}
            ),
        }


def _total(parts: Mapping[str, Figure]) -> Figure:
    figures = parts.values()
    return Figure(sum(f.value for f in figures), "bytes", all(f.exact for f in figures))


def figure_dicts(figures: Mapping[str, Figure]) -> dict[str, Any]:
    """Figures by name, as plain data."""
    return {name: asdict(figure) for name, figure in figures.items()}
