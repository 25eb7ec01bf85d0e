"""Totals and memory for chosen sizes, precision, optimizer and plan."""

from __future__ import annotations

from playwright.sync_api import Locator, expect

import archspec
from archspec_app.numbers import size
from tests.app.browser.inspector import Inspector


def figures(inspector: Inspector, title: str) -> Locator:
    sections = inspector.page.locator(".cost-view section")
    return sections.filter(has=inspector.page.get_by_role("heading", name=title))


def test_cost_follows_sizes_precision_and_plan(inspector: Inspector) -> None:
    inspector.tab("Cost")
    assert inspector.field("batch", "#sizes").input_value() == "1"
    inspector.field("batch", "#sizes").fill("16")
    inspector.field("batch", "#sizes").press("Tab")
    memory = archspec.inspect("bert", batch=16).memory
    expect(inspector.figure("Training memory")).to_have_text(f"≈ {size(memory.training.value)}")
    inspector.field("seq", "#sizes").fill("64")
    inspector.field("seq", "#sizes").press("Tab")
    inspector.field("precision", "#sizes").select_option("bf16-mixed")
    inspector.field("optimizer", "#sizes").select_option("sgd")
    inspector.labelled("Freeze plan").select_option("head-only")
    found = archspec.inspect(
        "bert", batch=16, seq=64, precision="bf16-mixed", optimizer="sgd", freeze="head-only"
    )
    exact = f"{found.memory.training.value:,} bytes"
    row = figures(inspector, "Memory").first.locator("tr", has_text=exact)
    expect(row).to_be_visible()
    expect(row.locator(".badge")).to_have_text("estimated")
    weights = f"{found.parameters.value:,} parameters"
    row = inspector.page.locator(".cost-view tr", has_text=weights).first
    expect(row.locator(".badge")).to_have_text("exact")


def test_a_size_that_cannot_be_is_refused(inspector: Inspector) -> None:
    inspector.tab("Cost")
    before = inspector.figure("Training memory").inner_text()
    inspector.field("seq", "#sizes").fill("0")
    inspector.field("seq", "#sizes").press("Tab")
    expect(inspector.problems.first).to_contain_text("error[E")
    expect(inspector.figure("Training memory")).to_have_text(before)
    inspector.button("Reset seq").click()
    expect(inspector.problems).to_have_count(0)
