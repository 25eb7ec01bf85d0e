"""Predicting on the page: bars, the words behind a label, and what cannot be read."""

from __future__ import annotations

import csv
import json
import math
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Route, expect

import archspec
from tests.app.browser.conftest import train_here
from tests.app.browser.inspector import OpenPage
from tests.app.browser.runs import (
    CLASSES,
    DATA,
    HOSTILE_LABEL,
    OF_CLASS,
    WEIGHTS,
    Predicting,
    Training,
)
from tests.app.browser.test_hostile import PAYLOADS, is_clean
from tests.app.browser.test_looks import CUT_OFF, faults
from tests.app.test_predictions import PIXELS

ANIMAL = "a small wild cat with a long tail that hunts birds"
FOOD = "sweet baked cake of flour, butter and sugar"


def picture(colour: str, kind: str = "PNG") -> bytes:
    file = BytesIO()
    Image.new("RGB", (12, 12), colour).save(file, kind)
    return file.getvalue()


def labels_of(folder: Path, run: str, inputs: list[Any]) -> list[str]:
    """What the library says: a training is not the same to the bit on every machine."""
    return [one.label for one in archspec.Predictor(folder / "runs" / run, device="cpu")(inputs)]


def test_a_text(open_runs: OpenPage, runs_folder: Path, topics_run: str) -> None:
    predicting = Predicting(open_runs())
    expected = labels_of(runs_folder, topics_run, [ANIMAL, FOOD])
    for text, label in (*zip((ANIMAL, FOOD), expected, strict=True), (FOOD, expected[1])):
        predicting.text(f"runs/{topics_run}", text)
        expect(predicting.answer.locator("h3")).to_contain_text(
            f"What each word contributes to {label}"
        )
        bars = predicting.bars
        assert len(bars) == CLASSES and next(iter(bars)) == label
        assert [*bars.values()] == sorted(bars.values(), reverse=True)
        assert math.isclose(sum(bars.values()), 1, abs_tol=1e-5)
        said = predicting.answer.locator(".saliency").evaluate(
            """at => { const one = at.cloneNode(true);
                    one.querySelectorAll("sub").forEach((sub) => sub.remove());
                    return one.textContent; }"""
        )
        assert said == text
        scores = [
            float((word.get_attribute("aria-label") or "").rpartition(": ")[2])
            for word in predicting.words.all()
        ]
        assert len(scores) >= 8 and max(scores) > 0
        widths = predicting.answer.locator(".bars .meter span").evaluate_all(
            "all => all.map((one) => one.getBoundingClientRect().width"
            " / one.parentElement.getBoundingClientRect().width)"
        )
        assert widths == pytest.approx([*bars.values()], abs=0.01)
    predicting.page.get_by_label("show how much each word contributes").uncheck()
    predicting.text(f"runs/{topics_run}", ANIMAL)
    expect(predicting.answer.locator(".bars tr.best th")).to_have_text(expected[0])
    expect(predicting.answer.locator(".saliency")).to_have_count(0)


def test_looking_inside(
    open_runs: OpenPage, topics_run: str, hostile_run: str, image_run: str
) -> None:
    inspector = open_runs()
    predicting = Predicting(inspector)
    inside = predicting.answer.locator(".inside")

    def look(run: str, text: str) -> None:
        predicting.source.select_option(run)
        inspector.page.get_by_label("Text", exact=True).fill(text)
        inspector.button("Look inside").click()

    look(f"runs/{topics_run}", ANIMAL)
    rows = inside.locator("tbody tr")
    expect(rows.first).to_contain_text("the whole model")
    expect(inside.locator("[title$='encoder.layer.5.attention.self']")).to_have_text("self")
    heads = inspector.page.get_by_label("Head", exact=True)
    expect(heads.locator("option")).to_have_count(13)
    names = inside.locator(".attention text").all_text_contents()
    count = len(names) // 2
    assert names[:2] == ["[CLS]", "a"] and names[:count] == names[count:]
    squares = inside.locator(".attention rect")
    expect(squares).to_have_count(count * count)
    before = squares.evaluate_all("all => all.map((one) => one.getAttribute('fill-opacity'))")
    heads.select_option("3")
    single = squares.evaluate_all("all => all.map((one) => one.getAttribute('fill-opacity'))")
    assert single != before
    modules = inspector.page.get_by_label("Module with attention")
    expect(modules.locator("option")).to_have_count(6)
    modules.select_option("5")
    expect(inside.locator("svg.attention")).to_have_attribute(
        "aria-label", re.compile(r"Attention of .*layer\.5\.")
    )
    inside.get_by_label("Search modules of the model").fill("layer.0.att self.query")
    expect(rows).to_have_count(0)
    inside.get_by_label("Search modules of the model").fill("layer.0.attention.self.query")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("encoder.layer.0.attention.self.query Linear")
    assert faults(inspector, ".inside") == []
    inspector.page.set_viewport_size({"width": 1280, "height": 900})
    look(f"runs/{hostile_run}", PAYLOADS[0])
    expect(inside).to_contain_text("Not shown: no module computes attention weights")
    is_clean(inspector)
    look(f"runs/{topics_run}", " ")
    expect(inside.locator(".wrong")).to_contain_text("enter a text")
    predicting.source.select_option(f"runs/{image_run}")
    picked: Any = {"name": "red.png", "mimeType": "image/png", "buffer": picture("red")}
    inspector.page.locator("#predict-image").set_input_files(picked)
    inspector.button("Look inside").click()
    expect(rows.first).to_contain_text("the whole model")


