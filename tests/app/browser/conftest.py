"""One server and one browser a worker; for every test a page of its own, with nothing wrong."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright

from tests.app.browser.inspector import Inspector, OpenPage, Scheme, launch, served

SPECS = Path(__file__).parent / "specs"

expect.set_options(timeout=15_000)  # two cores may be shared by four workers


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The one that the page may read and write: a few specs, in a folder that holds more."""
    above = tmp_path_factory.mktemp("browser")
    (above / "outside.yaml").write_text("archspec: 1\nmodel: Outside\n")
    return Path(shutil.copytree(SPECS, above / "folder"))


@pytest.fixture(scope="session")
def log(folder: Path) -> Path:
    return folder.parent / "server.log"


@pytest.fixture(scope="session")
def url(folder: Path, log: Path) -> Iterator[str]:
    with served(folder, log) as address:
        yield address


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def contexts(browser: Browser) -> Callable[..., BrowserContext]:
    """Profiles by colours and number. Their pages share a cache, nothing else: the inspector
    keeps what belongs to a page in the page's own storage."""
    found: dict[tuple[Any, ...], BrowserContext] = {}

    def context(scheme: Scheme = "light", visitor: int = 1) -> BrowserContext:
        if (scheme, visitor) not in found:
            made = browser.new_context(
                color_scheme=scheme, reduced_motion="reduce", accept_downloads=True
            )
            made.set_default_timeout(15_000)
            found[scheme, visitor] = made
        return found[scheme, visitor]

    return context


@pytest.fixture
def open_page(url: str, log: Path, contexts: Callable[..., BrowserContext]) -> Iterator[OpenPage]:
    """Opens pages, and fails the test if anything is wrong on one of them.

    ``open_page(scheme="dark", width=390, visitor=2)``; every visitor is a browser of their own.
    """
    opened: list[Inspector] = []
    told = log.stat().st_size

    def make(
        scheme: Scheme = "light", width: int = 1280, height: int = 900, visitor: int = 1
    ) -> Inspector:
        page = contexts(scheme, visitor).new_page()
        page.set_viewport_size({"width": width, "height": height})
        opened.append(Inspector(page, url))
        return opened[-1]

    yield make
    wrongs = [wrong for one in opened for wrong in one.wrongs]
    for one in opened:
        one.page.close()
    printed = log.read_text()[told:]
    assert not wrongs
    assert "Traceback" not in printed, printed


@pytest.fixture
def inspector(open_page: OpenPage) -> Inspector:
    """A page with BERT on it."""
    return open_page()
