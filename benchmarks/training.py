"""Fine-tuning BERT on labelled texts, from the second epoch, against ``transformers.Trainer``.

Both start from the same weights and see the same token ids in batches of the same size, with the
same plan, AdamW, warm-up, clipping and dropout as each library has it by default:

- ours is ``archspec.train`` as a user calls it, its run folder included. What is frozen in front is
  computed before the first epoch, and that is not in these times.
- theirs is ``Trainer`` with ``requires_grad`` off for what the plan freezes, and without
  evaluation, logging, saving and progress.

Every text has 64 tokens: nothing is gained by batches of similar length. Where lengths are mixed,
half of the texts have less than 20 tokens and a few 64, and both sides pad a batch to its longest.
The sides run in two threads of one process and take turns, an epoch each. A time is that of an
epoch's steps: ours as in ``metrics.jsonl``, theirs between ``on_epoch_begin`` and ``on_epoch_end``.
"""

from __future__ import annotations

import csv
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from torch.nn.utils.rnn import pad_sequence
from transformers.trainer_callback import TrainerCallback

import archspec
from archspec.data import TextEncoder
from benchmarks.pairs import Result
from benchmarks.references import bert

BATCH, LENGTH, WORDS = 32, 64, 30_000
RATE, DECAY, CLIP = 2e-4, 0.01, 1.0


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
    result, plan = Result(case.name, case.target), case.plan
    with tempfile.TemporaryDirectory() as place:
        folder, turns = Path(place), Turns()
        rows = _write(folder, case)
        theirs = _Theirs(folder, rows, plan, runs + 1, turns)
        thread = threading.Thread(target=theirs.run)
        thread.start()
        try:
            ours = _ours(folder, plan, runs + 1, turns)
        finally:
            turns.leave("ours")
            thread.join()
    if theirs.error is not None:
        raise theirs.error
    result.ours.extend(ours[1:])
    result.theirs.extend(theirs.seconds[1:])
    return result


class Turns:
    """Two sides of which one runs, while the other waits."""

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._left = set[str]()
        self._now = "ours"

    def swap(self, side: str) -> None:
        """Let the other side run until it does the same, or is done."""
        with self._change:
            self._now = _other(side)
            self._change.notify_all()
            self._change.wait_for(lambda: self._now == side or _other(side) in self._left)

    def wait(self, side: str) -> None:
        with self._change:
            self._change.wait_for(lambda: self._now == side or _other(side) in self._left)

    def leave(self, side: str) -> None:
        with self._change:
            self._left.add(side)
            self._change.notify_all()


def _other(side: str) -> str:
    return "theirs" if side == "ours" else "ours"


# -------------------------------------------------------------------------------------------- data


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


# --------------------------------------------------------------------------------------- the sides


def _ours(folder: Path, plan: str | None, epochs: int, turns: Turns) -> list[float]:
    run = archspec.train(
        "bert", folder / "data.csv", freeze=plan, weights=folder / "weights",
        tokenizer=folder / "vocab.txt", output_dir=folder / "runs", epochs=epochs,
        batch_size=BATCH, max_length=LENGTH, learning_rate=RATE, weight_decay=DECAY,
        max_grad_norm=CLIP, validation_fraction=0, device="cpu", progress=False,
        callbacks=[_InTurn(turns)],
    )  # fmt: skip
    return [float(line["seconds"]) for line in run.epochs]


class _InTurn(archspec.TrainCallback):
    """Lets the other side run between two epochs, when nothing of ours is going on."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns

    def on_epoch_end(self, state: archspec.TrainState) -> None:
        self.turns.swap("ours")


class _Theirs(TrainerCallback):
    def __init__(
        self,
        folder: Path,
        rows: list[dict[str, Any]],
        plan: str | None,
        epochs: int,
        turns: Turns,
    ) -> None:
        self.folder, self.rows, self.plan = folder, rows, plan
        self.epochs, self.turns = epochs, turns
        self.seconds: list[float] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        self.turns.wait("theirs")
        try:
            self._trainer().train()
        except BaseException as error:
            self.error = error
        finally:
            self.turns.leave("theirs")

    def _trainer(self) -> transformers.Trainer:
        given: Any = {
            "output_dir": str(self.folder / "theirs"),
            "per_device_train_batch_size": BATCH,
            "num_train_epochs": self.epochs,
            "learning_rate": RATE,
            "weight_decay": DECAY,
            "max_grad_norm": CLIP,
            "warmup_steps": 0.1,
            "lr_scheduler_type": "linear",
            "logging_strategy": "no",
            "save_strategy": "no",
            "eval_strategy": "no",
            "report_to": [],
            "disable_tqdm": True,
            "use_cpu": True,
        }
        rows: Any = self.rows
        return transformers.Trainer(
            self._model(),
            transformers.TrainingArguments(**given),
            data_collator=_padded,
            train_dataset=rows,
            callbacks=[self],
        )

    def _model(self) -> Any:
        model = transformers.BertForSequenceClassification.from_pretrained(
            self.folder / "weights", attn_implementation="sdpa", local_files_only=True
        )
        names = {name for name, _ in model.named_parameters()}
        if self.plan is not None:
            twin = archspec.build("bert", device="meta", freeze=self.plan)
            trained = {name for name, one in twin.named_parameters() if one.requires_grad}
            assert trained < names
            for name, one in model.named_parameters():
                one.requires_grad_(name in trained)
        return model

    def on_epoch_begin(self, *given: Any, **named: Any) -> None:
        self.began = time.perf_counter()

    def on_epoch_end(self, *given: Any, **named: Any) -> None:
        self.seconds.append(time.perf_counter() - self.began)
        self.turns.swap("theirs")