def test_the_run_that_finished_last_is_the_model(open_runs: OpenPage, runs_folder: Path) -> None:
    def train(name: str) -> str:
        return f"runs/{train_here(runs_folder, 'tiny.yaml', 'reviews.csv', name, epochs=1)}"

    first = train("z-first")
    inspector = open_runs()
    held: list[Route] = []

    def hold_lists(route: Route) -> None:
        if '"sources ' in (route.request.post_data or ""):
            held.append(route)
        else:
            route.continue_()

    inspector.page.route("**/queue/join*", hold_lists)
    predicting = Predicting(inspector)
    # The list of models is late: what was clicked before waits for it.
    inspector.page.get_by_label("Text", exact=True).fill("so good")
    inspector.button("Predict").click()
    expect(predicting.answer).to_have_text("Predicting …")
    for route in held:
        route.continue_()
    inspector.page.unroute("**/queue/join*")
    expect(predicting.answer.locator("p").first).to_have_text(f"Answer of {first}")
    expect(predicting.source).to_have_value(first)
    # One that finishes while the tab is open, and one while another tab is.
    second = train("a-second")
    expect(predicting.source).to_have_value(second)
    expect(inspector.page.get_by_text("The run that finished last.")).to_be_visible()
    expect(predicting.answer.locator("p").first).to_have_text(f"Answer of {first}")
    inspector.tab("Train")
    third = train("m-third")
    inspector.tab("Predict")
    inspector.button("Predict").click()
    expect(predicting.answer.locator("p").first).to_have_text(f"Answer of {third}")
    # A model chosen by hand stays.
    predicting.source.select_option(first)
    train("n-fourth")
    expect(predicting.source.locator("option[value='runs/n-fourth']")).to_be_attached()
    expect(predicting.source).to_have_value(first)


def test_the_address_keeps_what_is_chosen(open_runs: OpenPage, runs_folder: Path) -> None:
    names = [
        train_here(runs_folder, "tiny.yaml", "reviews.csv", name, epochs=1)
        for name in ("kept", "other")
    ]
    inspector = open_runs()
    page = inspector.page
    training = Training(inspector)
    training.row(names[0]).locator("[data-run]").click()
    expect(training.detail.locator("h3")).to_contain_text("kept")
    predicting = Predicting(inspector)
    expect(predicting.source).to_have_value("runs/other")
    predicting.source.select_option("runs/kept")
    expect(page).to_have_url(re.compile("tab=predict&run=kept&model=runs%2Fkept$"))
    inspector.reload()
    expect(predicting.source).to_have_value("runs/kept")
    inspector.tab("Train")
    expect(training.detail.locator("h3")).to_contain_text("kept")
    training.row(names[1]).locator("[data-run]").click()
    inspector.button("Predict with this model").click()
    expect(predicting.source).to_have_value("runs/other")
    page.go_back()
    expect(training.detail.locator("h3")).to_contain_text("other")
    page.go_back()
    expect(predicting.source).to_have_value("runs/kept")
    predicting.source.select_option("")
    page.get_by_label("Weights", exact=True).last.fill(WEIGHTS)
    page.keyboard.press("Tab")
    inspector.reload()
    expect(predicting.source).to_have_value("")
    expect(page.get_by_label("Weights", exact=True).last).to_have_value(WEIGHTS)
    # A link to a run that is not there leads to the one that finished last.
    page.goto(page.url.replace("model=editor", "model=runs%2F%3Cb%3Egone"))
    page.reload()
    expect(predicting.source).to_have_value("runs/other")
    expect(page.get_by_text("runs/<b>gone is not there.")).to_be_visible()


