"""The editor itself: problems at their spans, find and replace, keys."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Locator, expect

from tests.app.browser.inspector import Inspector, OpenPage
from tests.app.browser.test_looks import faults, serious

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


def options(tiny: Inspector) -> Locator:
    return tiny.page.locator(".cm-tooltip-autocomplete li")


def test_arguments_layers_and_names_are_completed(tiny: Inspector) -> None:
    keyboard = tiny.page.keyboard
    line = TINY.splitlines().index(
        "      head: {type: Linear, in_features: $width, out_features: 3}"
    )
    tiny.line(line + 1).click()
    keyboard.press("End")
    keyboard.press("ArrowLeft")
    keyboard.type(", bi")
    expect(options(tiny)).to_contain_text(["bias= true"])
    tiny.page.wait_for_timeout(150)  # a list that has only just appeared takes no keys
    keyboard.press("Enter")
    keyboard.type("f")
    expect(options(tiny).first).to_contain_text("false")
    assert serious(tiny, "#editor") == []
    keyboard.press("Tab")
    tiny.has_text(TINY.replace("out_features: 3}", "out_features: 3, bias: false}"))
    expect(tiny.figure("Parameters")).to_have_text("296")

    keyboard.press("End")
    keyboard.type("\nact: {type: ge")
    expect(options(tiny).filter(has_text="GELU")).to_have_count(1)
    keyboard.press("Escape")
    keyboard.press("Control+Space")
    expect(options(tiny).filter(has_text="GELU")).to_have_count(1)
    tiny.page.wait_for_timeout(150)
    keyboard.press("Enter")
    expect(options(tiny)).to_have_count(0)
    assert "      act: {type: GELU}\n" in tiny.text


def test_what_is_said_of_a_word_and_where_it_is_declared(tiny: Inspector) -> None:
    word = tiny.page.locator("#editor .cm-line", has_text="relu(dense(x))")
    lines = TINY.splitlines()
    help_text = tiny.page.locator(".hover-help")
    at = """([word]) => {
        const { text, view } = window.archspecEditor;
        return view.coordsAtPos(text.indexOf(word));
    }"""

    def point(name: str) -> None:
        word.scroll_into_view_if_needed()
        box = tiny.page.evaluate(at, [name])
        tiny.page.mouse.move(box["left"] + 4, (box["top"] + box["bottom"]) / 2)

    point("relu(dense")
    expect(help_text).to_contain_text("relu(input, inplace)")
    expect(help_text).to_contain_text("Applies the rectified linear unit function element-wise.")
    point("dense(x)")
    expect(help_text).to_contain_text("Linear(in_features, out_features, bias=True)")
    tiny.button("Go to declaration").click()
    tiny.has_caret(next(n for n, line in enumerate(lines, 1) if line.startswith("      dense:")))
    point("width, out_features: $width}\n    forward")
    expect(help_text).to_contain_text("width: int")
    expect(help_text).to_contain_text("value 8, at least 1, at most 64")
    expect(help_text).to_contain_text("channels of the hidden layer")
    box = tiny.page.evaluate(at, ["width, out_features: $width}\n    forward"])
    tiny.page.keyboard.down("Control")
    tiny.page.mouse.click(box["left"] + 4, (box["top"] + box["bottom"]) / 2)
    tiny.page.keyboard.up("Control")
    tiny.has_caret(lines.index("params:") + 2)
    tiny.page.keyboard.press("F12")
    tiny.has_caret(lines.index("params:") + 2)


def test_a_parent_opens_beside_and_the_merged_text(inspector: Inspector) -> None:
    reader = inspector.page.locator(".reader-pane")
    expect(reader).to_be_hidden()
    inspector.page.evaluate("""() => {
        const { text, view } = window.archspecEditor;
        view.dispatch({ selection: { anchor: text.indexOf("type: BertModel") + 8 } });
        view.focus();
    }""")
    inspector.page.keyboard.press("F12")
    expect(reader.locator("strong")).to_have_text("specs/text/bert-model.yaml")
    expect(reader.locator(".chosen-line")).to_have_text("  BertModel:")
    expect(reader.locator(".chosen-line")).to_be_in_viewport()
    before = inspector.text
    reader.locator(".chosen-line").click()
    inspector.page.keyboard.type("x")
    expect(reader.locator(".chosen-line")).to_have_text("  BertModel:")
    assert inspector.text == before
    assert faults(inspector, "#reader") == []
    inspector.page.set_viewport_size({"width": 1280, "height": 900})
    inspector.button("Copy BertModel into this spec").click()
    expect(inspector.button("Copy BertModel into this spec")).to_be_hidden()
    assert "\n  BertModel:\n    inputs:\n      input_ids: {shape:" in inspector.text
    expect(inspector.toolbar.get_by_label("Not saved")).to_be_visible()
    inspector.row("bert").locator(".label").click()
    expect(inspector.page.locator(".details-view h3")).to_have_text("bert BertModel")
    expect(inspector.figure("Parameters")).to_have_text("109.5 M")
    expect(inspector.problems).to_have_count(0)
    inspector.page.locator("#editor .cm-content").focus()
    inspector.page.keyboard.press("Control+z")
    inspector.has_text(before)
    inspector.button("Show with parents merged").click()
    expect(reader.locator("strong")).to_have_text("bert, parents merged")
    expect(reader).to_contain_text("vocab_size: {default: 30522, min: 1}")
    expect(reader).not_to_contain_text("extends")
    inspector.row("bert.embeddings").locator(".label").click()
    heading = inspector.page.locator(".details-view h3")
    expect(heading).to_have_text("bert.embeddings BertEmbeddings")
    inspector.tab("Parameters")
    inspector.page.get_by_role("button", name="specs/text/bert-model.yaml:").last.click()
    expect(reader.locator("strong")).to_have_text("specs/text/bert-model.yaml")
    expect(reader.locator(".chosen-line")).to_have_text("  BertEmbeddings:")
    reader.get_by_role("button", name="Close").click()
    expect(reader).to_be_hidden()
