"""Batches: every row once, of similar length, in an order that seed and epoch alone decide."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

import archspec
from archspec.data import Data, ImageEncoder, TextEncoder, batches, open_data
from archspec.data.batching import BatchOrder
from archspec.data.splitting import stratified_split
from archspec.lang.schema import ImageInput, Task

EXAMPLES = Path(__file__).parents[2] / "examples"
WORDS = "a b c d e f".split()


@pytest.fixture(scope="module")
def topics() -> Data:
    return open_data(EXAMPLES / "wordnet-topics", task=Task(kind="text-classification"))


@pytest.fixture(scope="module")
def clothes() -> Data:
    return open_data(EXAMPLES / "fashion-mnist", task=Task(kind="image-classification"))


@pytest.fixture(scope="module")
def letters(tmp_path_factory: pytest.TempPathFactory) -> TextEncoder:
    """A tokenizer that makes about one token of each letter."""
    path = tmp_path_factory.mktemp("letters") / "vocab.txt"
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *alphabet, *(f"##{c}" for c in alphabet)]
    path.write_text("\n".join(words))
    return TextEncoder(path, 512)


def order(n: int, lengths: list[int] | None = None, **given: Any) -> BatchOrder:
    options: dict[str, Any] = {
        "batch_size": 4, "shuffle": True, "seed": 0, "epoch": 0, "start": 0, "rank": 0, "world": 1,
        "drop_last": False, **given,
    }  # fmt: skip
    return BatchOrder(n, None if lengths is None else np.array(lengths), **options)


def test_lengths_apart_make_batches_of_one_length() -> None:
    found = order(6, [2, 5, 2, 5, 5, 1], shuffle=False, batch_size=2, one_length=True)
    assert rows_of(found) == [[1, 3], [4], [0, 2], [5]] and len(found) == 4


def rows_of(found: BatchOrder) -> list[list[int]]:
    return [[row for row, _ in batch] for batch in found]


# ------------------------------------------------------------------------------------------- order


@given(
    st.lists(st.integers(1, 50), max_size=80),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.integers(1, 7),
    st.integers(1, 3),
    st.integers(0, 5),
)
def test_every_row_once_whatever_the_order(
    lengths: list[int],
    shuffle: bool,
    by_length: bool,
    drop_last: bool,
    batch_size: int,
    world: int,
    start: int,
) -> None:
    options: dict[str, Any] = {"shuffle": shuffle, "batch_size": batch_size, "seed": 3}
    options["drop_last"] = drop_last
    n, known = len(lengths), lengths if by_length else None
    parts = [rows_of(order(n, known, rank=r, world=world, **options)) for r in range(world)]
    assert len({len(part) for part in parts}) == 1
    together = [[row for part in step for row in part] for step in zip(*parts, strict=True)]
    one = rows_of(order(n, known, **{**options, "batch_size": batch_size * world}))
    # The processes together have the very batches that one alone would have.
    assert [set(batch) for batch in together] == [set(batch) for batch in one]
    assert all(len({len(part) for part in step}) == 1 for step in zip(*parts, strict=True))
    seen = [row for batch in one for row in batch]
    assert len(seen) == len(set(seen)) == n - (n % (batch_size * world) if drop_last else 0)
    later = order(n, known, start=start, **{**options, "batch_size": batch_size * world})
    assert rows_of(later) == one[start:] and len(later) == max(len(one) - start, 0)


def test_another_order_each_epoch_and_seed() -> None:
    changes: list[dict[str, Any]] = [{}, {"epoch": 1}, {"seed": 1}, {"epoch": 2}]
    found = [rows_of(order(50, **g)) for g in changes]
    assert len({str(one) for one in found}) == 4
    assert rows_of(order(50)) == found[0]
    assert rows_of(order(50, shuffle=False)) == rows_of(order(50, shuffle=False, epoch=7))


def test_going_on_to_another_epoch_begins_at_its_start() -> None:
    one = order(50, start=3)
    one.set_epoch(0)
    assert len(one) == 10 and {epoch for batch in one for _, epoch in batch} == {0}
    one.sampler.set_epoch(1)  # as Lightning does
    assert rows_of(one) == rows_of(order(50, epoch=1)) and len(one) == 13


def test_longest_first_without_shuffling() -> None:
    lengths = [3, 9, 1, 7, 7, 2]
    assert rows_of(order(6, lengths, shuffle=False, batch_size=2)) == [[1, 3], [4, 0], [5, 2]]
    assert rows_of(order(6, None, shuffle=False, batch_size=4)) == [[0, 1, 2, 3], [4, 5]]


def test_batches_stay_random() -> None:
    """Any two rows of equal length meet in some epoch, and long batches do not come first."""
    lengths = [1 + i % 20 for i in range(400)]
    met = set[int]()
    first: list[int] = []
    for epoch in range(200):
        found = rows_of(order(400, lengths, epoch=epoch, batch_size=8))
        met |= {row for batch in found if 0 in batch for row in batch}
        first.append(max(lengths[row] for row in found[0]))
    assert met >= set(range(0, 400, 20))
    assert 8 < np.mean(first) < 14


@pytest.mark.parametrize(("count", "least", "most"), [(1000, 0.05, 0.12), (8, 1, 1)])
def test_rows_meet_others_in_the_next_epoch(count: int, least: float, most: float) -> None:
    """Few of the pairs of an epoch are one in the next, unless all rows are one batch."""
    lengths = [1 + i % 20 for i in range(count)]
    pairs = [
        {pair for batch in rows_of(made) for pair in itertools.combinations(sorted(batch), 2)}
        for made in (order(count, lengths, epoch=epoch, batch_size=32) for epoch in (0, 1))
    ]
    assert least <= len(pairs[0] & pairs[1]) / len(pairs[0]) <= most


# ------------------------------------------------------------------------------------------- texts


def padding(loader: DataLoader[dict[str, torch.Tensor]]) -> float:
    masks = [batch["attention_mask"] for batch in loader]
    return 1 - sum(int(m.sum()) for m in masks) / sum(m.numel() for m in masks)


def test_little_of_a_batch_is_padding(topics: Data, letters: TextEncoder) -> None:
    rows = topics.splits["train"]
    assert padding(batches(rows, letters, batch_size=32, shuffle=True)) < 0.09
    assert padding(batches(rows, letters, batch_size=32, shuffle=True, by_length=False)) > 0.4
    assert padding(batches(rows, letters, batch_size=32, shuffle=False)) < 0.015


def test_a_batch_of_texts_holds_their_tokens_and_labels(topics: Data, letters: TextEncoder) -> None:
    rows = topics.splits["test"]
    assert rows.labels is not None
    for batch in batches(rows, letters, batch_size=50, shuffle=True, num_workers=2):
        assert list(batch) == ["input_ids", "attention_mask", "labels", "rows"]
        at = batch["rows"].numpy()
        assert batch["labels"].tolist() == rows.labels[at].tolist()
        ids = letters.encode([str(rows[i]) for i in at])
        pairs = zip(batch["input_ids"], batch["attention_mask"], strict=True)
        assert [tokens[mask == 1].tolist() for tokens, mask in pairs] == ids


def test_rows_without_labels(tmp_path: Path, letters: TextEncoder) -> None:
    (tmp_path / "a.csv").write_text("text\nto\nhello\n")
    task = Task(kind="text-embedding")
    rows = open_data(tmp_path / "a.csv", task=task, label_column=False).splits["all"]
    (batch,) = batches(rows, letters, batch_size=4, shuffle=False)
    assert list(batch) == ["input_ids", "attention_mask", "rows"]
    assert batch["rows"].tolist() == [1, 0]


# ------------------------------------------------------------------------------------------- images

GREY = ImageInput(channels=1, resize=28, crop=28, mean=[0.286], std=[0.353])


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_workers_change_nothing(context: str, clothes: Data) -> None:
    encoder = ImageEncoder(GREY, train=True)
    rows = clothes.splits["test"].select(range(0, 500, 5))
    options: dict[str, Any] = {"batch_size": 16, "shuffle": True, "seed": 4, "epoch": 2, "start": 1}
    alone = list(batches(rows, encoder, **options))
    workers = 2 if context == "fork" else 1  # one that is spawned takes seconds
    loader = batches(rows, encoder, num_workers=workers, context=context, **options)
    for a, b in zip(alone, loader, strict=True):
        assert a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
    assert len(alone) == 6
    assert loader.batch_sampler is not None
    loader.batch_sampler.set_epoch(3)  # pyright: ignore[reportAttributeAccessIssue]
    options |= {"epoch": 3, "start": 0}
    for a, b in zip(batches(rows, encoder, **options), loader, strict=True):
        assert torch.equal(a["x"], b["x"])


def test_images_without_variation_are_those_of_the_rows(clothes: Data) -> None:
    rows = clothes.splits["validation"]
    encoder = ImageEncoder(GREY)
    (batch,) = batches(rows, encoder, batch_size=200, shuffle=True, seed=1)
    assert batch["x"].shape == (200, 1, 28, 28)
    for place, row in enumerate(batch["rows"][:20].tolist()):
        data = rows[row]
        assert isinstance(data, bytes) and torch.equal(batch["x"][place], encoder.encode(data))
    assert abs(float(batch["x"].mean())) < 0.05 and 0.9 < float(batch["x"].std()) < 1.1


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_changes_after_it_was_checked(workers: int, tmp_path: Path) -> None:
    from PIL import Image

    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        Image.new("L", (8, 8)).save(tmp_path / name / "a.png")
    task = Task(kind="image-classification")
    rows = open_data(tmp_path, task=task, validation_fraction=0).splits["train"]
    (tmp_path / "dog" / "a.png").write_text("none")
    loader = batches(rows, ImageEncoder(GREY), batch_size=2, shuffle=False, num_workers=workers)
    with pytest.raises(archspec.DataError) as caught:
        list(loader)
    message = "row 2 of train is not what was checked: unreadable image: not PNG"
    assert caught.value.message.startswith(message)


# ------------------------------------------------------------------------------------------- calls


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"batch_size": 0}, "batch_size is 1 or more, not 0"),
        ({"start": -1}, "start is 0 or more, not -1"),
        ({"rank": 2, "world": 2}, "rank 2 is none of 2 processes"),
    ],
)
def test_numbers_out_of_range(given: dict[str, int], message: str, clothes: Data) -> None:
    options: dict[str, Any] = {"batch_size": 4, "shuffle": True, **given}
    with pytest.raises(archspec.UsageError) as caught:
        batches(clothes.splits["test"], ImageEncoder(GREY), **options)
    assert (caught.value.code, caught.value.message) == ("E801", message)


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=200), st.floats(0.01, 0.9), st.integers(0, 9)
)
def test_a_cut_takes_each_class_alike(labels: list[int], share: float, seed: int) -> None:
    found = np.array(labels)
    kept, gone = stratified_split(found, share, seed)
    assert sorted([*kept.tolist(), *gone.tolist()]) == list(range(len(labels)))
    for name in set(labels):
        n, taken = labels.count(name), int((found[gone] == name).sum())
        assert taken == min(max(round(n * share), 1), n - 1)
