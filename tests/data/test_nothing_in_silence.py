"""Files, columns and rows that could be misread: they are used, told, or refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import archspec
from archspec.data import Data, open_data
from archspec.errors import DataError
from archspec.lang.schema import Task

TASK = Task(kind="text-classification")


def opened(source: Any, **given: Any) -> Data:
    return open_data(source, task=TASK, **{"validation_fraction": 0, **given})


def refused(source: Any, **given: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        opened(source, **given)
    return caught.value


def write(path: Path, header: str, *lines: str) -> Path:
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def table(path: Path, header: str = "text,label", times: int = 10) -> Path:
    return write(path, header, *["it was good,a", "it was bad,b"] * times)


# ------------------------------------------------------------------------------------------- files


def test_files_that_are_named_are_used(tmp_path: Path) -> None:
    for names in (("train.csv", "extra.csv"), ("train_stations.csv", "bus_stations.csv")):
        paths = [table(tmp_path / name) for name in names]
        error = refused(paths)
        message = f"no split is made of {names[1][:-4]}"
        assert (error.code, error.message) == ("E904", message)
        assert refused(dict(zip(("train", "more"), paths, strict=True))).code == "E904"
        assert len(opened({"train": paths}).splits["train"]) == 40
    tested = table(tmp_path / "test.csv")
    assert opened([paths[0], tested], test_split=False).unused == ("test",)


def test_quotes_in_tabs(tmp_path: Path) -> None:
    lines = ['"open is this\t1', 'closed "here" too\t0', '"ends" it\t1', 'a quote"\t0'] * 5
    data = opened(write(tmp_path / "plain.tsv", "text\tlabel", *lines))
    assert len(data.splits["train"]) == 20 and data.bad == ()
    assert data.splits["train"].texts()[:2] == ['"open is this', 'closed "here" too']
    path = tmp_path / "quoted.tsv"
    path.write_text('text\tlabel\n"two\nlines"\t1\n"a ""b"""\t0\n"c\td"\t1\n' + "x y\t0\n" * 5)
    assert opened(path).splits["train"].texts()[:3] == ["two\nlines", 'a "b"', "c\td"]
    path.write_text('text\tlabel\n"two\nlines\t1\nmore"\t1\n' + "x y\t0\n" * 5)
    assert refused(path).message.endswith("are bad: wrong number of columns 1")


def test_a_first_line_that_is_a_row(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "it was fine,a", *["it was good,a", "it was bad,b"] * 10)
    error = refused(path)
    message = "a.csv: the first line looks like a row: 'a' is also a label"
    assert (error.code, error.message) == ("E902", message)
    assert refused(path, text_column="it was fine", label_column="a").message == message
    assert len(opened(path, header=True).splits["train"]) == 20
    assert len(opened(path, header=False).splits["train"]) == 21


def test_a_column_that_names_splits(tmp_path: Path) -> None:
    lines = ["it was good,a,train", ",b,train", "it was bad,b,Training", "so,b,test", "x,a,dev"]
    path = write(tmp_path / "a.csv", "text,label,split", *lines, "it was,a,train", "z")
    data = opened(
        path, train_split="train", labels=["a", "b"], max_bad_rows=0.5, validation_fraction=0.1
    )
    counts = {name: (rows.numbers.tolist(), rows.texts()) for name, rows in data.splits.items()}
    assert counts == {
        "train": ([1, 6], ["it was good", "it was"]), "validation": ([5], ["x"]),
        "test": ([4], ["so"]),
    }  # fmt: skip
    assert [(row.row, row.line, row.reason) for row in data.bad] == [
        (2, 3, "no text"), (7, 8, "wrong number of columns"),
    ]  # fmt: skip
    assert (data.unused, data.rule) == (("Training",), "splits as column 'split' names them")
    write(path, "text,label,split", *lines[:1], "a b,b,")
    assert refused(path).message == "a.csv, row 2: column 'split' is empty"
    write(path, "text,label,split", *["it was,a,upper", "it is,b,lower"] * 4)
    assert list(opened(path, label_column="label").splits) == ["train"]


