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
from archspec.errors import DataError
from archspec.lang.schema import Task

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
    ("pairs are", ".csv", {"premise": texts("a"), "hypothesis": texts("b"), "label": [1, 2]}, {}),
    ("pairs are", ".csv", {"claim": texts("a", 2), "evidence": texts("b", 9), "label": [0, 1]}, {}),
    ("pairs are", ".csv", {"text": texts("a"), "text2": texts("b"), "label": [0, 1]}, {}),
    ("pairs are", ".csv", {"sentA": texts("a"), "sentB": texts("b"), "label": [0, 1]}, {}),
    ("pairs are", ".csv", {"x": texts("a"), "z": texts("b"), "label": [0, 1]}, {}),
    ("pairs are", ".csv", {"term": [f"t{i}" for i in N], "definition": texts("b")}, {}),
    ("pairs are", ".csv", {"text_a": texts("a"), "text_b": texts("b"), "score": [0.1, 0.25]}, {}),
    ("question answering is", ".csv",
     {"question": texts("a"), "context": texts("b"), "answer": ["c"], "answer_start": [1]}, {}),
    ("regression is", ".csv", {"text": texts("a"), "score": [0.1, 0.25, 1]}, {}),
    ("regression is", ".csv", {"text": texts("a"), "score": ["0,1", "0,25"]},
     {"label_column": "score"}),
    ("regression is", ".jsonl", label(0.5, 1.0), {}),
    ("regression is", ".parquet", label(1.5, 2.25), {}),
    ("multi-label is", ".jsonl", label(["a"], ["a", "b"]), {}),
    ("multi-label is", ".parquet", label(["a"], ["a", "b"]), {}),
    ("multi-label is", ".csv", label('["a"]', '["a", "b"]'), {}),
    ("multi-label is", ".csv", label("['a']", "['a' 'b']"), {}),
    ("multi-label is", ".csv", label("a", "b", "a,b"), {}),
    ("multi-label is", ".csv", label("a|b", "b|c", "c"), {"label_column": "label"}),
    ("multi-label is", ".csv", label("2", "27", "2 27"), {}),
    ("multi-label is", ".csv", label("a", "b", "a/b"), {}),
    ("multi-label is", ".csv", label("a+b", "b", "a"), {}),
    ("multi-label is", ".csv",
     {"comment": texts("a"), "toxic": [0, 1], "obscene": [0, 0, 1], "threat": [1, 0, 0, 0]}, {}),
    ("classification of tokens is", ".jsonl", {"tokens": [["a", "b"]], "tags": [[0, 1]]}, {}),
    ("classification of tokens is", ".parquet", {"words": [["a", "b"]], "ner_tags": [[0, 1]]}, {}),
    ("classification of tokens is", ".csv", {"words": ["['a', 'b']"], "ner": ["[0, 1]"]}, {}),
    ("classification of tokens is", ".jsonl", {"tokens": [["a", "b"]], "tags": [[0, 1]]},
     {"text_column": "tokens", "label_column": "tags"}),
    ("classification of tokens is", ".csv", {"text": texts("a"), "tags": ["O B-X", "O O"]}, {}),
    ("classification of tokens is", ".csv", {"word": ["a", "b", "c"], "tag": ["O", "B-X", "I-X"]},
     {"text_column": "word", "label_column": "tag"}),
    ("multiple choice is", ".jsonl",
     {"question": texts("a"), "choices": [["a", "b"]], "label": [0, 1]}, {}),
    ("conversations are", ".jsonl", {"messages": [[{"role": "user", "content": "a"}]]}, {}),
    ("generation of text is", ".csv", {"text": texts("a"), "target": texts("b")},
     {"text_column": "text"}),
]  # fmt: skip


def test_each_job_is_named(tmp_path: Path) -> None:
    wrong: list[str] = []
    for i, (job, suffix, columns, given) in enumerate(JOBS):
        path = write(tmp_path / f"{i}{suffix}", columns)
        try:
            found = str(archspec.open_data(path, task=TASK, **given))
        except DataError as error:
            found = f"{error.code} {error.message}"
            if error.code == "E907" and f"{job} not supported yet" in error.message:
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
    ]
    for i, (suffix, columns, names) in enumerate(reads):
        data = archspec.open_data(write(tmp_path / f"{i}{suffix}", columns), task=TASK)
        assert (data.labels, data.notes) == (names, ())


def test_a_half_that_somebody_names_is_read_and_told(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.csv", {"premise": texts("a"), "hypothesis": texts("b"), "label": [0, 1]}
    )
    data = archspec.open_data(path, task=TASK, text_column="premise")
    assert data.notes == (
        "texts that are not read, beside column 'premise': hypothesis; premise, hypothesis look "
        "like a pair, which is not supported yet",
    )


def test_predicting_names_them_too_and_its_own_option(tmp_path: Path) -> None:
    tiny = Path(__file__).parent.parent / "training/tiny.yaml"
    predictor = archspec.Predictor(archspec.build(tiny, device="cpu", seed=0))
    cases: list[tuple[dict[str, list[Any]], str, str]] = [
        ({"premise": texts("a"), "hypothesis": texts("b")}, "pairs are", "one class"),
        ({"tokens": [["a", "b"]]}, "classification of tokens is", "one class"),
        ({"x": texts("a"), "z": texts("b")}, "pairs are", "text= (--column) says which"),
    ]
    for columns, job, hint in cases:
        with pytest.raises(DataError) as caught:
            predictor.file(write(tmp_path / "a.jsonl", columns), tmp_path / "out.csv")
        assert caught.value.code == "E907" and caught.value.hint.endswith(hint)
        assert caught.value.message.endswith(f"{job} not supported yet")
