"""Entities as the CoNLL shared tasks count them, answers, and the scores that follow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from archspec.data.windows import AnswerWindows
from archspec.tasks import find
from archspec.tasks.entities import TagScheme

CASES = [  # tags, and the entities as conlleval and seqeval find them
    ("B-A I-A O B-A", [("A", 0, 2), ("A", 3, 4)]),
    ("I-A I-A B-A I-B", [("A", 0, 2), ("A", 2, 3), ("B", 3, 4)]),  # IOB1, and another type
    ("O I-A O", [("A", 1, 2)]),
    ("B-A E-A S-A B-A I-A E-A I-A", [("A", 0, 2), ("A", 2, 3), ("A", 3, 6), ("A", 6, 7)]),
    ("B-A L-A U-B O", [("A", 0, 2), ("B", 2, 3)]),
    ("B I O B B", [("entity", 0, 2), ("entity", 3, 4), ("entity", 4, 5)]),
    ("PER PER O LOC PER", [("PER", 0, 2), ("LOC", 3, 4), ("PER", 4, 5)]),
    ("B_A I_A O", [("A", 0, 2)]),
    ("NOUN VERB NOUN", []),
    ("O O", []),
]


def test_entities() -> None:
    for text, entities in CASES:
        tags = text.split()
        assert [*map(tuple, TagScheme(tags).entities(tags))] == entities, text


def test_scores_of_tags() -> None:
    labels = ["B-A", "B-B", "I-A", "O"]
    objective = find("token-classification")(labels)
    truth = torch.tensor([[-100, 0, 2, 3, 1, -100], [-100, 3, 3, -100, -100, -100]])
    chosen = torch.tensor([[3, 0, 2, 3, 0, 3], [0, 3, 1, 0, 0, 0]])
    logits = 9 * torch.nn.functional.one_hot(chosen, 4).float()
    metrics = objective.metrics(torch.device("cpu"))
    metrics.add(logits, {"labels": truth}, 2)
    metrics.add(logits, {"labels": truth}, 1)  # the second row only fills the batch up
    scores = metrics.scores()
    # Entities: A and A in the first row, of which one is right, and B, which is not; then one B.
    assert scores.figures["entity_f1"] == pytest.approx(2 * 2 / (5 + 4))
    assert scores.figures["accuracy"] == pytest.approx(7 / 10) and scores.count == 10
    assert scores.details["entities"]["A"] == {
        "precision": 0.5, "recall": 1.0, "f1": pytest.approx(2 / 3), "support": 2,
    }  # fmt: skip
    assert scores.details["labels"]["O"]["recall"] == pytest.approx(3 / 4)
    plain = find("token-classification")(["NOUN", "VERB"])
    assert plain.monitors == ("accuracy", "macro_f1", "loss")
    assert objective.monitors[0] == "entity_f1"


def test_scores_of_answers() -> None:
    places = [None, (0, 1), (2, 5), (6, 10), None]
    spans = np.empty(2, dtype=object)
    spans[:] = [np.array([[2, 10], [6, 10]]), np.array([[0, 5]])]
    windows = AnswerWindows(
        [0, 0, 1], [places, places[:3], places], ["a big cat", "a big cats"], spans
    )
    objective: Any = find("question-answering")(())
    metrics = objective.metrics(torch.device("cpu"), windows)
    start, end = torch.zeros(3, 5), torch.zeros(3, 5)
    start[0, 2] = end[0, 3] = 2.0  # "big cat"
    start[1, 2], end[1, 1] = 9.5, 9.0  # ends before it begins
    end[2, 0] = 50.0  # is no token of the context
    start[2, 2] = end[2, 3] = 1.0
    labels = torch.tensor([[2, 3], [0, 0], [1, 2]])
    batch = {"labels": labels, "rows": torch.arange(3)}
    metrics.add((start, end), batch, 3)
    scores = metrics.scores()
    # "big" of the second window scores 9.5 and wins: the answers are "big cat" and "cat".
    assert {row: text for row, (_, text) in metrics.best.items()} == {0: "big", 1: "big cats"}
    assert scores.figures["exact_match"] == 0.0 and scores.count == 2
    assert scores.figures["f1"] == pytest.approx((2 / 3 + 2 / 3) / 2, abs=1e-6)
    expected = torch.nn.functional.cross_entropy(start, labels[:, 0])
    expected = (expected + torch.nn.functional.cross_entropy(end, labels[:, 1])) / 2
    assert scores.loss == pytest.approx(float(expected))
