"""Pictures of the inspector: ``python -m tools.screenshots [FOLDER]``.

Without a folder, those that the docs show are made anew in ``docs/images``; with one, the start
view, every tab and several states in light and dark at five widths are put there. For the tabs
Train, Predict and Weights a small classifier is trained first. The same page gives the same
picture.
"""

from __future__ import annotations

import io
import itertools
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import torch
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

import archspec
from tests.app.browser.inspector import Inspector, Scheme, launch
from tests.app.browser.runs import DATA, SPEC, WEIGHTS, Predicting, Training, fill
from tests.app.page_server import served

expect.set_options(timeout=30_000)

START = "Start"
IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
README: tuple[tuple[str, Scheme, int], ...] = (
    ("Tree", "light", 1280), ("Tree", "dark", 1280), (START, "light", 1280),
    ("Cost", "light", 1280), ("Diagram", "light", 1440), ("Tree", "light", 390),
)  # fmt: skip
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
SIZES = {1440: 900, 1280: 860, 1024: 768, 768: 1024, 390: 844}
NARROW = 700  # pixels; below, spec and tabs are not side by side, and pictures are of all there is
SELECTED = "bert.encoder.layer"
PLAN = "last-2-and-head"
RUN = "topics"
TEXT = "a fish with a long body that lives in warm rivers"
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
        browser = launch(playwright)
        log = Path(empty) / "server.log"
        work = Path(empty) / "specs"
        work.mkdir()
        with served(work, log) as url:
            if folder is None:
                for tab, scheme, width in README:
                    size = "" if width >= NARROW else "-narrow"
                    file = IMAGES / f"inspector-{tab.lower()}-{scheme}{size}.png"
                    picture(opened(browser, url, scheme, width), tab, file)
            else:
                for scheme, width in itertools.product(SCHEMES, SIZES):
                    every_tab(opened(browser, url, scheme, width), folder, f"{scheme}-{width}")
        runs = fill(Path(empty) / "runs")
        train(runs)
        with served(runs, log, command=("app", SPEC)) as url:
            schemes, sizes = (SCHEMES, tuple(SIZES)) if folder else (SCHEMES[:1], (1280,))
            for scheme, width in itertools.product(schemes, sizes):
                for name, show in STATES.items():
                    inspector = Inspector(new_page(browser, scheme, width), url)
                    top = show(inspector)
                    end = f"{name}-{scheme}-{width}" if folder else f"inspector-{name}-{scheme}"
                    shoot(inspector.page, (folder or IMAGES) / f"{end}.png", top)
                    inspector.page.close()
        browser.close()


def new_page(browser: Browser, scheme: Scheme, width: int) -> Page:
    return browser.new_page(
        color_scheme=scheme, reduced_motion="reduce", locale="en-GB", timezone_id="UTC",
        viewport={"width": width, "height": SIZES[width]},
    )  # fmt: skip


# ------------------------------------------------------------------------------------ of every tab


def opened(browser: Browser, url: str, scheme: Scheme, width: int) -> Inspector:
    """BERT with a plan chosen and a module selected."""
    page = new_page(browser, scheme, width)
    inspector = Inspector(page, url)
    inspector.labelled("Freeze plan").select_option(PLAN)
    expect(inspector.toggle("")).to_have_attribute("aria-checked", "mixed")
    inspector.row("bert.encoder").locator(".twisty").click()
    inspector.row(SELECTED).locator(".label").click()
    expect(page.locator(".details-view h3")).to_contain_text(SELECTED)
    return inspector


def every_tab(inspector: Inspector, folder: Path, kind: str) -> None:
    tabs = inspector.page.get_by_role("tab")
    names = sorted(tabs.all_inner_texts(), key="Parameters".__ne__)
    for name in names:
        picture(inspector, name, folder / f"{name.lower()}-{kind}.png")
    if "YAML" not in names:  # a button shows what is beside the tabs elsewhere
        inspector.button("Spec").click()
        for name in ("Parameters", "YAML"):
            picture(inspector, name, folder / f"{name.lower()}-{kind}.png")
    picture(inspector, START, folder / f"{START.lower()}-{kind}.png")


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
    shoot(page, file, is_whole=tab != START)


