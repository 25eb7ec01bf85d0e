"""The start view: what can be opened, the example, and the way back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.app.browser.test_looks import CUT_OFF, resize
from tests.app.page_server import served

EXAMPLE = "archspec-example/topics.yaml"
CONFIG = """{"model_type": "bert", "architectures": ["BertForSequenceClassification"],
 "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96,
 "id2label": {"0": "<i>no</i>", "1": "yes", "2": "maybe"}}"""

STARTS_LAST = """window.archspecViews = new Proxy({}, {
    set(views, name, start) {
        views[name] = name === "%s" ? (given) => setTimeout(() => start(given), 1000) : start;
        return true;
    },
});"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("start") / "folder"
    (folder / "small-bert").mkdir(parents=True)
    (folder / "small-bert" / "config.json").write_text(CONFIG)
    return folder


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    log = folder.parent / "server.log"
    with served(folder, log, command=("app",)) as url:
        yield url
    assert "Traceback" not in log.read_text()


@pytest.fixture(scope="module")
def page(url: str, browser: Browser) -> Iterator[Page]:
    """One page, for all tests of this module; nothing may go wrong on it."""
    page = browser.new_page(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
    wrongs: list[str] = []
    page.on("pageerror", lambda error: wrongs.append(str(error)))
    page.on("dialog", lambda dialog: dialog.accept())
    page.goto(url)
    yield page
    assert not wrongs
    page.close()


def try_example(page: Page) -> None:
    """Two clicks, whichever tests ran on the page before; a third one if there is unsaved work."""
    is_unsaved = page.get_by_label("Not saved").is_visible()
    if not page.get_by_role("button", name="Try the example").is_visible():
        page.get_by_role("button", name="archspec", exact=True).click()
    page.get_by_role("button", name="Try the example").click()
    if is_unsaved:
        page.get_by_role("button", name="Go on without saving").click()
    expect(page.locator("#train [name=data]")).to_have_value("archspec-example/topics")


@pytest.fixture
def example(page: Page) -> Page:
    """The page with the tree of the example."""
    spec = page.get_by_label("Spec", exact=True).and_(page.locator("select"))
    if not spec.is_visible() or spec.input_value() != EXAMPLE:
        try_example(page)
    page.get_by_role("tab", name="Tree", exact=True).click()
    expect(page.locator(".tree-view tr").nth(1)).to_contain_text("TopicClassifier")
    return page


def test_the_folder_comes_before_the_packaged_models(page: Page) -> None:
    """For the Tab key, at every width."""
    expect(page.locator(".card").first).to_be_visible()
    order = page.evaluate("""() => [...document.querySelectorAll(
        ".start-view :is(button, input, select):not(.hidden, .card + .card)"
    )].map((one) => one.dataset.spec ?? one.ariaLabel ?? one.textContent)""")
    names = ["Try the example", "Folder of a Hugging Face model", "New spec", "Open a file …"]
    names += ["Search packaged models", "all"]
    assert [name for name in order if name in names] == names
    assert order[-1] == page.locator(".card").first.get_attribute("data-spec")
    for width in (1440, 390):
        resize(page, width, 800)
        example, folder, cards = (
            page.locator(f".start-view {part}").bounding_box()
            for part in (".example", "aside", ".cards")
        )
        assert example and folder and cards
        if width == 390:
            assert example["y"] < folder["y"] < cards["y"]
        else:
            assert folder["x"] > cards["x"] + cards["width"] and folder["y"] == example["y"]
    page.set_viewport_size({"width": 1440, "height": 900})


def test_it_offers_everything_at_every_width(page: Page) -> None:
    bert = page.locator(".card[data-spec=bert]")
    expect(bert).to_contain_text("109.5 M")
    expect(bert).to_contain_text("text · text classification")
    for width in (1440, 1024, 768, 390):
        resize(page, width, 800)
        assert page.evaluate(CUT_OFF) == [], width
    page.set_viewport_size({"width": 1440, "height": 900})
    levels = bert.locator(".thumbnail path")
    expect(levels).to_have_count(5)
    expect(levels.first).to_have_attribute("d", "M0 0h159.5v5h-159.5z")
    page.get_by_label("Search packaged models").fill("resnet50-fpn vision")
    expect(page.locator(".card").first).to_have_attribute("data-spec", "resnet50-fpn")
    expect(bert).to_have_count(0)
    page.get_by_label("Search packaged models").fill("")


def test_a_packaged_model_is_opened_by_keys_alone(page: Page) -> None:
    search = page.get_by_label("Search packaged models")
    search.blur()
    page.keyboard.press("/")
    expect(search).to_be_focused()
    page.keyboard.type("bert")
    expect(page.locator(".card strong").first).to_have_text("bert")  # before albert
    search.press("Enter")
    expect(page.locator(".tree-view tr").nth(1)).to_contain_text("BertForSequenceClassification")
    tree = page.locator("[data-tab-id=tree]")
    expect(tree).to_be_focused()
    page.keyboard.press("Tab")  # one stop for all tabs
    expect(page.locator("[role=tab]:focus")).to_have_count(0)
    # The Tab key leads through the editor, and changes nothing there.
    text = page.evaluate("window.archspecEditor.text")
    editor = page.locator("#editor .cm-content")
    page.locator("[data-tab-id=parameters]").focus()
    page.keyboard.press("Tab")
    expect(editor).to_be_focused()
    page.keyboard.press("Tab")
    expect(editor).not_to_be_focused()
    page.keyboard.press("Shift+Tab")
    expect(editor).to_be_focused()
    page.keyboard.press("ArrowDown")
    assert page.evaluate("window.archspecEditor.text") == text
    page.keyboard.press("Tab")  # from now on it indents
    expect(editor).to_be_focused()
    assert page.evaluate("window.archspecEditor.text") != text
    page.keyboard.press("Control+z")
    assert page.evaluate("window.archspecEditor.text") == text
    page.get_by_role("button", name="archspec", exact=True).click()
    search.fill("")


@pytest.mark.parametrize(
    ("last", "address", "shows"),
    [
        ("start", "", ".card[data-spec=bert]"),
        ("details", "#spec=resnet18&module=fc", ".details-view h3:has-text('fc')"),
        ("toolbar", "#spec=resnet18", ".tree-view tr[data-key=fc]"),
        ("editor", "#spec=resnet18&module=fc", "#editor .chosen-line:has-text('fc: ')"),
        ("problems", "#spec=resnet18&module=fc", "#editor .chosen-line:has-text('fc: ')"),
    ],
)
def test_views_start_in_any_order(
    last: str, address: str, shows: str, url: str, browser: Browser
) -> None:
    page = browser.new_page()
    page.add_init_script(STARTS_LAST % last)
    page.goto(url + address)
    expect(page.locator(shows)).to_be_visible()
    page.close()


def test_a_tab_that_is_opened_later_knows_what_is_selected(url: str, browser: Browser) -> None:
    page = browser.new_page()
    page.goto(f"{url}#spec=resnet18&module=layer4")
    page.locator('.tree-view tr[data-key="fc"] .label').click()
    page.get_by_role("tab", name="Diagram", exact=True).click()
    expect(page.locator('.canvas-box[data-path="fc"]')).to_have_class(re.compile(r"\bchosen\b"))
    page.close()


def test_a_hugging_face_folder_is_opened(page: Page) -> None:
    name = page.get_by_label("Folder of a Hugging Face model")
    name.fill("../folder/small-bert")
    name.press("Enter")
    expect(page.locator(".start-view .notice")).to_contain_text("not a name inside the folder")
    name.fill("small-bert")
    name.press("Enter")
    expect(page.locator(".tree-view tr").nth(1)).to_contain_text("BertForSequenceClassification")
    expect(page.locator(".summary-view")).to_contain_text("1.530 M")
    expect(page.locator("#editor")).to_contain_text('labels: ["<i>no</i>", yes, maybe]')
    page.get_by_role("tab", name="Train", exact=True).click()
    expect(page.locator("#train [name=weights]")).to_have_value("small-bert")


def test_the_example_leads_to_predictions(page: Page, folder: Path) -> None:
    """Three clicks: example, training, prediction."""
    try_example(page)
    page.locator("#train [name=epochs]").fill("1")
    page.get_by_role("button", name="Start training").click()
    expect(page.locator("#train .run h3 .badge")).to_have_text("finished", timeout=120_000)
    page.get_by_role("tab", name="Predict", exact=True).click()
    page.get_by_label("Text", exact=True).fill("a small bird that sings")
    page.get_by_role("button", name="Predict", exact=True).click()
    expect(page.locator(".predict-view .bars tbody tr").first).to_be_visible()
    assert (folder / "archspec-example" / "LICENSE").is_file()


def test_the_address_keeps_the_view(example: Page) -> None:
    page = example
    root, tab = page.locator(".tree-view tr").nth(1), page.get_by_role("tab")
    page.get_by_role("tab", name="Tree", exact=True).click()
    page.locator('.tree-view tr[data-key="classifier"] .label').click()
    expect(page.locator(".details-view h3")).to_have_text("classifier Linear")
    page.get_by_role("tab", name="Cost", exact=True).click()
    expect(page).to_have_url(re.compile("#.*spec=archspec-example%2Ftopics.yaml"))
    page.reload()
    expect(root).to_contain_text("TopicClassifier")
    expect(tab.and_(page.locator("[data-tab-id=cost]"))).to_have_attribute("aria-selected", "true")
    expect(page.locator('.tree-view tr[data-key="classifier"]')).to_have_attribute(
        "aria-selected", "true"
    )
    page.get_by_label("Spec", exact=True).and_(page.locator("select")).select_option("resnet18")
    expect(root).to_contain_text("ResNet")
    page.go_back()
    expect(root).to_contain_text("TopicClassifier")
    page.go_back()
    expect(page.locator("[data-tab-id=tree]")).to_have_attribute("aria-selected", "true")


def test_unsaved_work_is_asked_about_and_saved_by_a_key(example: Page, folder: Path) -> None:
    page = example
    page.locator('.tree-view tr[data-key="words"] .toggle').click()
    expect(page.get_by_label("Not saved")).to_be_visible()
    expect(page.locator(".toolbar-view .notice")).to_have_text(
        "froze words in the plan my-plan: 4.808 k parameters are trained"
    )
    spec = page.get_by_label("Spec", exact=True).and_(page.locator("select"))
    spec.select_option("resnet18")
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect(spec).to_have_value("archspec-example/topics.yaml")
    page.locator('.tree-view tr[data-key="words"]').focus()
    page.keyboard.press("Control+z")
    expect(page.get_by_label("Not saved")).to_be_hidden()
    page.keyboard.press("Control+Shift+z")
    expect(page.get_by_label("Not saved")).to_be_visible()
    page.keyboard.press("Control+s")
    expect(page.get_by_label("Not saved")).to_be_hidden()
    saved = (folder / "archspec-example" / "topics.yaml").read_text()
    assert "  my-plan: [words]\n" in saved


def test_several_rows_are_frozen_together_and_keys_move(example: Page) -> None:
    page = example
    rows = page.locator('.tree-view tr[data-key="body"], .tree-view tr[data-key="classifier"]')
    rows.nth(0).locator(".label").click(modifiers=["Control"])
    rows.nth(1).locator(".label").click(modifiers=["Control"])
    rows.nth(1).locator(".toggle").click()
    expect(rows.nth(0).locator(".toggle")).to_be_checked()
    expect(rows.nth(1).locator(".toggle")).to_be_checked()
    page.keyboard.press("Control+z")
    expect(rows.nth(1).locator(".toggle")).not_to_be_checked()
    page.get_by_role("tab", name="Tree", exact=True).focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("[data-tab-id=cost]")).to_be_focused()
    expect(page.locator("[data-tab-id=cost]")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_contain_text("save the spec")
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    expect(page.get_by_label("Search modules by name, type or path")).to_be_focused()


def test_names_are_never_too_narrow_and_results_in_sight(example: Page) -> None:
    page = example
    for width in (1440, 1024, 768, 390):
        resize(page, width, 844)
        assert page.evaluate(CUT_OFF) == [], width
        names = page.locator(".tree-view td.module").evaluate_all(
            "cells => Math.min(...cells.map((cell) => cell.getBoundingClientRect().width))"
        )
        assert names >= 180, width
    page.get_by_role("button", name="Spec", exact=True).click()
    page.get_by_role("tab", name="Parameters", exact=True).click()
    page.locator("#params [name=dropout]").scroll_into_view_if_needed()
    expect(page.locator(".summary-view .figure").first).to_be_in_viewport()
    page.set_viewport_size({"width": 1440, "height": 900})


def test_a_server_that_is_lost_is_told(page: Page) -> None:
    state = page.locator(".toolbar-view .state")
    page.route("**/gradio_api/app_id", lambda route: route.abort())
    expect(state).to_contain_text("Server not reached since")
    page.unroute("**/gradio_api/app_id")
    expect(state).to_have_text("")
