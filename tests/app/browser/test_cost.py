"""Totals and memory for chosen sizes, precision, optimizer and plan."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import expect

import archspec
from archspec.report.numbers import format_size
from tests.app.browser.inspector import Inspector

TRAINING = "Training memory"


def test_cost_follows_sizes_precision_and_plan(inspector: Inspector) -> None:
    inspector.tab("Cost")
    chosen: dict[str, Any] = {}
    for name, value in (
        ("batch", 16), ("seq", 64), ("precision", "bf16-mixed"), ("optimizer", "sgd-momentum"),
        ("freeze", "head-only"),
    ):  # fmt: skip
        chosen[name] = value
        if name == "freeze":
            inspector.labelled("Freeze plan").select_option(str(value))
        elif isinstance(value, str):
            inspector.field(name, "#sizes").select_option(value)
        else:
            inspector.field(name, "#sizes").fill(str(value))
            inspector.field(name, "#sizes").press("Tab")
        found = archspec.inspect("bert", **chosen)
        expect(inspector.figure(TRAINING)).to_have_text(
            f"≈ {format_size(found.memory.training.value)}"
        )

    def row(figure: str) -> str:
        rows = inspector.page.locator(".cost-view tr")
        return rows.filter(has_text=figure).first.inner_text()

    assert "estimated" in row(f"{found.memory.training.value:,} bytes")
    assert "exact" in row(f"{found.parameters.value:,} parameters")
    assert "exact" in row(f"{found.macs.value:,} multiply-accumulates")


def test_a_size_that_cannot_be_is_told_and_taken_back(inspector: Inspector) -> None:
    inspector.tab("Cost")
    before = inspector.figure(TRAINING).inner_text()
    seq = inspector.field("seq", "#sizes")
    seq.fill("0")
    seq.press("Tab")
    expect(inspector.problems.first).to_contain_text("error[E")
    expect(inspector.figure(TRAINING)).to_have_text(before)
    inspector.button("Reset seq").click()
    expect(inspector.problems).to_have_count(0)
    expect(seq).to_have_value("128")
