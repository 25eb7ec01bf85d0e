"""The dialog in which data and weights are chosen: by mouse, by keyboard, with hostile names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.app.browser.inspector import OpenPage, Scheme
from tests.app.browser.runs import Training
from tests.app.browser.test_hostile import NAME, is_clean
from tests.app.browser.test_looks import faults

HOSTILE = f"{NAME}.csv"


@pytest.fixture(scope="module")
def shelf(runs_folder: Path) -> Path:
    """A folder of files with a hostile name and a link that leads out."""
    shelf = runs_folder / "shelf"
    (shelf / "inner").mkdir(parents=True)
    for name in ("a.csv", "b.csv", HOSTILE, "inner/deep.csv", "notes.pdf"):
        (shelf / name).write_text("text,label\nso,yes\n")
    (shelf / "out").symlink_to(runs_folder.parent)
    return shelf


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_data_are_chosen_by_mouse(scheme: Scheme, open_runs: OpenPage, shelf: Path) -> None:
    inspector = open_runs(scheme=scheme)
    inspector.open("tiny.yaml", "Tiny")
    training = Training(inspector)
    inspector.button("Choose data …").click()
    dialog = inspector.page.get_by_role("dialog", name="Choose data")
    entry = dialog.locator(".entry")
    expect(entry.filter(has_text=re.compile("^shelf/"))).to_contain_text("1 folder, 3 tables")
    entry.filter(has_text=re.compile("^shelf/")).click()
    expect(entry).to_have_text([
        re.compile(rf"^{re.escape(name)}") for name in
        ("inner/", HOSTILE, "a.csv", "b.csv", "notes.pdf", "out")
    ])  # fmt: skip
    expect(entry.last).to_be_disabled()
    expect(entry.last).to_contain_text("a link that leads out of the folder")
    is_clean(inspector)
    assert faults(inspector, "dialog.picker") == []
    dialog.get_by_label("Search this folder").fill("B.C")
    expect(entry).to_have_count(1)
    entry.click()
    expect(dialog).to_have_count(0)
    data = training.form.locator('[name="data"]')
    expect(data).to_have_value("shelf/b.csv")
    expect(data).to_be_focused()
    # It begins where the chosen file is; the folder itself, and what its path says.
    inspector.button("Choose data …").click()
    expect(entry.filter(has_text="a.csv")).to_be_visible()
    dialog.get_by_role("button", name="Use this folder").click()
    expect(data).to_have_value("shelf")
    inspector.button("Choose data …").click()
    dialog.get_by_role("button", name="Use the folder shelf").click()
    expect(data).to_have_value("shelf")
    inspector.button("Choose data …").click()
    entry.filter(has_text=re.compile("^shelf/")).click()
    entry.filter(has_text=HOSTILE).click()
    expect(data).to_have_value(f"shelf/{HOSTILE}")
    is_clean(inspector)
    # Weights of a run, and what is no folder.
    inspector.button("Choose weights …").click()
    weights = inspector.page.get_by_role("dialog", name="Choose weights").locator(".entry")
    expect(weights.filter(has_text=re.compile("^all-MiniLM-L6-v2/"))).to_contain_text("weights")
    inspector.page.keyboard.press("Escape")
    expect(inspector.page.get_by_role("dialog")).to_have_count(0)
    expect(training.form.locator('[name="weights"]')).to_have_value("")
    data.fill("shelf/../../x")
    inspector.button("Choose data …").click()
    expect(dialog.get_by_role("status")).to_contain_text("is not a name inside the folder")
    dialog.get_by_role("button", name="This page's folder").click()
    expect(entry.filter(has_text=re.compile("^shelf/"))).to_be_visible()


def test_data_are_chosen_by_keyboard(open_runs: OpenPage, shelf: Path) -> None:
    inspector = open_runs(width=390, height=844)
    inspector.open("tiny.yaml", "Tiny")
    training = Training(inspector)
    keyboard = inspector.page.keyboard
    choose = inspector.button("Choose data …")
    choose.focus()
    keyboard.press("Enter")
    dialog = inspector.page.get_by_role("dialog", name="Choose data")
    entry = dialog.locator(".entry")
    expect(entry.first).to_be_focused()
    while not entry.filter(has_text=re.compile("^shelf/")).evaluate("one => one.matches(':focus')"):
        keyboard.press("ArrowDown")
    keyboard.press("ArrowRight")
    expect(entry.first).to_have_text(re.compile("^inner/"))
    expect(entry.first).to_be_focused()
    keyboard.press("Enter")
    expect(entry).to_have_text([re.compile("^deep.csv")])
    expect(entry.first).to_be_focused()
    keyboard.press("Backspace")
    expect(entry.first).to_have_text(re.compile("^inner/"))
    expect(entry.first).to_be_focused()
    keyboard.press("ArrowUp")
    expect(dialog.get_by_label("Search this folder")).to_be_focused()
    keyboard.type("a.c")
    expect(entry).to_have_count(1)
    keyboard.press("ArrowDown")
    keyboard.press("Enter")
    expect(training.form.locator('[name="data"]')).to_have_value("shelf/a.csv")
    assert faults(inspector, "#train") == []
