"""Training from the page: a run outlives it and its server, and is stopped and gone on with."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

import archspec
from archspec.file_lock import holder
from archspec.training.run_folder import LOCK
from tests.app.browser.conftest import Restartable, train_here
from tests.app.browser.inspector import OpenPage, Scheme
from tests.app.browser.runs import CLASSES, DATA, OF_CLASS, SPEC, TINY, WEIGHTS, Training
from tests.app.browser.test_hostile import NAME, is_clean
from tests.app.browser.test_looks import faults
from tests.app.test_predictions import PIXELS

EPOCHS, BATCH = 4, 16
OPTIONS = {
    "data": DATA, "weights": WEIGHTS, "freeze": "head-only", "epochs": str(EPOCHS),
    "batch_size": str(BATCH), "learning_rate": "0.05", "max_length": "32", "device": "cpu",
}  # fmt: skip
SLOWLY = 120_000  # ms: a process is started, and two cores may be shared by four workers


def held(folder: Path, run: str) -> int:
    """The process of a run."""
    pid = holder(folder / "runs" / ".jobs" / run / "lock")
    assert pid, "the run's process is gone"
    return pid


def metrics(folder: Path, run: str, kind: str) -> list[dict[str, float]]:
    file = folder / "runs" / run / "metrics.jsonl"
    lines = file.read_text().splitlines(keepends=True) if file.exists() else []
    whole = [json.loads(line) for line in lines if line.endswith("\n")]
    return [line for line in whole if line["kind"] == kind]


def test_runs_are_sorted_compared_annotated_tried_and_deleted(
    open_runs: OpenPage, runs_folder: Path
) -> None:
    for name, epochs, p in (("short", 1, 0.1), ("long", 2, 0.5)):
        train_here(runs_folder, "tiny.yaml", "reviews.csv", name, epochs=epochs, p=p)
    inspector = open_runs()
    page = inspector.page
    train = Training(inspector)
    page.get_by_role("button", name="Run", exact=True).click()
    names = page.locator(".runs [data-run]").all_inner_texts()
    assert names == sorted(names)
    for name in ("short", "long"):
        page.get_by_label(f"Compare {name}", exact=True).check()
    inspector.button("Compare 2 runs").click()
    table = page.locator(".comparison table")
    expect(table.locator("tr").filter(has_text=re.compile("^epochs"))).to_have_text("epochs12")
    compared = page.locator(".comparison figure")
    titles = [
        "Validation loss", "Validation accuracy", "Training loss", "Learning rate",
        "Gradient norm", "Samples per second", "Tokens per second",
    ]  # fmt: skip
    expect(compared.locator("figcaption")).to_contain_text(titles)
    expect(compared.locator("svg[role=img]")).to_have_count(len(titles))
    for figure in compared.all():
        expect(figure.locator(".curve:not(.raw)")).to_have_count(2)
    page.locator(".comparison").get_by_role("slider", name="Smoothing").fill("0.9")
    expect(compared.locator(".curve.raw")).to_have_count(2 * 4)  # of losses, norms and speeds
    specs = page.locator(".comparison .specs")
    expect(specs.get_by_role("heading")).to_have_text("Spec of long, compared with short")
    expect(specs.locator("li.changed")).to_contain_text(re.compile("params.p.*0.1.*0.5"))
    assert faults(inspector, "#train") == [] and str(runs_folder) not in page.content()
    train.row("short").locator("[data-run]").click()
    # Another name: an impossible one is told, and the old one stays.
    name = train.detail.get_by_label("Name", exact=True)
    for wrong in ("../short", "long"):
        name.fill(wrong)
        page.keyboard.press("Tab")
        expect(train.notice).to_contain_text("error[E801]")
        expect(train.row("short")).to_be_visible()
    name.fill("tiny-1")
    page.keyboard.press("Tab")
    expect(train.notice).to_have_text("short is called tiny-1 now")
    expect(train.row("short")).to_have_count(0)
    expect(train.detail.locator("h3")).to_contain_text("tiny-1")
    expect(page).to_have_url(re.compile("run=tiny-1"))
    name.fill("short")
    page.keyboard.press("Tab")
    expect(train.row("short")).to_be_visible()
    page.get_by_label("Note", exact=True).fill("<b>a note")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(train.row("short")).to_contain_text("<b>a note")
    inspector.button("Predict with this model").press("Enter")
    expect(page.locator("#predict-source")).to_have_value("runs/short")
    expect(page.get_by_label("Text", exact=True)).to_be_focused()  # what is left to do
    inspector.tab("Train")
    page.once("dialog", lambda dialog: dialog.accept())
    inspector.button("Delete").click()
    expect(train.row("short")).to_have_count(0)
    assert not (runs_folder / "runs" / "short").exists()
    assert (runs_folder / "runs" / "long").exists()


def test_a_run_from_start_to_end(
    runs_server: Restartable, open_runs: OpenPage, runs_folder: Path
) -> None:
    first, second = open_runs(), open_runs(visitor=2)
    first.open(SPEC, "BertForSequenceClassification")
    one, two = Training(first), Training(second)
    listed = two.page.locator("#train .runs tbody tr").count()
    one.start(**OPTIONS)
    expect(one.badge).to_have_text(re.compile("starting|running"), timeout=SLOWLY)
    expect(one.detail.locator("h3")).to_be_focused()
    run = (one.detail.locator("h3").inner_text()).split()[0]
    assert run.endswith("minilm-topics-head-only")
    # Another visitor sees the run, and nothing else of the one who started it.
    expect(two.row(run)).to_be_visible()
    expect(two.page.locator("#train .runs tbody tr")).to_have_count(listed + 1)
    expect(second.labelled("Spec")).to_have_value("bert")
    expect(two.form.locator('[name="data"]')).to_have_value("")
    assert "minilm" not in second.text
    second.page.close()

    # In the middle of it, made to last: the page is loaded anew, its server started anew.
    while not metrics(runs_folder, run, "epoch"):
        held(runs_folder, run)
        time.sleep(0.01)
    os.kill(held(runs_folder, run), signal.SIGSTOP)
    try:
        expect(one.epoch_rows.first).to_be_visible()
        expect(one.badge).to_have_text("running")
        expect(one.detail.get_by_role("progressbar")).not_to_have_attribute("aria-valuenow", "0")
        expect(one.detail.locator("p").first).to_contain_text(re.compile("left"))
        first.tab("Cost")
        first.reload()
        told = first.page.locator(".toolbar-view .active-runs")
        expect(told).to_have_text(re.compile(rf"^{run} training \d+ %"), timeout=SLOWLY)
        one = Training(first)
        expect(one.badge).to_have_text("running")
        expect(one.detail.locator("h3")).to_contain_text(run)
        expect(one.epoch_rows.first).to_be_visible()
        points = one.points
        assert points >= 6
        with first.page.expect_event("load", timeout=SLOWLY):  # by itself
            runs_server.restart()
        first.ready()
        assert first.text.startswith("archspec: 1\nextends: bert")
        one = Training(first)
        expect(one.badge).to_have_text("running")
        expect(one.detail.locator("h3")).to_contain_text(run)
        expect(one.epoch_rows.first).to_be_visible()
        assert one.points >= points
        first.button("Stop").click()
        expect(one.notice).to_contain_text("stops after the current step")
        expect(one.badge).to_have_text("stopping")
        assert one.notice.inner_text(), "polling keeps what was said"
        pid = held(runs_folder, run)
    finally:
        os.kill(held(runs_folder, run), signal.SIGCONT)
    expect(one.badge).to_have_text("stopped", timeout=SLOWLY)
    expect(one.notice).to_have_text("")  # that it will stop is past
    assert json.loads((runs_folder / "runs" / run / "run.json").read_text())["status"] == "stopped"
    assert len(one.epochs) < EPOCHS

    first.button("Resume").click()
    expect(one.badge).to_have_text(re.compile("starting|running"))
    assert held(runs_folder, run) != pid
    expect(one.badge).to_have_text("finished", timeout=SLOWLY)
    expect(first.button("Resume")).to_have_count(0)
    expect(one.row(run)).to_contain_text("100.0 %")

    # What the page shows is what the run has written, and it has learned.
    written = metrics(runs_folder, run, "epoch")
    assert len(written) == EPOCHS
    names = ("train_loss", "loss", "accuracy", "macro_f1")
    shown = [float(cell) for row in one.epochs for cell in row[1:]]
    assert shown == pytest.approx([line[name] for line in written for name in names], abs=6e-5)
    assert sum("best" in row[0] for row in one.epochs) == 1
    assert float(one.epochs[-1][1]) < 0.7 * float(one.epochs[0][1])
    assert written[-1]["loss"] < written[0]["loss"]
    steps = metrics(runs_folder, run, "step")
    losses = [line["loss"] for line in steps]
    quarter = len(losses) // 4
    assert sum(losses[-quarter:]) < 0.7 * sum(losses[:quarter])
    assert one.points == len(steps) > points
    (test,) = metrics(runs_folder, run, "test")
    assert test["accuracy"] > 2 / CLASSES and test["count"] == CLASSES * OF_CLASS["test"]
    expect(one.detail).to_contain_text(f"test accuracy {test['accuracy']:.4f}")
    expect(one.detail.locator("figure")).to_have_count(6)
    one.detail.locator("summary").click()
    expect(one.detail.locator(".log")).to_contain_text("epoch")
    assert str(runs_folder) not in first.page.content()
    # A server that is away for a while is no mistake of the page's.
    away = ("net::ERR_", "TypeError: Failed to fetch")
    first.wrongs[:] = [w for w in first.wrongs if not any(said in w for said in away)]


WRONG = (
    ({"data": "nothing.csv"}, '"Data": nothing.csv: no such file in the folder'),
    ({"data": "../outside.csv"}, '"Data":'),
    ({"data": ""}, "there is no data"),
    ({"data": DATA, "learning_rate": "-1"}, '"Learning rate" must'),
)


def test_a_start_that_is_refused(open_runs: OpenPage) -> None:
    inspector = open_runs()
    inspector.open("tiny.yaml", "Tiny")
    training = Training(inspector)
    training.form.evaluate("form => { form.noValidate = true; }")
    for wrong, says in (*WRONG, WRONG[-1]):  # the same answer is told again
        training.start(**wrong)
        expect(training.notice).to_contain_text("error[E801]")
        expect(training.notice).to_contain_text(says)
    inspector.page.wait_for_timeout(1500)
    expect(training.notice).to_contain_text("error[E801]")  # a poll says nothing about it
    assert "Traceback" not in inspector.page.inner_text("body")


def test_a_run_that_fails_says_what_a_terminal_would(
    open_runs: OpenPage, runs_folder: Path
) -> None:
    inspector = open_runs()
    inspector.open("tiny.yaml", "Tiny")
    training = Training(inspector)
    training.start(data="reviews.csv", weights=WEIGHTS, freeze="head-only", device="cpu")
    expect(training.badge).to_have_text("failed", timeout=SLOWLY)
    error = training.detail.locator("pre.wrong")
    expect(error).to_contain_text(re.compile(r"error\[E\d+\]"))
    said = error.inner_text()
    assert "Traceback" not in said and str(runs_folder) not in said
    expect(inspector.button("Resume")).to_be_visible()
    # The page is of use still: what was filled in is there, and a right start works.
    expect(training.form.locator('[name="data"]')).to_have_value("reviews.csv")
    expect(training.form.locator('[name="freeze"]')).to_have_value("head-only")
    before = training.detail.locator("h3").inner_text()
    training.start(data="reviews.csv", weights="", epochs="1", batch_size="8")
    expect(training.detail.locator("h3")).not_to_have_text(before, timeout=SLOWLY)
    expect(training.badge).to_have_text("finished", timeout=SLOWLY)


HOLD = """\
import os, sys, time
from pathlib import Path
from archspec.file_lock import locked, write_holder
with locked(Path(sys.argv[1]), wait=True) as file:
    write_holder(file, os.getpid())
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_long_run_says_how_far_it_is_and_can_be_made_short(
    open_runs: OpenPage, runs_folder: Path
) -> None:
    """The run stands still while its frozen part is computed."""
    runs = runs_folder / "runs"
    run = train_here(runs_folder, "tiny.yaml", "reviews.csv", "slow", epochs=1, batch_size=16)
    (runs / run / "metrics.jsonl").unlink()
    facts = json.loads((runs / run / "run.json").read_text())
    computing = {"samples": 64, "of": 1280, "seconds": 96.0}
    facts |= {"status": "running", "ended": None, "computing": computing}
    (runs / run / "run.json").write_text(json.dumps(facts))
    job = runs / ".jobs" / run
    job.mkdir(parents=True)
    (job / "spec").mkdir()
    shutil.copy(runs_folder / "tiny.yaml", job / "spec")
    form = {"name": "tiny.yaml", "options": {"data": "reviews.csv", "batch_size": 16}}
    (job / "job.json").write_text(json.dumps({"spec": "tiny", "form": form}))
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(runs / run / LOCK)], stdout=subprocess.PIPE
    )
    try:
        assert process.stdout and process.stdout.readline() == b"held\n"
        inspector = open_runs()
        training = Training(inspector)
        training.row(run).get_by_role("button").click()
        expect(training.badge).to_have_text("running")
        text = "frozen part, computed once: 64 of 1,280 samples, about 30 min 24 s left for it"
        expect(training.detail.locator("p").first).to_contain_text(text)
        bar = training.detail.get_by_role("progressbar", name="Progress of the frozen part")
        expect(bar).to_have_attribute("aria-valuenow", "5")
        told = inspector.page.locator(".toolbar-view .active-runs")
        expect(told).to_have_text(re.compile(rf"{run} frozen part 5 %"))
        # 1.5 s a sample, 16 samples a step
        inspector.button("Stop, and train 1 step instead").click()
        assert process.wait(60) == -signal.SIGTERM
        expect(training.detail.locator("h3")).not_to_contain_text(run)
        expect(training.badge).to_have_text("finished", timeout=SLOWLY)
        expect(training.detail.locator("p").first).to_contain_text("step 1 of 1")
        expect(training.detail.locator("p").first).to_contain_text("ended by Max steps")
    finally:
        process.kill()
        process.wait()
        assert process.stdout
        process.stdout.close()
    expect(training.detail.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "100")
    expect(training.row(run).locator(".badge")).to_have_text("stopped", timeout=SLOWLY)
    for name in (run, (training.detail.locator("h3").inner_text()).split()[0]):
        shutil.rmtree(runs / name)
        shutil.rmtree(runs / ".jobs" / name)


