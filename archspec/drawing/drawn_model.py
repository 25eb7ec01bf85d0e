"""The model that is drawn: built on ``meta``, beside its spec with names, shapes and places."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from torch import nn

from archspec.builder import build, compiled
from archspec.codegen import Generated, generate
from archspec.drawing.diagram import State
from archspec.errors import Place
from archspec.inspection.inspecting import example_run
from archspec.lang.instances import Instance, argument_texts, format_arguments, walk
from archspec.lang.schema import Block
from archspec.lang.spec import Spec
from archspec.report.subtrees import SubtreeNumbers

_MAX_ARGUMENT = 60  # characters of one argument
Plan = str | Sequence[str] | None


@dataclass(eq=False)
class DrawnModel:
    """A built model beside the spec that it was built from.

    Attributes:
        spec: with the sizes of the drawing as its ``dims``.
        model: on ``meta``, frozen by the plan.
        inputs: examples of the root's, also on ``meta``.
        generated: the source that the model was compiled from; ``file`` is its name.
        instances: path → the module as the spec describes it.
        tensors: id → path of each parameter and buffer, the first one of those that share.
    """

    spec: Spec
    model: nn.Module
    freeze: Plan
    inputs: Mapping[str, Any]
    generated: Generated
    file: str
    instances: Mapping[str, Instance]
    tensors: Mapping[int, str]
    _numbers: SubtreeNumbers[str] = field(init=False)

    def __post_init__(self) -> None:
        self._numbers = SubtreeNumbers(self._features, self._children, identity=str)

    @classmethod
    def of(
        cls,
        source: str | os.PathLike[str] | Spec,
        freeze: Plan,
        sizes: Mapping[str, int],
        without: Sequence[str] = (),
    ) -> DrawnModel:
        """Build the model, to be run without some inputs; raises as ``build`` and ``inspect``."""
        spec, inputs = example_run(source, sizes, without)
        model = build(spec, device="meta", freeze=freeze)
        generated = generate(spec)
        tensors: dict[int, str] = {}
        for named_tensors in (model.named_parameters, model.named_buffers):
            for path, tensor in named_tensors(remove_duplicate=False):
                tensors.setdefault(id(tensor), path)
        file = str(compiled(generated.text, spec.name).__file__)
        instances = dict(walk(spec.root))
        return cls(spec, model, freeze, inputs, generated, file, instances, tensors)

    # --------------------------------------------------------------------------------- modules

    def kind(self, path: str) -> int:
        """A number, equal for modules that are built and frozen alike with all their submodules."""
        return self._numbers.number(path)

    def _features(self, path: str) -> Hashable:
        instance, module = self.instances[path], self.model.get_submodule(path)
        layer = not instance.children  # it may be made of others, which the spec does not name
        frozen = tuple(p.requires_grad for p in module.parameters(recurse=layer))
        return instance.type, repr(instance.arguments), frozen, self.shares(path)

    def _children(self, path: str) -> Iterator[tuple[str, str]]:
        prefix = f"{path}." if path else ""
        return ((name, prefix + name) for name, _ in self.instances[path].children)

    def shares(self, path: str) -> bool:
        """Whether a tensor that the module holds itself is another module's."""
        prefix = f"{path}." if path else ""
        own = self.model.get_submodule(path)._parameters
        return any(
            tensor is not None and self.tensors.get(id(tensor)) != prefix + name
            for name, tensor in own.items()
        )

    def module_facts(self, path: str, within: str = "") -> dict[str, Any]:
        """The attributes of a module's box.

        Args:
            within: the path of the block that the name is relative to.
        """
        module = self.model.get_submodule(path)
        parameters, trainable = 0, 0
        for parameter in module.parameters():
            parameters += parameter.numel()
            trainable += parameter.numel() if parameter.requires_grad else 0
        known = self.instances.get(path)
        relative = path[len(within) + 1 :] if within else path
        return {
            "name": bracketed(relative) if relative else type(module).__name__,
            "type": known.type if known else type(module).__name__,
            "text": _arguments(known) if known and not known.children else "",
            "path": path,
            "parameters": parameters,
            "trainable": trainable,
            "state": _state(parameters, trainable),
            "shared": self.shares(path),
        }

    def declared_at(self, path: str) -> Place:
        return self.spec.document.place(self.instances[path].path)

    # ---------------------------------------------------------------------------------- blocks

    def block(self, module: nn.Module) -> Block | None:
        if type(module).__module__.startswith("torch."):
            return None
        return self.spec.architecture.blocks.get(type(module).__name__)

    def inputs_of(self, module: nn.Module) -> list[str]:
        block = self.block(module)
        if block is None:
            return []
        return list(block.inputs) or (["x"] if block.forward is None else [])

    def outputs_of(self, module: nn.Module) -> list[str]:
        block = self.block(module)
        return list(block.outputs) if block else []

    def input_place(self, module: nn.Module, name: str) -> Place | None:
        block = self.block(module)
        if block is None or name not in block.inputs:
            return None
        return self.spec.document.place(("blocks", type(module).__name__, "inputs", name))

    # ---------------------------------------------------------------------------- places and shapes

    def place_of_caller(self, frame: FrameType | None) -> Place | None:
        """The step of the spec that the innermost generated line was made from."""
        while frame is not None and frame.f_code.co_filename != self.file:
            frame = frame.f_back
        path = self.generated.paths.get(frame.f_lineno) if frame is not None else None
        return self.spec.document.place(path) if path else None

    def shape_text(self, shape: Sequence[int], is_weight: bool = False) -> str:
        """``[batch, seq, 768]``: dimensions by name, where a size can only be that one."""
        named: list[str] = []
        for axis, size in enumerate(shape):
            known = self._dims().get(size, [])
            if "batch" in known:  # so small a number means the batch only where batches are
                known = ["batch"] if axis == 0 else []
            sure = len(known) == 1 and not is_weight
            named.append(known[0] if sure else str(size))
        return f"[{', '.join(named)}]"

    def _dims(self) -> dict[int, list[str]]:
        """Size → the dimensions that have it, and the parameters that one could take it for."""
        names_by_size: dict[int, list[str]] = {}
        for name, size in self.spec.architecture.dims.items():
            names_by_size.setdefault(size, []).append(name)
        for name, value in self.spec.values.items():
            if isinstance(value, int) and not isinstance(value, bool) and value > 1:
                names_by_size.setdefault(value, []).append(name)
        symbols = self.spec.architecture.dims.keys()
        return {size: names for size, names in names_by_size.items() if symbols & set(names)}


def _arguments(instance: Instance) -> str:
    return format_arguments(argument_texts(instance), _MAX_ARGUMENT)


def bracketed(path: str) -> str:
    """``layer.3.output`` as it is written: ``layer[3].output``."""
    names = path.split(".") if path else []
    return "".join(f"[{n}]" if n.isdecimal() else f".{n}" for n in names).removeprefix(".")


def _state(parameters: int, trainable: int) -> State:
    if not parameters:
        return "no parameters"
    return "trainable" if trainable == parameters else "partly frozen" if trainable else "frozen"
