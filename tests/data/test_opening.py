"""Files of every kind, splits, columns, labels, bad rows: what is told and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
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

ROWS = [("well made", "good"), ("fell apart", "bad")] * 10
TASK = Task(kind="text-classification")


def csv_text(rows: list[tuple[str, str]], header: str = "text,label") -> str:
    return header + "\n" + "".join(f"{text},{label}\n" for text, label in rows)


def opened(source: Any, **given: Any) -> Data:
    return open_data(source, task=TASK, **given)


def refused(source: Any, **given: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        opened(source, **given)
    return caught.value


def as_table(rows: list[tuple[str, Any]]) -> pa.Table:
    return pa.table({"text": [text for text, _ in rows], "label": [label for _, label in rows]})


def write_stream(path: Path) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, as_table(ROWS).schema) as out:
        out.write_table(as_table(ROWS))


def write_feather(path: Path) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, as_table(ROWS).schema) as out:
        out.write_table(as_table(ROWS))


# ------------------------------------------------------------------------------------------- kinds

OBJECTS = [{"text": text, "label": label} for text, label in ROWS]
WRITERS: dict[str, Callable[[Path], Any]] = {
    "a.csv": lambda path: path.write_text(csv_text(ROWS)),
    "semicolons.csv": lambda path: path.write_text(csv_text(ROWS).replace(",", ";")),
    "marked.csv": lambda path: path.write_text(csv_text(ROWS), encoding="utf-8-sig"),
    "windows.csv": lambda path: path.write_bytes(csv_text(ROWS).replace("\n", "\r\n").encode()),
    "a.tsv": lambda path: path.write_text(csv_text(ROWS).replace(",", "\t")),
    "a.jsonl": lambda path: path.write_text("\n".join(map(json.dumps, OBJECTS))),
    "a.json": lambda path: path.write_text(json.dumps(OBJECTS)),
    "within.json": lambda path: path.write_text(json.dumps({"version": 1, "data": OBJECTS})),
    "lines.json": lambda path: path.write_text("\n".join(map(json.dumps, OBJECTS))),
    "a.parquet": lambda path: pq.write_table(as_table(ROWS), path),
    "stream.arrow": write_stream,
    "file.arrow": write_feather,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_kind_of_file_gives_the_same_rows(name: str, tmp_path: Path) -> None:
    (tmp_path / "reference.csv").write_text(csv_text(ROWS))
    WRITERS[name](tmp_path / name)
    data = opened(tmp_path / name)
    assert data.labels == ("bad", "good")
    assert data.counts == {"train": {"bad": 9, "good": 9}, "validation": {"bad": 1, "good": 1}}
    rows = data.splits["train"]
    assert set(rows.texts()) == {"well made", "fell apart"}
    assert data.fingerprint == opened(tmp_path / "reference.csv").fingerprint
    assert data.splits["validation"].table().column_names == ["text", "label"]


def test_what_datasets_saves(tmp_path: Path) -> None:
    features = datasets.Features(
        text=datasets.Value("string"), label=datasets.ClassLabel(names=["zebra", "ape"])
    )
    half = {"text": ["one", "two"] * 4, "label": [0, 1] * 4}
    saved = datasets.DatasetDict()
    saved["train"] = datasets.Dataset.from_dict(half, features)
    saved["test"] = datasets.Dataset.from_dict(half)
    saved.save_to_disk(str(tmp_path / "saved"))
    data = opened(tmp_path / "saved", validation_fraction=0)
    assert data.labels == ("zebra", "ape")
    # The test split has no names of its own: its numbers are places among the train split's.
    assert data.counts == {s: {"zebra": 4, "ape": 4} for s in ("train", "test")}


# ------------------------------------------------------------------------------------------ splits


def test_splits_by_their_names(tmp_path: Path) -> None:
    for name in ("my-train-00000-of-00002", "my-train-00001-of-00002", "dev", "test", "extra"):
        (tmp_path / f"{name}.csv").write_text(csv_text(ROWS))
    data = opened(tmp_path)
    assert {name: len(rows) for name, rows in data.splits.items()} == {
        "train": 40, "validation": 20, "test": 20,
    }  # fmt: skip
    assert data.unused == ("extra",)
    assert data.splits["train"].numbers.tolist() == [*range(1, 21), *range(1, 21)]


def test_files_in_the_folder_of_a_split(tmp_path: Path) -> None:
    for name in ("train", "test"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "part-0.csv").write_text(csv_text(ROWS))
    assert list(opened(tmp_path, validation_fraction=0).splits) == ["train", "test"]


def test_files_of_no_name_are_one_split(tmp_path: Path) -> None:
    paths = [tmp_path / "a.csv", tmp_path / "b.csv"]
    for path in paths:
        path.write_text(csv_text(ROWS))
    assert len(opened(paths, validation_fraction=0).splits["train"]) == 40


def test_splits_that_the_user_names(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(csv_text(ROWS))
    source = {"one": tmp_path / "a.csv", "two": [tmp_path / "a.csv"] * 2}
    data = opened(source, train_split="two", test_split="one", validation_fraction=0)
    assert {name: len(rows) for name, rows in data.splits.items()} == {"train": 40, "test": 20}
    error = refused(source, train_split="too")
    assert (error.code, error.hint) == ("E904", "did you mean 'two'?")
    assert "no split is named train" in refused(source).message


def test_two_that_could_be_one_split(tmp_path: Path) -> None:
    for name in ("train", "validation_matched", "validation_mismatched"):
        (tmp_path / f"{name}.csv").write_text(csv_text(ROWS))
    error = refused(tmp_path)
    message = "validation_matched, validation_mismatched could each be the validation split"
    assert (error.code, error.message) == ("E904", message)
    data = opened(tmp_path, validation_split="validation_matched")
    assert data.unused == ("validation_mismatched",)


def test_the_cut_is_the_same_for_a_seed_and_another_for_another(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(csv_text([(f"text {i}", "ab"[i % 2]) for i in range(200)]))

    def cut(seed: int) -> list[int]:
        return opened(path, seed=seed).splits["validation"].numbers.tolist()

    assert cut(0) == cut(0) and len(cut(0)) == 20
    assert cut(0) != cut(1)
    assert opened(path, seed=0).fingerprint != opened(path, seed=1).fingerprint
    assert opened(path).rule == "validation is 0.1 of train, cut from each class with seed 0"
    assert list(opened(path, validation_fraction=0).splits) == ["train"]


def test_a_test_split_alone(tmp_path: Path) -> None:
    path = tmp_path / "test.csv"
    path.write_text(csv_text(ROWS))
    assert refused(path).code == "E904"
    data = opened(path, labels=["good", "bad"])
    assert (list(data.splits), data.labels) == (["test"], ("good", "bad"))


def test_rows_to_predict_on(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,text\n1,well made\n2,fell apart\n")
    data = opened(path, label_column=False)
    assert (list(data.splits), data.labels, data.columns.label) == (["all"], (), None)
    rows = data.splits["all"]
    assert rows.labels is None and rows.counts == {} and rows.texts() == ["well made", "fell apart"]
    assert rows.table()["id"][:] == ["1", "2"]


# ----------------------------------------------------------------------------------------- columns


@pytest.mark.parametrize(
    ("header", "text", "label"),
    [
        ("review,stars", "review", "stars"),
        ("note,Class", "note", "Class"),
        ("sentence,target", "sentence", "target"),
    ],
)
def test_columns_are_guessed(header: str, text: str, label: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(csv_text(ROWS, header))
    found = opened(path).columns
    assert (found.text, found.label) == (text, label)


def test_a_number_of_the_row_is_no_label(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    lines = [f"{i},some text {i} of a length,{'ab'[i % 2]}" for i in range(40)]
    path.write_text("\n".join(["id,words,kind", *lines]))
    found = opened(path).columns
    assert (found.text, found.label) == ("words", "kind")


def test_columns_that_cannot_be_told(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("first,last,a,b\n" + "raining,wet,x,y\nit is,is it,y,x\n" * 9)
    error = refused(path)
    assert (error.code, error.message) == ("E902", "a.csv: first, last could each be the text")
    assert (
        error.hint
        == "the columns are first, last, a, b: say which with text_column= (--text-column)"
    )
    error = refused(path, text_column="first")
    assert error.message == "a.csv: last, a, b could each be the label"
    assert opened(path, text_column="last", label_column="b").labels == ("x", "y")
    error = refused(path, text_column="frst")
    assert (error.message, error.hint) == ("a.csv has no column 'frst'", "did you mean 'first'?")


def test_a_column_of_another_kind(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(as_table([("a b", 0), ("c d", 1)]), path)
    error = refused(path, text_column="label", label_column="text")
    assert (error.code, error.message) == (
        "E902", "a.parquet: column 'label' holds int64, which is no text",
    )  # fmt: skip


def test_images_where_the_task_takes_text(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(csv_text(ROWS))
    with pytest.raises(archspec.UsageError) as caught:
        opened(path, image_column="text")
    assert caught.value.message == "the task is text-classification: it takes text, not images"


# ------------------------------------------------------------------------------------------ labels


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([10, 9, -1], ("-1", "9", "10")),
        (["10", "9", "9"], ("9", "10")),
        (["1.0", "0.0", "1"], ("0", "1")),
        ([1.0, 2.0, 2.0], ("1", "2")),
        ([True, False, True], ("False", "True")),
        (["b", " a ", "b"], ("a", "b")),
        (["010", "9", "9"], ("010", "9")),
        (["1", "b", "1.0"], ("1", "1.0", "b")),
        (["Ä", "a", "Z"], ("Z", "a", "Ä")),
    ],
)
@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_labels_of_every_type(
    values: list[Any], names: tuple[str, ...], suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"a.{suffix}"
    rows = [("some text", value) for value in values] * 4
    if suffix == "parquet":
        pq.write_table(as_table(rows), path)
    else:
        path.write_text("\n".join(json.dumps({"text": t, "label": v}) for t, v in rows))
    assert opened(path, validation_fraction=0).labels == names


def test_labels_of_categories_and_decimals(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = as_table([("a b", "x"), ("c d", "y")] * 3)
    categories = table.column("label").dictionary_encode()
    pq.write_table(table.set_column(1, "label", categories), path)
    assert opened(path).labels == ("x", "y")
    decimals = pa.array([Decimal(1), Decimal(2)] * 3, pa.decimal128(4, 1))
    pq.write_table(table.set_column(1, "label", decimals), path)
    assert opened(path, label_column="label").labels == ("1", "2")


def test_labels_that_are_no_classes(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(csv_text([("some text", f"{i}.5") for i in range(8)]))
    error = refused(path)
    assert (error.code, error.message) == (
        "E907",
        "a.csv: column 'label' holds numbers such as 0.5, and the task is to tell classes",
    )
    whole = [("some text", f"{i % 2}") for i in range(20)]
    path.write_text(csv_text([*whole, ("some text", "0.5")]))  # that is a mistake
    assert refused(path).message == (
        "1 of the 21 rows of train are bad: label is no whole number 1"
    )
    path.write_text(csv_text([("some text", f"n{i}") for i in range(30)]))
    assert refused(path).message == "a.csv: 30 different labels in 30 rows"
    path.write_text(csv_text([("some text", "a")] * 30))
    assert refused(path).message == "a.csv: every label is a"
    assert refused(path, labels=["a", "a"]).message == "two classes have the name 'a'"


def test_the_order_of_classes_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(csv_text(ROWS))
    assert opened(path, labels=["good", "bad", "ugly"]).counts["train"] == {
        "good": 9, "bad": 9, "ugly": 0,
    }  # fmt: skip
    task = Task(kind="text-classification", labels=["good", "bad"])
    assert open_data(path, task=task).labels == ("good", "bad")
    assert refused(path, labels=["good", "evil"]).problems[0].notes[0].message == (
        "a.csv, row 2 (line 3): unknown label: 'bad'"
    )


def test_numbers_are_places_among_classes_that_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(csv_text([("some text", value) for value in "0010"]))
    data = opened(path, labels=["bad", "good"], validation_fraction=0)
    assert data.counts == {"train": {"bad": 3, "good": 1}}
    path.write_text(csv_text([("some text", value) for value in "0012"]))
    (problem,) = refused(path, labels=["bad", "good"]).problems
    assert [note.message for note in problem.notes] == ["a.csv, row 4 (line 5): unknown label: '2'"]
    data = opened(path, labels=["2", "1", "0"], validation_fraction=0)
    assert data.counts == {"train": {"2": 1, "1": 1, "0": 2}}  # they are the names themselves


# ---------------------------------------------------------------------------------------- bad rows


def test_bad_rows_are_named_and_counted(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(csv_text(ROWS))
    lines = ["text,label", "fine,good", ",good", '"two\nlines",bad', "x,", "y,ugly", "z", "\0,bad"]
    (tmp_path / "test.csv").write_text("\n".join(lines))
    error = refused(tmp_path)
    assert error.code == "E903"
    assert error.message == (
        "5 of the 7 rows of test are bad: "
        "no text 1, no label 1, unknown label 1, wrong number of columns 1, a NUL character 1"
    )
    assert [note.message for note in error.problems[0].notes] == [
        "test.csv, row 2 (line 3): no text",
        "test.csv, row 4 (line 6): no label",
        "test.csv, row 5 (line 7): unknown label: 'ugly'",
        "test.csv, row 6 (line 8): wrong number of columns: 1 where the first line has 2",
        "test.csv, row 7 (line 9): a NUL character",
    ]
    assert refused(tmp_path, max_bad_rows=0.71).code == "E903"
    data = opened(tmp_path, max_bad_rows=0.72)
    assert [(row.row, row.line) for row in data.bad] == [(2, 3), (4, 6), (5, 7), (6, 8), (7, 9)]
    assert data.splits["test"].texts() == ["fine", "two\nlines"]
    assert data.splits["test"].numbers.tolist() == [1, 3]
    assert "left out 5 bad rows: no text 1," in str(data)


def test_bad_rows_without_which_a_class_is_gone_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\n,no\nfine,yes\ngood,yes\n")
    error = refused(path)
    assert (error.code, error.message) == ("E906", "a.csv: every label is yes")
    assert [note.message for note in error.problems[0].notes] == [
        "bad: a.csv, row 1 (line 2): no text"
    ]
    (path := tmp_path / "a.jsonl").write_text(
        '{"text": "a", "label": "x"}\n{"text": "b", "label": 1}\n{"text": "c", "label": "x"}\n'
    )
    (note,) = refused(path).problems[0].notes
    assert note.message == "bad: a.jsonl, row 2 (line 2): wrong type of label: a number"


def test_bad_rows_of_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    good = [json.dumps({"text": t, "label": v}) for t, v in ROWS]
    bad = ['{"text": "x"', "[]", '{"label": "good"}', '{"text": 3, "label": "good"}']
    bad += ['{"text": "\\ud800", "label": "good"}', '{"text": {"a": 1}, "label": "good"}']
    path.write_text("\n".join([*good, "", *bad]))
    error = refused(path)
    notes = [note.message for note in error.problems[0].notes]
    assert notes[0].startswith("a.jsonl, row 21 (line 22): not JSON: Expecting")
    assert notes[1:] == [
        "a.jsonl, row 22 (line 23): not a JSON object",
        "a.jsonl, row 23 (line 24): no text",
        "a.jsonl, row 24 (line 25): wrong type: a number",
        "a.jsonl, row 25 (line 26): wrong type: not Unicode",
        "a.jsonl, row 26 (line 27): wrong type: an object",
    ]
    assert len(opened(path, max_bad_rows=0.3, validation_fraction=0).splits["train"]) == 20


def test_a_bad_row_of_a_binary_file_has_no_line(tmp_path: Path) -> None:
    pq.write_table(as_table([*ROWS, (" ", "bad"), ("x", None)]), tmp_path / "a.parquet")
    notes = [note.message for note in refused(tmp_path / "a.parquet").problems[0].notes]
    assert notes == ["a.parquet, row 21: no text", "a.parquet, row 22: no label"]


def test_every_split_with_too_many_is_told(tmp_path: Path) -> None:
    for name in ("train", "test"):
        (tmp_path / f"{name}.csv").write_text(csv_text([*ROWS, ("", "good")]))
    messages = [problem.message for problem in refused(tmp_path).problems]
    assert messages == [
        f"1 of the 21 rows of {name} are bad: no text 1" for name in ("train", "test")
    ]


def test_no_rows_at_all(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(csv_text(ROWS))
    (tmp_path / "test.csv").write_text("text,label\n")
    error = refused(tmp_path)
    assert (error.code, error.message) == ("E904", "the test split has no rows")


# --------------------------------------------------------------------------------------- the rest


def test_the_fingerprint_changes_with_every_thing_that_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    texts = [
        csv_text(ROWS),
        csv_text([("Well made", "good"), *ROWS[1:]]),
        csv_text([("well made", "bad"), *ROWS[1:]]),
        csv_text([*ROWS[1:], ROWS[0]]),
        csv_text(ROWS, "review,label"),
        csv_text(ROWS[:-1]),
        csv_text([(text, label.upper()) for text, label in ROWS]),
    ]
    found: set[str] = set()
    for text in texts:
        path.write_text(text)
        found.add(opened(path).fingerprint)
    assert len(found) == len(texts)


def test_data_as_plain_data(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(csv_text([*ROWS, ("", "good")]))
    found = opened(path, max_bad_rows=0.1).to_dict()
    assert json.loads(json.dumps(found)) == found
    assert found["splits"]["validation"] == {"rows": 2, "counts": {"bad": 1, "good": 1}}
    assert found["bad"] == [
        {"split": "train", "file": "a.csv", "row": 21, "line": 22, "reason": "no text",
         "detail": ""}
    ]  # fmt: skip


@pytest.mark.parametrize(
    "given", [{"validation_fraction": 1}, {"validation_fraction": -0.1}, {"max_bad_rows": 1.5}]
)
def test_shares_out_of_range(given: dict[str, float], tmp_path: Path) -> None:
    with pytest.raises(archspec.UsageError) as caught:
        opened(tmp_path, **given)
    assert caught.value.code == "E801"


def test_a_spec_that_does_not_say_what_it_is_for(tmp_path: Path) -> None:
    with pytest.raises(archspec.UsageError) as caught:
        open_data(tmp_path, task=None)
    assert caught.value.message == "the spec does not say what it is for"


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import sys

    for name in [name for name in sys.modules if name.startswith("archspec.data.")]:
        if name.rpartition(".")[2] in ("tables", "sources", "columns", "labels"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(archspec.UsageError) as caught:
        opened(tmp_path)
    assert (caught.value.code, caught.value.message, caught.value.hint) == (
        "E801", "data needs the package datasets", "pip install 'archspec-nn[train]'",
    )  # fmt: skip
