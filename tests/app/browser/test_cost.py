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
            inspector.tab("Tree")  # where the plan stands
            inspector.labelled("Freeze plan").select_option(str(value))
            inspector.tab("Cost")
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

    note = inspector.page.locator(".cost-view section").filter(has_text="peak of a step")
    expect(note.locator("p")).to_contain_text("it is the safe number to fit")
    assert "estimated" in row(f"{found.memory.training.value:,} bytes")
    assert "exact" in row(f"{found.parameters.value:,} parameters")
    assert "exact" in row(f"{found.macs.value:,} MACs")
    step = row(f"{found.step_flops.value:,} FLOPs")
    assert step.startswith("FLOPs, one training step") and "exact" in step


def test_what_cannot_be_is_told_at_its_field(inspector: Inspector) -> None:
    inspector.tab("Cost")
    before = inspector.figure(TRAINING).inner_text()
    for name, value, error in (
        ("seq", "0", "must be an integer, 1 to 1000000; not applied"),  # known to the field
        ("checkpoint_blocks", "@BertLayers", "did you mean '@BertLayer'"),  # from the server
    ):
        field = inspector.field(name, "#sizes")
        field.fill(value)
        field.press("Tab")
        expect(inspector.page.locator(f"#error-{name}")).to_contain_text(error)
        expect(field).to_have_attribute("aria-invalid", "true")
        expect(field).to_have_value(value)
    expect(inspector.problems).to_have_count(0)
    expect(inspector.figure(TRAINING)).to_have_text(before)


def test_memory_by_plan_and_the_gpus_that_it_fits_on(inspector: Inspector) -> None:
    inspector.tab("Cost")
    memory = inspector.page.locator(".memory-view")
    memory.scroll_into_view_if_needed()
    plans, gpus = memory.locator("table.plans tbody tr"), memory.locator("table.gpus tbody tr")
    chosen = plans.filter(has_text="nothing frozen")
    expect(chosen).to_have_class("chosen", timeout=60_000)
    for name, freeze in (("nothing frozen", None), ("last-2-and-head", "last-2-and-head")):
        total = archspec.inspect("bert", freeze=freeze).memory.training.value
        row = plans.filter(has_text=name)
        expect(row).to_contain_text(f"≈ {format_size(total)}", timeout=60_000)
        expect(plans.filter(has_text=name)).to_contain_text("weights 417.6 MiB")  # spoken
    batch = archspec.largest_batch("bert", 0.9 * 24 * 10**9 / 2**30, device="cuda")
    number = gpus.filter(has_text="24 GB").locator("td.number")
    expect(number).to_have_text(f"≈ {batch:,}", timeout=60_000)
    inspector.field("batch", "#sizes").fill("100000")
    inspector.field("batch", "#sizes").press("Tab")
    memory.locator("table.gpus").scroll_into_view_if_needed()  # computed for who looks at it
    expect(gpus.filter(has_text="192 GB")).to_contain_text("no", timeout=60_000)
    for table in ("table.plans", "table.gpus"):
        box, inside = memory.bounding_box(), memory.locator(table).bounding_box()
        assert box and inside and inside["x"] + inside["width"] <= box["x"] + box["width"] + 1


def test_the_figures_of_the_cost_tab_do_not_overlap(inspector: Inspector) -> None:
    inspector.tab("Cost")
    overlaps = inspector.page.evaluate(
        """() => [...document.querySelectorAll(".cost-view td")]
          .filter((cell) => cell.offsetParent && cell.scrollWidth > cell.clientWidth + 1)
          .map((cell) => cell.textContent)"""
    )
    assert overlaps == []
