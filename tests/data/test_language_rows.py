"""Rows of language models: which column is read, what is masked, and what is told of long texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import archspec
from archspec.data import TextEncoder, batches
from archspec.data.batching import text_items, token_counts
from archspec.data.masking import Masking
from archspec.data.report import Columns
from archspec.errors import ArchspecError, DataError
from archspec.lang.schema import Task
from archspec.tasks import IGNORED
from tests.tables import every

TRAINING = Path(__file__).parent.parent / "training"
MASKED = Task(kind="masked-lm")
VOCAB = TRAINING / "masks/vocab.txt"


def opened(source: Any, task: Task = MASKED, **given: Any) -> archspec.Data:
    return archspec.open_data(source, task=task, **{"validation_fraction": 0, **given})


PROSE = "a text of some more words"
WRONG: list[tuple[list[dict[str, Any]], dict[str, Any], str]] = [
    ([{"a": PROSE, "b": PROSE}], {}, "E902 data: a, b could each be the text"),
    ([{"a": 1}], {}, "E902 data: no column looks like the text"),
    ([{"text": "a"}], {"text_column": "b"}, "E902 data has no column 'b'"),
    (
        [{"text": "a"}],
        {"label_column": "text"},
        "E801 the task is masked-lm: it learns from",
    ),
    ([{"text": "a"}], {"text_pair_column": "text"}, "E801 the task is masked-lm: it learns"),
    ([{"text": "a"}], {"labels": ["a", "b"]}, "E801 the task is masked-lm: there are no lab"),
    ([{"text": " "}], {}, "E903 1 of the 1 rows of train are bad: no text 1"),
    ([{"messages": [{"a": "b"}]}], {}, "E907 data: column 'messages' holds lists"),
]


@every("rows, given, message", WRONG)
def test_what_is_no_such_data(
    rows: list[dict[str, Any]], given: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArchspecError) as caught:
        opened(rows, **given)
    assert f"{caught.value.code} {caught.value.message}".startswith(message)


def test_which_column_is_read() -> None:
    rows: dict[str, list[dict[str, Any]]] = {
        "text": [{"id": "a", "text": "b", "summary": PROSE}],
        "body": [{"term": "a", "body": PROSE, "label": 1}],
        "only": [{"n": 1, "only": "a"}],
    }
    for column, data in rows.items():
        assert opened(data).columns == Columns(text=column), column
    unread = opened([{"text": "a"}], label_column=False).splits["all"]
    assert unread.language == "" and opened([{"text": "a"}]).splits["train"].language == "masked-lm"


def test_plain_text(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_bytes(b'a film\r\n\n  \nso, "good"\n')
    (tmp_path / "my_test.txt").write_bytes(b"bad\nb\xff\n")
    (tmp_path / "LICENSE.txt").write_text("none of the data")
    data = opened(tmp_path, max_bad_rows=0.5)
    assert data.splits["train"].texts() == ["a film", 'so, "good"']
    assert data.splits["train"].numbers.tolist() == [1, 2] and len(data.splits["test"]) == 1
    assert [str(row) for row in data.bad] == ["my_test.txt, row 2 (line 2): not UTF-8"]
    (tmp_path / "train.txt").unlink()
    (tmp_path / "my_test.txt").unlink()
    with pytest.raises(DataError, match="no data in this folder"):
        opened(tmp_path)
    assert len(opened(tmp_path / "LICENSE.txt").splits["train"]) == 1
    with pytest.raises(ArchspecError, match="header has no effect"):
        opened(tmp_path / "LICENSE.txt", header=True)


def test_what_is_masked() -> None:
    encoder = TextEncoder(VOCAB, 12)
    special = {encoder.name(i) for i in encoder.special_ids}
    assert special == {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
    words = np.array(sorted({*range(encoder.size)} - encoder.special_ids), dtype=np.int32)
    drawn = np.random.default_rng(0).choice(np.arange(encoder.size, dtype=np.int32), 400_000)
    masking = Masking(drawn, encoder)
    seen, labels = masking.of(3, 5)
    masked = labels != IGNORED
    assert np.isin(labels[masked], words).all() and (seen == drawn)[~masked].all()
    share = masked.sum() / np.isin(drawn, words).sum()
    as_mask = (seen[masked] == encoder.mask_id).mean()
    same = (seen[masked] == labels[masked]).mean()
    assert share == pytest.approx(0.15, abs=0.003) and as_mask == pytest.approx(0.8, abs=0.006)
    assert same == pytest.approx(0.1 + 0.1 / len(words), abs=0.005)
    assert np.isin(seen[masked & (seen != encoder.mask_id)], words).all()
    again = Masking(drawn, encoder).of(3, 5)
    assert (again[0] == seen).all() and (again[1] == labels).all()
    for other in ((3, 6), (4, 5)):
        assert (masking.of(*other)[1] != labels).any(), other
    plain = TextEncoder(TRAINING / "vocab.txt", 12)
    with pytest.raises(DataError, match="no token for masks") as caught:
        Masking(drawn, plain)
    assert caught.value.code == "E905"


def test_long_texts_go_on_in_further_rows() -> None:
    encoder = TextEncoder(VOCAB, 12)
    texts = ["a film", " ".join(["good", "bad", "so"] * 8), "it was very nice"]
    rows = opened([{"text": text} for text in texts]).splits["train"]
    whole: list[int] = []
    for epoch in (0, 0, 1):
        masked: list[tuple[int, list[int], list[int]]] = []
        for batch in batches(rows, encoder, batch_size=2, shuffle=True, epoch=epoch):
            items = zip(batch["rows"].tolist(), batch["input_ids"], batch["labels"], strict=True)
            for row, ids, labels in items:
                real = ids != encoder.pad_id
                hidden = labels.where(labels != IGNORED, ids)[real].tolist()
                masked.append((row, hidden, labels[real].tolist()))
                assert (labels[~real] == IGNORED).all()
        by_row = sorted(masked)
        whole = [one for _, ids, _ in by_row[1:4] for one in ids[1:-1]]
        assert [len(ids) for _, ids, _ in by_row] == [4, 12, 12, 6, 6]
        items = text_items(rows, encoder, 0, epoch)
        assert items is not None
        assert items.tolist() == [sum(n != IGNORED for n in found) for *_, found in by_row]
    assert [encoder.name(i) for i in whole] == texts[1].split()
    counts = token_counts(rows, encoder)
    assert counts is not None and (counts.texts, counts.parts, counts.tokens) == (3, 5, 30)
    told = "1 of 3 texts have more than 12 tokens: they go on in further rows, 5 in all"
    assert counts.notes == (told,)
    assert (counts + counts).parts == 10 and counts.to_dict()["parts"] == 5
    fixed = [
        [
            batch["labels"].tolist()
            for batch in batches(
                rows, encoder, batch_size=2, shuffle=False, seed=seed, epoch=4 * seed
            )
        ]
        for seed in (0, 1)
    ]
    assert fixed[0] == fixed[1]


CAUSAL = Task(kind="causal-lm")
WORDS = TextEncoder(TRAINING / "vocab.txt", 8, ("input_ids",))


def test_texts_are_packed_into_blocks() -> None:
    texts = ["a film", "good " * 9, "it was so"]
    data = opened([{"text": text} for text in texts], CAUSAL)
    rows = data.splits["train"]
    blocks: dict[int, list[int]] = {}
    for batch in batches(rows, WORDS, batch_size=2, shuffle=True):
        assert batch.keys() == {"input_ids", "labels", "rows"}
        for row, ids, labels in zip(
            batch["rows"], batch["input_ids"], batch["labels"], strict=True
        ):
            blocks[int(row)] = ids.tolist()
            assert labels.tolist() == [IGNORED, *ids[1:].tolist()]
    whole = [token for text in texts for token in WORDS.encode_whole([text])[0]]
    assert [blocks[0], blocks[1]] == [whole[:8], whole[8:16]] and len(blocks) == 2
    assert [WORDS.name(i) for i in whole[:5]] == ["[CLS]", "a", "film", "[SEP]", "[CLS]"]
    counts = token_counts(rows, WORDS)
    assert counts is not None and (counts.tokens, counts.blocks, counts.unused) == (20, 2, 4)
    told = "4 of 20 tokens are left out: at the end of a split they fill no block of 8"
    assert counts.notes == (told,) and (counts + counts).unused == 8
    items = text_items(rows, WORDS)
    assert items is not None and items.tolist() == [7, 7]
    few = opened([{"text": "a"}], CAUSAL).splits["train"]
    with pytest.raises(DataError, match="the train split has 3 tokens: no block of 8") as caught:
        token_counts(few, WORDS)
    assert caught.value.code == "E905"


def test_answers_are_learned_and_prompts_are_not() -> None:
    pairs = [("a film", "good"), ("so ", "a film"), ("was it\n", "so"), ("a", "good " * 9),
             ("good " * 9, "bad")]  # fmt: skip
    rows = opened([{"n": 1, "instruction": a, "response": b} for a, b in pairs], CAUSAL).splits[
        "train"
    ]
    batch = next(iter(batches(rows, WORDS, batch_size=5, shuffle=False, by_length=False)))
    names = [
        [WORDS.name(i) for i, label in zip(ids, labels, strict=True) if label != IGNORED]
        for ids, labels in zip(batch["input_ids"].tolist(), batch["labels"].tolist(), strict=True)
    ]
    assert names == [
        ["good", "[SEP]"], ["a", "film", "[SEP]"], ["so", "[SEP]"], ["good"] * 6, [],
    ]  # fmt: skip
    for ids, (prompt, _) in zip(batch["input_ids"].tolist(), pairs, strict=True):
        (alone,) = WORDS.encode_prompts([prompt])
        assert ids[: len(alone)] == alone[:8]
    counts = token_counts(rows, WORDS)
    assert counts is not None and (counts.targets, counts.lost, counts.longest) == (5, 1, 12)
    assert counts.notes[0].startswith("2 of 5 texts were cut at 8 tokens, the longest has 12")
    assert counts.notes[1:] == (
        "1 of 5 answers are cut off as a whole: nothing is learned of these rows",
    )
    lost = opened([{"prompt": "good " * 9, "answer": "a"}], CAUSAL).splits["train"]
    with pytest.raises(DataError, match="no answer of train has a token among the first 8"):
        token_counts(lost, WORDS)


CAUSAL_COLUMNS: list[tuple[dict[str, str], dict[str, Any], Any]] = [
    ({"text": "a", "prompt": "b", "answer": "c"}, {}, ("text", None)),
    ({"Prompt": "a", "Completion": "b"}, {}, ("Prompt", "Completion")),
    ({"question": "a", "answer": "b"}, {"label_column": False}, ("question", None)),
    ({"a": "b", "c": "d"}, {"text_column": "c", "text_pair_column": "a"}, ("c", "a")),
    ({"question": "a", "answer": "b"}, {"text_column": "answer"}, ("answer", None)),
    ({"a": "b", "c": "d"}, {}, "E902"),
    ({"instruction": "a", "input": "b", "output": "c"}, {}, "E902"),
    ({"a": "b", "c": "d"}, {"text_pair_column": "c"}, "E801"),
    ({"a": "b"}, {"text_column": "a", "text_pair_column": "a"}, "E801"),
    ({"a": "b"}, {"text_column": "a", "labels": ["a", "b"]}, "E801"),
]


@every("row, given, expected", CAUSAL_COLUMNS)
def test_which_columns_are_prompts(
    row: dict[str, str], given: dict[str, Any], expected: Any
) -> None:
    try:
        columns = opened([row], CAUSAL, **given).columns
        found: Any = (columns.text, columns.text_pair)
    except ArchspecError as error:
        found = error.code
    assert found == expected
