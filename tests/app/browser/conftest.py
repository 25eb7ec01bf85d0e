"""One server and one browser a worker; for every test a page of its own, with nothing wrong."""

from __future__ import annotations

import csv
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Error, expect, sync_playwright

import archspec
from archspec.file_lock import holder
from tests.app.browser.inspector import Inspector, OpenPage, Scheme, launch
from tests.app.browser.runs import DATA, HOSTILE_LABEL, HOSTILE_RUN, NET, SPEC, WEIGHTS, fill
from tests.app.page_server import free_port, served

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
    yield from _opener(url, log, contexts)


def _opener(url: str, log: Path, contexts: Callable[..., BrowserContext]) -> Iterator[OpenPage]:
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


@pytest.fixture(scope="session")
def idle_pages() -> list[Inspector]:
    """A page that tests use one after the other: to load a new one takes seconds."""
    return []


@pytest.fixture
def reuse_page(
    url: str, log: Path, contexts: Callable[..., BrowserContext], idle_pages: list[Inspector]
) -> Iterator[Callable[[str, str], Inspector]]:
    """``reuse_page(name, model)``: the shared page with a spec, as if it was opened just now."""
    used: list[Inspector] = []
    start = log.stat().st_size

    def reuse(name: str, model: str) -> Inspector:
        if idle_pages:
            used.append(idle_pages.pop())
            try:
                used[0].reset(name, model)
                return used[0]
            except (AssertionError, Error):  # a test that failed has left it in disorder
                used.pop().page.close()
        used.append(Inspector(contexts().new_page(), url))
        used[0].page.set_viewport_size({"width": 1280, "height": 900})
        used[0].open(name, model)
        return used[0]

    yield reuse
    idle_pages.extend(used)
    assert [wrong for page in used for wrong in page.wrongs] == []
    printed = log.read_text()[start:]
    assert "Traceback" not in printed, printed


@pytest.fixture
def inspector(reuse_page: Callable[[str, str], Inspector]) -> Inspector:
    """A page with BERT on it."""
    return reuse_page("bert", "BertForSequenceClassification")


@pytest.fixture
def tiny(reuse_page: Callable[[str, str], Inspector]) -> Inspector:
    """A page with ``specs/tiny.yaml`` on it."""
    return reuse_page("tiny.yaml", "Tiny")


# ------------------------------------------------------------------------------- runs of a folder


class Restartable:
    """A page's server that can be ended, and started anew at its address.

    Attributes:
        log: what it prints.
    """

    def __init__(self, folder: Path, log: Path) -> None:
        self.folder, self.log, self._port = folder, log, free_port()
        self._stack = ExitStack()
        self.url = self.start()

    def start(self) -> str:
        return self._stack.enter_context(served(self.folder, self.log, self._port))

    def stop(self) -> None:
        self._stack.close()

    def restart(self) -> None:
        self.stop()
        self.start()


@pytest.fixture(scope="session")
def runs_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What to train on, and specs for it; nothing goes on there afterwards."""
    folder = fill(tmp_path_factory.mktemp("runs") / "folder")
    yield folder
    for lock in folder.glob("runs/.jobs/*/lock"):
        if pid := holder(lock):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="session")
def runs_server(runs_folder: Path) -> Iterator[Restartable]:
    server = Restartable(runs_folder, runs_folder.parent / "server.log")
    yield server
    server.stop()


@pytest.fixture
def open_runs(
    runs_server: Restartable, contexts: Callable[..., BrowserContext]
) -> Iterator[OpenPage]:
    """As ``open_page``, of the folder with data and runs."""
    yield from _opener(runs_server.url, runs_server.log, contexts)


def train_here(folder: Path, spec: str, data: str, name: str, **options: Any) -> str:
    """A finished run of a name; returns the name."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # for so little, several wait for each other
    try:
        archspec.train(
            folder / spec, folder / data, output_dir=folder / "runs", name=name, device="cpu",
            progress=False, **options,
        )  # fmt: skip
    finally:
        torch.set_num_threads(threads)
    return name


@pytest.fixture(scope="session")
def topics_run(runs_folder: Path) -> str:
    """Topics on MiniLM, by its head alone."""
    return train_here(
        runs_folder, SPEC, DATA, "topics", weights=runs_folder / WEIGHTS, freeze="head-only",
        epochs=4, batch_size=16, learning_rate=0.05, max_length=32,
    )  # fmt: skip


@pytest.fixture(scope="session")
def hostile_run(runs_folder: Path) -> str:
    """A run whose name and labels are markup."""
    with open(runs_folder / "reviews.csv", newline="", encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    renamed = [[text, {"no": HOSTILE_LABEL}.get(label, label)] for text, label in rows]
    with open(runs_folder / "hostile.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([head, *renamed])
    name = train_here(runs_folder, "tiny.yaml", "hostile.csv", "hostile", epochs=1)
    (runs_folder / "runs" / name).rename(runs_folder / "runs" / HOSTILE_RUN)
    return HOSTILE_RUN


@pytest.fixture(scope="session")
def image_run(runs_folder: Path) -> str:
    """Red or blue, after a few images."""
    for label, colour in (("blue", (20, 30, 220)), ("red", (220, 30, 20))):
        place = runs_folder / "colours" / label
        place.mkdir(parents=True)
        for number in range(8):
            shade = tuple(min(255, part + 3 * number) for part in colour)
            Image.new("RGB", (10, 10), shade).save(place / f"{number}.png")
    (runs_folder / "net.yaml").write_text(NET)
    return train_here(
        runs_folder, "net.yaml", "colours", "colours", epochs=10, batch_size=4, learning_rate=0.05
    )
