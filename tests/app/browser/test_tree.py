"""The module tree, its freeze toggles, and the details of the module that is selected."""

from __future__ import annotations

import math
from difflib import ndiff

from playwright.sync_api import expect

from tests.app.browser.inspector import Inspector


def changed_lines(before: str, after: str) -> list[str]:
    return [line for line in ndiff(before.split("\n"), after.split("\n")) if line[0] in "+-"]


def test_repeats_are_folded_and_unfold(inspector: Inspector) -> None:
    inspector.row("bert.encoder").locator(".twisty").click()
    inspector.row("bert.encoder.layer").locator(".twisty").click()
    layers = inspector.row("bert.encoder.layer.0-11")
    expect(layers).to_contain_text("(0-11): 12 × BertLayer")
    expect(layers).to_have_attribute("aria-expanded", "false")
    expect(layers.locator("td").nth(1)).to_have_text("85.05 M")
    expect(layers.locator("td").nth(1)).to_have_attribute(
        "title", "85,054,464 parameters, 7,087,872 each"
    )
    before = inspector.rows.count()
    layers.click()
    expect(layers).to_have_attribute("aria-expanded", "true")
    expect(inspector.rows).to_have_count(before + 12)
    expect(inspector.row("bert.encoder.layer.11")).to_contain_text("BertLayer")
    inspector.button("Collapse all").click()
    expect(inspector.row("bert.encoder.layer.11")).to_have_count(0)
    inspector.button("Expand all").click()
    expect(inspector.row("bert.encoder.layer.11.attention.self.query")).to_contain_text("Linear")


def test_search_finds_names_types_and_paths(inspector: Inspector) -> None:
    search = inspector.page.get_by_label("Search modules by name, type or path")
    status = inspector.page.locator(".tree-status")
    search.fill("layernorm")
    expect(status).to_have_text("3 found")
    expect(inspector.row("bert.embeddings.LayerNorm")).to_be_visible()
    search.fill("nothing like it")
    expect(status).to_have_text("0 found")
    search.clear()
    search.press_sequentially("bert.encoder.layer.7.output.dense")
    expect(search).to_have_value("bert.encoder.layer.7.output.dense")
    found = inspector.row("bert.encoder.layer.7.output.dense")
    expect(found).to_have_attribute("aria-selected", "true")
    expect(inspector.page.locator(".details-view h3")).to_have_text(
        "bert.encoder.layer.7.output.dense Linear"
    )


def test_a_toggle_is_a_small_edit_of_the_plan(tiny: Inspector) -> None:
    before = tiny.text
    tiny.labelled("Freeze plan").select_option("head-only")
    expect(tiny.figure("Trainable")).to_have_text("27")
    expect(tiny.toggle("norm")).to_be_checked()
    expect(tiny.toggle("head")).not_to_be_checked()
    expect(tiny.toggle("")).to_have_attribute("aria-checked", "mixed")
    assert tiny.text == before, "to choose a plan changes no text"

    tiny.toggle("layers.0-2").click()
    expect(tiny.figure("Trainable")).to_have_text("243")
    expect(tiny.toggle("layers.0-2")).not_to_be_checked()
    assert changed_lines(before, tiny.text) == [
        '-   head-only: ["**", "!head"]',
        '+   head-only: ["**", "!head", "!layers"]',
    ]
    tiny.toggle("layers.0-2").click()
    tiny.has_text(before)


def test_quick_toggles_all_count(tiny: Inspector) -> None:
    tiny.page.evaluate("""() => ["up", "norm", "head"].forEach((path) =>
        document.querySelector(`.tree-view tr[data-key="${path}"] .toggle`).click())""")
    expect(tiny.toggle("head")).to_be_checked()
    expect(tiny.toggle("norm")).to_be_checked()
    expect(tiny.toggle("up")).to_be_checked()
    assert "my-plan: [up, norm, head]" in tiny.text


def test_one_of_several_is_frozen(tiny: Inspector) -> None:
    before = tiny.text
    tiny.row("layers.0-2").click()
    tiny.toggle("layers.1").click()
    expect(tiny.toggle("layers.1")).to_be_checked()
    expect(tiny.toggle("layers.0")).not_to_be_checked()
    expect(tiny.toggle("layers.0-2")).to_have_attribute("aria-checked", "mixed")
    (line,) = changed_lines(before, tiny.text)
    assert line == "+   my-plan: [layers.1]"
    expect(tiny.row("layers.2")).to_be_visible()