def test_names_of_runs_stay_text(open_runs: OpenPage, hostile_run: str) -> None:
    inspector = open_runs()
    training = Training(inspector)
    training.row(hostile_run).get_by_role("button").click()
    expect(training.detail.locator("h3")).to_contain_text(NAME)
    expect(training.badge).to_have_text("finished")
    expect(training.epoch_rows).to_have_count(1)
    is_clean(inspector)
    inspector.reload()
    training = Training(inspector)
    expect(training.detail.locator("h3")).to_contain_text(NAME)
    is_clean(inspector)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_run_can_be_read(
    scheme: str, open_runs: OpenPage, topics_run: str, hostile_run: str
) -> None:
    inspector = open_runs(scheme=scheme)
    training = Training(inspector)
    data = training.form.locator('[name="data"]').bounding_box()
    epochs = training.form.locator('[name="epochs"]').bounding_box()
    assert data and epochs and data["width"] > 1.5 * epochs["width"]  # a path is longer
    for run in (topics_run, hostile_run):
        training.row(run).get_by_role("button").click()
        expect(training.detail.locator("h3")).to_contain_text(run)
        expect(training.epoch_rows.first).to_be_visible()
        training.detail.locator("summary").click()
        assert faults(inspector, "#train") == []


HOSTILE_ROWS = [("<img src=x onerror=window.__pwned=51>", "<b>no</b>"), ("so good", "yes")]


