"""Fine-tuning BERT on labelled texts, from the second epoch, against ``transformers.Trainer``.

Both start from the same weights and see the same token ids in batches of the same size, with the
same plan:

- ours is ``archspec.train`` as a user calls it, its run folder included. What is frozen in front is
  computed before the first epoch, and that is not in these times.
- theirs is ``Trainer`` with ``requires_grad`` off for what the plan freezes.

Every text has 64 tokens: nothing is gained by batches of similar length. Where lengths are mixed,
half of the texts have less than 20 tokens and a few 64, and both sides pad a batch to its longest.
For the times see ``benchmarks.epochs``.
"""

from __future__ import annotations

import csv
import random
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn
from torch.nn.utils.rnn import pad_sequence

import archspec
from archspec.data import TextEncoder
from benchmarks.epochs import BATCH, OPTIONS, Epochs, measured, train_with_trainer
from benchmarks.pairs import Result
from benchmarks.references import bert

LENGTH, WORDS = 64, 30_000


@dataclass(frozen=True, slots=True)
class Case:
    """What is trained: a plan, batches of an epoch, the ratio aimed for, and lengths."""

    plan: str | None
    batches: int
    target: float
    is_mixed: bool = False

    @property
    def name(self) -> str:
        plan = self.plan or "nothing frozen"
        length = f"6–{LENGTH}" if self.is_mixed else str(LENGTH)
        return f"BERT fine-tuned, {plan}, {self.batches}×{BATCH}×{length}"


CASES = [
    Case("last-2-and-head", 4, 1 / 2.5),
    Case("head-only", 4, 1 / 20),
    Case(None, 2, 1.0),
    Case(None, 6, 0.8, is_mixed=True),
]


def results() -> Iterator[Callable[[int], Result]]:
    for case in CASES:
        yield partial(_measured, case)


def _measured(case: Case, runs: int) -> Result:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        rows = _write(folder, case)

        def ours(epochs: int, callback: archspec.TrainCallback) -> archspec.Run:
            return archspec.train(
                "bert", folder / "data.csv", freeze=case.plan, weights=folder / "weights",
                tokenizer=folder / "vocab.txt", output_dir=folder / "runs", epochs=epochs,
                max_length=LENGTH, callbacks=[callback], **OPTIONS,
            )  # fmt: skip

        def theirs(epochs: Epochs) -> None:
            train_with_trainer(epochs, folder / "theirs", _their_model(folder, case), rows, _padded)

        return measured(Result(case.name, case.target), ours, theirs, runs)


def _write(folder: Path, case: Case) -> list[dict[str, Any]]:
    """A vocabulary, labelled texts and weights for us; the same as token ids for them."""
    chance, count = random.Random(0), case.batches * BATCH
    words = [f"w{i}" for i in range(WORDS)]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    (folder / "vocab.txt").write_text("\n".join([*special, *words]) + "\n", encoding="utf-8")
    lengths = [LENGTH] * count
    if case.is_mixed:
        lengths = [min(LENGTH, max(6, round(chance.lognormvariate(3, 0.6)))) for _ in lengths]
    texts = [" ".join(chance.choices(words, k=length - 2)) for length in lengths]
    labels = [i % 2 for i in range(count)]
    with open(folder / "data.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *zip(texts, labels, strict=True)])
    torch.manual_seed(0)
    bert().save_pretrained(folder / "weights")  # type: ignore[operator]
    ids = TextEncoder(folder / "vocab.txt", LENGTH).encode(texts)
    assert [len(one) for one in ids] == lengths
    return [
        {"input_ids": one, "attention_mask": [1] * len(one), "labels": label}
        for one, label in zip(ids, labels, strict=True)
    ]


def _padded(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """A batch for ``Trainer``, as long as its longest text."""
    columns = {
        name: pad_sequence([torch.tensor(row[name]) for row in rows], batch_first=True)
        for name in ("input_ids", "attention_mask")
    }
    return {**columns, "labels": torch.tensor([row["labels"] for row in rows])}


def _their_model(folder: Path, case: Case) -> nn.Module:
    model = transformers.BertForSequenceClassification.from_pretrained(
        folder / "weights", attn_implementation="sdpa", local_files_only=True
    )
    names = {name for name, _ in model.named_parameters()}
    if case.plan is not None:
        twin = archspec.build("bert", device="meta", freeze=case.plan)
        trained = {name for name, one in twin.named_parameters() if one.requires_grad}
        assert trained < names
        for name, one in model.named_parameters():
            one.requires_grad_(name in trained)
    return model