# ---------------------------------------------------------------------------------- with a run


def train(folder: Path) -> None:
    """A run of the example on a few of its rows, by a clock that is the same each time."""
    clock = SimpleNamespace(monotonic=itertools.count(0.0, 0.05).__next__)
    torch.set_num_threads(1)
    with (
        mock.patch("archspec.training.recorder.time", clock),
        mock.patch("archspec.training.recorder.now", return_value="2026-01-05T09:30:00+00:00"),
    ):
        archspec.train(
            folder / SPEC, folder / DATA, output_dir=folder / "runs", name=RUN, device="cpu",
            weights=folder / WEIGHTS, freeze="head-only", epochs=8, batch_size=8,
            learning_rate=0.02, max_length=32, progress=False,
        )  # fmt: skip


def show_run(inspector: Inspector) -> Locator:
    training = Training(inspector)
    expect(training.badge).to_have_text("finished")
    expect(training.detail.locator(".report")).to_be_visible()
    return training.detail


def show_report(inspector: Inspector) -> Locator:
    return show_run(inspector).locator(".report")


def show_preview(inspector: Inspector) -> Locator:
    training = Training(inspector)
    training.form.locator('[name="data"]').fill(DATA)
    training.form.locator('[name="weights"]').fill(WEIGHTS)
    inspector.button("Preview").click()
    expect(inspector.page.locator(".preview")).to_contain_text("an estimate")
    inspector.page.evaluate("""() => {  // what differs with the machine
        for (const item of document.querySelectorAll(".preview li"))
            item.textContent = item.textContent
                .replace(/Time: about .*? for/, "Time: about 20 s for")
                .replace(/estimate: .*? on/, "estimate: 4 batches took 0.3 s on")
                .replace(/of the .*? of free/, "of the 12.00 GiB of free");
    }""")
    return training.form


def show_prediction(inspector: Inspector) -> None:
    Predicting(inspector).text(f"runs/{RUN}", TEXT)
    expect(inspector.page.locator(".predict-view .saliency")).to_be_visible()


def show_inside(inspector: Inspector) -> Locator:
    show_prediction(inspector)
    inspector.button("Look inside").click()
    inside = inspector.page.locator(".predict-view .inside")
    expect(inside.locator("table").first).to_be_visible()
    return inside


def show_weights(inspector: Inspector) -> None:
    inspector.tab("Weights")
    expect(inspector.page.locator(".weights-view table")).to_be_visible()


def show_problem(inspector: Inspector) -> None:
    inspector.replace("num_labels: 8", "num_labels: eight")
    expect(inspector.page.locator(".toolbar-view .problem-count")).to_be_visible()
    state = inspector.page.locator(".toolbar-view .state")
    expect(state).to_contain_text("Figures of")
    state.evaluate("at => { at.textContent = 'Figures of 09:31:00'; }")


STATES: dict[str, Callable[[Inspector], Locator | None]] = {
    "run": show_run, "report": show_report, "preview": show_preview,
    "prediction": show_prediction, "inside": show_inside, "tensors": show_weights,
    "problem": show_problem,
}  # fmt: skip
"""Each returns what is to be at the top of the picture, unless that is the top of the page."""


# --------------------------------------------------------------------------------------- pictures


def shoot(page: Page, file: Path, top: Locator | None = None, *, is_whole: bool = True) -> None:
    """Write what the page shows, from ``top`` on; without it, of a narrow one all there is."""
    page.mouse.move(0, 0)
    page.evaluate("() => document.activeElement?.blur?.()")
    page.evaluate("() => window.scrollTo(0, 0)")
    if top is not None:
        top.evaluate("at => at.scrollIntoView()")
    page.evaluate(STILL)
    size = page.viewport_size
    is_narrow = size is not None and size["width"] < NARROW
    is_long = is_narrow and is_whole and top is None
    taken = page.screenshot(animations="disabled", caret="hide", full_page=is_long)
    file.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(io.BytesIO(taken)) as image:  # of few colours, in a third of the bytes
        image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(file, optimize=True)
    print(file.name)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
