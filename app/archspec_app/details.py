"""The selected module: where it is written, what it became, its tensors and shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from archspec.building.init_report import first_values
from archspec.codegen import generate
from archspec.inspection import Figure, Node
from archspec.lang.instances import Instance, ancestors, walk
from archspec.lang.spec import Spec
from archspec.lang.yaml import Excerpt
from archspec_app.costs import figure_data
from archspec_app.session import BuiltSpec
from archspec_app.tree import find

AROUND = 2
MOST_LINES = 240
MOST_LETTERS = 400
"""Of one line."""


def details_data(opened: BuiltSpec, path: str) -> dict[str, Any]:
    """Everything about one module; nothing if there is none at the path.

    Returns:
        ``yaml``, ``python``: lists of excerpts, with ``first`` the number of the first line and
        ``marked`` the numbers of the lines that are meant; ``file``, ``line``: of its declaration.
    """
    node = find(opened.inspection, path)
    if node is None:
        return {}
    instance = _declared(dict(walk(opened.spec.root)), path)
    yaml = _yaml(opened.spec, instance)
    return {
        "path": path,
        "type": node.type,
        "text": node.text,
        "figures": _figures(node),
        "inputs": [list(shape) for shape in node.inputs],
        "outputs": [list(shape) for shape in node.outputs],
        "tensors": _tensors(opened.model, path),
        "file": yaml[0]["file"],
        "line": yaml[0]["marked"][0],
        "yaml": yaml,
        "python": _python(opened.spec, instance),
    }


def _declared(instances: Mapping[str, Instance], path: str) -> Instance:
    """What the spec says of a module; a part of one of PyTorch's layers is declared with it."""
    around = [path, *reversed(ancestors(path))]
    return next(instances[one] for one in around if one in instances)


def _figures(node: Node) -> list[dict[str, Any]]:
    figures = {
        "Parameters": Figure(node.parameters, "parameters"),
        "Trainable": Figure(node.trainable, "parameters"),
        "Buffers": Figure(node.buffers, "elements"),
        "MACs": Figure(node.macs, "MACs"),
    }
    calls = {"name": "Calls", "short": f"{node.calls:,}", "full": "in one forward pass"}
    return [*({"name": name, **figure_data(one)} for name, one in figures.items()), calls]


# ----------------------------------------------------------------------------------------- tensors


def _tensors(model: nn.Module, path: str) -> list[dict[str, Any]]:
    module, prefix = model.get_submodule(path), f"{path}." if path else ""
    starts = first_values(model, path)
    names: dict[int, list[str]] = {}
    for every in (model.named_parameters, model.named_buffers):
        for name, tensor in every(remove_duplicate=False):
            names.setdefault(id(tensor), []).append(name)
    found: list[dict[str, Any]] = []
    for kind, held in (("parameter", module._parameters), ("buffer", module._buffers)):
        for name, tensor in held.items():
            if tensor is None:
                continue
            free = kind == "parameter" and tensor.requires_grad
            found.append(
                {
                    "name": name,
                    "kind": kind,
                    "shape": list(tensor.shape),
                    "dtype": str(tensor.dtype).removeprefix("torch."),
                    "elements": f"{tensor.numel():,}",
                    "state": kind if kind == "buffer" else "trainable" if free else "frozen",
                    "shared": [one for one in names[id(tensor)] if one != prefix + name],
                    "starts": [
                        {
                            "text": " ".join(filter(None, [value.part, value.text])),
                            "file": value.place.file if value.place else None,
                            "line": value.place.line if value.place else None,
                        }
                        for value in starts[name]
                    ],
                }
            )
    return found


# ------------------------------------------------------------------------------------------- texts


def _yaml(spec: Spec, instance: Instance) -> list[dict[str, Any]]:
    """The lines that declare a module; and those of its block, if it is one."""
    declared = _excerpt("Declared", spec.document.excerpt(instance.path, AROUND))
    block = ("blocks", instance.type)
    if instance.type not in spec.architecture.blocks:
        return [declared]
    made = _excerpt(f"Block {instance.type}", spec.document.excerpt(block))
    return [made] if instance.path == block else [declared, {**made, "marked": []}]


def _excerpt(title: str, found: Excerpt) -> dict[str, Any]:
    return _lines(title, found.first, found.lines, found.marked, file=found.file)


def _python(spec: Spec, instance: Instance) -> list[dict[str, Any]]:
    """The class of a block; for a layer, that of its parent, with the lines that make it."""
    generated = generate(spec)
    is_block = instance.type in spec.architecture.blocks
    block = instance.type if is_block else str(instance.path[1])
    first, lines = generated.source_of(block)
    marked = [] if is_block else generated.lines_of(instance.path)
    return [_lines(f"class {block}", first, lines, marked)]


def _lines(
    title: str, first: int, lines: Sequence[str], marked: Sequence[int], **more: Any
) -> dict[str, Any]:
    """Some lines as data; of very many, those from a little before the marked ones on."""
    if len(lines) > MOST_LINES and marked:
        skipped = max(0, min(marked[0] - first - MOST_LINES // 4, len(lines) - MOST_LINES))
        first, lines = first + skipped, lines[skipped:]
    shown = [line[:MOST_LETTERS] for line in lines[:MOST_LINES]]
    last = first + len(shown)
    return {
        "title": title,
        "first": first,
        "lines": shown,
        "left": len(lines) - len(shown),
        "marked": [number for number in marked if first <= number < last],
        **more,
    }