# ----------------------------------------------------------------------------------------- columns


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("premise,hypothesis,label", "premise, hypothesis"),
        ("sentence1,sentence2,label", "sentence1, sentence2"),
        ("question,sentence,label", "question, sentence"),
        ("text,text_pair,label", "text, text_pair"),
        ("text_a,text_b,label", "text_a, text_b"),
        ("text,note,class", None),
    ],
)
def test_pairs_of_texts(header: str, message: str | None, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", header, *["a text that is rather long,short,x", "b c,d,y"] * 5)
    if message is None:
        assert opened(path).columns.text == "text"
        return
    assert opened(path).notes == (f"{message} are read as pairs of texts",)
    name = header.split(",")[1]
    assert opened(path, text_column=name).columns.text == name


def test_several_labels(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,category,target", *["it was,a,x", "it is,b,y"] * 5)
    error = refused(path)
    assert error.message == "a.csv: category, target could each be the label"
    assert opened(path, label_column="target").labels == ("x", "y")
    write(path, "text,category,Label", *["it was,a,x", "it is,b,y"] * 5)
    assert opened(path).labels == ("x", "y")


def test_columns_that_cannot_be(tmp_path: Path) -> None:
    path = table(tmp_path / "a.csv")
    assert refused(path, label_column="").message == "a.csv has no column ''"
    for given in (
        {"text_column": "label", "label_column": "label"},
        {"max_bad_rows": "a"},
        {"validation_fraction": "a"},
    ):
        with pytest.raises(archspec.UsageError) as caught:
            opened(path, **given)
        assert caught.value.code == "E801"


def test_kinds_of_text_of_parquet(tmp_path: Path) -> None:
    texts, labels = ["it was good", "it was bad"] * 5, ["a", "b"] * 5
    for kind in (pa.string_view(), pa.binary(), pa.binary_view()):
        path = tmp_path / "a.parquet"
        columns = {"text": pa.array(texts, pa.string()).cast(kind), "label": labels}
        pq.write_table(pa.table(columns), path)
        assert opened(path).splits["train"].texts() == texts
    features = datasets.Features(
        text=datasets.Value("binary"), label=datasets.ClassLabel(names=["zebra", "ape"])
    )
    coded = {"text": [text.encode() for text in texts], "label": [0, 1] * 5}
    datasets.Dataset.from_dict(coded, features).to_parquet(str(path))
    assert opened(path).labels == ("zebra", "ape")
    pq.write_table(pa.table({"text": [b"\xff"] * 4, "label": list("abab")}), path)
    assert refused(path).code == "E902"


# ------------------------------------------------------------------------------------------ labels


@pytest.mark.parametrize("label", [None, "", "-1"])
def test_a_test_split_without_labels(label: str | None, tmp_path: Path) -> None:
    table(tmp_path / "train.csv")
    header = "text" if label is None else "text,label"
    write(tmp_path / "test.csv", header, *["it was" if label is None else f"it was,{label}"] * 4)
    data = opened(tmp_path)
    assert (list(data.splits), data.unused) == (["train"], ("test",))
    assert data.notes == ("the test split 'test' has no labels and is left out",)
    assert data.notes[0] in str(data) and data.to_dict()["notes"] == [*data.notes]
    assert opened(tmp_path, test_split=False).notes == ()


def test_numbers_among_which_are_mistakes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,label", *["a b,0.0", "c d,1.0"] * 9, "e f,?")
    (row,) = opened(path, max_bad_rows=0.1).bad
    assert (row.reason, row.detail) == ("label is no whole number", "?")
    assert opened(path, max_bad_rows=0.1).labels == ("0", "1")
    values = [0.0, 1.0, float("inf"), 1.0, float("-inf"), 0.0]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(json.dumps({"text": "a b", "label": v}) for v in values))
    data = opened(path, max_bad_rows=0.5)
    assert data.labels == ("0", "1")
    assert [(row.row, row.reason) for row in data.bad] == [
        (3, "label is no whole number"), (5, "label is no whole number"),
    ]  # fmt: skip


def test_what_the_cut_makes_of_small_classes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,label", *["a b,a"] * 6, *["c d,b"] * 2)
    data = opened(path, validation_fraction=0.1)
    assert data.notes == (
        "classes of fewer than 3 rows: b 2",
        "validation is 2 of 8 rows, a share of 0.25: each class gives whole rows",
    )
    assert data.rule == "validation is 0.1 of train, cut from each class with seed 0"


def test_a_split_that_lacks_a_class(tmp_path: Path) -> None:
    for split, labels in (("train", "abcd"), ("validation", "ac"), ("test", "abd")):
        write(tmp_path / f"{split}.csv", "text,label", *[f"it was,{one}" for one in labels * 3])
    assert opened(tmp_path).notes == (
        "validation has none of 2 of the 4 classes: b, d, so its figures say nothing of them",
        "test has none of 1 of the 4 classes: c, so its figures say nothing of it",
    )
    assert opened(tmp_path, validation_split=False, test_split=False).notes == ()
