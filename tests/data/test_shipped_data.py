"""The data in examples/: opened with no option, every figure as it should be."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import archspec
from archspec.data import Columns
from archspec.lang.schema import Task

EXAMPLES = Path(__file__).parents[2] / "examples"
TOPICS = ("animal", "artifact", "body", "food", "location", "person", "plant", "substance")
CLOTHES = (
    "t-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag",
    "ankle boot",
)  # fmt: skip
FINGERPRINTS = {
    "wordnet-topics": "b602d25cd435c7117505a714a1ed99ab04d72e67f8e4e9d25f0be4fab8055b7b",
    "fashion-mnist": "4505a727f90d953016e6c8d69f32e10c44b0cddb26e8926633b1d3b3b23859f4",
}


def test_wordnet_topics(text_task: Task) -> None:
    data = archspec.open_data(EXAMPLES / "wordnet-topics", task=text_task)
    assert data.labels == TOPICS
    assert data.columns == Columns(text="text", label="label")
    assert data.counts == {
        "train": dict.fromkeys(TOPICS, 675)
        | {"body": 673, "location": 674, "person": 673, "substance": 674},
        "validation": dict.fromkeys(TOPICS, 75),
        "test": dict.fromkeys(TOPICS, 150) | {"person": 147},
    }
    rows = data.splits["test"]
    assert rows[0] == "a monosaccharide sugar having six carbon atoms and an aldehyde group"
    assert rows.labels is not None
    assert [TOPICS[i] for i in rows.labels[:4]] == ["substance", "plant", "food", "plant"]
    assert rows.numbers.tolist() == list(range(1, 1198))
    assert (data.bad, data.unused) == ((), ())
    assert data.fingerprint == FINGERPRINTS["wordnet-topics"]


def test_fashion_mnist(image_task: Task) -> None:
    data = archspec.open_data(EXAMPLES / "fashion-mnist", task=image_task)
    assert data.labels == CLOTHES
    assert data.columns == Columns(image="image", label="label")
    assert data.counts == {
        "train": dict.fromkeys(CLOTHES, 180),
        "validation": dict.fromkeys(CLOTHES, 20),
        "test": dict.fromkeys(CLOTHES, 50),
    }
    rows = data.splits["train"]
    first = [rows[i] for i in range(2)]
    digests = [hashlib.sha256(one).hexdigest()[:16] for one in first if isinstance(one, bytes)]
    assert digests == ["5a4451d4e08f6f86", "4fd499ba28116ab4"]
    assert rows.labels is not None and rows.labels[:5].tolist() == [9, 6, 6, 9, 8]
    assert rows.numbers[:5].tolist() == [1, 2, 3, 4, 5]
    assert data.fingerprint == FINGERPRINTS["fashion-mnist"]


def test_the_fingerprint_is_that_of_another_process_and_folder(tmp_path: Path) -> None:
    for name in ("train.csv", "test.csv"):
        (tmp_path / name).write_bytes((EXAMPLES / "wordnet-topics" / name).read_bytes())
    code = """
import sys, archspec
task = archspec.load("bert").architecture.task
print(archspec.open_data(sys.argv[1], task=task).fingerprint)
"""
    command = [sys.executable, "-c", code, tmp_path]
    env = {**os.environ, "PYTHONHASHSEED": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    assert done.stdout == f"{FINGERPRINTS['wordnet-topics']}\n"
    assert done.stderr == ""


@pytest.mark.parametrize("name", FINGERPRINTS)
def test_source_licence_and_columns_are_told(name: str) -> None:
    folder = EXAMPLES / name
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert "[LICENSE](LICENSE)" in text and "`label`" in text
    assert (folder / "LICENSE").stat().st_size > 1_000


def test_the_page() -> None:
    """The table that docs/data.md shows, of all rows; and its fragments of specs."""
    page = (EXAMPLES.parent / "docs" / "data.md").read_text(encoding="utf-8")
    task = archspec.load("bert").architecture.task
    (shown, *_) = re.findall(r"^```\n(class .*?)^```", page, re.MULTILINE | re.DOTALL)
    assert f"{archspec.open_data(EXAMPLES / 'wordnet-topics', task=task)}\n" == shown
    head = "archspec: 1\nmodel: M\nblocks: {M: {modules: {a: {type: ReLU}}, inputs: {x: [2]}}}\n"
    specs = re.findall(r"^```yaml\n(task:.*?)^```", page, re.MULTILINE | re.DOTALL)
    tasks = [archspec.loads(head + text).architecture.task for text in specs]
    assert [task and task.kind for task in tasks] == ["text-classification", "image-classification"]


def test_wordnet_terms() -> None:
    data = archspec.open_data(EXAMPLES / "wordnet-terms", task=Task(kind="text-embedding"))
    assert data.columns == Columns(text="term", text_pair="definition")
    assert {name: len(rows) for name, rows in data.splits.items()} == {
        "train": 5400, "validation": 600, "test": 1000,
    }  # fmt: skip
    assert data.notes == ("term, definition are read as pairs of texts",) and not data.bad
    assert data.splits["train"][0] == ("flotilla", "a fleet of small craft")
