"""The nodes of an inspection: modules with what their forward passes recorded, and places."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from archspec.errors import Place
from archspec.inspection.figures import Node
from archspec.lang.instances import walk
from archspec.lang.spec import Spec
from archspec.tracing.forward_record import Run


def tree(spec: Spec, model: nn.Module, trained: Run, inferred: Run) -> Node:
    """The root node with all below it; a shared tensor is counted at its first name.

    Args:
        trained: a forward pass in training mode, with gradients.
        inferred: one in inference mode, without.
    """
    return _Tree(spec, model, trained, inferred).node("", model, None)


class _Tree:
    def __init__(self, spec: Spec, model: nn.Module, trained: Run, inferred: Run) -> None:
        self.trained, self.inferred = trained, inferred
        self.paths = {path: instance.path for path, instance in walk(spec.root)}
        self.places: dict[object, Place] = {}
        self.document = spec.document
        self.owners: dict[int, str] = {}
        for named_tensors in (model.named_parameters, model.named_buffers):
            for path, tensor in named_tensors(remove_duplicate=False):
                self.owners.setdefault(id(tensor), path)

    def node(self, path: str, module: nn.Module, above: Place | None) -> Node:
        place = self._place(path) or above
        prefix = f"{path}." if path else ""
        children = tuple(
            self.node(prefix + name, child, place) for name, child in module.named_children()
        )
        own, shared = self._own(prefix, module._parameters)
        buffers, _ = self._own(prefix, module._buffers)
        trained, inferred = self.trained, self.inferred
        called = inferred if path in inferred.inputs else trained
        return Node(
            path=path,
            type=type(module).__name__,
            text=f"{type(module).__name__}({'' if children else module.extra_repr()})",
            parameters=_numel(own) + sum(c.parameters for c in children),
            trainable=_numel([p for p in own if p.requires_grad])
            + sum(c.trainable for c in children),
            buffers=_numel(buffers) + sum(c.buffers for c in children),
            shared=shared,
            calls=inferred.calls[path],
            inputs=called.inputs.get(path, ()),
            outputs=called.outputs.get(path, ()),
            macs=inferred.macs[path] + sum(c.macs for c in children),
            training_macs=trained.macs[path] + sum(c.training_macs for c in children),
            activations=trained.kept[path] + sum(c.activations for c in children),
            place=place,
            children=children,
        )

    def _own(
        self, prefix: str, tensors: Mapping[str, torch.Tensor | None]
    ) -> tuple[list[torch.Tensor], dict[str, str]]:
        """A module's own tensors, and those that belong to another: name → that one's path."""
        own: list[torch.Tensor] = []
        shared: dict[str, str] = {}
        for name, tensor in tensors.items():
            if tensor is None:
                continue
            owner = self.owners[id(tensor)]
            if owner == prefix + name:
                own.append(tensor)
            else:
                shared[name] = owner
        return own, shared

    def _place(self, path: str) -> Place | None:
        """Where a module is declared; parts of a layer of PyTorch's are not declared themselves."""
        if path not in self.paths:
            return None
        declared = self.paths[path]
        if declared not in self.places:
            self.places[declared] = self.document.place(declared)
        return self.places[declared]


def _numel(tensors: list[torch.Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors)