def test_curves_show_values_parts_and_their_course(open_runs: OpenPage, topics_run: str) -> None:
    inspector = open_runs()
    page, training = inspector.page, Training(inspector)
    training.row(topics_run).click()
    figures = page.locator("#train .charts figure")
    titles = ["Loss", "Validation", "Learning rate", "Gradient norm", "Speed", "Tokens"]
    expect(figures.locator("figcaption")).to_contain_text(titles)
    expect(figures.locator("svg")).to_have_count(6)
    expect(figures.locator("figcaption").first).to_contain_text("Loss")
    loss = figures.first
    svg, readout = loss.locator("svg"), loss.locator(".readout")
    svg.scroll_into_view_if_needed()
    box = svg.bounding_box()
    assert box
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.6, middle)
    expect(readout).to_have_text(re.compile(r"step \d+: training \d\.\d+, validation \d\.\d+"))
    before = len((loss.locator(".curve-a").get_attribute("points") or "").split())
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.95, middle, steps=4)
    page.mouse.up()
    shown = loss.get_by_role("button", name="All steps of Loss")
    expect(shown).to_be_visible()
    after = len((loss.locator(".curve-a").get_attribute("points") or "").split())
    assert 0 < after < before
    shown.click()
    expect(shown).to_have_count(0)
    page.get_by_role("slider", name="Smoothing").fill("0.9")
    expect(loss.locator(".curve.raw")).to_have_count(1)
    expect(figures.nth(2).locator(".curve.raw")).to_have_count(0)
    expect(figures.nth(2).locator("svg")).to_have_attribute(
        "aria-label", re.compile("Learning rate")
    )
    assert faults(inspector, "#train .charts") == []


