"""The report of a finished run: read, sorted, by split, with hostile text and images."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.app.browser.inspector import OpenPage, Scheme
from tests.app.browser.runs import Training
from tests.app.browser.test_hostile import NAME, is_clean
from tests.app.browser.test_looks import faults

LABELS = [NAME, "yes", "a name that is longer than the head of a column"]


def crafted(folder: Path) -> str:
    """A run of which every text is markup, with pictures."""
    for name, colour in (("one", "red"), ("two", "blue")):
        place = folder / "pictures" / f"{name}.png"
        place.parent.mkdir(exist_ok=True)
        Image.new("RGB", (12, 12), colour).save(place)
    classes = [
        {"label": label, "precision": share, "recall": 1 - share, "f1": 0.5, "support": 10 * i}
        for i, (label, share) in enumerate(zip(LABELS, (0.25, 0.75, 0.5), strict=True))
    ]
    mistake = {"row": 2, "label": LABELS[0], "predicted": LABELS[1], "probability": 0.875}
    test: dict[str, Any] = {
        "count": 30, "loss": 0.5, "accuracy": 0.5, "classes": classes,
        "confusion": [[7, 2, 1], [0, 9, 1], [0, 0, 10]], "calibration_error": 0.25,
        "calibrated_error": 0.125, "f1_at": None, "not_finite": 0,
        "mistakes": [
            {**mistake, "input": "pictures/one.png"}, {**mistake, "input": f"{NAME}.png"},
        ],
    }  # fmt: skip
    validation = {
        **test,
        "count": 3,
        "mistakes": [],
        "confusion": [[1, 0, 0], [0, 1, 0], [0, 1, 0]],
    }
    report = {
        "labels": LABELS, "temperature": 2.0, "thresholds": None,
        "splits": {"validation": validation, "test": test},
    }  # fmt: skip
    run = folder / "runs" / "crafted"
    run.mkdir(parents=True)
    data = {"source": "table.csv", "columns": {"image": "image", "label": "label"}}
    (folder / "table.csv").write_text("image,label\n")
    facts = {"status": "finished", "spec": "net", "plan": "none", "epochs": 1, "data": data}
    (run / "run.json").write_text(json.dumps(facts))
    (run / "report.json").write_text(json.dumps(report))
    return "crafted"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_report_is_shown_as_text(scheme: Scheme, open_runs: OpenPage, runs_folder: Path) -> None:
    run = "crafted"
    if not (runs_folder / "runs" / run).exists():
        crafted(runs_folder)
    inspector = open_runs(scheme=scheme)
    page, training = inspector.page, Training(inspector)
    training.row(run).locator("[data-run]").click()
    report = training.detail.locator(".report")
    expect(report.locator("h4")).to_contain_text("also in runs/crafted/report.md")
    figures = report.locator(".report-figures tbody tr")
    expect(figures).to_have_text(["validation30.50000.5000", "test300.50000.5000"])
    classes = report.locator(".classes tbody tr")
    expect(classes.locator("th")).to_have_text(LABELS)
    matrix = report.locator(".confusion tbody tr")
    expect(matrix).to_have_count(3)
    assert [row.locator("td").all_inner_texts() for row in matrix.all()] == [
        ["7", "2", "1"], ["0", "9", "1"], ["0", "0", "10"],
    ]  # fmt: skip
    expect(matrix.first.locator("td").nth(1)).to_have_attribute(
        "title", f"2 rows of {NAME} predicted as yes"
    )
    shade = "cell => getComputedStyle(cell).backgroundColor"
    cells = matrix.first.locator("td")
    assert len({cells.nth(i).evaluate(shade) for i in range(3)}) == 3
    mistakes = report.locator(".mistakes tbody tr")
    expect(mistakes).to_have_count(2)
    expect(mistakes.first).to_contain_text("pictures/one.png")
    expect(mistakes.first.locator("td").last).to_have_text("87.5 %")
    expect(mistakes.nth(1).locator(".input")).to_have_text(f"{NAME}.png")
    picture = mistakes.first.locator("img")
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == 12
    expect(mistakes.nth(1).locator("img")).to_have_count(0)
    is_clean(inspector)
    assert faults(inspector, "#train") == []
    # Sorted by a column, and back; the other split.
    report.get_by_role("button", name="Support", exact=True).click()
    expect(classes.locator("th")).to_have_text([LABELS[2], LABELS[1], LABELS[0]])
    sort = report.get_by_role("button", name=re.compile("Support"))
    expect(sort).to_be_focused()
    expect(report.locator(".classes th[aria-sort]")).to_have_attribute("aria-sort", "descending")
    page.keyboard.press("Enter")
    expect(classes.locator("th")).to_have_text(LABELS)
    report.get_by_role("button", name="validation", exact=True).click()
    expect(mistakes).to_have_count(0)
    expect(matrix.nth(2).locator("td")).to_have_text(["0", "1", "0"])
    expect(report.get_by_role("button", name="validation", exact=True)).to_be_focused()
    expect(classes.locator("th")).to_have_text(LABELS)
    is_clean(inspector)


def test_the_report_of_what_a_run_has_written(open_runs: OpenPage, topics_run: str) -> None:
    inspector = open_runs()
    training = Training(inspector)
    training.row(topics_run).locator("[data-run]").click()
    report = training.detail.locator(".report")
    expect(report.locator(".classes tbody tr")).to_have_count(8)
    diagonal = report.locator(".confusion td.right").all_inner_texts()
    assert report.locator(".mistakes tbody tr").count() == min(20, 48 - sum(map(int, diagonal)))
