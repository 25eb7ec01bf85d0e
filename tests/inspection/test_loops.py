"""Loops over ``range`` are measured in constant work, with the figures of all rounds."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

import archspec
from archspec import BuildError, ShapeError
from archspec.inspection import measure
from tests.tables import every

TEXT = """
archspec: 1
model: Net
dims: {{batch: 2, seq: {seq}}}
blocks:
  Scan:
    inputs: {{x: [batch, seq, 8]}}
    modules:
      a: {{type: Linear, in_features: 8, out_features: 8}}
      cell: {{type: Linear, in_features: 8, out_features: 8}}
    parameters: {{table: {{shape: [40, 8]}}}}
    forward:
      - h: zeros_like(x[:, 0])
      - u: a(x)
      - ys: []
      - for: t in range(x.shape[1])
        do:
          - h: tanh(cell(h) + u[:, t])
          - {step}
      - return: "u + h[:, None] + (sum(stack(ys), 0)[:, None] if len(ys) else 0.0)"
  Net:
    inputs: {{x: [batch, seq, 8]}}
    modules: {{layers: {{type: ModuleList, items: [{{type: Scan, repeat: 2}}]}}}}
    forward:
      - for: layer in layers
        do: [{{x: x + layer(x)}}]
      - return: x
"""


def figures(text: str) -> Any:
    found = archspec.inspect(archspec.loads(text))
    calls, nodes = list[Any](), [found.root]
    for node in nodes:
        calls.append((node.path, node.calls, node.macs, node.activations))
        nodes += node.children
    memory = found.memory.training.value, found.memory.inference.value
    return found.macs.value, memory, dict(found.uncounted), calls


@every(
    "step",
    [
        'ys: "ys + [h * 2]"',
        'ys: "ys + [h, u[:, t]]"',
        "h: h * table[t]",
        "h: h * t + (t - 1)",
        'ys: "ys + [h] if t < 20 else ys"',
        'ys: "ys + [sum(u[:, :t + 1], 1)]"',
        'ys: "ys + [sum(u[:, :t // 4 + 1], 1)]"',
        'ys: "ys + [h] if t % 2 == 0 else ys + [h * 2]"',
        'ys: "[h] + ys"',
        "{for: i in range(12), do: [{h: 'h * 2 + u[:, i]'}]}",
        "{for: i in range(t), do: [{h: h * 2}]}",
    ],
)
def test_the_figures_are_those_of_all_rounds(step: str) -> None:
    text = TEXT.format(seq=40, step=step)
    short = figures(text)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(measure, "short_loops", lambda record: contextlib.nullcontext())
        assert short == figures(text)


def test_long_loops_stay_within_the_limit_of_operations() -> None:
    text = TEXT.format(seq=20_000, step='ys: "ys + [h * 2]"')
    assert archspec.inspect(archspec.loads(text)).macs.value == 2 * 2 * 2 * 20_000 * 64
    with pytest.raises(BuildError, match="more than 10,000 operations"):
        archspec.inspect(archspec.loads(text.replace("h * 2", "sum(u[:, :t + 1], 1)")))


def test_an_index_that_is_too_large_at_last_is_found() -> None:
    with pytest.raises(ShapeError, match="index 59 is out of bounds"):
        archspec.inspect(archspec.loads(TEXT.format(seq=60, step="h: h * table[t]")))
