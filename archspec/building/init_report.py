"""Reports how the tensors of a built module are initialised: by a rule of its spec or a default."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.overrides import TorchFunctionMode

from archspec.building.built_specs import spec_of
from archspec.codegen import Generated, generate
from archspec.errors import Place, Problem, UsageError
from archspec.lang.expr import evaluate
from archspec.lang.expr.printing import written
from archspec.lang.instances import Instance, walk
from archspec.lang.spec import Spec
from archspec.lang.tree import InitNode

TORCH_DEFAULT = "PyTorch's default"
OWN_DEFAULT = "its own default"


@dataclass(frozen=True, slots=True)
class FirstValue:
    """What initialises a tensor, or a part of it.

    Attributes:
        text: ``normal_(std=0.02)``, ``as embeddings.weight``, or the kind of default.
        part: ``[0]``; "" for the whole tensor.
        place: in the spec; None for a default.
    """

    text: str
    part: str = ""
    place: Place | None = None


def first_values(model: nn.Module, path: str = "") -> dict[str, tuple[FirstValue, ...]]:
    """What initialises the parameters and buffers of one module, without its submodules.

    Args:
        model: from ``build``, on any device; its values are not changed.
        path: of the module.

    Returns:
        Name → what fills it, in order; all but the first fill a part of it.

    Raises:
        UsageError: E801, the model was not built from a spec.

    Example:
        >>> import archspec
        >>> model = archspec.build("bert", device="meta")
        >>> [value.text for value in first_values(model, "classifier")["weight"]]
        ['normal_(std=0.02)']
    """
    spec = spec_of(model)
    if spec is None:
        raise UsageError(Problem("E801", "the model was not built from a spec"))
    return _InitialValueFinder(spec, generate(spec), model, path).by_name()


class _InitialValueFinder:
    def __init__(self, spec: Spec, generated: Generated, model: nn.Module, path: str) -> None:
        self.spec, self.generated, self.path = spec, generated, path
        self.module = model.get_submodule(path)
        self.module_code: Any = sys.modules[type(model).__module__]
        self.instance: Instance | None = dict(walk(spec.root)).get(path)

    def by_name(self) -> dict[str, tuple[FirstValue, ...]]:
        tensors = {**self.module._parameters, **self.module._buffers}
        rules = list(self._rules())
        prefix = f"{self.path}." if self.path else ""
        return {
            name: self._values_of(name, prefix + name, rules)
            for name, tensor in tensors.items()
            if tensor is not None
        }

    def _values_of(
        self, name: str, path: str, rules: list[tuple[int, str]]
    ) -> tuple[FirstValue, ...]:
        if target := self.spec.ties.get(path):
            return (FirstValue(f"as {target}", place=self.spec.document.place(("tie", path))),)
        values = [self._default(name)]
        fills = {fill.path: fill for rule in self.spec.tree.init for fill in rule.fills}
        for index, key in rules:
            fill = fills["init", index, key]
            if fill.tensor != name:
                continue
            part = key.removeprefix(name)
            value = FirstValue(self._text(fill.init), part, self.spec.document.place(fill.path))
            values = [*values, value] if part else [value]
        return tuple(values)

    def _default(self, name: str) -> FirstValue:
        instance = self.instance
        block = self.spec.tree.blocks.get(instance.type) if instance else None
        if block and (tensor := block.tensors.get(name)):
            place = self.spec.document.place(tensor.path)
            if tensor.value:
                text, *more = (written(step.value) for step in tensor.value)
                return FirstValue("a computed value" if more else text, place=place)
            return FirstValue(self._text(tensor.init), place=place)
        return FirstValue(
            TORCH_DEFAULT if type(self.module).__module__.startswith("torch.") else OWN_DEFAULT
        )

    def _text(self, init: InitNode) -> str:
        own = {**self.instance.values, **self.instance.let} if self.instance else {}
        known = {**self.spec.values, **own}
        values = {k: evaluate(v, known) for k, v in init.arguments.items()}
        return f"{init.function}({', '.join(f'{k}={v!r}' for k, v in values.items())})"

    def _rules(self) -> Iterator[tuple[int, str]]:
        """Index and key of each rule that the generated ``initialize`` applies to the module."""
        uses = self.generated.initialize
        if uses is None:
            return
        arguments = {"name": self.path}
        if "config" in uses:
            arguments["config"] = self.module_code.Config()
        module = _meta_copy(self.module)
        with _LineRecorder(str(self.module_code.__file__)) as lines:
            self.module_code.initialize(module, *(arguments[use] for use in uses))
        paths = {self.generated.paths[line]: None for line in lines.seen}
        for path in paths:
            yield int(path[1]), str(path[2])


def _meta_copy(module: nn.Module) -> nn.Module:
    """A module of the same class with the same own tensors on ``meta``."""
    copy = module.__class__.__new__(module.__class__)
    nn.Module.__init__(copy)
    for name, parameter in module._parameters.items():
        empty = None if parameter is None else nn.Parameter(parameter.detach().to("meta"), False)
        copy.register_parameter(name, empty)
    for name, buffer in module._buffers.items():
        copy.register_buffer(name, None if buffer is None else buffer.to("meta"))
    return copy


class _LineRecorder(TorchFunctionMode):
    """Records which lines of a file call functions of PyTorch, directly or not.

    Attributes:
        seen: the lines, in order.
    """

    def __init__(self, file: str) -> None:
        super().__init__()
        self.file, self.seen = file, dict[int, None]()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        frame = sys._getframe(1)
        while frame is not None and frame.f_code.co_filename != self.file:
            frame = frame.f_back
        if frame is not None:
            self.seen[frame.f_lineno] = None
        return func(*args, **(kwargs or {}))
