"""What a browser that has never seen the page has to load."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Browser, expect

from tests.app.browser.inspector import Inspector

MAX_BYTES = 400_000


def test_the_first_load_is_small(browser: Browser, url: str) -> None:
    """With everything that BERT and the start view are shown with, as it comes over the network."""
    context = browser.new_context()
    page = context.new_page()
    session: Any = context.new_cdp_session(page)
    session.send("Network.enable")
    sizes: dict[str, int] = {}
    names: dict[str, str] = {}
    session.on(
        "Network.requestWillBeSent",
        lambda event: names.__setitem__(event["requestId"], event["request"]["url"]),
    )
    session.on(
        "Network.dataReceived",
        lambda event: sizes.__setitem__(
            event["requestId"], sizes.get(event["requestId"], 0) + event["encodedDataLength"]
        ),
    )
    inspector = Inspector(page, url)
    expect(inspector.row("bert.encoder")).to_be_visible()

    def wait() -> None:
        before = -1
        while before < (before := sum(sizes.values())):  # answers to events
            page.wait_for_timeout(1_000)

    wait()
    loaded = {names[key].removeprefix(url): size for key, size in sizes.items()}
    assert 250_000 < sum(loaded.values()) < MAX_BYTES, loaded
    late = ("archspec/tabs.js", "archspec/editor_tools.js", "archspec/canvas.js")
    assert [name for name in late if name in loaded] == []
    for name in ("archspec/views.js", "archspec/editor.js"):
        assert loaded[name] > 10_000, name
    inspector.button("archspec").click()
    expect(page.locator(".card").first).to_be_visible()
    wait()
    assert sum(sizes.values()) < MAX_BYTES
    inspector.button("Continue with bert").click()
    inspector.line(1).click()
    page.wait_for_function("() => globalThis.archspecEditorTools")
    inspector.tab("Train")
    expect(page.locator(".train-view [type=submit]")).to_be_visible()
    assert inspector.wrongs == []
    context.close()
