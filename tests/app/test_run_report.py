"""The report of a run on the page: what a run wrote, and whatever else may stand in its files."""

from __future__ import annotations

import base64
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from archspec.errors import UsageError
from archspec_app.training import run_report
from archspec_app.training.jobs import Jobs
from archspec_app.training.run_report import report_of

FACTS: dict[str, Any] = {"status": "finished", "spec": "tiny", "plan": "none", "epochs": 1}
TEST: dict[str, Any] = {
    "count": 6, "loss": 0.5, "accuracy": 0.5, "macro_f1": 0.25,
    "confusion": [[2, 1], [2, 1]],
    "classes": [
        {"label": "no", "precision": 0.5, "recall": 0.75, "f1": 0.6, "support": 3},
        {"label": "yes", "precision": 0.5, "recall": 0.25, "f1": 1 / 3, "support": 3},
    ],
    "calibration_error": 0.125, "calibrated_error": 0.0625,
    "f1_at": {"0.5": 0.4, "best": 0.6}, "not_finite": 1,
    "mistakes": [
        {"row": 4, "input": ["a", "b"], "label": "no", "predicted": "yes", "probability": 0.9}
    ],
}  # fmt: skip
REPORT: dict[str, Any] = {
    "labels": ["no", "yes"], "temperature": 2.0, "thresholds": {"yes": 0.375},
    "splits": {"validation": {**TEST, "count": 2, "mistakes": []}, "test": TEST},
}  # fmt: skip


