"""Data in memory is the same data as that in a file."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import polars
import pytest

import archspec
from archspec.data import Data, open_data
from archspec.errors import DataError, RunError, UsageError
from archspec.lang.schema import Task
from archspec.training.run_folder import FACTS, RunFolder

TASK = Task(kind="text-classification")
ROWS: list[dict[str, Any]] = [{"text": f"a text {i}", "label": "ab"[i % 2]} for i in range(20)]
TINY = Path(__file__).parent.parent / "training/tiny.yaml"


class Color(Enum):
    RED = 1


def opened(source: Any, **given: Any) -> Data:
    return open_data(source, task=TASK, **given)


def test_every_kind_gives_the_rows_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\n" + "".join(f"{r['text']},{r['label']}\n" for r in ROWS))
    expected = opened(path).fingerprint
    whole = datasets.Dataset.from_list(ROWS)
    backwards = datasets.Dataset.from_list(ROWS[::-1])
    columns = {name: [row[name] for row in ROWS] for name in ROWS[0]}
    kinds: list[Any] = [ROWS, tuple(ROWS), whole, whole.with_format("numpy"), {"train": ROWS}]
    kinds += [backwards.select(range(19, -1, -1)), datasets.DatasetDict({"train": whole})]
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(columns, index=range(5, 25))
    kinds += [frame, frame.astype({"label": "category"}), {"train": frame}]
    kinds += [columns, {"train": columns}, {**columns, "text": np.array(columns["text"])}]
    for kind in kinds:
        assert opened(kind).fingerprint == expected, type(kind)


def test_polars(tmp_path: Path) -> None:
    assert opened(polars.DataFrame(ROWS)).fingerprint == opened(ROWS).fingerprint


def test_splits_names_and_classes() -> None:
    features = datasets.Features(
        text=datasets.Value("string"), label=datasets.ClassLabel(names=["zebra", "ape"])
    )
    half = datasets.Dataset.from_dict({"text": ["one", "two"] * 4, "label": [0, 1] * 4}, features)
    data = opened(datasets.DatasetDict({"train": half, "test": half, "unsupervised": half}))
    assert (data.labels, [*data.splits]) == (("zebra", "ape"), ["train", "validation", "test"])
    assert data.unused == ("unsupervised",)
    numbers = [{"text": "a b", "label": np.int64(i % 2)} for i in range(6)]
    assert opened(numbers, labels=["no", "yes"]).labels == ("no", "yes")


def test_bad_rows_and_what_is_refused() -> None:
    rows = [*ROWS, {"text": None, "label": "a"}, {"text": float("nan"), "label": "b"}]
    data = opened([*rows, {"text": 3, "label": "a"}], max_bad_rows=1)
    assert [str(row) for row in data.bad] == [
        "data, row 21: no text", "data, row 22: no text", "data, row 23: wrong type: a number",
    ]  # fmt: skip
    with pytest.raises(DataError) as caught:
        opened([{"text": "a b", "label": object()}])
    assert caught.value.message == "data: column 'label' holds builtins.object"
    for source, given in ((iter(ROWS), {}), (ROWS, {"header": True}), ({1, 2}, {})):
        with pytest.raises(UsageError):
            opened(source, **given)
    upper = datasets.Dataset.from_list(ROWS).with_transform(lambda rows: rows)
    with pytest.raises(DataError, match="the data set has a transform, which is not applied here"):
        opened({"train": upper})
    with pytest.raises(DataError, match="to tell classes"):
        opened([{"text": "a b c", "label": i / 2} for i in range(9)])


def test_cells_of_any_type_where_nobody_uses_them() -> None:
    odd: list[Any] = [datetime.now(), Decimal("0.5"), Color.RED, object(), {1, 2}]
    for cell in odd:
        rows = [{**row, "more": cell} for row in ROWS]
        assert opened(rows).columns.label == "label", cell
        if not isinstance(cell, Decimal):
            with pytest.raises(DataError, match="column 'more' holds") as caught:
                opened(rows, label_column="more")
            assert caught.value.code == "E902"
    numbers = [{"text": "a b", "label": Decimal(i % 2)} for i in range(6)]
    assert opened(numbers).labels == ("0", "1")


def test_columns_and_splits_that_do_not_fit() -> None:
    for source, code, message in (
        ({"text": ["a b", "c"], "label": ["x"]}, "E901", "different lengths: text 2, label 1"),
        ({"train": ROWS, "test": []}, "E904", "the split 'test' has no rows"),
        ({"train": [], "test": []}, "E901", "no files are named"),
        ({"mine": ["a.csv"], "other": ["b.csv"]}, "E901", "a.csv: no such file"),
        ({"train": ["a"], "test": ["b"]}, "E901", "a: no such file"),
    ):
        with pytest.raises(DataError) as caught:
            opened(source)
        assert caught.value.code == code and message in caught.value.message, source


def test_a_run_on_data_in_memory_goes_on_with_it(tmp_path: Path) -> None:
    given: dict[str, Any] = {"epochs": 1, "device": "cpu", "progress": False}
    run = archspec.train(TINY, ROWS, output_dir=tmp_path, **given)
    assert (run.status, run.facts["data"]["source"]) == ("finished", None)
    RunFolder(run.path).write_json(FACTS, {**run.facts, "status": "stopped"})
    with pytest.raises(RunError, match="its data was in memory"):
        archspec.resume(run.path, progress=False)
    task = archspec.load(TINY).architecture.task
    data = open_data(ROWS, task=task)
    assert archspec.resume(run.path, data=data, progress=False).status == "finished"
