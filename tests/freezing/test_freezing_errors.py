"""Freeze plans that do not exist, and patterns that do not work."""

from __future__ import annotations

from typing import Any

import pytest

from archspec import FreezeError, SpecError, UsageError, build, builder, loads

PLAIN = """
archspec: 1
model: M
blocks:
  M: {inputs: {x: [batch, 4]}, modules: {act: {type: ReLU}}}
"""


@pytest.mark.parametrize(
    ("plan", "hint"),
    [
        ("head-onlly", "did you mean 'head-only'?"),
        ("xyz", "plans: none, all, head-only, last-stage-and-head, norms"),
        ("", "plans: none, all, head-only, last-stage-and-head, norms"),
        (
            "**",
            "plans: none, all, head-only, last-stage-and-head, norms",
        ),  # patterns come in a list
    ],
)
def test_an_unknown_plan(plan: str, hint: str) -> None:
    with pytest.raises(FreezeError) as caught:
        build("resnet18", device="meta", freeze=plan)
    assert (caught.value.code, caught.value.hint) == ("E703", hint)
    assert caught.value.message == f"resnet18 has no freeze plan '{plan}'"


def test_a_spec_without_plans() -> None:
    with pytest.raises(FreezeError) as caught:
        build(loads(PLAIN), device="meta", freeze="all")
    assert (caught.value.code, caught.value.hint) == ("E703", "plans: none")


@pytest.mark.parametrize(
    ("patterns", "code", "hint"),
    [
        (["fcc"], "E701", "did you mean 'fc'?"),
        (["**", "!layer9"], "E701", None),
        (["@BatchNorm3d"], "E701", None),
        (["layer1[5]"], "E701", None),
        (["fc.weights"], "E701", None),
        (["["], "E702", ""),
        ([""], "E702", ""),
    ],
)
def test_patterns_that_do_not_work(patterns: list[str], code: str, hint: str | None) -> None:
    with pytest.raises(FreezeError) as caught:
        build("resnet18", device="meta", freeze=patterns)
    assert caught.value.code == code and repr(patterns[-1]) in caught.value.message
    assert hint is None or caught.value.hint == hint


def test_the_plan_is_checked_before_memory_is_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    def filled(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(builder, "fill", filled)
    with pytest.raises(FreezeError):
        build("resnet18", device="cpu", freeze="nope")


@pytest.mark.parametrize("plan", [3, [3], [["fc"]]])
def test_what_is_no_plan(plan: Any) -> None:
    with pytest.raises((UsageError, FreezeError)):
        build("resnet18", device="meta", freeze=plan)


@pytest.mark.parametrize(
    ("plan", "code", "hint"),
    [
        ("{patterns: [act], gradient: false}", "E201", "did you mean 'gradients'?"),
        ("{patterns: [act], gradients: 'no'}", "E202", None),
        ("{patterns: [act], statistics: 0}", "E202", None),
        ("{gradients: false}", "E202", None),
    ],
)
def test_what_is_no_plan_in_a_spec(plan: str, code: str, hint: str | None) -> None:
    with pytest.raises(SpecError) as caught:
        loads(f"{PLAIN}freeze: {{a: {plan}}}\n")
    place = caught.value.place
    assert (caught.value.code, place and place.line) == (code, 6)
    assert hint is None or caught.value.hint == hint