def test_texts_and_labels_stay_text(open_runs: OpenPage, topics_run: str, hostile_run: str) -> None:
    inspector = open_runs()
    predicting = Predicting(inspector)
    for payload in PAYLOADS:
        predicting.text(f"runs/{topics_run}", payload)
        expect(predicting.answer.locator(".saliency")).to_contain_text(payload[:1])
        is_clean(inspector)
    predicting.text(f"runs/{hostile_run}", "so great")
    assert predicting.bars.keys() == {HOSTILE_LABEL, "yes"}
    is_clean(inspector)


def test_what_cannot_be_predicted(open_runs: OpenPage, topics_run: str) -> None:
    inspector = open_runs()
    predicting = Predicting(inspector)
    predicting.text(f"runs/{topics_run}", " ")
    expect(predicting.wrong).to_contain_text("enter a text of 1 to 100,000 characters")
    predicting.text("", ANIMAL)
    expect(predicting.wrong).to_contain_text("choose weights")
    for name in ("../outside", "nothing.safetensors"):
        inspector.page.get_by_label("Weights", exact=True).last.fill(name)
        predicting.text("", ANIMAL)
        expect(predicting.wrong).to_contain_text(name)
        expect(predicting.wrong).to_contain_text("error[E801]")


def test_an_image(open_runs: OpenPage, runs_folder: Path, image_run: str) -> None:
    predicting = Predicting(open_runs())
    pictures = [picture("red", "PNG"), picture("blue", "JPEG")]
    for image, label in zip(pictures, labels_of(runs_folder, image_run, pictures), strict=True):
        predicting.image(f"runs/{image_run}", f"{label}.img", image)
        expect(predicting.answer.locator(".bars tr.best th")).to_have_text(label)
        bars = predicting.bars
        assert bars.keys() == {"red", "blue"}
        assert math.isclose(sum(bars.values()), 1, abs_tol=1e-5)
        expect(predicting.page.locator(".predict-view .preview img")).to_be_visible()


def test_images_that_are_refused(open_runs: OpenPage, image_run: str) -> None:
    predicting = Predicting(open_runs())
    run = f"runs/{image_run}"
    predicting.source.select_option(run)
    predicting.inspector.button("Predict").click()
    expect(predicting.wrong).to_have_text("Choose an image first.")
    predicting.image(run, "<img src=x onerror=window.__pwned=31>.png", b"no image at all")
    expect(predicting.wrong).to_contain_text("error[E930]")
    predicting.image(run, "cut.png", picture("red")[:40])
    expect(predicting.wrong).to_contain_text("error[E930]")
    predicting.image(run, "much.png", bytes(20_000_001))
    expect(predicting.wrong).to_have_text("The image is larger than 20 MB.")
    is_clean(predicting.inspector)
    predicting.image(run, "red.png", picture("red"))
    expect(predicting.answer.locator(".bars tr.best th")).to_have_text(re.compile("red|blue"))


def test_an_embedding(open_runs: OpenPage) -> None:
    inspector = open_runs()
    inspector.open("minilm-l6", "")
    predicting = Predicting(inspector)
    expect(predicting.source.locator("option").first).to_contain_text("minilm-l6")
    predicting.source.select_option("")
    expect(inspector.page.get_by_label("show how much")).to_be_hidden()
    inspector.page.get_by_label("Weights", exact=True).last.fill(WEIGHTS)
    predicting.text("", ANIMAL)
    expect(predicting.answer).to_contain_text("An embedding of size 384, norm 1.0000")
    numbers = [float(one) for one in predicting.answer.locator("pre").inner_text().split()[:-1]]
    assert len(numbers) == 16 and all(abs(one) < 1 for one in numbers) and any(numbers)


