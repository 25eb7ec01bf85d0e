"""``route``: rows through the experts that are chosen for them."""

from __future__ import annotations

from typing import Any

import torch

import archspec
from archspec import SpecError
from tests.tables import every

TEXT = """
archspec: 1
model: Net
dims: {batch: 6}
params: {n: 4, k: 2}
blocks:
  Expert:
    inputs: {x: [rows, 8]}
    modules: {fc: {type: Linear, in_features: 8, out_features: 8}}
    forward: [{return: relu(fc(x))}]
  Net:
    inputs: {x: [batch, 8]}
    outputs: {y: [batch, 8]}
    modules:
      gate: {type: Linear, in_features: 8, out_features: $n}
      experts: {type: ModuleList, items: [{type: Expert, repeat: $n}]}
      other: {type: Linear, in_features: 8, out_features: 8}
    forward:
      - weights, chosen: topk(softmax(gate(x), -1), k, -1)
      - return: route(x, experts, chosen, weights)
"""


def test_rows_go_through_the_experts_that_are_chosen() -> None:
    model: Any = archspec.build(archspec.loads(TEXT), device="cpu", seed=0)
    x = torch.randn(6, 8, requires_grad=True)
    weights, chosen = model.gate(x).softmax(-1).topk(2, -1)
    expected: Any = torch.stack(
        [  # pyright: ignore[reportArgumentType] - sums of tensors
            sum(w * model.experts[e](row) for w, e in zip(ws, es, strict=True))
            for row, ws, es in zip(x, weights, chosen.tolist(), strict=True)
        ]
    )
    found = model(x)
    assert torch.allclose(found, expected, atol=1e-6)
    (ours,) = torch.autograd.grad(found.square().sum(), x, retain_graph=True)
    (theirs,) = torch.autograd.grad(expected.square().sum(), x)
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_what_is_computed_is_counted() -> None:
    for n, k in ((4, 2), (4, 3), (7, 1)):
        inspection = archspec.inspect(archspec.loads(TEXT, n=n, k=k), batch=10)
        assert inspection.macs.value == 10 * 8 * n + 10 * k * 64
        assert not inspection.uncounted.get("nonzero")
    assert len(archspec.draw(archspec.loads(TEXT)).nodes) > 3


@every(
    "call, line, code, message",
    [
        ("route(x, other, chosen, weights)", 20, "E305", "route takes a ModuleList of experts"),
        ("route(x, x, chosen, weights)", 20, "E305", "route takes a ModuleList of experts"),
        ("route(x, experts, chosen)", 20, "E305", "route needs at least 4 arguments, got 3"),
        ("route(experts, experts, chosen, x)", 20, "E305", "'experts' is a module, not a value"),
    ],
)
def test_calls_that_do_not_fit(call: str, line: int, code: str, message: str) -> None:
    try:
        archspec.loads(TEXT.replace("route(x, experts, chosen, weights)", call))
    except SpecError as error:
        problems = [(p.place.line if p.place else 0, p.code, p.message) for p in error.problems]
        assert problems == [(line, code, message)]
    else:
        raise AssertionError("nothing was said")
