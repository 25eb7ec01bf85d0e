"""Memory by freeze plan, and the GPUs that a step fits on: the library's own figures."""

from __future__ import annotations

from typing import Any

import pytest

import archspec
from archspec_app.session import BuiltSpec, SpecRequest
from archspec_app.training_memory import GPUS, MAX_PLANS, gpus_data, plans_data

SPEC = """
archspec: 1
model: Small
dims: { %s: 4 }
blocks:
  Small:
    inputs: { x: [%s, 4000] }
    modules:
      first: { type: Linear, in_features: 4000, out_features: 8000 }
      last: { type: Linear, in_features: 8000, out_features: 200 }
    forward: [return: last(relu(first(x)))]
freeze:
  none: []
  head: ["**", "!last"]
"""


def built(plan: str | None, size: str = "batch", more: str = "", **options: str) -> BuiltSpec:
    text = SPEC % (size, size) + more
    spec = archspec.loads(text)
    request = SpecRequest(text, plan, {size: 4}, **options)  # pyright: ignore[reportArgumentType]
    return BuiltSpec(request, spec, archspec.inspect(spec, freeze=plan))


@pytest.mark.parametrize("plan", [None, "head"])
def test_plans_have_the_figures_of_inspect(plan: str | None) -> None:
    """A plan that freezes nothing is not shown again."""
    options: dict[str, Any] = {"precision": "bf16-mixed", "optimizer": "sgd", "device": "cuda"}
    rows, left_out = plans_data(built(plan, **options))
    assert left_out == 0
    assert [(row["plan"], row["chosen"]) for row in rows] == [
        ("nothing frozen", plan is None), ("head", plan == "head"),
    ]  # fmt: skip
    for row, freeze in zip(rows, (None, "head"), strict=True):
        memory = archspec.inspect(
            archspec.loads(built(plan).request.text), freeze=freeze, **options
        ).memory
        assert row["total"]["value"] == memory.training.value
        assert [part["value"] for part in row["parts"]] == [
            figure.value for figure in memory.training_parts.values()
        ]


def test_a_chosen_plan_is_among_many() -> None:
    more = "".join(f'  plan-{i}: ["**", "!last"]\n' for i in range(3 * MAX_PLANS))
    rows, left_out = plans_data(built(f"plan-{3 * MAX_PLANS - 1}", more=more))
    assert left_out == 3 * MAX_PLANS + 1 - MAX_PLANS
    assert [row["plan"] for row in rows if row["chosen"]] == [f"plan-{3 * MAX_PLANS - 1}"]
    assert len(rows) == MAX_PLANS + 1  # without the one that freezes nothing


@pytest.mark.parametrize("name", ["", "bert", "resnet18"])
def test_the_largest_batch_is_the_last_that_fits(name: str) -> None:
    case = built("head")
    if name:
        spec, plan = archspec.load(name), "head-only"
        case = BuiltSpec(SpecRequest("", plan), spec, archspec.inspect(spec, freeze=plan))
    for size, row in list(zip(GPUS, gpus_data(case), strict=True))[::3]:
        gib, plan = 0.9 * size * 10**9 / 2**30, case.request.plan
        batch = archspec.largest_batch(case.spec, gib, freeze=plan, device="cuda")
        assert row["batch"] == pytest.approx(batch, rel=2e-3, abs=1)
        assert row["fits"] and row["memory"] == f"{size} GB"


def test_without_a_batch_there_is_no_largest_one() -> None:
    assert {row["batch"] for row in gpus_data(built(None, size="rows"))} == {None}
