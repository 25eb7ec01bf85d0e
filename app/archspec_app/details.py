"""The selected module: its YAML, its generated Python, its tensors and shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from archspec.building.init_report import first_values
from archspec.codegen import generate
from archspec.errors import place_fields
from archspec.inspection import Figure, Node
from archspec.lang.instances import Instance, ancestors, walk
from archspec.lang.spec import Spec
from archspec.lang.yaml import Excerpt
from archspec_app.costs import figure_data
from archspec_app.session import BuiltSpec
from archspec_app.tree import find

CONTEXT_LINES = 2
MAX_LINES = 240
MAX_LINE_LENGTH = 400


def details_data(built: BuiltSpec, path: str) -> dict[str, Any]:
    """Everything about one module; an empty dict if there is none at the path.

    Returns:
        ``yaml``, ``python``: lists of excerpts, with ``first`` the number of the first line and
        ``marked`` the numbers of the module's own lines; ``file``, ``line``: of its declaration.
    """
    node = find(built.inspection, path)
    if node is None:
        return {}
    instance = _declared(dict(walk(built.spec.root)), path)
    yaml = _yaml(built.spec, instance)
    return {
        "path": path,
        "type": node.type,
        "text": node.text,
        "figures": _figures(node),
        "inputs": [list(shape) for shape in node.inputs],
        "outputs": [list(shape) for shape in node.outputs],
        "tensors": _tensors(built.model, path),
        "file": yaml[0]["file"],
        "line": yaml[0]["marked"][0],
        "yaml": yaml,
        "python": _python(built.spec, instance),
    }


def _declared(instances: Mapping[str, Instance], path: str) -> Instance:
    """The declaration of a module; a part of one of PyTorch's layers is declared with the layer."""
    candidates = [path, *reversed(ancestors(path))]
    return next(instances[name] for name in candidates if name in instances)


def _figures(node: Node) -> list[dict[str, Any]]:
    figures = {
        "Parameters": Figure(node.parameters, "parameters"),
        "Trainable": Figure(node.trainable, "parameters"),
        "Buffers": Figure(node.buffers, "elements"),
        "MACs": Figure(node.macs, "MACs"),
    }
    calls = {"name": "Calls", "short": f"{node.calls:,}", "full": "in one forward pass"}
    return [*({"name": name, **figure_data(f)} for name, f in figures.items()), calls]


# ----------------------------------------------------------------------------------------- tensors


def _tensors(model: nn.Module, path: str) -> list[dict[str, Any]]:
    module, prefix = model.get_submodule(path), f"{path}." if path else ""
    initial = first_values(model, path)
    names: dict[int, list[str]] = {}
    for named in (model.named_parameters, model.named_buffers):
        for name, tensor in named(remove_duplicate=False):
            names.setdefault(id(tensor), []).append(name)

    def tensor_data(name: str, tensor: torch.Tensor, kind: str) -> dict[str, Any]:
        state = "trainable" if tensor.requires_grad else "frozen"
        return {
            "name": name,
            "kind": kind,
            "shape": list(tensor.shape),
            "dtype": str(tensor.dtype).removeprefix("torch."),
            "elements": f"{tensor.numel():,}",
            "state": kind if kind == "buffer" else state,
            "shared": [other for other in names[id(tensor)] if other != prefix + name],
            "initial": [
                {
                    "text": " ".join(filter(None, [value.part, value.text])),
                    **place_fields(value.place, "file", "line"),
                }
                for value in initial[name]
            ],
        }

    return [
        tensor_data(name, tensor, kind)
        for kind, tensors in (("parameter", module._parameters), ("buffer", module._buffers))
        for name, tensor in tensors.items()
        if tensor is not None
    ]


# ------------------------------------------------------------------------------------------- texts


def _yaml(spec: Spec, instance: Instance) -> list[dict[str, Any]]:
    """The lines that declare a module, and of a block also its definition."""
    declared = _excerpt("Declared", spec.document.excerpt(instance.path, CONTEXT_LINES))
    block = ("blocks", instance.type)
    if instance.type not in spec.architecture.blocks:
        return [declared]
    definition = _excerpt(f"Block {instance.type}", spec.document.excerpt(block))
    if instance.path == block:
        return [definition]
    return [declared, {**definition, "marked": []}]


def _excerpt(title: str, excerpt: Excerpt) -> dict[str, Any]:
    return _lines(title, excerpt.first, excerpt.lines, excerpt.marked, file=excerpt.file)


def _python(spec: Spec, instance: Instance) -> list[dict[str, Any]]:
    """The class of a block, or the class that contains a layer, with the layer's lines marked."""
    generated = generate(spec)
    is_block = instance.type in spec.architecture.blocks
    block = instance.type if is_block else str(instance.path[1])
    first, lines = generated.source_of(block)
    marked = [] if is_block else generated.lines_of(instance.path)
    return [_lines(f"class {block}", first, lines, marked)]


def _lines(
    title: str, first: int, lines: Sequence[str], marked: Sequence[int], **extra: Any
) -> dict[str, Any]:
    """Lines as data; of a long text, those from shortly before the marked ones on."""
    if len(lines) > MAX_LINES and marked:
        skipped = max(0, min(marked[0] - first - MAX_LINES // 4, len(lines) - MAX_LINES))
        first, lines = first + skipped, lines[skipped:]
    shown = [line[:MAX_LINE_LENGTH] for line in lines[:MAX_LINES]]
    last = first + len(shown)
    return {
        "title": title,
        "first": first,
        "lines": shown,
        "omitted": len(lines) - len(shown),
        "marked": [number for number in marked if first <= number < last],
        **extra,
    }
