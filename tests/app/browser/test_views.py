"""What changes with the view: messages, the runs in the header, and what a phone shows."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.app.browser.inspector import Inspector, OpenPage
from tests.app.browser.test_looks import CUT_OFF, resize

TELL_RUNS = """(rows) =>
    window.archspecBus.dispatchEvent(new CustomEvent("active-runs", { detail: rows }))"""


def test_messages_go_with_their_view(tiny: Inspector) -> None:
    for leave in (lambda: tiny.tab("Cost"), lambda: tiny.button("archspec").click()):
        tiny.tab("Tree")
        tiny.toggle("up").click()
        expect(tiny.notice).to_contain_text("up in the plan my-plan")
        leave()
        expect(tiny.notice).to_have_text("")
    tiny.button("Continue with tiny.yaml").click()
    expect(tiny.row("up")).to_be_visible()


def test_runs_under_way_are_told_on_every_tab(tiny: Inspector) -> None:
    runs = tiny.page.locator(".toolbar-view .active-runs")
    expect(runs).to_be_hidden()
    long = "<b>a-name-that-is-too-long-for-the-header-of-the-page"
    tiny.page.evaluate(TELL_RUNS, [{"key": long, "share": 0.43}, {"key": "b", "share": None}])
    expect(runs).to_have_text(f"{long} training 43 % and 1 more")
    for width in (1280, 390):
        resize(tiny.page, width, 900)
        assert tiny.page.evaluate(CUT_OFF) == []
    resize(tiny.page, 1280, 900)
    done = {"samples": 9, "of": 90, "share": 0.1, "seconds_left": None}
    for facts, told in (
        ({"share": None}, "starting"),
        ({"share": 0.0, "computing": done}, "frozen part 10 %"),
        ({"share": 1.0, "evaluating": {**done, "split": "test"}}, "test 10 %"),
        ({"share": 1.0}, "evaluating"),  # the report is written
    ):
        tiny.page.evaluate(TELL_RUNS, [{"key": "a", **facts}])
        expect(runs).to_have_text(f"a {told}")
    tiny.tab("Predict")
    expect(tiny.page.locator("#predict-source option")).not_to_have_text("Looking for models …")
    awaited = tiny.page.get_by_text("a is under way: it is chosen here when it has finished.")
    for active, count in (([{"key": "a", "share": 0.5}], 1), ([], 0)):
        tiny.page.evaluate(TELL_RUNS, active)
        expect(awaited).to_have_count(count)
    tiny.page.evaluate(TELL_RUNS, [{"key": "a", "share": 0.5}])
    runs.evaluate("button => button.click()")  # the server may have answered meanwhile
    expect(tiny.page.locator("#train form")).to_be_visible()
    expect(runs).to_be_hidden()  # the server knows of no run


@pytest.mark.parametrize("width", [1280, 390])
def test_the_figures_stay_in_sight(open_page: OpenPage, width: int) -> None:
    inspector = open_page(width=width, height=500)
    inspector.tab("Cost")
    expect(inspector.page.locator(".cost-view section")).to_have_count(3)
    inspector.page.locator(".cost-view section").last.scroll_into_view_if_needed()
    assert inspector.page.evaluate("scrollY") > 100
    box = inspector.figure("Parameters").bounding_box()
    assert box and 0 <= box["y"] < 40
    tab = inspector.page.locator("[data-tab-id=cost]").bounding_box()
    assert tab and (tab["y"] > box["y"] + box["height"] - 2) == (width > 900)  # the tabs, too


def test_on_a_phone_the_spec_is_closed_until_it_is_asked_for(open_page: OpenPage) -> None:
    inspector = open_page(width=390, height=844)
    spec = inspector.page.locator("#left")
    expect(spec).to_be_hidden()
    expect(inspector.row("bert.encoder")).to_be_in_viewport()
    brand, help_ = (
        inspector.button("archspec").bounding_box(),
        inspector.button("Keyboard shortcuts").bounding_box(),
    )
    assert brand and help_ and help_["y"] < brand["y"] + 50  # two rows, not one for each group
    plans = inspector.labelled("Freeze plan").and_(inspector.page.locator("select"))
    plans.select_option("last-2-and-head")  # its description is wider than the screen
    assert inspector.page.evaluate(CUT_OFF) == []
    box = plans.bounding_box()
    assert box and box["x"] + box["width"] <= 390
    plans.select_option("")
    opener = inspector.button("Spec")
    expect(opener).to_have_attribute("aria-expanded", "false")
    opener.click()
    expect(inspector.line(1)).to_be_visible()
    expect(opener).to_have_attribute("aria-expanded", "true")
    opener.click()
    expect(spec).to_be_hidden()
    inspector.page.get_by_role("button", name="bert.yaml:11").click()  # where it is declared
    expect(inspector.line(11)).to_be_in_viewport()
    inspector.tab("Cost")
    expect(spec).to_be_hidden()
    resize(inspector.page, 1280, 900)
    expect(spec).to_be_visible()
    expect(inspector.button("Spec")).to_be_hidden()
    resize(inspector.page, 390, 844)
    inspector.tab("Tree")
    expect(spec).to_be_hidden()
    inspector.menu("New")  # there is a text to write
    expect(spec).to_be_visible()
    inspector.button("archspec").click()
    folder = inspector.page.get_by_role("heading", name="This folder").bounding_box()
    cards = inspector.page.locator(".cards").bounding_box()
    assert folder and cards and folder["y"] < cards["y"]
