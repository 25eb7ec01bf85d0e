"""Copies of weights under autocast: one a pass, however often equal modules are called."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import archspec
import archspec.inspection.memory
from archspec.inspection.measure import run
from archspec.lang.instances import walk
from archspec.lang.spec import Spec

_LOOPED = """
archspec: 1
model: Looped
dims: {{batch: 1, seq: 8}}
blocks:
  Layer:
    inputs: {{x: [batch, seq, 64]}}
    modules:
      up: {{type: Linear, in_features: 64, out_features: 64, bias: {bias}}}
      inner: {{type: Sequential, items: [{{type: Linear, in_features: 64, out_features: 64}}, {{type: Tanh}}]}}
    forward:
      - return: x + inner(up(x))
  Looped:
    inputs: {{x: [batch, seq, 64]}}
    modules:
      stem: {{type: Linear, in_features: 64, out_features: 64}}
      layers: {{type: ModuleList, items: [{{type: Layer, repeat: {layers}}}]}}
    forward:
{stem}
      - for: i in range({times})
        do:
          - for: layer in layers
            do:
              - x: layer(x)
      - return: x
{tie}
"""  # noqa: E501 (a step of a spec stays on its line)


def looped(
    layers: int = 4, times: int = 3, *, stem: bool = False, tied: bool = False, bias: bool = True
) -> Spec:
    """``layers`` equal modules in a row, the row ``times`` times."""
    first = "      - x: stem(x)" if stem else ""
    tie = "tie: {layers.1.up.weight: layers.0.up.weight}" if tied else ""
    text = _LOOPED.format(layers=layers, times=times, stem=first, tie=tie, bias=str(bias).lower())
    return archspec.loads(text, name="looped")


def test_a_row_of_equal_layers_called_three_times(kept_on_cpu: Callable[..., int]) -> None:
    """Three passes over 12,288 bytes of activations a layer, and eight copies of 8,192 + 128."""
    found = archspec.inspect(looped(), precision="bf16-mixed")
    assert found.memory.activations.value == kept_on_cpu(looped(), None, mixed=True) == 102_400


@pytest.mark.parametrize("precision", archspec.inspection.memory.PRECISIONS)
@pytest.mark.parametrize("stem", [True, False])
def test_every_precision_is_as_without_copying(precision: str, stem: bool) -> None:
    spec = looped(stem=stem)
    found = archspec.inspection.memory.PRECISIONS[precision]
    lowered = found.computed if found.mixed else None
    model = archspec.build(spec, device="meta", dtype=found.stored)
    inputs = {"x": torch.zeros(1, 8, 64, device="meta", dtype=found.stored)}
    kinds = {path: id(instance) for path, instance in walk(spec.root)}
    expected = run(model, inputs, autocast=lowered)
    assert run(model, inputs, kinds=kinds, autocast=lowered) == expected
    said = archspec.inspect(spec, precision=precision).memory.activations.value
    assert said == sum(expected.kept.values())


@settings(max_examples=40)
@given(
    layers=st.integers(3, 5),
    times=st.integers(1, 3),
    stem=st.booleans(),
    tied=st.booleans(),
    bias=st.booleans(),
    freeze=st.sampled_from(
        [
            None,
            ["layers[0]"],
            ["layers[:2]"],
            ["layers.*.up"],
            ["**.weight"],
            ["stem", "layers[-1]"],
        ]
    ),
)
def test_what_a_cpu_keeps(
    kept_on_cpu: Callable[..., int],
    layers: int,
    times: int,
    stem: bool,
    tied: bool,
    bias: bool,
    freeze: list[str] | None,
) -> None:
    spec = looped(layers, times, stem=stem, tied=tied, bias=bias)
    found = archspec.inspect(spec, freeze=freeze, precision="bf16-mixed")
    assert found.memory.activations.value == kept_on_cpu(spec, freeze, mixed=True)
