"""Pictures of the inspector: ``python -m tools.screenshots [FOLDER]``.

Without a folder, the few that the docs show are made anew in ``docs/images``; with one, the start
view and every tab in light and dark at four widths is put there. The same page gives the same
picture.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, expect, sync_playwright

from tests.app.browser.inspector import Inspector, Scheme, launch
from tests.app.page_server import served

expect.set_options(timeout=30_000)

START = "Start"
IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
README: tuple[tuple[str, Scheme, int], ...] = (
    ("Tree", "light", 1280), ("Tree", "dark", 1280), (START, "light", 1280),
    ("Cost", "light", 1280), ("Diagram", "light", 1440),
)  # fmt: skip
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
SIZES = {1440: 900, 1280: 860, 1024: 768, 768: 1024, 390: 844}
SELECTED = "bert.encoder.layer"
PLAN = "last-2-and-head"
# What is there once a tab's first answer is.
ANSWERED = {
    "Cost": ".memory-view table",
    "Diagram": ".diagram-view .canvas-box",
    "Diff": ".diff-view .verdict, .diff-view section",
    "Train": ".train-view [type=submit]",
    "Predict": ".predict-view option",
}
# Until nothing has changed on the page for a while.
STILL = """() => new Promise((done) => {
    let waiting = setTimeout(done, 400);
    const seen = new MutationObserver(() => {
        clearTimeout(waiting);
        waiting = setTimeout(done, 400);
    });
    seen.observe(document.body, { subtree: true, childList: true, attributes: true });
    setTimeout(done, 5000);
})"""


def main(folder: Path | None) -> None:
    with tempfile.TemporaryDirectory() as empty, sync_playwright() as playwright:
        log = Path(empty) / "server.log"
        work = Path(empty) / "specs"
        work.mkdir()
        browser = launch(playwright)
        with served(work, log) as url:
            if folder is None:
                for tab, scheme, width in README:
                    page = opened(browser, url, scheme, width)
                    picture(page, tab, IMAGES / f"inspector-{tab.lower()}-{scheme}.png")
            else:
                for scheme in SCHEMES:
                    for width in SIZES:
                        every_tab(opened(browser, url, scheme, width), folder, f"{scheme}-{width}")
        browser.close()


def opened(browser: Browser, url: str, scheme: Scheme, width: int) -> Inspector:
    """BERT with a plan chosen and a module selected."""
    page = browser.new_page(
        color_scheme=scheme, reduced_motion="reduce", locale="en-GB", timezone_id="UTC",
        viewport={"width": width, "height": SIZES[width]},
    )  # fmt: skip
    inspector = Inspector(page, url)
    inspector.labelled("Freeze plan").select_option(PLAN)
    expect(inspector.toggle("")).to_have_attribute("aria-checked", "mixed")
    inspector.row("bert.encoder").locator(".twisty").click()
    inspector.row(SELECTED).locator(".label").click()
    expect(page.locator(".details-view h3")).to_contain_text(SELECTED)
    return inspector


def every_tab(inspector: Inspector, folder: Path, kind: str) -> None:
    names = inspector.page.get_by_role("tab").all_inner_texts()
    for name in (*sorted(names, key="Parameters".__ne__), START):
        picture(inspector, name, folder / f"{name.lower()}-{kind}.png")


def picture(inspector: Inspector, tab: str, file: Path) -> None:
    page = inspector.page
    if tab == START:
        inspector.button("archspec").click()
        expect(page.locator(".card").first).to_be_visible()
    else:
        inspector.tab(tab)
    if tab == "Cost":  # its last part is computed once somebody scrolls there
        page.locator(".memory-view").scroll_into_view_if_needed()
    if tab in ANSWERED:
        expect(page.locator(ANSWERED[tab]).first).to_be_attached()
    page.evaluate("() => window.scrollTo(0, 0)")
    page.mouse.move(0, 0)
    page.evaluate("() => document.activeElement?.blur?.()")
    page.evaluate(STILL)
    file.parent.mkdir(parents=True, exist_ok=True)
    narrow = page.viewport_size is not None and page.viewport_size["width"] < 700
    page.screenshot(path=file, animations="disabled", caret="hide", full_page=narrow)
    print(file.name)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