def test_several_texts_and_two_models(
    open_runs: OpenPage, runs_folder: Path, topics_run: str, hostile_run: str
) -> None:
    texts = [ANIMAL, PAYLOADS[0], *(f"text {i}" for i in range(21))]
    expected = labels_of(runs_folder, topics_run, texts)
    inspector = open_runs()
    page, predicting = inspector.page, Predicting(inspector)
    predicting.lines(f"runs/{topics_run}", "\n".join([*texts[:2], "", *texts[2:]]))
    expect(predicting.answer).to_contain_text("23 answers: ")
    rows = predicting.rows
    assert [row[1] for row in rows] == texts and [row[2] for row in rows] == expected
    shares = archspec.Predictor(runs_folder / "runs" / topics_run, device="cpu")(texts)
    shown = [float(row[3].removesuffix(" %")) / 100 for row in rows]
    assert shown == pytest.approx([one.probability for one in shares], abs=6e-4)
    with page.expect_download() as saving:
        inspector.button("Save as CSV").click()
    with open(saving.value.path(), newline="", encoding="utf-8") as file:
        saved = [*csv.DictReader(file)]
    assert [row["input"] for row in saved] == texts
    assert [row["label"] for row in saved] == expected
    exact = [float(row["probability"]) for row in saved]
    assert exact == pytest.approx([one.probability for one in shares], abs=1e-5)
    # The whole answer to one of them, and another model beside.
    predicting.answer.locator(".rows button").first.click()
    expect(predicting.answer.locator(".bars tr.best th")).to_have_text(expected[0])
    page.get_by_label("Compare with").select_option(f"runs/{hostile_run}")
    inspector.button("Predict").click()
    other = labels_of(runs_folder, hostile_run, texts)
    expect(predicting.answer).to_contain_text("A and B differ in 23 of 23 answers")
    assert [row[4] for row in predicting.rows] == other
    assert {HOSTILE_LABEL, "yes"} >= set(other)
    expect(predicting.answer.locator(".rows .differs")).to_have_count(23)
    with page.expect_download() as saving:
        inspector.button("Save as JSON").click()
    content = json.loads(saving.value.path().read_text(encoding="utf-8"))
    assert content["models"] == [f"runs/{topics_run}", f"runs/{hostile_run}"]
    assert [row["label_b"] for row in content["rows"]] == other
    predicting.answer.locator(".rows button").nth(1).click()
    expect(predicting.answer.locator(".panel")).to_have_count(2)
    expect(predicting.answer.locator(".panel").first).to_contain_text("Row 2, answer of runs/")
    expect(predicting.answer.locator(".rows [aria-current] td").first).to_have_text("2")
    is_clean(inspector)
    # A reload keeps texts and models.
    inspector.reload()
    expect(page.get_by_label("Texts, one a line")).to_have_value(re.compile(ANIMAL))
    expect(page.get_by_label("Compare with")).to_have_value(f"runs/{hostile_run}")
    # The rows of a file, and a file that is none.
    page.get_by_label("A file", exact=True).check()
    page.get_by_label("File", exact=True).fill(f"{DATA}/test.csv")
    page.keyboard.press("Enter")
    expect(predicting.answer).to_contain_text(f"All rows of {DATA}/test.csv, column text.")
    expect(predicting.answer).to_contain_text(f"of {CLASSES * OF_CLASS['test']} answers")
    page.get_by_label("File", exact=True).fill("../outside.csv")
    page.keyboard.press("Enter")
    expect(predicting.wrong).to_contain_text("not a name inside the folder")


def test_many_texts_scroll_inside_their_table(open_runs: OpenPage, topics_run: str) -> None:
    inspector = open_runs(width=390, height=844)
    predicting = Predicting(inspector)
    texts = [f"a plant with {number} leaves" for number in range(1, 121)]
    predicting.lines(f"runs/{topics_run}", "\n".join(texts))
    expect(predicting.answer).to_contain_text("120 answers: ")
    table = predicting.answer.locator(".wide").filter(has=inspector.page.locator(".rows"))
    assert table.evaluate("table => table.clientHeight") < 700
    assert table.evaluate("table => table.scrollHeight") > 2000
    predicting.answer.locator(".rows button").last.click()
    panel = predicting.answer.locator(".panel")
    expect(panel).to_contain_text("Row 120, answer of")
    expect(panel.locator(".bars tr.best")).to_be_in_viewport()
    expect(inspector.figure("Parameters")).to_be_in_viewport()  # above all that is scrolled
    assert inspector.page.evaluate(CUT_OFF) == []


def test_examples_of_a_run(
    open_runs: OpenPage, runs_folder: Path, topics_run: str, image_run: str
) -> None:
    inspector = open_runs()
    predicting = Predicting(inspector)
    predicting.source.select_option(f"runs/{topics_run}")
    chips = inspector.page.locator(".predict-view .examples button")
    expect(chips).to_have_count(6)
    text = chips.nth(2).inner_text()
    assert text in (runs_folder / DATA / "test.csv").read_text()
    chips.nth(2).click()
    expect(inspector.page.get_by_label("Text", exact=True)).to_have_value(text)
    (label,) = labels_of(runs_folder, topics_run, [text])
    expect(predicting.answer.locator(".bars tr.best th")).to_have_text(label)
    predicting.source.select_option(f"runs/{image_run}")
    expect(chips.locator("img").first).to_be_visible()
    chips.first.click()
    expect(predicting.answer.locator(".bars tbody tr")).to_have_count(2)


