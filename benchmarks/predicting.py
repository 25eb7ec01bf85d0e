"""Predicting: a file of texts against ``pipeline``, a batch of images against the plain model."""

from __future__ import annotations

import csv
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset
from transformers import AutoTokenizer, BertForSequenceClassification, pipeline

import archspec
from archspec.predicting import Predictor
from archspec.predicting.batching import Prepared
from benchmarks.pairs import Pair
from benchmarks.references import minilm, torchvision, with_weights_of

TEXTS, MOST_JOINED, LENGTH, BATCH = 256, 16, 256, 32
TOPICS = Path(__file__).parent.parent / "examples" / "wordnet-topics" / "test.csv"


def pairs() -> Iterator[Pair]:
    folder = minilm()
    if folder is not None:
        yield from _texts(folder)
    yield from _images()


# -------------------------------------------------------------------------------------------- texts


def _texts(minilm: Path) -> Iterator[Pair]:
    """Ours reads a file and writes one; theirs has its texts, and leaves its results, in memory."""
    torch.manual_seed(0)
    model: Any = BertForSequenceClassification.from_pretrained(minilm, num_labels=8).eval()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model.save_pretrained(folder)
        tokenizer = AutoTokenizer.from_pretrained(minilm)
        tokenizer.save_pretrained(folder)
        texts = _mixed()
        with open(folder / "texts.csv", "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([["text"], *([text] for text in texts)])
        spec = archspec.load("bert", config=folder / "config.json", num_labels=8)
        predictor = Predictor(
            spec, weights=folder, device="cpu", batch_size=BATCH, max_length=LENGTH
        )
        pipe: Any = pipeline(
            "text-classification", model=model, tokenizer=tokenizer, device="cpu", top_k=None
        )

        def ours() -> object:
            return predictor.file(folder / "texts.csv", folder / "out.jsonl", overwrite=True)

        def theirs() -> list[Any]:
            settings = {"batch_size": BATCH, "truncation": True, "max_length": LENGTH}
            return list(pipe(_Texts(texts), **settings))

        _check_texts(predictor, texts, theirs())
        title = f"MiniLM, {TEXTS} texts of mixed length, pipeline"
        yield Pair(title, ours, theirs, target=1 / 2)


def _mixed() -> list[str]:
    """Definitions, from 1 to 16 of them joined: short texts are frequent, long ones are not."""
    chance = random.Random(0)
    with open(TOPICS, encoding="utf-8", newline="") as file:
        definitions = [row["text"] for row in csv.DictReader(file)]
    counts = [round(MOST_JOINED ** chance.random()) for _ in range(TEXTS)]
    return ["; ".join(chance.sample(definitions, count)) for count in counts]


class _Texts(Dataset[str]):
    def __init__(self, texts: list[str]) -> None:
        self.texts = texts

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, i: int) -> str:
        return self.texts[i]


def _check_texts(predictor: Predictor, texts: list[str], theirs: list[Any]) -> None:
    for one, found in zip(predictor(texts), theirs, strict=True):
        given = {row["label"].removeprefix("LABEL_"): row["score"] for row in found}
        for label, probability in one.probabilities.items():
            assert abs(given[label] - probability) < 1e-5, (given, one)


# ------------------------------------------------------------------------------------------- images


def _images() -> Iterator[Pair]:
    torch.manual_seed(0)
    batch = torch.randn(BATCH, 3, 224, 224)
    theirs = _used(torchvision("resnet18"), batch)
    model = with_weights_of(theirs, "resnet18")
    prepared = Prepared(BATCH, [(np.arange(BATCH), {"x": batch})])

    def plain() -> np.ndarray:
        with torch.inference_mode():
            return theirs(batch).softmax(1).numpy()

    expected = plain()
    name = f"resnet18, batch {BATCH}, 224×224"
    for title, bf16, target in (
        (f"{name}, as it is", False, None),
        (f"{name}, optimize, fp32", False, None),
        (f"{name}, optimize", True, 1 / 1.3),
    ):
        predictor = Predictor(model, batch_size=BATCH, optimize="optimize" in title)
        with patch("archspec.predicting.optimization.has_bf16", lambda device, bf16=bf16: bf16):
            found = predictor.engine.scores(prepared)
        most = float(np.abs(found - expected).max())
        assert most <= 0.01 and np.isfinite(found).all(), most
        print(f"  {title}: differs by {most:.1g}; {'; '.join(predictor.optimizations)}")
        yield Pair(title, lambda one=predictor: one.engine.scores(prepared), plain, target)


def _used(model: nn.Module, batch: torch.Tensor) -> nn.Module:
    """With statistics in BatchNorm that are not those of a new one."""
    with torch.no_grad():
        for i in range(3):
            model.train()(batch[:8] * (1 + i))
    return model.eval()
