"""The selected module below the tree, and the places that it leads to."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.app.browser.inspector import Inspector


def test_yaml_and_python_of_a_layer(tiny: Inspector) -> None:
    inspector = tiny
    inspector.row("norm").click()
    details = inspector.page.locator(".details-view")
    expect(details.locator("h3")).to_have_text("norm LayerNorm")
    yaml, python = details.locator("pre.code").all()
    line = next(n for n, text in enumerate(inspector.text.split("\n"), 1) if "norm: {" in text)
    expect(yaml.locator(".marked")).to_contain_text(f"{line}      norm: {{type: LayerNorm")
    expect(python.locator(".marked")).to_contain_text("self.norm = nn.LayerNorm(config.width)")
    rows = details.locator("tbody tr")
    expect(rows.nth(0)).to_contain_text("PyTorch's default")
    expect(rows.nth(1).locator("td").first).to_have_text("[8]")
    details.get_by_role("button", name=f"tiny.yaml:{line}").click()
    assert inspector.caret == line


def test_a_parent_file_is_named(inspector: Inspector) -> None:
    inspector.row("bert.embeddings").click()
    details = inspector.page.locator(".details-view")
    expect(details.locator("h3")).to_have_text("bert.embeddings BertEmbeddings")
    expect(details.locator(".excerpt p").first).to_have_text(
        re.compile("^Declared, specs/text/bert-model.yaml:")
    )
    expect(details.locator("pre.code").last).to_contain_text("class BertEmbeddings(nn.Module):")


def test_typing_does_not_scroll_the_editor_away(inspector: Inspector) -> None:
    inspector.row("classifier" if inspector.row("classifier").count() else "bert").click()
    inspector.replace("default: 2", "default: 3")
    details = inspector.page.locator(".details-view")
    expect(details.locator("tbody tr").first).to_contain_text("[3, 768]")
    scroller = inspector.page.locator("#editor .cm-scroller")
    scroller.evaluate("one => { one.scrollTop = one.scrollHeight }")
    before = scroller.evaluate("one => one.scrollTop")
    inspector.replace("default: 3", "default: 4")
    expect(details.locator("tbody tr").first).to_contain_text("[4, 768]")
    assert scroller.evaluate("one => one.scrollTop") == before
