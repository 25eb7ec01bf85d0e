"""The two parts of a model, traced for each mode and kind of input sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from archspec.errors import UsageError
from archspec.feature_cache.dataflow import ConstantAnalysis
from archspec.feature_cache.split_graph import Part, counterparts, flat_outputs
from archspec.feature_cache.tracing import Trace, Untraceable, trace, usage


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """One trace in two parts, for the modes of the modules."""

    modes: tuple[bool, ...]
    trace: Trace
    frozen: Part
    rest: Part


class SplitModel:
    """What a ``Frontier`` runs.

    Attributes:
        first: the trace in which the frontier was found.
    """

    def __init__(
        self, model: nn.Module, flow: ConstantAnalysis, values: Sequence[fx.Node], *, ragged: bool
    ) -> None:
        self.model, self._values, self._ragged = model, list(values), ragged
        self._modules = list(model.modules())
        self.first = self._split(flow, self._values)
        self._splits = [self.first]

    def frozen(self, inputs: Mapping[str, Tensor]) -> list[Tensor]:
        """The values of a batch, in their order."""
        part = self._split_for(inputs).frozen
        with torch.no_grad():
            return list(part((), inputs))

    def rest(self, values: Sequence[Tensor], inputs: Mapping[str, Tensor]) -> Any:
        """What the model returns."""
        split = self._split_for(inputs)
        return split.trace.outputs(split.rest(values, inputs))

    def _split_for(self, inputs: Mapping[str, Tensor]) -> Split:
        self._check_frozen()
        tensors = {name: value for name, value in inputs.items() if value is not None}
        modes = self._modes()
        refused: UsageError | None = None
        for split in self._splits:
            if split.modes == modes:
                try:
                    split.trace.check(tensors)
                except UsageError as error:
                    refused = error
                else:
                    return split
        return self._trace_again(tensors, refused)

    def _trace_again(self, inputs: Mapping[str, Tensor], refused: UsageError | None) -> Split:
        if set(inputs) != set(self.first.trace.inputs.values()) and refused is not None:
            raise refused
        try:
            # As for the first trace: validation may call this with gradients off.
            with torch.inference_mode(False), torch.enable_grad():
                traced = trace(self.model, inputs, ragged=self._ragged)
        except Untraceable as error:
            raise refused or usage(f"the model cannot be traced: {error}") from error
        values = counterparts(self._values, traced)
        if values is None:
            raise refused or usage("in this mode the model does something else in front")
        self._splits.append(self._split(ConstantAnalysis(traced, self.model), values))
        return self._splits[-1]

    def _split(self, flow: ConstantAnalysis, values: Sequence[fx.Node]) -> Split:
        return Split(
            self._modes(),
            flow.trace,
            Part(flow, self.model, (), list(values)),
            Part(flow, self.model, values, flat_outputs(flow.trace), flow.effects),
        )

    def _check_frozen(self) -> None:
        part = self.first.frozen
        for name, tensor in zip(part.tensors, part.current(), strict=True):
            if tensor.requires_grad:
                message = f"'{name}' has been thawed since the frontier was found"
                raise usage(message, "look for the frontier again")

    def _modes(self) -> tuple[bool, ...]:
        return tuple(module.training for module in self._modules)
