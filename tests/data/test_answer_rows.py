"""Questions with answers in contexts: the forms that they come in, and what is wrong there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import pytest

import archspec
from archspec.data import TextEncoder, batches
from archspec.data.batching import answer_windows, token_counts
from archspec.errors import DataError
from archspec.lang.schema import Task

TASK = Task(kind="question-answering")
CONTEXT = "it was a warm day and a warm film"
ANSWERS = [("warm", 24), ("a warm day", 7), ("it", 0)]
VOCAB = Path(__file__).parent.parent / "training/vocab.txt"


def flat_row(question: str, answer: str, start: int) -> dict[str, Any]:
    return {"question": question, "context": CONTEXT, "answers": answer, "answer_start": start}


def opened(source: Any, **given: Any) -> archspec.Data:
    return archspec.open_data(source, task=TASK, validation_fraction=0, **given)


def test_every_form_gives_the_same_rows(tmp_path: Path) -> None:
    asked = [(f"what is {i}", {"text": [text], "answer_start": [at]})
             for i, (text, at) in enumerate(ANSWERS)]  # fmt: skip
    objects = [{"question": q, "context": CONTEXT, "answers": answers} for q, answers in asked]
    flat = [flat_row(f"what is {i}", text, at) for i, (text, at) in enumerate(ANSWERS)]
    squad = [
        {"question": row["question"], "answers": [{"text": row["answers"], "answer_start": at}]}
        for row, (_, at) in zip(flat, ANSWERS, strict=True)
    ]
    articles = {"version": "1.1", "data": [{"paragraphs": [{"context": CONTEXT, "qas": squad}]}]}
    (tmp_path / "train.json").write_text(json.dumps(articles))
    (tmp_path / "objects.jsonl").write_text("\n".join(map(json.dumps, objects)))
    (tmp_path / "flat.jsonl").write_text("\n".join(map(json.dumps, flat)))
    datasets.Dataset.from_list(objects).to_parquet(tmp_path / "a.parquet")
    lines = [f"{row['question']},{CONTEXT},{row['answers']},{row['answer_start']}" for row in flat]
    (tmp_path / "a.csv").write_text("\n".join(["question,context,answers,answer_start", *lines]))
    names = ("train.json", "objects.jsonl", "flat.jsonl", "a.parquet", "a.csv")
    sources: list[Any] = [tmp_path / name for name in names]
    found = [opened(source) for source in [*sources, objects, flat]]
    for data in found:
        rows = data.splits["train"]
        assert rows[1] == ("what is 1", CONTEXT) and rows.labels is not None
        assert [row.tolist() for row in rows.labels] == [[[24, 28]], [[7, 17]], [[0, 2]]]
        assert (data.labels, data.notes, rows.counts) == ((), (), {})
        assert (data.columns.text_pair, data.columns.answer_start) == ("context", "answer_start")
    assert len({data.fingerprint for data in found}) == 1


def test_answers_that_are_not_there() -> None:
    rows: list[dict[str, Any]] = [
        {"question": "a", "context": CONTEXT, "answer": "warm", "answer_start": 10},
        {"question": "a", "context": CONTEXT, "answer": "", "answer_start": 0},
        {"question": "a", "context": CONTEXT, "answer": "cold", "answer_start": None},
        {"question": "", "context": CONTEXT, "answer": "it", "answer_start": 0},
        {"question": "a", "context": CONTEXT, "answer": "film", "answer_start": 29},
    ]
    data = opened(rows, max_bad_rows=0.9)
    assert [(row.row, row.reason, row.detail) for row in data.bad] == [
        (1, "the answer is not where answer_start says", "'warm'"),
        (2, "no answer", ""),
        (3, "the answer is not in the context", "'cold'"),
        (4, "no text", ""),
    ]
    plain = [{key: row[key] for key in ("question", "context", "answer")} for row in rows]
    data = opened(plain, max_bad_rows=0.9)
    assert [(row.row, row.reason) for row in data.bad][1:] == [
        (3, "the answer is not in the context"), (4, "no text"),
    ]  # fmt: skip
    assert data.notes == (
        "answers at several places of their context, of which the first is taken: 1",
    )
    with pytest.raises(DataError, match="no column looks like the context") as caught:
        opened([{"question": "a", "text": "b", "answer": "c"}])
    assert "--text-pair-column" in caught.value.hint


def test_windows_of_contexts() -> None:
    encoder = TextEncoder(VOCAB, 12, ["input_ids", "attention_mask"], has_types=True)
    texts = [("film", 29), ("and a warm film", 18), ("it", 0)]
    rows = [
        {"question": "was it", "context": CONTEXT, "answer": text, "answer_start": at}
        for text, at in texts
    ]
    split = opened(rows).splits["train"]
    windows = answer_windows(split, encoder)
    # 12 tokens: 3 added and 2 of the question leave 7 to the context, 4 in common with the last.
    assert windows.owners == [0, 0, 1, 1, 2, 2]
    (batch,) = batches(split, encoder, batch_size=6, shuffle=False, by_length=False)
    assert batch["labels"].tolist() == [[0, 0], [9, 9], [0, 0], [6, 9], [4, 4], [0, 0]]
    assert batch["input_ids"].shape == batch["token_type_ids"].shape
    shown = [windows(number)[2](4, len(windows.places[number]) - 2) for number in (0, 1)]
    assert shown == ["it was a warm day and a", "warm day and a warm film"]
    counts = token_counts(split, encoder)
    assert counts is not None
    assert (counts.truncated, counts.windows, counts.targets, counts.lost) == (3, 6, 3, 0)
    long = opened([{**rows[0], "question": "was it so very and"}]).splits["train"]
    with pytest.raises(DataError, match="leave too little of 12 tokens") as caught:
        token_counts(long, encoder)
    assert caught.value.code == "E905"
