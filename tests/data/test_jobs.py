"""Jobs that cannot be done are named, in training and predicting; what looks like them is not."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import archspec
from archspec.data import open_data
from archspec.errors import ArchspecError, DataError
from archspec.lang.schema import Task, TextInput

TASK = Task(kind="text-classification")
N = range(40)


def write(path: Path, columns: dict[str, list[Any]]) -> Path:
    rows = [{name: cells[i % len(cells)] for name, cells in columns.items()} for i in N]
    if path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, [*columns])
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("\n".join(map(json.dumps, rows)))
    return path


def texts(what: str, words: int = 4) -> list[str]:
    return [f"{what} {i} is as long as it is short"[: 12 * words] for i in N]


def label(*names: Any) -> dict[str, list[Any]]:
    return {"text": texts("review"), "label": [*names]}


JOBS: list[tuple[str, str, dict[str, list[Any]], dict[str, Any]]] = [
    # what is said, suffix, columns, and how the data is opened
    ("to tell classes", ".csv",
     {"term": [f"t{i}" for i in N], "definition": texts("b")}, {}),
    ("answers are another task", ".csv",
     {"question": texts("a"), "context": texts("b"), "answer": ["c"], "answer_start": [1]}, {}),
    ("to tell classes", ".csv", {"text": texts("a"), "score": [0.1, 0.25, 1]}, {}),
    ("to tell classes", ".csv", {"text": texts("a"), "score": ["0,1", "0,25"]},
     {"label_column": "score"}),
    ("to tell classes", ".jsonl", label(0.5, 1.0), {}),
    ("to tell classes", ".parquet", label(1.5, 2.25), {}),
    ("several", ".csv", label('["a"]', '["a", "b"]'), {}),
    ("several", ".csv", label("['a']", "['a' 'b']"), {}),
    ("several", ".csv", label("a", "b", "a,b"), {}),
    ("several", ".csv", label("a|b", "b|c", "c"), {"label_column": "label"}),
    ("several", ".csv", label("2", "27", "2 27"), {}),
    ("several", ".csv", label("a", "b", "a/b"), {}),
    ("several", ".csv", label("a+b", "b", "a"), {}),
    ("several", ".csv",
     {"comment": texts("a"), "toxic": [0, 1], "obscene": [0, 0, 1], "threat": [1, 0, 0, 0]}, {}),
    ("their tags are", ".jsonl", {"tokens": [["a", "b"]], "tags": [[0, 1]]}, {}),
    ("their tags are", ".parquet", {"words": [["a", "b"]], "ner_tags": [[0, 1]]}, {}),
    ("their tags are", ".csv", {"words": ["['a', 'b']"], "ner": ["[0, 1]"]}, {}),
    ("their tags are", ".jsonl", {"tokens": [["a", "b"]], "tags": [[0, 1]]},
     {"text_column": "tokens", "label_column": "tags"}),
    ("their tags are", ".csv", {"text": texts("a"), "tags": ["O B-X", "O O"]}, {}),
    ("their tags are", ".csv", {"word": ["a", "b", "c"], "tag": ["O", "B-X", "I-X"]},
     {"text_column": "word", "label_column": "tag"}),
    ("multiple choice is", ".jsonl",
     {"question": texts("a"), "choices": [["a", "b"]], "label": [0, 1]}, {}),
    *(("multiple choice is", ".csv", {"sent1": texts("a"), names[0]: texts("b"),
       names[1]: texts("c"), "label": [0, 1]}, {})
      for names in (("ending0", "ending1"), ("choice_a", "choice_b"), ("Option 1", "Option 2"))),
    ("conversations are", ".jsonl", {"messages": [[{"role": "user", "content": "a"}]]}, {}),
    ("generation of text is", ".csv", {"text": texts("a"), "target": texts("b")},
     {"text_column": "text"}),
    *(("translation is", ".csv", {one: texts("a"), other: texts("b")}, {})
      for one, other in (("source", "target"), ("Source Text", "Target Text"), ("src", "tgt"),
                         ("en", "fr"))),
    ("translation is", ".jsonl", {"translation": [{"en": "a house", "fr": "une maison"}]}, {}),
    *(("summarization is", ".csv", {one: texts("a"), other: texts("b")}, {})
      for one, other in (("article", "highlights"), ("document", "summary"), ("text", "summary"))),
]  # fmt: skip


OTHER = ("several", "to tell classes", "their tags are", "answers are another task")


def test_each_job_is_named(tmp_path: Path) -> None:
    wrong: list[str] = []
    for i, (job, suffix, columns, given) in enumerate(JOBS):
        path = write(tmp_path / f"{i}{suffix}", columns)
        try:
            found = str(archspec.open_data(path, task=TASK, **given))
        except DataError as error:
            found = f"{error.code} {error.message}"
            said = job if job in OTHER else f"{job} not supported yet"
            if error.code == "E907" and said in error.message:
                continue
        wrong.append(f"{job} {suffix} {[*columns]}: {found}")
    assert not wrong, "\n".join(wrong)


def test_what_only_looks_like_such_a_job(tmp_path: Path) -> None:
    reads: list[tuple[str, dict[str, list[Any]], tuple[str, ...]]] = [
        (".csv", label("Home, Garden", "Health, Beauty"), ("Health, Beauty", "Home, Garden")),
        (".csv", label(1.0, 2.0), ("1", "2")),
        (".parquet", label(1.0, 3.0), ("1", "3")),
        (".csv", {"v1": ["ham", "spam"], "v2": texts("a")}, ("ham", "spam")),
        (".csv", label("R&B", "C++", "TCP/IP", "a"), ("C++", "R&B", "TCP/IP", "a")),
        (".csv", label("O", "A", "B", "AB"), ("A", "AB", "B", "O")),
        (".csv", label("[deleted]", "kept"), ("[deleted]", "kept")),
        (".csv", {"text": texts("[a]"), "tag": ["b", "c"]}, ("b", "c")),
        (".csv", {"id": [*N], "text": texts("a"), "it": ["b", "c"]}, ("b", "c")),
    ]
    for i, (suffix, columns, names) in enumerate(reads):
        data = archspec.open_data(write(tmp_path / f"{i}{suffix}", columns), task=TASK)
        assert (data.labels, data.notes) == (names, ())


def test_texts_and_their_translations_with_a_label(tmp_path: Path) -> None:
    """How good a translation or a summary is, is a label of a pair."""
    for one, other in (("src", "tgt"), ("source", "target"), ("article", "summary")):
        columns = {one: texts("a"), other: texts("b"), "label": ["good", "bad"]}
        path = write(tmp_path / f"{one}.csv", columns)
        data = archspec.open_data(path, task=TASK)
        assert data.columns.inputs == (one, other) and data.labels == ("bad", "good")
        data = archspec.open_data(path, task=TASK, text_column=other, label_column="label")
        assert data.columns.inputs == (other,)


def test_ways_on_of_texts_that_are_written(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", {"en": texts("a"), "fr": texts("b")})
    with pytest.raises(DataError) as caught:
        archspec.open_data(path, task=TASK)
    (problem,) = caught.value.problems
    assert problem.message == "a.csv: columns named en, fr: translation is not supported yet"
    for kind in ("causal-lm", "text-embedding"):
        assert f"--task {kind}" in problem.hint
        task = Task(kind=kind)
        data = archspec.open_data(path, task=task, text_column="en", text_pair_column="fr")
        assert data.columns.inputs == ("en", "fr")
    with pytest.raises(DataError) as caught:
        archspec.open_data(path, task=Task(kind="causal-lm"))
    assert caught.value.code == "E902" and "its answers: text_pair_column=" in caught.value.hint
    path = write(tmp_path / "b.jsonl", {"translation": [{"en": "a", "fr": "b"}]})
    for kind in ("text-regression", "masked-lm", "causal-lm", "text-embedding"):
        with pytest.raises(DataError) as caught:
            archspec.open_data(path, task=Task(kind=kind))
        assert caught.value.code == "E907" and "into columns: --task" in caught.value.hint, kind


def test_pairs_are_found_in_their_order(tmp_path: Path) -> None:
    cases: list[tuple[list[str], dict[str, Any], tuple[str, str]]] = [
        (["premise", "hypothesis"], {}, ("premise", "hypothesis")),
        (["hypothesis", "premise"], {}, ("premise", "hypothesis")),
        (["claim", "evidence"], {}, ("claim", "evidence")),
        (["text2", "text"], {}, ("text", "text2")),
        (["text_pair", "text"], {}, ("text", "text_pair")),
        (["sentA", "sentB"], {}, ("sentA", "sentB")),
        (["sentence2", "sentence1"], {}, ("sentence1", "sentence2")),
        (["x", "z"], {"text_column": "z", "text_pair_column": "x"}, ("z", "x")),
        (["x", "z"], {"pair": True}, ("x", "z")),
        (["x", "z"], {"pair": True, "text_column": "z"}, ("z", "x")),
    ]
    for i, (names, given, expected) in enumerate(cases):
        columns = {name: texts(name) for name in names} | {"label": [0, 1]}
        text = TextInput(pair=given.pop("pair", None))
        task = Task(kind="text-classification", text=text)
        data = archspec.open_data(write(tmp_path / f"{i}.csv", columns), task=task, **given)
        assert data.columns.inputs == expected, names
        first = data.splits["train"].texts()[0]
        assert [one.split()[0] for one in first] == [*expected]
        told = f"{', '.join(expected)} are read as pairs of texts"
        assert data.notes == (() if "text_pair_column" in given else (told,))


def test_pairs_that_cannot_be(tmp_path: Path) -> None:
    columns = {"premise": texts("a"), "hypothesis": texts("b"), "label": [0, 1]}
    path = write(tmp_path / "a.csv", columns)
    other = write(tmp_path / "b.csv", {"x": texts("a"), "y z": texts("b"), "label": [0, 1]})
    alone = write(tmp_path / "c.csv", {"text": texts("a"), "label": [0, 1]})
    cases: list[tuple[Path, bool | None, dict[str, Any], str, str]] = [
        (path, None, {"text_pair_column": "premise"}, "E801", "say the first with text_column"),
        (
            path,
            None,
            {"text_column": "premise", "text_pair_column": "premise"},
            "E801",
            "both texts",
        ),
        (
            path,
            False,
            {"text_column": "premise", "text_pair_column": "hypothesis"},
            "E801",
            "one text",
        ),
        (path, None, {"text_column": "premise", "text_pair_column": "c"}, "E902", "no column 'c'"),
        (other, None, {}, "E902", "x, y z could each be the text, or be a pair"),
        (alone, True, {}, "E902", "the task takes pairs of texts, and text hold texts"),
    ]
    for source, pair, given, code, message in cases:
        task = Task(kind="text-classification", text=TextInput(pair=pair))
        with pytest.raises(ArchspecError) as caught:
            archspec.open_data(source, task=task, **given)
        assert caught.value.code == code and message in caught.value.message
    task = Task(kind="text-classification", text=TextInput(pair=False))
    data = archspec.open_data(path, task=task, text_column="premise")
    assert data.columns.text_pair is None


def test_a_half_that_somebody_names_is_read_and_told(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.csv", {"premise": texts("a"), "hypothesis": texts("b"), "label": [0, 1]}
    )
    data = archspec.open_data(path, task=TASK, text_column="premise")
    assert data.notes == (
        "texts that are not read, beside column 'premise': hypothesis; premise, hypothesis look "
        "like a pair",
    )


def test_predicting_names_them_too_and_its_own_option(tmp_path: Path) -> None:
    tiny = Path(__file__).parent.parent / "training/tiny.yaml"
    predictor = archspec.Predictor(archspec.build(tiny, device="cpu", seed=0))
    cases: list[tuple[dict[str, list[Any]], str, str]] = [
        ({"tokens": [["a", "b"]]}, "words and their tags are another task", "classifier"),
    ]
    for columns, job, hint in cases:
        with pytest.raises(DataError) as caught:
            predictor.file(write(tmp_path / "a.jsonl", columns), tmp_path / "out.csv")
        assert caught.value.code == "E907" and caught.value.hint.endswith(hint)
        assert caught.value.message.endswith(job)
    path = write(tmp_path / "a.jsonl", {"x": texts("a"), "z": texts("b")})
    with pytest.raises(DataError) as caught:
        predictor.file(path, tmp_path / "out.csv")
    hint = "one of them: text= (--column); a pair: text_pair= (--pair-column) as well"
    assert caught.value.code == "E902" and caught.value.hint.endswith(hint)


def test_numbers_and_several_labels_are_read(tmp_path: Path) -> None:
    numbers = Task(kind="text-regression")
    cells: list[Any] = [0.5, 1, "2.5", None, "x", True, "1e3", float("inf")]
    rows = [{"text": "a text", "score": cell} for cell in cells * 2]
    (tmp_path / "a.csv").write_text(
        "text,score,id\n" + "".join(f"a text,{row['score']},7\n" for row in rows)
    )
    data = archspec.open_data(tmp_path / "a.csv", task=numbers, max_bad_rows=1)
    train = data.splits["train"]
    assert (data.labels, data.columns.label, data.multi_label) == ((), "score", False)
    assert train.labels is not None and set(train.labels.tolist()) <= {0.5, 1.0, 2.5, 1000.0}
    assert {row.reason for row in data.bad} == {"label is no number"} and len(data.bad) == 8
    assert data.rule == "validation is 0.1 of train, cut at random, with seed 0"
    for suffix in (".jsonl", ".parquet"):
        sets = [["b"], [], ["a", "b", "b"], ["10"]]
        path = write(tmp_path / f"b{suffix}", {"text": texts("a"), "labels": sets})
        data = archspec.open_data(path, task=TASK, validation_fraction=0)
        train = data.splits["train"]
        assert data.labels == ("10", "a", "b") and data.multi_label and train.labels is not None
        assert train.labels[:4].tolist() == [[0, 0, 1], [0, 0, 0], [0, 1, 1], [1, 0, 0]]
        assert train.counts == {"10": 10, "a": 10, "b": 20}
        assert data.notes == ("column 'labels' holds lists: a row may have several labels",)
        task = Task(kind="text-classification", multi_label=False)
        with pytest.raises(DataError, match="holds lists of labels") as caught:
            archspec.open_data(path, task=task)
        assert caught.value.code == "E902"
        named = archspec.open_data(path, task=TASK, labels=["a", "b"], max_bad_rows=0.5)
        assert {(row.reason, row.detail) for row in named.bad} == {("unknown label", "'10'")}
    single = write(tmp_path / "c.csv", label("a", "b"))
    task = Task(kind="text-classification", multi_label=True)
    with pytest.raises(DataError, match="column 'label' holds no lists"):
        archspec.open_data(single, task=task)
    with pytest.raises(ArchspecError, match="there are no labels"):
        archspec.open_data(tmp_path / "a.csv", task=numbers, labels=["a", "b"])


def test_texts_that_belong_together(tmp_path: Path) -> None:
    task = Task(kind="text-embedding")
    three = {name: texts(name) for name in ("negative", "anchor", "positive")}
    pair = {"definition": texts("a"), "term": [f"t{i}" for i in N]}
    several = {**pair, "score": [0.5, 1, -1], "note": texts("n")}
    cases: list[tuple[dict[str, list[Any]], dict[str, Any], tuple[str, ...], str | None]] = [
        (pair, {}, ("term", "definition"), None),
        (three, {}, ("anchor", "positive", "negative"), None),
        (three, {"text_column": "positive", "text_pair_column": "anchor"},
         ("positive", "anchor"), None),
        (three, {"text_column": "anchor", "negative_column": "negative"},
         ("anchor", "positive", "negative"), None),
        (several, {}, ("term", "definition"), "score"),
        (several, {"label_column": "score"}, ("term", "definition"), "score"),
        ({**pair, "label": ["0", "1"]}, {}, ("term", "definition"), "label"),
        ({**pair, "label": ["x", "y"]}, {"text_column": "term", "text_pair_column": "definition"},
         ("term", "definition"), None),
    ]  # fmt: skip
    for i, (columns, given, inputs, score) in enumerate(cases):
        data = archspec.open_data(write(tmp_path / f"{i}.csv", columns), task=task, **given)
        assert (data.columns.inputs, data.columns.label) == (inputs, score), given
        rows = data.splits["train"]
        assert rows.labels is not None and len(rows) == 36 and len(rows.others) == len(inputs) - 1
        assert rows[0] == tuple(part.texts()[0] for part in rows.columns)
        assert rows.labels.dtype == (float if score else int) and data.labels == ()
    twice = archspec.open_data(
        [{"anchor": f"a {i}", "positive": f"b {i // 2}"} for i in N], task=task
    ).splits["train"]
    assert twice.labels is not None
    assert len({*twice.columns[1].texts()}) == len({*twice.labels.tolist()}) < len(twice)
    wrong: list[tuple[dict[str, list[Any]], dict[str, Any], str, str]] = [
        ({**pair, "label": ["x", "y"]}, {}, "E902", "'label' holds no numbers"),
        ({**pair, "score": [0.5, 2]}, {}, "E903", "label is no similarity 20"),
        ({"text": texts("a")}, {}, "E902", "takes pairs of texts"),
        (three, {"text_pair_column": "positive"}, "E801", "not the first"),
        (three, {"text_column": "anchor", "text_pair_column": "anchor"}, "E801", "two of the"),
        (several, {"text_column": "term", "negative_column": "note", "label_column": "score"},
         "E801", "a negative and a similarity"),
    ]  # fmt: skip
    for i, (columns, given, code, message) in enumerate(wrong):
        with pytest.raises(ArchspecError) as caught:
            archspec.open_data(write(tmp_path / f"w{i}.csv", columns), task=task, **given)
        assert (caught.value.code, message in caught.value.message) == (code, True), message
    with pytest.raises(ArchspecError, match="no column of negatives is read"):
        archspec.open_data([{"text": "a", "label": "b"}], task=TASK, negative_column="x")


def test_short_texts_beside_lists_of_labels(tmp_path: Path) -> None:
    """A column that is called text holds the text, though it has no more words than tags."""
    columns = {"text": [f"so {i}" for i in N], "labels": [["a", "b"], ["b"], []]}
    data = open_data(write(tmp_path / "a.jsonl", columns), task=TASK)
    assert (data.columns.text, data.columns.label, data.labels) == ("text", "labels", ("a", "b"))
    columns = {"words": [["so", "it"], ["is"]], "tags": [["a", "b"], ["b"]]}
    with pytest.raises(DataError, match="words and their tags are another task"):
        open_data(write(tmp_path / "b.jsonl", columns), task=TASK)
