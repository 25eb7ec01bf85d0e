"""A spec full of markup and script, in every string that a stranger can choose, on every tab."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import expect

from tests.app.browser.inspector import Inspector

PAYLOADS = (
    '<img src=x onerror="window.__pwned=1">',
    "<script>window.__pwned=2</script>",
    "${window.__pwned=3}",
    "{{constructor.constructor('window.__pwned=4')()}}{{{@root}}}<%= window.__pwned=5 %>",
    "</textarea></pre></style><svg/onload=window.__pwned=6>",
    "`;window.__pwned=7;`",
    "[a](javascript:window.__pwned=8) ![b](//example.org/c.png)",
)
EVIL = " ".join(PAYLOADS).replace("'", "''")
NAME = '<img src=x onerror="window.__pwned=9">${window.__pwned=10}'
HOSTILE = f"""\
archspec: 1
model: Net  # {EVIL}
description: '{EVIL}'
paper: '{EVIL}'
params:
  width: {{default: 4, help: '{EVIL}'}}
  words: {{default: '{EVIL}', help: '{EVIL}'}}
  choice: {{default: '{EVIL}', choices: ['{EVIL}', b], help: '{EVIL}'}}
dims: {{batch: 2}}
blocks:
  Net:
    inputs: {{x: [batch, 4]}}
    modules:
      up: {{type: Linear, in_features: 4, out_features: $width}}  # {EVIL}
      toString: {{type: ReLU}}
      constructor: {{type: ReLU}}
    forward: [{{return: constructor(toString(up(x)))}}]
freeze:
  '{EVIL}': [up]
checkpoints:
  '{EVIL}': {{}}
"""
CLEAN = """() => ({
    pwned: window.__pwned ?? null,
    elements: [...document.querySelectorAll(
        "img[src='x'], [onerror], [onload], iframe, object, embed, a[href^='javascript']")]
        .map((one) => one.outerHTML),
    scripts: [...document.scripts].filter((one) => /__pwned=\\d</.test(one.text + "<")).length,
})"""


def is_clean(inspector: Inspector) -> None:
    found = inspector.page.evaluate(CLEAN)
    assert found == {"pwned": None, "elements": [], "scripts": 0}


def every_tab(inspector: Inspector) -> None:
    for tab in inspector.page.get_by_role("tab").all():
        tab.click()
        expect(tab).to_have_attribute("aria-selected", "true")
        is_clean(inspector)
    inspector.tab("Tree")


def in_the_editor(inspector: Inspector) -> None:
    """What is said of a word, what is offered beside it, and the merged text."""
    page = inspector.page
    at = "word => window.archspecEditor.text.indexOf(word)"
    place = page.evaluate(at, "width: {default")
    box = page.evaluate("at => window.archspecEditor.view.coordsAtPos(at)", place)
    page.mouse.move(box["left"] + 4, (box["top"] + box["bottom"]) / 2)
    expect(page.locator(".hover-help")).to_contain_text("<img src=x onerror=")
    is_clean(inspector)
    expression = page.evaluate(at, "$width") + 1
    page.evaluate(
        """at => {
            const { view } = window.archspecEditor;
            view.dispatch({ selection: { anchor: at } });
            view.focus();
        }""",
        expression,
    )
    page.keyboard.press("Control+Space")
    for name in ("words", "choice"):
        option = page.locator(".cm-tooltip-autocomplete li", has_text=name)
        expect(option).to_contain_text("str")
    expect(page.locator(".cm-completionInfo")).to_contain_text("<img src=x onerror=")
    is_clean(inspector)
    page.keyboard.press("Escape")


def test_text_of_a_spec_stays_text(inspector: Inspector, folder: Path) -> None:
    file = folder / f"{NAME}.yaml"
    file.write_text(HOSTILE)
    try:
        inspector.reload()
        inspector.labelled("Spec").select_option(file.name)
        expect(inspector.row("")).to_contain_text("Net")
        expect(inspector.problems).to_have_count(0)
        assert inspector.text == HOSTILE
        plan = " ".join(PAYLOADS)
        inspector.labelled("Freeze plan").select_option(plan)
        expect(inspector.toggle("up")).to_be_checked()
        inspector.row("up").click()
        expect(inspector.page.locator(".details-view h3")).to_have_text("up Linear")
        in_the_editor(inspector)
        every_tab(inspector)
        inspector.tab("Parameters")
        expect(inspector.page.locator("#params")).to_contain_text(plan)
        expect(inspector.field("words")).to_have_value(plan)
    finally:
        file.unlink()


def test_errors_about_hostile_text_stay_text(inspector: Inspector) -> None:
    inspector.write(HOSTILE + f"'{EVIL}': 1\nmodel: '{EVIL}'\n")
    expect(inspector.problems.first).to_contain_text("error[E")
    every_tab(inspector)
    inspector.write(HOSTILE.replace("type: ReLU", f"type: '{EVIL}'"))
    expect(inspector.problems.first).to_contain_text("<img src=x")
    every_tab(inspector)


def test_names_that_visitors_give_stay_text(tiny: Inspector) -> None:
    inspector = tiny
    inspector.labelled("Name to save the spec under").fill(f"../{NAME}")
    inspector.button("Save").click()
    expect(inspector.notice).to_contain_text(NAME)
    is_clean(inspector)
    inspector.labelled("Name for the plan").fill(NAME)
    inspector.button("Save plan").click()
    expect(inspector.labelled("Freeze plan")).to_have_value(NAME)
    inspector.toggle("up").click()
    expect(inspector.toggle("up")).to_be_checked()
    text = inspector.text.replace("Tiny", "Mine").encode()
    inspector.labelled("Open a file from this computer").set_input_files(
        {"name": f"{NAME}.yaml", "mimeType": "text/yaml", "buffer": text}
    )
    inspector.button("Go on without saving").click()
    expect(inspector.labelled("Spec")).to_have_value(f"{NAME}.yaml")
    search = inspector.page.get_by_label("Search modules by name, type or path")
    search.fill(NAME)
    expect(inspector.page.locator(".tree-status")).to_have_text("0 found")
    search.fill("")
    every_tab(inspector)
