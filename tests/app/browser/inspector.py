"""The page as one visitor has it before them: what the browser tests and the pictures drive."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Locator, Page, Playwright, expect

from tools.find_browser import FLAGS, find_or_install

Scheme = Literal["light", "dark"]
HUNG_UP = ("AbortError", "Connection errored out", "ERR_CONNECTION_REFUSED", "ERR_EMPTY_RESPONSE")
"""What a page says of the answers that it no longer waits for, when it is loaded anew."""
_VIEW = "window.archspecEditor.view"
_WRITE = f"""([text, from, to]) => {{
    const changes = {{ from, to: to ?? {_VIEW}.state.doc.length, insert: text }};
    {_VIEW}.dispatch({{ changes, userEvent: "input.paste" }});
}}"""
_HAS_CHOICES = """() => {
    const { choices, name, text, ...chosen } = JSON.parse(sessionStorage.archspec);
    const defaults = { precision: "fp32", optimizer: "adamw", device: "cpu" };
    return Object.entries(chosen).some(
        ([key, value]) => (value?.length ?? Object.keys(value ?? {}).length)
            && value !== defaults[key]);
}"""
_READ = f"() => {_VIEW}.state.doc.toString()"
_CARET = f"() => {_VIEW}.state.doc.lineAt({_VIEW}.state.selection.main.head).number"


def _units(text: str) -> int:
    """The length of a text as a browser counts it."""
    return len(text.encode("utf-16-le")) // 2


def launch(playwright: Playwright) -> Browser:
    return playwright.chromium.launch(executable_path=find_or_install(), args=[*FLAGS])


class Inspector:
    """One visitor's page, and everything about it that should not be.

    Attributes:
        page: Playwright's.
        wrongs: errors in its console, and requests for other hosts than its own.
    """

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        self.wrongs: list[str] = []
        page.on("console", lambda told: self._wrong(told.text) if told.type == "error" else None)
        page.on("pageerror", lambda error: self._wrong(str(error)))
        page.on("request", lambda request: self._asked(request.url))
        page.on("websocket", lambda found: self._asked(found.url))
        page.goto(url)
        self.ready()

    def ready(self) -> None:
        """Wait until the page shows a spec and its editor can be written in."""
        expect(self.rows.first).to_be_attached()  # the address may name another tab
        self.page.wait_for_function(
            "() => sessionStorage.archspec && document.querySelector('#editor .cm-content')"
        )

    def _wrong(self, what: str) -> None:
        if not any(said in what for said in HUNG_UP):
            self.wrongs.append(what)

    def _asked(self, url: str) -> None:
        if urlsplit(url).scheme not in ("data", "blob") and (
            urlsplit(url).netloc != urlsplit(self.url).netloc
        ):
            self.wrongs.append(f"asked another host: {url}")

    # ------------------------------------------------------------------------------------ parts

    def tab(self, name: str) -> None:
        """Go to a tab."""
        tab = self.page.get_by_role("tab", name=name, exact=True)
        tab.click()
        expect(tab).to_have_attribute("aria-selected", "true")

    @property
    def toolbar(self) -> Locator:
        return self.page.locator(".toolbar-view")

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def labelled(self, name: str) -> Locator:
        """A control of the toolbar or of the freeze plan; the menu is opened if it is there."""
        views = self.page.locator(".toolbar-view, .tree-view")
        control = views.get_by_label(name, exact=True)
        if not control.is_visible() and name == "Name to save the spec under":
            self.toolbar.locator("summary").click()
        return control

    def menu(self, name: str) -> None:
        """Choose from the menu of the toolbar."""
        if not self.toolbar.locator("details[open]").count():
            self.toolbar.locator("summary").click()
        self.toolbar.get_by_role("button", name=name, exact=True).click()

    @property
    def notice(self) -> Locator:
        return self.page.locator(".toolbar-view .notice")

    def figure(self, name: str) -> Locator:
        """One of the figures that are always on screen."""
        figures = self.page.locator(".summary-view .figure")
        return figures.filter(has_text=re.compile(f"^{name}")).locator("strong")

    @property
    def rows(self) -> Locator:
        return self.page.locator(".tree-view tbody tr")

    def row(self, key: str) -> Locator:
        """A row of the tree: of a path, or of several such as ``layer.0-11``."""
        return self.page.locator(f'.tree-view tr[data-key="{key}"]')

    def toggle(self, key: str) -> Locator:
        return self.row(key).get_by_role("checkbox")

    @property
    def problems(self) -> Locator:
        return self.page.locator(".problems-view .problem")

    def field(self, name: str, within: str = "#params") -> Locator:
        return self.page.locator(f'{within} [name="{name}"]')

    # ---------------------------------------------------------------------------------- editing

    @property
    def text(self) -> str:
        """Everything in the editor, what has scrolled away too."""
        return self.page.evaluate(_READ)

    def open(self, name: str, model: str) -> None:
        """Pick a spec whose root is a ``model``; changes that are not saved are left."""
        self.labelled("Spec").select_option(name)
        if (leave := self.button("Go on without saving")).is_visible():
            leave.click()
        expect(self.row("")).to_contain_text(model)
        # The editor may be behind the tree; what is typed before it has the text would be lost.
        self.page.wait_for_function(
            f"""name => {{
                const draft = JSON.parse(sessionStorage.archspec);
                return draft.name === name && draft.text === ({_READ})();
            }}""",
            arg=name,
        )

    def write(self, text: str) -> None:
        """Put a text in place of the editor's, as a paste does."""
        self.page.evaluate(_WRITE, [text, 0, None])

    def replace(self, old: str, new: str) -> str:
        """Change the one stretch of the text that says ``old``; returns the new text."""
        text = self.text
        assert text.count(old) == 1, f"{old!r} occurs {text.count(old)} times"
        at = _units(text[: text.index(old)])
        self.page.evaluate(_WRITE, [new, at, at + _units(old)])
        return text.replace(old, new)

    def has_text(self, text: str) -> None:
        """Wait until the editor holds a text."""
        self.page.wait_for_function(f"text => ({_READ})() === text", arg=text)

    def line(self, number: int) -> Locator:
        """A line of the editor, among those on screen."""
        return self.page.locator("#editor .cm-line").nth(number - 1)

    @property
    def marked(self) -> list[int]:
        """The numbers of the lines that are marked as wrong."""
        return self.page.evaluate(f"""() => {{
            const lines = document.querySelectorAll("#editor .wrong-line");
            const line = (at) => {_VIEW}.state.doc.lineAt({_VIEW}.posAtDOM(at)).number;
            return [...lines].map(line);
        }}""")

    @property
    def caret(self) -> int:
        """The number of the line that the caret is in."""
        return self.page.evaluate(_CARET)

    def has_caret(self, line: int) -> None:
        """Wait until the caret is in a line."""
        self.page.wait_for_function(f"line => ({_CARET})() === line", arg=line)

    def reload(self) -> None:
        self.page.reload()
        self.ready()

    def reset(self, name: str, model: str) -> None:
        """Open a spec as on a new page, apart from undo and the tabs Diagram and Diff."""
        self.wrongs.clear()
        for tab in ("Tree", "YAML"):
            self.tab(tab)
        # By way of another spec: to open the same one again would keep its rows expanded.
        self.open("more/other.yaml", "Other")
        self.open(name, model)
        if self._forget_choices():  # once more, so that no late answer folds the tree again
            self.open("more/other.yaml", "Other")
            self.open(name, model)
        self.labelled("Name for the plan").fill("")
        self.row("").locator(".label").click()
        expect(self.page.locator(".details-view h3")).to_have_text(model)

    def _forget_choices(self) -> bool:
        """Let the spec that is open, and the form of the tab Train, start anew.

        Returns:
            Whether anything was chosen for the spec.
        """
        self.page.evaluate("sessionStorage.removeItem('archspec-train')")
        has_choices = bool(self.page.evaluate(_HAS_CHOICES))
        if has_choices:
            self.menu("Reload")
            self.page.wait_for_function(f"() => !({_HAS_CHOICES})()")
        return has_choices


OpenPage = Callable[..., Inspector]
"""The fixture ``open_page``."""
