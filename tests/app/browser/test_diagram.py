"""The diagram: down a block and up again, links to the tree and the text, zoom, downloads."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from archspec_app.component import ASSETS
from tests.app.browser.inspector import Inspector, OpenPage

HOSTILE = Path(__file__).parents[1] / "hostile.yaml"


@pytest.fixture
def drawn(open_page: OpenPage) -> Inspector:
    inspector: Inspector = open_page()
    inspector.tab("Diagram")
    expect(box(inspector, "classifier")).to_be_visible()
    return inspector


def box(inspector: Inspector, path: str) -> Locator:
    return inspector.page.locator(f'.diagram-view [data-path="{path}"]')


def trail(inspector: Inspector) -> Locator:
    return inspector.page.locator(".diagram-view .trail")


def test_down_and_up(drawn: Inspector) -> None:
    expect(trail(drawn)).to_have_text("BertForSequenceClassification")
    box(drawn, "bert").click()
    encoder = box(drawn, "bert.encoder")
    encoder.focus()
    drawn.page.keyboard.press("Enter")
    layers = box(drawn, "bert.encoder.layer.0")
    label = "layer[0-11], 12 × BertLayer · 7.088 M each; open"
    expect(layers).to_have_attribute("aria-label", label)
    layers.click()
    expect(box(drawn, "bert.encoder.layer.0.attention")).to_be_visible()
    drawn.button("Up to the enclosing block").click()
    expect(layers).to_be_visible()
    trail(drawn).get_by_role("button", name="bert: BertModel").click()
    expect(encoder).to_be_visible()
    drawn.tab("Tree")
    expect(drawn.row("bert")).to_have_attribute("aria-selected", "true")


def test_what_is_selected_is_drawn_and_marked(drawn: Inspector) -> None:
    box(drawn, "classifier").click()
    expect(box(drawn, "classifier")).to_have_class("node leads chosen")
    expect(drawn.page.locator(".line-mark.chosen")).to_be_visible()
    drawn.tab("Tree")
    expect(drawn.row("classifier")).to_have_attribute("aria-selected", "true")
    drawn.page.get_by_label("Search modules by name, type or path").fill("bert.pooler.dense")
    drawn.tab("Diagram")
    expect(box(drawn, "bert.pooler.dense")).to_have_class("node leads chosen")
    drawn.button("Module hierarchy").click()
    expect(box(drawn, "bert.encoder.layer.0")).to_contain_text("12 × BertLayer")
    expect(box(drawn, "bert.pooler.dense")).to_have_class("node leads chosen")


def test_it_follows_edits_and_stays_while_the_text_is_broken(drawn: Inspector) -> None:
    expect(box(drawn, "classifier")).to_contain_text("1.538 k")
    drawn.replace("default: 2", "default: 4")
    expect(box(drawn, "classifier")).to_contain_text("3.076 k")
    drawn.replace("type: Linear", "type: Linaer")
    expect(drawn.problems).to_have_count(1)
    expect(box(drawn, "classifier")).to_contain_text("3.076 k")
    drawn.replace("type: Linaer", "type: Linear")
    drawn.labelled("Freeze plan").select_option("head-only")
    expect(box(drawn, "bert")).to_contain_text("frozen")


def test_zoom(drawn: Inspector) -> None:
    picture, percent = drawn.page.locator(".paper svg"), drawn.page.locator(".percent")
    drawn.page.locator(".paper").focus()
    drawn.page.keyboard.press("0")
    fitting = percent.inner_text()
    width = picture.evaluate("one => one.clientWidth")
    drawn.button("Zoom in (+)").click()
    assert picture.evaluate("one => one.clientWidth") == pytest.approx(1.25 * width, abs=2)
    drawn.page.locator(".paper").focus()
    drawn.page.keyboard.press("-")
    expect(percent).to_have_text(fitting)
    drawn.page.locator(".paper").hover()
    drawn.page.keyboard.down("Control")
    drawn.page.mouse.wheel(0, -200)
    drawn.page.keyboard.up("Control")
    expect(percent).not_to_have_text(fitting)


def test_downloads(drawn: Inspector) -> None:
    for kind, start in (("SVG", b"<svg"), ("PNG", b"\x89PNG")):
        with drawn.page.expect_download() as waiting:
            drawn.button(f"Download as {kind}").click()
        name = f"bert-BertForSequenceClassification.{kind.lower()}"
        assert waiting.value.suggested_filename == name
        assert Path(waiting.value.path()).read_bytes().startswith(start)


def test_the_drawing_as_text(drawn: Inspector) -> None:
    drawn.page.locator(".diagram-view summary").click()
    expect(drawn.page.locator(".as-text pre")).to_contain_text("classifier  Linear · 1.538 k")


def test_hostile_names_stay_text(drawn: Inspector) -> None:
    drawn.write(HOSTILE.read_text())
    expect(box(drawn, "inner")).to_be_visible()
    box(drawn, "inner").click()
    paper = drawn.page.locator(".paper")
    expect(paper).to_contain_text("onerror=hit=1>")
    tags = paper.evaluate("one => [...one.querySelectorAll('*')].map((e) => e.localName)")
    assert set(tags) <= {"svg", "g", "polygon", "path", "text", "title"}
    for tab in ("Diff", "Tree", "Diagram"):
        drawn.tab(tab)
    expect(paper).to_be_visible()
    assert drawn.page.evaluate("typeof hit") == "undefined"


def test_a_script_in_an_svg_is_left_out(drawn: Inspector) -> None:
    """What the browser is sent is cleaned on the server, too; here it comes as it is."""
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9" onload="hit=1">'
        "<script>hit=1</script><foreignObject><b onclick='hit=1'/></foreignObject>"
        '<a href="javascript:hit=1"><g class="node" data-node="n0" style="fill:url(//x)">'
        '<text onclick="hit=1" fill="url(#x)" x="1">kept</text></g></a></svg>'
    )
    script = (ASSETS / "svg_sanitizer.js").read_text().replace("export ", "")
    found = drawn.page.evaluate(
        f"""svg => {{ {script}
            const given = new DOMParser().parseFromString(svg, "image/svg+xml");
            const made = sanitizeSvg(given.documentElement);
            document.body.append(made);
            made.querySelector("text").dispatchEvent(new Event("click"));
            return made.outerHTML;
        }}""",
        svg,
    )
    assert "kept" in found and drawn.page.evaluate("typeof hit") == "undefined"
    for word in ("script", "foreign", " on", "href", "style", "url("):
        assert word not in found.replace("xmlns", ""), word
