"""Every tab in light and dark, wide and narrow: readable for all, and nothing cut off."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.app.browser.inspector import Inspector, OpenPage, Scheme

# What may scroll by itself: text in lines, and tables inside .wide.
CUT_OFF = """() => {
    const scrolls = ".cm-scroller, .cm-content, pre, .wide, .line-marks, select, input, textarea";
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


def serious(inspector: Inspector) -> list[dict[str, Any]]:
    # The colours of words in the editor are those of Gradio's own theme.
    shown = {"exclude": [[".cm-line"]]}
    found = Axe().run(inspector.page, context=shown).response["violations"]
    return [
        {"rule": one["id"], "at": [node["target"] for node in one["nodes"][:3]]}
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_tab_can_be_read(scheme: Scheme, width: int, open_page: OpenPage) -> None:
    inspector = open_page(scheme=scheme, width=width)
    inspector.open("tiny.yaml", "Tiny")
    dark = inspector.page.evaluate("() => document.body.classList.contains('dark')")
    assert dark == (scheme == "dark")
    inspector.row("up").click()
    expect(inspector.page.locator(".details-view h3")).to_have_text("up Linear")
    wrongs: dict[str, Any] = {}
    for tab in inspector.page.get_by_role("tab").all():
        name = tab.inner_text()
        tab.click()
        expect(tab).to_have_attribute("aria-selected", "true")
        wrongs[f"{name}, layout"] = inspector.page.evaluate(CUT_OFF)
        wrongs[f"{name}, axe"] = serious(inspector)
    found = [f"{name}: {one}" for name, wrong in wrongs.items() for one in wrong]
    assert not found, "\n".join(found)