def test_several_images(open_runs: OpenPage, runs_folder: Path, image_run: str) -> None:
    inspector = open_runs()
    predicting = Predicting(inspector)
    predicting.source.select_option(f"runs/{image_run}")
    pictures = [picture("red"), picture("blue"), b"no image"]
    names = ["red.png", "<img src=x onerror=window.__pwned=41>.png", "broken.png"]
    files: Any = [
        {"name": name, "mimeType": "image/png", "buffer": content}
        for name, content in zip(names, pictures, strict=True)
    ]
    inspector.page.get_by_label("Image", exact=True).set_input_files(files)
    inspector.button("Predict").click()
    expect(predicting.answer).to_contain_text("3 answers: ")
    rows = predicting.rows
    assert [row[1].strip() for row in rows] == names
    assert [row[2] for row in rows[:2]] == labels_of(runs_folder, image_run, pictures[:2])
    assert "E930" in rows[2][2]
    is_clean(inspector)


def test_a_mask_over_the_image(open_runs: OpenPage, runs_folder: Path) -> None:
    spec = archspec.loads(PIXELS, name="pixels")
    archspec.save_weights(archspec.build(spec, device="cpu"), runs_folder / "pixels.safetensors")
    (runs_folder / "pixels.yaml").write_text(PIXELS)
    inspector = open_runs(width=390)
    inspector.open("pixels.yaml", "Net")
    predicting = Predicting(inspector)
    predicting.source.select_option("")
    inspector.page.get_by_label("Weights", exact=True).last.fill("pixels.safetensors")
    predicting.image("", "red.png", picture("red"))
    drawn = predicting.answer.get_by_role("img", name="The image beneath the colors of its classes")
    assert drawn.evaluate("image => image.decode().then(() => image.naturalWidth)") == 12
    expected = archspec.Predictor(
        spec, weights=runs_folder / "pixels.safetensors", device="cpu"
    )(picture("red"))  # fmt: skip
    for label, count in expected.pixels.items():
        row = predicting.answer.locator(".classes tr").filter(has_text=label)
        if count:
            expect(row).to_contain_text(f"{100 * count / 144:.1f} %")
    is_clean(inspector)
    assert faults(inspector, "#predict") == []


def test_neighbours_of_an_embedding(open_runs: OpenPage, runs_folder: Path) -> None:
    inspector = open_runs()
    inspector.open("minilm-l6", "")
    predicting = Predicting(inspector)
    predicting.source.select_option("")
    page = inspector.page
    page.get_by_label("Weights", exact=True).last.fill(WEIGHTS)
    page.get_by_label("Nearest texts in the file").fill(f"{DATA}/test.csv")
    predicting.text("", FOOD)
    expect(predicting.answer).to_contain_text(f"The nearest of {CLASSES * OF_CLASS['test']} rows.")
    hits = predicting.answer.locator(".hits tbody tr")
    expect(hits).to_have_count(20)
    scores = [float(one) for one in hits.locator(".number").all_inner_texts()]
    assert scores == sorted(scores, reverse=True) and scores[0] < 1


@pytest.mark.parametrize(("scheme", "width"), [("light", 1440), ("dark", 390)])
def test_answers_can_be_read(
    scheme: str,
    width: int,
    open_runs: OpenPage,
    topics_run: str,
    hostile_run: str,
    image_run: str,
) -> None:
    inspector = open_runs(scheme=scheme, width=width)
    predicting = Predicting(inspector)
    predicting.text(f"runs/{topics_run}", ANIMAL)
    expect(predicting.words.first).to_be_visible()
    assert faults(inspector, "#predict") == []
    inspector.page.get_by_label("Compare with").select_option(f"runs/{hostile_run}")
    predicting.lines(f"runs/{topics_run}", f"{ANIMAL}\n{FOOD}")
    expect(predicting.answer.locator(".rows td.label").last).not_to_be_empty()
    assert faults(inspector, "#predict") == []
    predicting.image(f"runs/{image_run}", "red.png", picture("red"))
    expect(predicting.answer.locator(".bars tr.best th")).to_have_text(re.compile("red|blue"))
    assert faults(inspector, "#predict") == []
