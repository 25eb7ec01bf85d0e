"""The diff: of the edited text against what was saved, and of any two specs."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import expect

from tests.app.browser.inspector import Inspector, OpenPage


def test_an_edit_shows_up_and_leads_to_its_line(tiny: Inspector) -> None:
    inspector = tiny
    inspector.tab("Diff")
    view = inspector.page.locator(".diff-view")
    expect(view.locator(".verdict")).to_contain_text("No difference")
    text = inspector.replace("default: 8", "default: 16")
    width = view.locator("li", has_text="params.width")
    expect(width).to_contain_text("8 → 16")
    expect(width.locator(".sign")).to_have_text("~")
    expect(view.locator("section", has_text="Cost")).to_contain_text("parameters")
    width.get_by_role("button").click()
    assert "default: 16" in text.split("\n")[inspector.caret - 1]
    inspector.replace("default: 16", "default: 8")
    expect(view.locator(".verdict")).to_contain_text("No difference")


def test_levels_sides_and_markdown(open_page: OpenPage) -> None:
    inspector: Inspector = open_page()
    inspector.tab("Diff")
    view = inspector.page.locator(".diff-view")
    expect(view.locator(".verdict")).to_be_visible()
    for level in ("tree", "tensors", "cost"):
        view.get_by_label(level, exact=True).uncheck()
    view.get_by_label("Before", exact=True).select_option("resnet18")
    expect(view.locator("h3")).to_have_text(["Spec"])
    added = view.locator("li.added", has_text="blocks.BertForSequenceClassification")
    expect(added.locator(".sign")).to_have_text("+")
    view.get_by_role("button", name="Swap both sides").click()
    expect(view.locator("li.removed", has_text="BertForSequence").first).to_be_visible()
    expect(view.get_by_label("After", exact=True)).to_have_value("resnet18")
    with inspector.page.expect_download() as waiting:
        view.get_by_role("button", name="Markdown").click()
    assert waiting.value.suggested_filename == "bert-editor-to-resnet18.md"
    assert Path(waiting.value.path()).read_text().startswith("### `bert (editor)` → `resnet18`")


def test_a_broken_text_is_said(inspector: Inspector) -> None:
    inspector.tab("Diff")
    view = inspector.page.locator(".diff-view")
    expect(view.locator(".verdict")).to_be_visible()
    inspector.replace("type: Linear", "type: Linaer")
    expect(view.locator(".said")).to_contain_text("its last valid version")
    expect(view.locator(".verdict")).to_be_visible()


def test_what_was_never_saved(inspector: Inspector) -> None:
    inspector.tab("Diff")
    view = inspector.page.locator(".diff-view")
    expect(view.locator(".verdict")).to_be_visible()
    inspector.menu("New")
    expect(view.locator(".said")).to_contain_text("this text has no saved version")
