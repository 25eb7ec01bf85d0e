"""Every tab in light and dark, wide and narrow: readable for all, and nothing cut off."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.app.browser.inspector import Inspector, OpenPage, Scheme

# What may scroll by itself: text in lines, and tables inside .wide.
CUT_OFF = """() => {
    const scrolls = ".cm-scroller, .cm-content, pre, .wide, select, input, textarea";
    const wrong = [], told = (one) => `${one.tagName}.${one.className} ${one.innerText ?? ""}`;
    if (document.documentElement.scrollWidth > innerWidth) wrong.push("the page scrolls sideways");
    for (const one of document.querySelectorAll(".gradio-container *")) {
        const box = one.getBoundingClientRect(), style = getComputedStyle(one);
        if (!box.width || !box.height || style.visibility === "hidden") continue;
        if (one.closest(".hidden, .visually-hidden, svg") || one.closest(scrolls)) continue;
        if (box.right > innerWidth + 1 || box.left < -1)
            wrong.push(`beside the screen: ${told(one).slice(0, 120)}`);
        else if (style.overflowX !== "visible" && one.scrollWidth > one.clientWidth + 1
            && style.textOverflow !== "ellipsis")
            wrong.push(`cut off: ${told(one).slice(0, 120)}`);
    }
    return wrong;
}"""


WIDTHS = {1280: 900, 390: 844}


def serious(inspector: Inspector, within: str = "body") -> list[dict[str, Any]]:
    """Serious violations that axe finds in a part of the page."""
    context = {"include": [[within]]}
    options = {"resultTypes": ["violations"]}
    violations = Axe().run(inspector.page, context=context, options=options).response["violations"]
    return [
        {"rule": violation["id"], "at": [node["target"] for node in violation["nodes"][:3]]}
        for violation in violations
        if violation["impact"] in ("serious", "critical")
    ]


def resize(page: Page, width: int, height: int) -> None:
    """Resize the window, and wait until the scripts that follow its size have run."""
    page.set_viewport_size({"width": width, "height": height})
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 50)))")


def faults(inspector: Inspector, within: str = "body") -> list[str]:
    """What is cut off or unreadable at any width; the whole page is checked for what is cut off."""
    found: list[str] = []
    for width, height in WIDTHS.items():
        resize(inspector.page, width, height)
        found += [f"{width}: {fault}" for fault in inspector.page.evaluate(CUT_OFF)]
        found += [f"{width}: {fault}" for fault in serious(inspector, within)]
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_tab_can_be_read(scheme: Scheme, open_page: OpenPage) -> None:
    inspector = open_page(scheme=scheme)
    inspector.open("tiny.yaml", "Tiny")
    dark = inspector.page.evaluate("() => document.body.classList.contains('dark')")
    assert dark == (scheme == "dark")
    inspector.row("up").click()
    expect(inspector.page.locator(".details-view h3")).to_have_text("up Linear")
    found = [f"Tree: {fault}" for fault in faults(inspector)]
    for name in inspector.page.get_by_role("tab").all_inner_texts():
        tab = inspector.page.get_by_role("tab", name=name, exact=True)
        tab.click()
        expect(tab).to_have_attribute("aria-selected", "true")
        panel = f"#{tab.get_attribute('aria-controls')}"
        found += [f"{name}: {fault}" for fault in faults(inspector, panel)]
    assert not found, "\n".join(found)