@pytest.mark.parametrize(("scheme", "width"), [("light", 1440), ("dark", 390)])
def test_a_preview_tells_what_a_run_would_train_on(
    scheme: Scheme, width: int, open_runs: OpenPage, runs_folder: Path
) -> None:
    with open(runs_folder / "long.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *HOSTILE_ROWS * 12, ("a " * 30, "yes")])
    inspector = open_runs(scheme=scheme, width=width)
    inspector.open("tiny.yaml", "Tiny")
    training = Training(inspector)
    preview = training.page.locator("#train .preview")
    for name, value in {"data": "long.csv", "epochs": "4", "batch_size": "4"}.items():
        training.form.locator(f'[name="{name}"]').fill(value)
    listed = training.page.locator("#train .runs tbody tr").count()
    inspector.button("Preview").click()
    expect(preview).to_contain_text("text: column text")
    head, *splits = [
        row.locator("th, td").all_inner_texts()
        for row in preview.get_by_role("region", name="Splits").locator("tr").all()
    ]
    assert head == ["Split", "Rows", "<b>no</b>", "yes"]
    data = archspec.open_data(
        runs_folder / "long.csv", task=archspec.load(TINY / "tiny.yaml").architecture.task
    )
    assert splits == [
        [name, str(len(rows)), *map(str, rows.counts.values())]
        for name, rows in data.splits.items()
    ]
    expect(preview.locator(".first-rows td").first).to_have_text(str(data.splits["train"][0]))
    expect(preview.locator(".facts")).to_contain_text(
        "Lengths of 25 texts: the longest has 32 tokens; 13 have more than 12."
    )
    steps = -(-len(data.splits["train"]) // 4)
    expect(preview.locator(".facts")).to_contain_text(f"{steps} steps in each of 4 epochs.")
    expect(preview.locator(".facts")).to_contain_text(re.compile(r"A step takes ≈ .*: it fits\."))
    expect(preview.locator(".facts")).to_contain_text('"Max length" 32 keeps')
    expect(preview.locator(".facts")).to_contain_text(
        re.compile(
            r"Time: about \d.* for all 4 epochs, an estimate: (1 batch took|[2-4] batches .* each)"
        ),
        timeout=60_000,
    )
    line = preview.locator("pre").inner_text()
    assert shlex.split(line)[:3] == ["archspec", "train", "tiny.yaml"]
    assert "--data=./long.csv" in line and "--epochs=4" in line and str(runs_folder) not in line
    is_clean(inspector)
    assert faults(inspector, "#train") == []
    # Nothing was started, what is changed dims it, and a reload keeps the form.
    expect(training.page.locator("#train .runs tbody tr")).to_have_count(listed)
    training.form.locator('[name="epochs"]').fill("5")
    expect(preview).to_have_class(re.compile("outdated"))
    expect(preview).to_contain_text("Settings changed since")
    # A run that takes long can be tried out first.
    offer = preview.locator(".facts").get_by_role("button")
    expect(offer).to_have_count(0)
    training.form.locator('[name="epochs"]').fill("1000000")
    inspector.button("Preview again").click()
    expect(offer).to_have_text(re.compile(r"^Set max steps to [\d,]+$"), timeout=60_000)
    few = offer.inner_text().split()[-1].replace(",", "")
    offer.click()
    expect(training.form.locator('[name="max_steps"]')).to_have_value(few)
    expect(training.notice).to_contain_text('"Max steps" is')
    expect(inspector.button("Start training")).to_be_focused()
    training.form.locator('[name="max_steps"]').evaluate("field => { field.value = ''; }")
    training.form.locator('[name="epochs"]').fill("5")
    inspector.button("Preview again").click()
    expect(preview).not_to_have_class(re.compile("outdated"))
    expect(preview).not_to_contain_text("Settings changed since")
    expect(preview.locator(".facts")).to_contain_text(f"{steps} steps in each of 5 epochs.")
    inspector.reload()
    for name, value in {"data": "long.csv", "epochs": "5", "batch_size": "4"}.items():
        expect(training.form.locator(f'[name="{name}"]')).to_have_value(value)
    for wrong in ("[", "3", '{"values": 3, "defaults": null}'):
        training.page.evaluate("text => { sessionStorage['archspec-train'] = text; }", wrong)
        training.page.evaluate("text => { sessionStorage['archspec-predict'] = text; }", wrong)
        inspector.reload()
        expect(training.form.locator('[name="data"]')).to_have_value("")
    training.form.locator('[name="data"]').fill("long.csv")
    more = training.form.locator("details")
    if more.get_attribute("open") is None:
        more.locator("summary").click()
    training.form.locator('[name="label_column"]').fill("nothing")
    inspector.button("Preview").click()
    expect(training.notice).to_contain_text("long.csv has no column 'nothing'")
    expect(training.notice).not_to_contain_text("--")


def test_a_preview_of_images_and_their_masks(open_runs: OpenPage, runs_folder: Path) -> None:
    for i in range(4):
        shades = np.kron(np.arange(4).reshape(2, 2) % 3, np.ones((4, 4)))
        for name, content in (("images", 60 * shades), ("masks", shades)):
            place = runs_folder / "fields" / name
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(content.astype(np.uint8)).save(place / f"{i}.png")
    (runs_folder / "pixels.yaml").write_text(PIXELS)
    inspector = open_runs()
    inspector.open("pixels.yaml", "Net")
    training = Training(inspector)
    training.form.locator('[name="data"]').fill("fields")
    inspector.button("Preview").click()
    preview = training.page.locator("#train .preview")
    expect(preview.locator(".facts")).to_contain_text("The counts of classes are pixels.")
    expect(preview).to_contain_text("image: column image")
    pictures = preview.locator(".first-rows img")
    expect(pictures).to_have_count(3)
    assert pictures.first.evaluate("image => image.decode().then(() => image.naturalWidth)") == 8
    training.start(epochs="1", batch_size="2", device="cpu")
    expect(training.detail.locator("h3")).to_contain_text("pixels", timeout=SLOWLY)
    expect(preview).to_be_empty()
    expect(training.detail.locator("h3")).to_be_in_viewport()
    expect(training.badge).to_have_text("finished", timeout=SLOWLY)
    inspector.button("Predict with this model").click()
    inspector.page.locator(".predict-view .examples button").first.click()
    expect(inspector.page.locator(".predict-view .classes")).to_contain_text(
        re.compile("sky|road|car")
    )


def test_the_example_data_are_used_by_the_model_that_is_open(
    open_page: OpenPage, folder: Path
) -> None:
    inspector = open_page()
    inspector.open("bert", "BertForSequenceClassification")
    training = Training(inspector)
    inspector.button("Preview").click()
    expect(training.notice).to_contain_text("there is no data")
    expect(training.notice).to_contain_text('or click "Use the example data"')
    data = training.form.locator('[name="data"]')
    expect(data).to_have_attribute("aria-invalid", "true")
    expect(data).to_be_focused()
    epochs = training.form.locator('[name="epochs"]')
    epochs.fill("0")
    epochs.press("Tab")  # told at once, at the field
    expect(training.form.locator("#error-train-epochs")).to_contain_text("1")
    expect(epochs).to_have_attribute("aria-invalid", "true")
    epochs.fill("3")
    expect(training.form.locator("#error-train-epochs")).to_have_count(0)
    inspector.button("Use the example data").click()
    expect(inspector.button("Start training")).to_be_focused()
    values = {"data": "archspec-example/topics", "tokenizer": "archspec-example/vocab.txt"}
    for name, value in values.items():
        expect(training.form.locator(f'[name="{name}"]')).to_have_value(value)
    expect(training.notice).to_contain_text("training starts from random values")
    expect(training.notice).to_be_in_viewport()
    random = training.form.get_by_text("Without weights, what is frozen stays at random values.")
    expect(random).to_have_count(0)
    plan, weights = (training.form.locator(f'[name="{name}"]') for name in ("freeze", "weights"))
    plan.select_option("last-2-and-head")
    expect(random).to_be_visible()
    weights.fill("some")
    expect(random).to_have_count(0)
    weights.fill("")
    expect(random).to_be_visible()
    plan.select_option("")
    expect(random).to_have_count(0)
    phases, adapter = (training.form.locator(f'[name="{name}"]') for name in ("phases", "adapter"))
    training.form.locator("summary").click()
    phases.fill("none:1, head-only:2")
    expect(random).to_be_visible()
    phases.fill("none:1")
    expect(random).to_have_count(0)
    phases.fill("")
    adapter.fill("{kind: lora, match: '**.query', rank: 2}")
    expect(random).to_be_visible()
    adapter.fill("none")
    expect(random).to_have_count(0)
    adapter.fill("")
    training.form.locator("summary").click()
    expect(inspector.labelled("Spec")).to_have_value("bert")
    assert (folder / "archspec-example" / "LICENSE").is_file()
    inspector.button("Preview").click()
    splits = training.page.locator("#train .preview").get_by_role("region", name="Splits")
    expect(splits).to_contain_text("animal", timeout=SLOWLY)
    noted = training.page.locator("#train .preview .facts")
    expect(noted).to_contain_text("num_labels is 8, as the data needs.")
    # What a message names is brought into sight, until it is changed.
    tokenizer = training.form.locator('[name="tokenizer"]')
    suggested = training.form.locator("#list-tokenizer option")
    expect(suggested).to_have_attribute("value", values["tokenizer"])
    training.form.locator("summary").click()
    groups = training.form.get_by_role("heading").all_inner_texts()
    assert groups[:4] == ["Model", "Data", "Weights", "Optimization"]
    assert groups[4:] == ["Evaluation", "Hardware", "Output"]
    tokenizer.fill("")
    training.form.locator("summary").click()
    expect(tokenizer).to_be_hidden()
    inspector.button("Preview").click()
    expect(training.notice).to_contain_text('give its path with "Tokenizer"', timeout=SLOWLY)
    expect(tokenizer).to_be_focused()
    told = training.form.locator(".field-error")
    expect(told).to_contain_text("error[E905]: bert: no tokenizer.json")
    expect(told).to_be_in_viewport()
    expect(tokenizer).to_have_attribute("aria-invalid", "true")
    training.form.locator('[name="epochs"]').fill("1")
    expect(training.notice).to_contain_text("error[E905]")
    tokenizer.fill(values["tokenizer"])
    expect(training.notice).to_be_empty()
    expect(told).to_have_count(0)
    expect(tokenizer).not_to_have_attribute("aria-invalid", "true")
    tokenizer.fill("nothing.txt")
    inspector.button("Preview").click()
    expect(training.notice).to_contain_text('error[E801]: "Tokenizer": nothing.txt')
    # A model of another task has no use for them, and what was wrong is over.
    inspector.open("gpt2", "GPT2LMHeadModel")
    expect(training.notice).to_be_empty()
    expect(inspector.button("Use the example data")).to_have_count(0)
    shutil.rmtree(folder / "archspec-example")  # other tests list what is there


def test_a_redrawn_form_leaves_the_page_where_it_is(open_page: OpenPage, folder: Path) -> None:
    inspector = open_page(width=390, height=600)
    inspector.open("bert", "BertForSequenceClassification")
    training = Training(inspector)
    epochs = training.form.locator('[name="epochs"]')
    training.form.locator("summary").click()  # so that the form is long
    epochs.focus()
    inspector.page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    place = inspector.page.evaluate("scrollY")
    expect(epochs).not_to_be_in_viewport()
    (folder / "new.csv").write_text("text,label\na,b\n")  # the form suggests it
    offered = training.form.locator('#list-data option[value="new.csv"]')
    expect(offered).to_have_count(1, timeout=SLOWLY)
    expect(epochs).to_be_focused()
    assert inspector.page.evaluate("scrollY") == place
