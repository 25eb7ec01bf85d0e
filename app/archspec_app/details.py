"""The selected module: where it is written, what it became, and its tensors."""

from __future__ import annotations

from typing import Any

from archspec_app.desk import Opened
from archspec_app.tree import find


def details_data(opened: Opened, path: str) -> dict[str, Any]:
    """Everything about one module; nothing if there is none at the path."""
    node = find(opened.inspection, path)
    if node is None:
        return {}
    module = opened.model.get_submodule(path)
    place = node.place
    tensors = [
        {
            "name": name,
            "shape": str(list(tensor.shape)),
            "dtype": str(tensor.dtype).removeprefix("torch."),
            "elements": f"{tensor.numel():,}",
            "start": "",
            "state": "trainable" if tensor.requires_grad else "frozen",
        }
        for name, tensor in module.named_parameters(recurse=False)
    ]
    return {
        "path": path,
        "type": node.type,
        "text": node.text,
        "inputs": [list(shape) for shape in node.inputs],
        "outputs": [list(shape) for shape in node.outputs],
        "calls": node.calls,
        "tensors": tensors,
        "file": place.file if place else None,
        "line": place.line if place else None,
        "yaml": None,
        "python": None,
    }
