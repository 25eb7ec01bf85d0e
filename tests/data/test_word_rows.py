"""Rows of words with a tag for each: in every form, their columns, and what is wrong there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest

import archspec
from archspec.errors import DataError
from archspec.lang.schema import Task

TASK = Task(kind="token-classification")
WORDS = [["EU", "rejects", "#"], ["Peter"], ["in", "New York"], ["a", "b"], ["c"]]
TAGS = [["B-ORG", "O", "O"], ["B-PER"], ["O", "B-LOC"], ["O", "O"], ["O"]]
ROWS = [{"words": words, "tags": tags} for words, tags in zip(WORDS, TAGS, strict=True)]
CONLL = """\
-DOCSTART-\tO

# sent_id = 1
EU\tB-ORG
rejects\tO
#\tO

Peter\tB-PER

in\tO
New York\tB-LOC

a\tO
b\tO

c\tO"""


def opened(source: Any, **given: Any) -> archspec.Data:
    return archspec.open_data(source, task=TASK, validation_fraction=0, **given)


def test_every_form_gives_the_same_rows(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    (tmp_path / "a.conll").write_text(CONLL)
    names = ["B-LOC", "B-ORG", "B-PER", "O"]
    features = datasets.Features(
        {
            "words": datasets.Sequence(datasets.Value("string")),
            "tags": datasets.Sequence(datasets.ClassLabel(names=names)),
        }
    )
    columns = {"words": WORDS, "tags": [[names.index(tag) for tag in tags] for tags in TAGS]}
    declared = datasets.Dataset.from_dict(columns, features=features)
    declared.to_parquet(tmp_path / "a.parquet")
    sources: list[Any] = [tmp_path / "a.jsonl", tmp_path / "a.conll", declared, ROWS]
    opened_data = [opened(source) for source in sources]
    opened_data.append(opened(columns, labels=names))
    for data in opened_data:
        rows = data.splits["train"]
        assert data.labels == tuple(names) and rows.words() == WORDS
        assert rows.labels is not None
        assert [[names[i] for i in row] for row in rows.labels] == TAGS
        assert rows.texts()[2] == rows[2] == "in New York"
        assert rows.counts == {"B-LOC": 1, "B-ORG": 1, "B-PER": 1, "O": 6}
        assert rows.select([1, 2]).counts["O"] == 1
    assert len({data.fingerprint for data in opened_data}) == 1
    (tmp_path / "a.csv").write_text("text,tags\nEU rejects it,B-ORG O O\nPeter,B-PER\n")
    assert opened(tmp_path / "a.csv").splits["train"].words()[0] == ["EU", "rejects", "it"]


def test_rows_that_are_bad(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"words": ["a", "b"], "tags": ["O"]},
        {"words": ["a", " "], "tags": ["O", "O"]},
        {"words": [], "tags": []},
        {"words": ["a"], "tags": None},
        {"words": ["a\0"], "tags": ["O"]},
        *ROWS,
    ]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "test.jsonl").write_text('{"words": ["a"], "tags": ["B-X"]}\n' * 2)
    data = opened(tmp_path, max_bad_rows=0.5, test_split=False)
    assert [(row.row, row.reason, row.detail) for row in data.bad] == [
        (1, "not a tag for each word", "1 for 2 words"),
        (2, "an empty word", "word 2 of 2"),
        (3, "no text", ""),
        (4, "no label", ""),
        (5, "a NUL character", "word 1 of 1"),
    ]
    with pytest.raises(DataError, match="unknown label 2") as caught:
        opened(tmp_path, max_bad_rows=0.5)
    assert caught.value.code == "E903"
    (tmp_path / "a.conll").write_text(CONLL.replace("b\tO", "b"))
    assert opened(tmp_path / "a.conll", max_bad_rows=0.5).bad[0].line == 13


def test_columns_are_found_or_asked_for(tmp_path: Path) -> None:
    lists = [["a", "b"], ["c", "d"]]
    tags = [["X", "Y"], ["Y", "X"]]
    found: list[tuple[dict[str, Any], dict[str, Any], tuple[str, str]]] = [
        ({"tokens": lists, "ner_tags": tags}, {}, ("tokens", "ner_tags")),
        ({"w": lists, "pos": tags}, {}, ("w", "pos")),
        ({"tokens": lists, "tags": tags, "pos_tags": tags}, {}, ("tokens", "tags")),
        ({"x": lists, "y": tags}, {"text_column": "x"}, ("x", "y")),
        ({"text": ["a b", "c d"], "tokens": lists, "it": tags}, {}, ("tokens", "it")),
    ]
    for columns, given, (words, label) in found:
        data = opened(columns, **given)
        assert (data.columns.text, data.columns.label) == (words, label)
    refused: list[tuple[dict[str, Any], str, str]] = [
        ({"x": lists, "y": tags}, "x, y could each be the words", "--text-column"),
        (
            {"tokens": lists, "ner_tags": tags, "pos_tags": tags},
            "ner_tags, pos_tags could",
            "label",
        ),
        ({"a": [1, 2], "b": [1, 2]}, "no column looks like the words", "one word a line"),
        ({"tokens": lists, "tags": [1.5, 2.5]}, "no column looks like the tags", "--label-column"),
        ({"words": ["['a']"] * 2, "tags": ["['X']"] * 2}, "written as text", "JSON lines"),
        ({"tokens": lists, "tags": [["X", "X"]] * 2}, "every tag is X", "apart"),
    ]
    for columns, message, hint in refused:
        with pytest.raises(DataError, match=message) as caught:
            opened(columns)
        assert hint in caught.value.hint


def test_labels_of_tokens(tmp_path: Path) -> None:
    from archspec.data import TextEncoder, batches

    encoder = TextEncoder(Path(__file__).parent.parent / "training/vocab.txt", 6, ["input_ids"])
    words = [["good-day", "film"], ["a", "\u200b", "bad"], ["a"] * 6]
    data = opened({"words": words, "tags": [["X", "Y"], ["X", "Y", "X"], ["Y"] * 6]})
    loader = batches(data.splits["train"], encoder, batch_size=3, shuffle=False, by_length=False)
    (batch,) = loader
    expected = [[-100, 0, -100, -100, 1, -100], [-100, 0, 0, -100], [-100, 1, 1, 1, 1, -100]]
    rows = np.full((3, 6), -100)
    for row, tags in zip(rows, expected, strict=True):
        row[: len(tags)] = tags
    assert batch["labels"].tolist() == rows.tolist()
    from archspec.data.batching import token_counts

    counts = token_counts(data.splits["train"], encoder)
    assert counts is not None
    assert (counts.targets, counts.lost, counts.truncated) == (11, 3, 1)
