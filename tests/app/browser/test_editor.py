"""The editor itself: problems at their spans, find and replace, keys."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import expect

from tests.app.browser.inspector import Inspector, OpenPage
from tests.app.browser.test_looks import faults

TINY = (Path(__file__).parent / "specs" / "tiny.yaml").read_text()


def test_problems_are_underlined_where_they_are(tiny: Inspector) -> None:
    tiny.replace("out_features: 3}", "out_featurs: 3}")
    tiny.replace("channels of the hidden layer}", "😀, mn: 1}")
    tiny.replace("relu(dense(x))", "relu(densee(x))")
    underlined = tiny.page.locator("#editor .cm-lintRange-error")
    expect(underlined).to_have_text(["mn", "out_featurs", "densee"])
    expect(tiny.button("3 problems")).to_be_visible()
    underlined.nth(1).hover()
    message = tiny.page.locator(".cm-tooltip-lint")
    expect(message).to_have_text("E203 Linear has no argument 'out_featurs'")
    box, line = message.bounding_box(), underlined.nth(1).bounding_box()
    assert box and line and (box["y"] >= line["y"] + line["height"] - 1 or box["y"] < line["y"])
    tiny.replace("out_featurs: 3}", "out_features: 3}")
    expect(underlined).to_have_text(["mn", "densee"])


def test_find_and_replace(tiny: Inspector) -> None:
    tiny.line(1).click()
    tiny.page.keyboard.press("Control+f")
    find = tiny.page.get_by_role("textbox", name="Find")
    expect(find).to_be_focused()
    find.fill("repeat: 3")
    tiny.page.get_by_role("textbox", name="Replace").fill("repeat: 4")
    tiny.page.get_by_role("button", name="replace all").click()
    tiny.has_text(TINY.replace("repeat: 3", "repeat: 4"))
    expect(tiny.row("layers.0-3")).to_be_visible()
    assert faults(tiny, "#editor") == []
    tiny.page.set_viewport_size({"width": 1280, "height": 900})
    find.press("Escape")
    expect(find).to_have_count(0)


def test_tab_indents_and_leaves_after_escape(tiny: Inspector) -> None:
    tiny.line(4).click()
    tiny.page.keyboard.press("Tab")
    tiny.has_text(TINY.replace("screen\n\n", "screen\n  \n"))
    tiny.page.keyboard.press("Control+z")
    tiny.has_text(TINY)
    content = tiny.page.locator("#editor .cm-content")
    expect(content).to_be_focused()
    tiny.page.keyboard.press("Escape")
    tiny.page.keyboard.press("Tab")
    expect(content).not_to_be_focused()


def test_undo_in_the_editor_stays_in_its_spec(open_page: OpenPage) -> None:
    tiny: Inspector = open_page()
    tiny.open("tiny.yaml", "Tiny")
    tiny.line(1).click()
    tiny.page.keyboard.press("Control+z")
    tiny.has_text(TINY)
    tiny.toggle("norm").click()
    expect(tiny.toggle("norm")).to_be_checked()
    tiny.line(1).click()
    tiny.page.keyboard.press("Control+z")
    tiny.has_text(TINY)
    expect(tiny.toggle("norm")).not_to_be_checked()
    tiny.page.keyboard.press("Control+y")
    expect(tiny.toggle("norm")).to_be_checked()
