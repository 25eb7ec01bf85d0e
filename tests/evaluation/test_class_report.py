"""Reports on classifiers: figures against formulas, and nothing of the data becomes markup."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch
from datasets import Dataset
from torch.nn import functional as F

import archspec
from archspec.data.report import Data
from archspec.evaluation.calibration import (
    best_thresholds,
    calibrated_threshold,
    calibration_error,
    fit_temperature,
    given_labels,
)
from archspec.evaluation.class_report import MAX_MISTAKES, class_report
from archspec.evaluation.outcomes import Outcome, OutcomeMetrics
from archspec.evaluation.pages import confusion_svg, markdown
from archspec.tasks import find
from archspec.tasks.classification import Classification
from archspec.tasks.objective import Scores
from archspec.training import environment

environment.require()  # torchmetrics may need another torchvision
TASK = archspec.load("bert").architecture.task
HOSTILE = "a|b`<script>\x1b[2J\n# x"
LABELS = ("<no>", "y|es", "so")
ROWS = 40


def outcome(several: bool, classes: int = 3, rows: int = 400) -> Outcome:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(rows, classes, generator=generator, dtype=torch.float64) * 4
    shares = (logits / 2).sigmoid() if several else (logits / 2).softmax(1)
    if several:
        targets = torch.bernoulli(shares, generator=generator).long()
    else:
        targets = torch.multinomial(shares, 1, generator=generator)[:, 0]
    return Outcome("sigmoid" if several else "softmax", logits, targets, torch.arange(rows), 0)


def test_temperatures_and_calibration_errors() -> None:
    for several in (False, True):
        data = outcome(several)
        temperature = fit_temperature(data)
        assert temperature == pytest.approx(2, rel=0.2)  # that of the targets

        def loss(t: float, data: Outcome = data) -> float:
            if data.activation == "softmax":
                return F.cross_entropy(data.logits / t, data.targets).item()
            return F.binary_cross_entropy_with_logits(data.logits / t, data.targets.double()).item()

        assert loss(temperature) < min(loss(temperature * 1.01), loss(temperature / 1.01))
        sure = data.probabilities().flatten() if several else data.probabilities().max(1).values
        right = (
            data.targets.flatten() if several else data.probabilities().argmax(1) == data.targets
        )
        bins = (sure * 15).long().clamp(max=14)
        gaps = [
            abs(float((sure - right.double())[bins == i].mean())) * float((bins == i).sum())
            for i in bins.unique()
        ]
        assert calibration_error(data) == pytest.approx(sum(gaps) / len(sure), abs=1e-6)
        assert calibration_error(data, temperature) < calibration_error(data) / 2
    one = torch.tensor([0])
    for logits, expected in (([9.0, 0.0], 0.01), ([0.0, 0.0], 1.0)):  # as low as it gets; no matter
        data = Outcome("softmax", torch.tensor([logits]).double(), one, one, 0)
        assert fit_temperature(data) == pytest.approx(expected)


def test_thresholds_have_the_highest_f1() -> None:
    for data in (outcome(True), outcome(False, classes=2)):
        found = best_thresholds(data)
        assert found is not None and len(found) == (3 if data.activation == "sigmoid" else 1)
        shares = data.probabilities() if len(found) > 1 else data.probabilities()[:, 1:]
        targets = data.targets if len(found) > 1 else data.targets[:, None]
        for label, threshold in enumerate(found):
            f1 = [
                float(2 * (said & truth).sum() / (said.sum() + truth.sum()))
                for truth in [targets[:, label] == 1]
                for t in [threshold, *shares[:, label].tolist()]
                for said in [shares[:, label] >= t]
            ]
            assert f1[0] == max(f1)
        calibrated = [calibrated_threshold(t, 2.0) for t in found]
        softer = Outcome(data.activation, data.logits / 2, data.targets, data.rows, 0)
        assert torch.equal(given_labels(softer, calibrated), given_labels(data, found))
    assert best_thresholds(outcome(False)) is None
    nothing = Outcome("sigmoid", torch.zeros(2, 2), torch.zeros(2, 2).long(), torch.arange(2), 0)
    assert best_thresholds(nothing) == [0.5, 0.5]


def rows_of(several: bool) -> Data:
    rows = [
        {
            "text": f"{HOSTILE} {i} {'long ' * 99}",
            "label": [LABELS[i % 3]] if several else LABELS[i % 3],
        }
        for i in range(ROWS)
    ]
    return archspec.open_data({"train": rows, "test": rows}, task=TASK, validation_fraction=0)


@pytest.mark.parametrize("several", [False, True])
def test_a_report(several: bool) -> None:
    data = rows_of(several)
    objective = find("text-classification", multi_label=several)(data.labels)
    assert isinstance(objective, Classification)
    labels = data.splits["test"].labels
    assert labels is not None
    targets = torch.from_numpy(labels.astype("float32" if several else "int64"))
    logits = torch.randn(ROWS, 3, generator=torch.Generator().manual_seed(1))
    logits[5] = torch.nan
    metrics = OutcomeMetrics(objective, torch.device("cpu"))
    for part in (torch.arange(30, ROWS), torch.arange(30)):  # in any order
        metrics.add(logits[part], {"labels": targets[part], "rows": part}, len(part))
    found = metrics.outcome()
    assert found.left_out == 1 and found.rows.tolist() == [i for i in range(ROWS) if i != 5]
    scores = Scores(ROWS, 0.7, {"accuracy": 0.5}, metrics.scores().details)
    report: Any = class_report(data, {"test": scores}, {"test": found})
    json.dumps(report, allow_nan=False)
    assert report["temperature"] is None  # nothing to fit it on
    split = report["splits"]["test"]
    said = (found.logits > 0) if several else F.one_hot(found.logits.argmax(1), 3).bool()
    truth = found.targets.bool() if several else F.one_hot(found.targets, 3).bool()
    for i, one in enumerate(split["classes"]):
        hits = float((said & truth)[:, i].sum())
        assert one["label"] == data.labels[i] and one["support"] == int(truth[:, i].sum())
        assert one["precision"] == pytest.approx(hits / float(said[:, i].sum()))
        assert one["recall"] == pytest.approx(hits / float(truth[:, i].sum()))
    sure = [abs(one["probability"] - 0.5 * several) for one in split["mistakes"]]
    assert len(sure) == MAX_MISTAKES and sure == sorted(sure, reverse=True)
    first = split["mistakes"][0]
    assert (
        first["row"] != 6 and len(first["input"]) <= 300 and first["input"].startswith("a|b`<scr")
    )
    page = markdown("run", [("spec", "<b>")], report)
    for line in page.splitlines():
        assert line.isprintable() and not line.startswith("# x")
    assert "<script>" not in page and r"\<b\>" in page and "1 rows have no finite" in page
    assert "## Calibration" not in page


def test_pictures_are_well_formed() -> None:
    for size in (2, 30):
        labels = [f"<{i}>&\x00" + "x" * 40 for i in range(size)]
        tree = ElementTree.fromstring(confusion_svg(labels, [[i] * size for i in range(size)]))
        assert len(tree.findall("{http://www.w3.org/2000/svg}rect")) == size**2 + 1


def test_images_are_named_by_their_paths(tmp_path: Path) -> None:
    from PIL import Image

    for split, label in (("train", "a"), ("train", "b"), ("test", "a"), ("test", "b")):
        (tmp_path / split / label).mkdir(parents=True, exist_ok=True)
        for i in range(3):
            Image.new("L", (8, 8), 40 * i).save(tmp_path / split / label / f"{i}.png")
    data = archspec.open_data(tmp_path, task=archspec.load("resnet18").architecture.task)
    wrong = Outcome("softmax", torch.eye(2)[[1, 1, 1, 0, 0, 0]].double(),
                    torch.from_numpy(data.splits["test"].labels), torch.arange(6), 0)  # fmt: skip
    report = class_report(data, {"test": Scores(6, 1.0, {})}, {"test": wrong})
    inputs = [one["input"] for one in report["splits"]["test"]["mistakes"]]
    assert inputs == [f"{label}/{i}.png" for label in "ab" for i in range(3)]
    assert not any("picture" in one for one in report["splits"]["test"]["mistakes"])


def test_images_of_a_table_are_in_the_report(tmp_path: Path) -> None:
    from PIL import Image

    rows: list[dict[str, Any]] = []
    for label, shade in (("a", 10), ("b", 240)):
        for i in range(3):
            file = io.BytesIO()
            Image.new("L", (400, 200), shade + i).save(file, "png")
            rows.append({"image": {"bytes": file.getvalue(), "path": None}, "label": label})
    for split in ("train", "test"):
        Dataset.from_list(rows).to_parquet(tmp_path / f"{split}.parquet")
    data = archspec.open_data(tmp_path, task=archspec.load("resnet18").architecture.task)
    wrong = Outcome("softmax", torch.eye(2)[[1, 1, 1, 0, 0, 0]].double(),
                    torch.from_numpy(data.splits["test"].labels), torch.arange(6), 0)  # fmt: skip
    report = class_report(data, {"test": Scores(6, 1.0, {})}, {"test": wrong})
    for i, one in enumerate(report["splits"]["test"]["mistakes"]):
        image = Image.open(io.BytesIO(base64.b64decode(one["picture"])))
        pixel = image.convert("L").getpixel((40, 20))
        assert (one["input"], image.size) == ("", (96, 48))
        assert isinstance(pixel, int) and abs(pixel - (10, 240)[i // 3] - i % 3) <= 2
