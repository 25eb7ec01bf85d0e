"""Names on the hub: only ``owner/name`` is one, and every answer comes at once."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import huggingface_hub
import pytest
from datasets import config
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

from archspec.data import open_data
from archspec.errors import DataError
from archspec.lang.schema import Task

TASK = Task(kind="text-classification")
ROWS = {"text": ["well made", "fell apart"] * 10, "label": ["good", "bad"] * 10}


def refused(source: str) -> DataError:
    with pytest.raises(DataError) as caught:
        open_data(source, task=TASK)
    assert caught.value.code == "E901"
    return caught.value


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None]]:
    """What the hub was asked for; it has everything."""
    found: list[tuple[str, str | None]] = []

    def load_dataset(name: str, subset: str | None) -> datasets.DatasetDict:
        found.append((name, subset))
        return datasets.DatasetDict({"train": datasets.Dataset.from_dict(ROWS)})

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return found


def test_only_a_name_with_an_owner_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, asked: list[tuple[str, str | None]]
) -> None:
    data = open_data("owner/reviews:small", task=TASK)
    assert data.counts["train"] == {"bad": 9, "good": 9}
    assert asked == [("owner/reviews", "small")]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.csv").write_text("text,label\na,b\n")
    names = ["missing.csv", "a/b/c", "../x", "https://example.org/a", "reviews", "csv:small"]
    for name in [*names, "csv", "json", "parquet", "pandas", "text", "arrow", "imagefolder"]:
        assert refused(name).message == f"{Path(name)}: no such file or folder"
    (tmp_path / "reviews").mkdir()
    assert "no data in this folder" in refused("reviews").message
    assert len(asked) == 1


def test_offline_a_name_is_not_found() -> None:
    assert refused("nobody/nothing").message.startswith("nobody/nothing: cannot be read from the")


def answer(kind: type[Any]) -> Exception:
    return kind("told", response=SimpleNamespace(headers={}, request=None))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (answer(RepositoryNotFoundError), "no such data set on the hub"),
        (answer(GatedRepoError), "its owners ask for a sign-in"),
        (ConnectionError("no route"), "the hub could not be reached: no route"),
        (TimeoutError("slow"), "the hub could not be reached: slow"),
    ],
)
def test_why_a_name_cannot_be_used(
    error: Exception,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    asked: list[tuple[str, str | None]],
) -> None:
    limits: list[float] = []

    def dataset_info(self: object, name: str, *, timeout: float) -> None:
        limits.append(timeout)
        logging.getLogger("huggingface_hub").warning("trying again")
        raise error

    monkeypatch.setattr(config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", dataset_info)
    assert refused("owner/name").message == f"owner/name: {message}"
    assert (asked, limits, caplog.text) == ([], [5.0], "")
