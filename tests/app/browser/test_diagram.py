"""The canvas: on the page, linked with the tree and the text, and as a file of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

import archspec
from tests.app.browser.inspector import Inspector, OpenPage
from tests.app.browser.test_looks import resize, serious

HOSTILE = Path(__file__).parents[1] / "hostile.yaml"


@pytest.fixture
def drawn(inspector: Inspector) -> Inspector:
    inspector.tab("Diagram")
    expect(box(inspector.page, "classifier")).to_be_visible()
    inspector.button("Close all blocks").click()
    return inspector


def box(page: Page, path: str) -> Locator:
    return page.locator(f'.canvas-box[data-path="{path}"]')


def sign(of: Locator, action: str) -> Locator:
    return of.locator(f':scope > [data-action="{action}"]')


def details(page: Page) -> Locator:
    return page.locator(".canvas-details")


def chosen(of: Locator) -> None:
    expect(of).to_have_class(re.compile(r"\bchosen\b"))


def test_the_first_drawing_is_in_sight_at_every_width(open_page: OpenPage) -> None:
    page = open_page(width=390, height=844).page
    page.get_by_role("tab", name="Diagram", exact=True).click()
    expect(box(page, "classifier")).to_be_visible()
    for width in (390, 1280, 390):
        resize(page, width, 844)
        pane = page.locator("svg.canvas-svg").bounding_box()
        drawing = page.locator(".canvas-box").first.bounding_box()
        assert pane and drawing
        assert pane["x"] <= drawing["x"], width
        assert drawing["x"] + drawing["width"] <= pane["x"] + pane["width"], width
        assert drawing["width"] > 250  # and can be read


def test_the_module_of_the_tree_is_in_the_middle_at_every_width(open_page: OpenPage) -> None:
    inspector = open_page(width=390, height=844)
    page = inspector.page
    inspector.row("bert").locator(".label").click()
    expect(page.locator(".details-view h3")).to_contain_text("bert")
    inspector.tab("Diagram")
    chosen(box(page, "bert"))
    for width in (390, 1280, 390):
        resize(page, width, 844)
        pane = page.locator("svg.canvas-svg").bounding_box()
        place = box(page, "bert").bounding_box()
        assert pane and place
        middle = place["x"] + place["width"] / 2
        assert middle == pytest.approx(pane["x"] + pane["width"] / 2, abs=8), width


def test_blocks_open_in_place(drawn: Inspector) -> None:
    page = drawn.page
    sign(box(page, "bert"), "toggle").click()
    encoder = box(page, "bert.encoder")
    expect(encoder).to_have_attribute("aria-label", "encoder, BertEncoder · 85.05 M, closed")
    encoder.dblclick()
    layers = box(page, "bert.encoder.layer.0")
    expect(layers).to_have_attribute("aria-label", "layer[0-11], 12 × BertLayer · 85.05 M, closed")
    sign(layers, "toggle").click()
    expect(box(page, "bert.encoder.layer.11")).to_be_visible()
    page.keyboard.press("Enter")
    expect(box(page, "bert.encoder.layer.0.attention")).to_be_visible()
    expect(box(page, "classifier")).to_be_attached()  # everything is on one canvas
    sign(layers, "fold").click()
    expect(box(page, "bert.encoder.layer.11")).to_have_count(0)
    drawn.button("Close all blocks").click()
    expect(encoder).to_have_count(0)


def test_search_finds_what_is_closed_and_the_tree_follows(drawn: Inspector) -> None:
    page = drawn.page
    page.locator(".canvas-svg").focus()
    page.keyboard.press("/")
    page.keyboard.type("layer[3] query")
    expect(page.locator(".canvas-hits button")).to_have_count(1)
    page.keyboard.press("Enter")
    query = "bert.encoder.layer.3.attention.self.query"
    chosen(box(page, query))
    expect(box(page, query)).to_be_in_viewport()
    page.keyboard.press("ArrowRight")
    chosen(box(page, query.replace("query", "key")))
    page.keyboard.press("Escape")
    chosen(box(page, "bert.encoder.layer.3.attention.self"))
    drawn.tab("Tree")
    row = drawn.row("bert.encoder.layer.3.attention.self")
    expect(row).to_have_attribute("aria-selected", "true")
    page.get_by_label("Search modules by name, type or path").fill("bert.pooler.dense")
    drawn.tab("Diagram")
    chosen(box(page, "bert.pooler.dense"))


def test_figures_and_the_shapes_of_a_tensor(drawn: Inspector) -> None:
    page = drawn.page
    box(page, "bert").click()
    said = details(page)
    for text in ("109,482,240 · 100.0 % of the model", "[batch, seq] = [1, 128]", "bert.yaml:19"):
        expect(said).to_contain_text(text)
    overlay = page.get_by_label("Color by")
    for name, figure, heat in (("macs", "11.17 G MACs", 6), ("activations", "≈ ", 6)):
        overlay.select_option(name)
        expect(box(page, "bert")).to_contain_text(figure)
        expect(box(page, "bert")).to_have_class(re.compile(rf"\bheat-{heat}\b"))
        expect(box(page, "dropout")).to_have_class(re.compile(r"\bheat-[01]\b"))
    overlay.select_option("state")
    arrow = page.locator(".canvas-arrow").filter(has_text="[batch, 2]")
    arrow.locator("text").click()
    chosen(arrow)
    expect(said).to_contain_text("Fromclassifier")
    expect(said).to_contain_text("[batch, 2] = [1, 2]")


def test_it_follows_edits_and_keeps_what_is_open(drawn: Inspector) -> None:
    page = drawn.page
    sign(box(page, "bert"), "toggle").click()
    drawn.replace("default: 2", "default: 4")
    expect(box(page, "classifier")).to_contain_text("3.076 k")
    drawn.replace("type: Linear", "type: Linaer")
    expect(drawn.problems).to_have_count(1)
    expect(box(page, "classifier")).to_contain_text("3.076 k")
    drawn.replace("type: Linaer", "type: Linear")
    drawn.tab("Tree")  # where the plan stands
    drawn.labelled("Freeze plan").select_option("head-only")
    drawn.tab("Diagram")
    expect(box(page, "bert.encoder")).to_have_class(re.compile(r"\bstate-frozen\b"))


def test_another_spec_colors_what_differs(tiny: Inspector) -> None:
    page = tiny.page
    against = page.locator(".diagram-view").get_by_label("Compare with")
    tiny.tab("Diagram")
    expect(box(page, "norm")).to_be_visible()
    tiny.button("Open all blocks").click()
    tiny.replace("repeat: 3", "repeat: 4")
    tiny.replace("normalized_shape: $width", "normalized_shape: $width, eps: 0.5")
    against.select_option("@saved")
    expect(page.get_by_label("Color by")).to_have_value("changes")
    expect(box(page, "norm")).to_have_class(re.compile(r"\bchange-changed\b"))
    box(page, "norm").click()
    expect(details(page)).to_contain_text("Compared with tiny (saved)changed; eps not given → 0.5")
    expect(page.locator(".canvas-legend")).to_contain_text("added")
    expect(page.locator('.canvas-box[class*="change-inside"]').first).to_be_visible()
    against.select_option("more/other.yaml")
    expect(details(page)).to_contain_text("Compared with other")
    against.select_option("")
    expect(page.get_by_label("Color by")).to_have_value("state")
    expect(page.get_by_label("Color by").locator("option")).to_have_count(4)
    assert serious(tiny, ".diagram-view") == []


def test_zoom_overview_and_downloads(drawn: Inspector) -> None:
    page, percent = drawn.page, drawn.page.locator(".canvas-percent")
    page.locator(".canvas-svg").focus()
    page.keyboard.press("0")
    fitting = percent.inner_text()
    width = (
        box(page, "classifier").locator(".shape").evaluate("e => e.getBoundingClientRect().width")
    )
    drawn.button("Zoom out (-)").click()
    shrunk = (
        box(page, "classifier").locator(".shape").evaluate("e => e.getBoundingClientRect().width")
    )
    assert shrunk == pytest.approx(width / 1.25, abs=1)
    page.keyboard.press("Escape")
    page.locator(".canvas-svg").focus()
    page.keyboard.press("+")
    expect(percent).to_have_text(fitting)
    # Of a canvas that is seen whole there is no overview, and nothing of it is below the legend.
    overview, seen = page.locator(".canvas-overview"), page.locator(".canvas-overview .seen")
    expect(overview).to_be_hidden()
    root, legend = box(page, "").locator(".shape").first, page.locator(".canvas-legend")
    lowest, head = root.bounding_box(), legend.bounding_box()
    assert lowest and head and lowest["y"] + lowest["height"] <= head["y"]
    for _ in range(4):
        page.keyboard.press("+")
    expect(overview).to_be_visible()
    before = seen.get_attribute("x")
    overview.click(position={"x": 5, "y": 5})
    assert seen.get_attribute("x") != before
    for kind, start in (("SVG", b"<svg"), ("PNG", b"\x89PNG")):
        with page.expect_download() as waiting:
            drawn.button(f"Download as {kind}").click()
        assert waiting.value.suggested_filename == f"bert.{kind.lower()}"
        assert Path(waiting.value.path()).read_bytes().startswith(start)


def test_hostile_names_stay_text(drawn: Inspector) -> None:
    page = drawn.page
    drawn.write(HOSTILE.read_text())
    expect(page.locator(".canvas-svg")).to_contain_text("onerror=hit=1>")
    page.locator(".canvas-box", has_text="`hit=1`").last.click()
    expect(details(page)).to_contain_text("`hit=1`")
    page.get_by_label("Search modules", exact=True).fill("script")
    expect(page.locator(".canvas-hits button")).to_have_count(2)
    tags = page.locator(".canvas-view").evaluate(
        "one => [...one.querySelectorAll('*')].map((e) => e.localName)"
    )
    assert not {"img", "script", "a"} & {*tags} and page.evaluate("typeof hit") == "undefined"


def test_a_file_of_its_own(browser: Browser, tmp_path: Path) -> None:
    """The same canvas, from ``file://``, under a policy that lets nothing be loaded."""
    wrongs: list[str] = []
    page = browser.new_page(color_scheme="dark")
    page.on("console", lambda message: wrongs.append(message.text))
    page.on("pageerror", lambda error: wrongs.append(str(error)))
    page.on("request", lambda request: wrongs.append(request.url))
    for name, source in (("tiny", "resnet18"), ("hostile", archspec.load(HOSTILE))):
        archspec.draw_canvas(source).save(tmp_path / f"{name}.html")
    page.goto((tmp_path / "tiny.html").as_uri())
    page.get_by_label("Search modules", exact=True).fill("layer2.0 shortcut conv")
    page.keyboard.press("Enter")
    chosen(box(page, "layer2.0.shortcut.0"))
    expect(details(page)).to_contain_text("[batch, 128, 28, 28] = [1, 128, 28, 28]")
    expect(page.locator("body")).to_have_css("background-color", "rgb(11, 19, 32)")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download as PNG").click()
    assert Path(waiting.value.path()).read_bytes().startswith(b"\x89PNG")
    page.goto((tmp_path / "hostile.html").as_uri())
    expect(page.locator(".canvas-svg")).to_contain_text("onerror=hit=1>")
    assert page.evaluate("typeof hit") == "undefined"
    page.close()
    assert [wrong for wrong in wrongs if not wrong.startswith(("file:", "blob:"))] == []