def test_a_plan_is_saved_under_a_name(tiny: Inspector) -> None:
    before = tiny.text
    tiny.labelled("Freeze plan").select_option("head-only")
    expect(tiny.toggle("norm")).to_be_checked()
    name = tiny.labelled("Name for the plan")
    tiny.button("Save plan").click()
    expect(tiny.page.locator(".control-error")).to_contain_text("enter a name for the plan")
    name.fill("also head: #1")
    tiny.button("Save plan").click()
    expect(tiny.labelled("Freeze plan")).to_have_value("also head: #1")
    assert changed_lines(before, tiny.text) == ['+   "also head: #1": ["**", "!head"]']
    name.fill("head-only")
    tiny.button("Save plan").click()
    expect(tiny.page.locator(".control-error")).to_contain_text("'head-only' already")
    tiny.labelled("Freeze plan").select_option("")
    expect(tiny.toggle("norm")).not_to_be_checked()
    expect(tiny.figure("Trainable")).to_have_text("299")


def test_the_tree_works_with_the_keyboard(tiny: Inspector) -> None:
    keyboard, focused = tiny.page.keyboard, tiny.page.locator(".tree-view tr:focus")
    tiny.row("").focus()
    for key, at in [
        ("ArrowDown", "up"), ("ArrowDown", "norm"), ("ArrowDown", "layers"),
        ("ArrowRight", "layers.0-2"), ("ArrowRight", "layers.0-2"), ("ArrowRight", "layers.0"),
        ("ArrowLeft", "layers.0-2"), ("ArrowLeft", "layers.0-2"), ("End", "head"), ("Home", ""),
        ("ArrowDown", "up"),
    ]:  # fmt: skip
        keyboard.press(key)
        expect(focused).to_have_attribute("data-key", at)
    expect(tiny.row("layers.0")).to_have_count(0)
    keyboard.press("Enter")
    expect(tiny.row("up")).to_have_attribute("aria-selected", "true")
    expect(tiny.page.locator(".details-view h3")).to_have_text("up Linear")
    keyboard.press("Space")
    expect(tiny.toggle("up")).to_be_checked()
    expect(focused).to_have_attribute("data-key", "up")
    keyboard.press("Space")
    expect(tiny.toggle("up")).not_to_be_checked()


def test_details_tell_of_a_module(tiny: Inspector) -> None:
    tiny.row("up").click()
    details = tiny.page.locator(".details-view")
    expect(details.locator("h3")).to_have_text("up Linear")
    expect(details.locator("dd").nth(0)).to_have_text(
        "Linear(in_features=4, out_features=8, bias=True)"
    )
    expect(details.locator("dd").nth(1)).to_have_text("[2, 4]")
    expect(details.locator("dd").nth(2)).to_have_text("[2, 8]")
    tensor = details.locator("tbody tr").first
    expect(tensor).to_contain_text("weight")
    expect(tensor).to_contain_text("[8, 4]")
    expect(tensor).to_contain_text("float32")


def test_lines_and_modules_lead_to_each_other(tiny: Inspector) -> None:
    lines = tiny.text.splitlines()
    (norm,) = (n for n, line in enumerate(lines, 1) if line.startswith("      norm:"))
    tiny.row("norm").click()
    chosen = tiny.page.locator(".chosen-line")
    expect(chosen).to_be_visible()

    def distance() -> float:
        box, line = chosen.bounding_box(), tiny.line(norm).bounding_box()
        if box is None or line is None:  # the editor is drawing them anew
            return math.inf
        return abs(box["y"] - line["y"])

    for _ in range(50):  # the editor may still be scrolling to the line
        if distance() < 3:
            break
        tiny.page.wait_for_timeout(100)
    assert distance() < 3

    (dense,) = (n for n, line in enumerate(lines, 1) if line.startswith("      dense:"))
    tiny.line(dense).click()
    expect(tiny.row("layers.0.dense")).to_have_attribute("aria-selected", "true")
    expect(tiny.page.locator(".details-view h3")).to_have_text("layers.0.dense Linear")
    assert tiny.caret == dense, "the caret stays where it was put"