def put(folder: Path, report: object = None, *lines: object, **facts: Any) -> Jobs:
    """A run with these files."""
    run = folder / "runs" / "run"
    run.mkdir(parents=True, exist_ok=True)
    (run / "run.json").write_text(json.dumps({**FACTS, **facts}))
    (run / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    if report is not None:
        text = report if isinstance(report, str) else json.dumps(report)
        (run / "report.json").write_text(text)
    return Jobs(folder)


def test_what_a_run_wrote(tmp_path: Path) -> None:
    jobs = put(tmp_path, REPORT)
    found = report_of(jobs, "run")
    assert found["splits"] == [
        {"name": name, "count": count, "figures": {"loss": 0.5, "accuracy": 0.5, "macro_f1": 0.25}}
        for name, count in (("validation", 2), ("test", 6))
    ]
    assert found["split"] == "test" and found["unit"] == "rows" and found["problem"] == ""
    assert found["columns"] == ["precision", "recall", "f1", "support"]
    assert found["classes"] == TEST["classes"] and found["omitted"] == 0
    assert found["confusion"] == {"labels": ["no", "yes"], "counts": [[2, 1], [2, 1]]}
    assert [(one["label"], one["count"]) for one in found["confusions"]] == [("yes", 2), ("no", 1)]
    assert found["mistakes"] == [
        {
            "row": 4, "texts": ["a", "b"], "image": None, "is_image": False, "label": "no",
            "predicted": "yes", "probability": 0.9,
        }
    ]  # fmt: skip
    assert found["calibration"] == {
        "temperature": 2.0, "error": 0.125, "calibrated": 0.0625, "f1": 0.4, "best_f1": 0.6,
        "thresholds": [{"label": "yes", "value": 0.375}],
    }  # fmt: skip
    assert found["not_finite"] == 1 and found["file"] == "runs/run/report.md"
    other = report_of(jobs, "run", "validation")
    assert other["split"] == "validation" and other["mistakes"] == []
    for key, split in (("run", "train"), ("../run", ""), ("none", "")):
        with pytest.raises(UsageError):
            report_of(jobs, key, split)


def test_tasks_without_a_report_have_the_scores_of_their_metrics(tmp_path: Path) -> None:
    scores = {"precision": 0.5, "recall": 1.0, "f1": 2 / 3, "support": 4}
    tags = {"labels": {"O": scores, "B-X": scores}, "entities": {"all": scores}}
    epoch = {"kind": "epoch", "epoch": 1, "loss": 1.0, "entity_f1": 0.5, "count": 8}
    jobs = put(
        tmp_path, None, {"kind": "step", "step": 1}, {**epoch, "best": True},
        {**epoch, "epoch": 2, "entity_f1": 0.25, "best": False},
        {"kind": "test", "count": 9, "loss": 2.0, "entity_f1": 0.75, **tags},
    )  # fmt: skip
    found = report_of(jobs, "run")
    assert found["splits"] == [
        {"name": "validation", "count": 8, "figures": {"loss": 1.0, "entity_f1": 0.5}},
        {"name": "test", "count": 9, "figures": {"loss": 2.0, "entity_f1": 0.75}},
    ]
    assert found["unit"] == "words" and found["file"] == ""
    assert [row["label"] for row in found["classes"]] == ["O", "B-X", "entity: all"]
    assert found["classes"][0] == {"label": "O", **scores}
    plain = put(tmp_path, None, {"kind": "test", "count": 3, "loss": 1.5, "pearson": 0.5})
    found = report_of(plain, "run")
    assert [one["figures"] for one in found["splits"]] == [{"loss": 1.5, "pearson": 0.5}]
    assert found["classes"] == [] and found["unit"] == "rows"
    assert report_of(put(tmp_path), "run")["splits"] == []


def test_whatever_a_report_says_is_left_out_or_plain(tmp_path: Path) -> None:
    wrong: list[Any] = [None, 3, "x", [], {}, [[]], [3], {"a": 1}, True, float("nan"), 2**70]
    failed: list[object] = []
    for value in wrong:
        for name in TEST:
            report = {**REPORT, "splits": {"test": {**TEST, name: value}}}
            found = report_of(put(tmp_path, report), "run")
            text = json.dumps(found, allow_nan=False)
            if found["splits"][0]["name"] != "test" or str(2**70) in text:
                failed.append((name, value))
        for name in REPORT:
            json.dumps(report_of(put(tmp_path, {**REPORT, name: value}), "run"), allow_nan=False)
        for part in ("classes", "mistakes"):
            rows = [dict.fromkeys(TEST[part][0], value)]
            report = {**REPORT, "splits": {"test": {**TEST, part: rows}}}
            found = report_of(put(tmp_path, report), "run")
            json.dumps(found, allow_nan=False)
            if found[part] and len(found[part][0]["label"]) > 200:
                failed.append((part, value))
    assert failed == []
    for confusion in ([[1]], [[1, 2], [3]], [[1, 2], [3, -4]], [[1, 2], [3, 0.5]], [[1, True]] * 2):
        report = {**REPORT, "splits": {"test": {**TEST, "confusion": confusion}}}
        found = report_of(put(tmp_path, report), "run")
        assert found["confusion"] is None and found["confusions"] == [], confusion


def test_sizes_have_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = [f"{i} {'x' * 500}\x1b[2J" for i in range(run_report.MAX_MATRIX + 1)]
    row = [0] * len(labels)
    long = {
        **TEST,
        "confusion": [[*row[:-1], i] for i in range(len(labels))],
        "classes": [TEST["classes"][0]] * (run_report.MAX_CLASSES + 5),
        "mistakes": [{**TEST["mistakes"][0], "input": "word " * 1_000}] * 50,
    }
    jobs = put(tmp_path, {**REPORT, "labels": labels, "splits": {"test": long}})
    found = report_of(jobs, "run")
    assert found["confusion"] is None and len(found["confusions"]) == run_report.MAX_CONFUSIONS
    assert found["confusions"][0]["count"] == len(labels) - 2
    assert len(found["confusions"][0]["label"]) == 200 and "\x1b" not in json.dumps(found)
    assert len(found["classes"]) == run_report.MAX_CLASSES and found["omitted"] == 5
    assert len(found["mistakes"]) == 20 and len(found["mistakes"][0]["texts"][0]) == 300
    monkeypatch.setattr(run_report, "MAX_BYTES", 1_000)
    found = report_of(jobs, "run")
    assert found["problem"] == "runs/run/report.json is too large to be shown here"
    assert found["splits"] == []
    for text in (
        "{",
        "[1]",
        "[" * 100_000,
        "\ud800".encode("utf-8", "surrogatepass").decode("latin"),
    ):
        monkeypatch.setattr(run_report, "MAX_BYTES", 1_000_000)
        assert "not what a run writes" in report_of(put(tmp_path, text), "run")["problem"]
    file = tmp_path / "runs" / "run" / "report.json"
    (tmp_path / "other.json").write_text(json.dumps(REPORT))
    file.unlink()
    file.symlink_to(tmp_path / "other.json")
    assert report_of(jobs, "run")["splits"] == []
    file.unlink()
    os.mkfifo(file)  # opening it must not wait
    assert report_of(jobs, "run")["splits"] == []


def test_pictures_of_mistakes_are_small_and_from_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    place = folder / "shots" / "my-test" / "no"
    place.mkdir(parents=True)
    Image.fromarray(np.full((300, 400, 3), 200, np.uint8)).save(place / "large.png")
    Image.fromarray(np.full((8, 8), 7, np.uint8)).save(place / "small.png")
    (place / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    Image.new("RGB", (4, 4)).save(tmp_path / "outside.png")
    (place / "link.png").symlink_to(tmp_path / "outside.png")
    names = ["large", "small", "broken", "link", "gone"]
    inputs = [f"no/{name}.png" for name in names]
    inputs += ["../../../outside.png", str(tmp_path / "outside.png"), "no", "", "\0", "x" * 5_000]
    rows = [{**TEST["mistakes"][0], "input": name} for name in inputs]
    report = {**REPORT, "splits": {"test": {**TEST, "mistakes": rows}}}
    data = {"columns": {"image": "image"}, "counts": {}}
    for source in ("shots", "./shots", str(folder / "shots")):
        jobs = put(folder, report, data={**data, "source": source})
        found = report_of(jobs, "run")["mistakes"]
        images = [one["image"] for one in found]
        assert [bool(image) for image in images] == [True, True, *[False] * (len(rows) - 2)], source
        assert all(one["is_image"] for one in found) and found[0]["texts"] == ["no/large.png"]
        sizes = [Image.open(io.BytesIO(base64.b64decode(image))).size for image in images[:2]]
        assert sizes == [(96, 72), (8, 8)]
    picture = base64.b64encode((place / "large.png").read_bytes()).decode()
    pictures = [picture, "PHN2Zy8+", "no base64", picture * 1_000, 7]
    of_table = [{**TEST["mistakes"][0], "input": "", "picture": one} for one in pictures]
    report_of_table = {**REPORT, "splits": {"test": {**TEST, "mistakes": of_table}}}
    jobs = put(folder, report_of_table, data={**data, "source": "shots.parquet"})
    images = [one["image"] for one in report_of(jobs, "run")["mistakes"]]
    assert Image.open(io.BytesIO(base64.b64decode(images[0]))).size == (96, 72)
    assert images[1:] == [None] * 4
    for source in ("..", "/", str(tmp_path), "../folder/shots", "", ["shots"], "a\0b"):
        jobs = put(folder, report, data={**data, "source": source})
        assert not any(one["image"] for one in report_of(jobs, "run")["mistakes"]), source
    jobs = put(folder, report, data={"source": "shots", "columns": {"text": "text"}})
    assert not report_of(jobs, "run")["mistakes"][0]["is_image"]
