"""The files that a dialog offers: those of the page's folder, and nothing outside it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from archspec.errors import UsageError
from archspec_app import folder_entries as module
from archspec_app.folder_entries import folder_entries

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    for name in (
        "data/train.csv", "data/test.csv", "data/deep/a.txt", "model/model.safetensors",
        "runs/one/checkpoints/best.safetensors", "pictures/cat/1.png", "pictures/dog/1.png",
        "plain.csv", "notes.pdf", "vocab.txt", ".git/config", "node_modules/x.csv",
        f"{HOSTILE}.csv", "weights.pt",
    ):  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("12345")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key.csv").write_text("x")
    (folder / "out").symlink_to(tmp_path / "secret")
    (folder / "out.csv").symlink_to(tmp_path / "secret" / "key.csv")
    (folder / "inner").symlink_to(folder / "data")
    os.mkfifo(folder / "pipe")
    return Path(os.path.realpath(folder))


def rows(folder: Path, name: str, purpose: str, search: str = "") -> list[str]:
    """Entries in a word each: ``/`` for folders, ``!`` for those that suit, ``x`` for refused."""
    found = folder_entries(folder, name, purpose, search)
    marks = {"is_folder": "/", "suits": "!", "problem": "x"}
    return [
        one["name"] + "".join(mark for key, mark in marks.items() if one[key])
        for one in found["entries"]
    ]


def test_what_is_listed(folder: Path) -> None:
    assert rows(folder, "", "data") == [
        "data/!", "inner/!", "model/", "pictures/", f"{HOSTILE}.csv!", "plain.csv!", "notes.pdf",
        "vocab.txt", "weights.pt", "outx", "out.csvx", "pipex",
    ]  # fmt: skip
    assert rows(folder, "", "weights")[:5] == ["data/", "inner/", "model/!", "pictures/", "runs/"]
    assert rows(folder, "runs", "weights") == ["one/!"]
    assert rows(folder, "", "tokenizer", "VOC") == ["vocab.txt!"]
    assert rows(folder, "inner", "data") == ["deep/", "test.csv!", "train.csv!"]
    found = folder_entries(folder, "", "data")
    about = {one["name"]: one["about"] or one["bytes"] for one in found["entries"]}
    assert about["data"] == "1 folder, 2 tables" and about["pictures"] == "2 folders"
    assert about["model"] == "weights" and about["plain.csv"] == 5
    assert folder_entries(folder, "runs", "weights")["entries"][0]["about"] == "run, 1 folder"
    assert found["can_be_chosen"] is False and found["omitted"] == 0
    assert folder_entries(folder, "data", "data")["can_be_chosen"] is True
    assert folder_entries(folder, "data", "tokenizer")["can_be_chosen"] is False
    assert str(folder.parent) not in str(found)


def test_what_is_refused(folder: Path) -> None:
    names = (
        "..", "../secret", "/", "/etc", str(folder.parent), "out", "data/../..", ".git", "data/.x",
        "gone", "plain.csv", "a\0b", "a\\b", "\ud800", "x" * 5_000,
    )  # fmt: skip
    for name in names:
        with pytest.raises(UsageError) as caught:
            folder_entries(folder, name, "data")
        assert caught.value.code == "E801" and str(folder) not in str(caught.value), name
    with pytest.raises(UsageError):
        folder_entries(folder, "", "spec")


def test_large_folders_have_limits(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = folder / "many"
    many.mkdir()
    for number in range(30):
        (many / f"{number:02}.csv").write_text("x")
    monkeypatch.setattr(module, "MAX_SHOWN", 10)
    found = folder_entries(folder, "many", "data")
    assert len(found["entries"]) == 10 and found["omitted"] == 20 and not found["is_cut"]
    assert rows(folder, "many", "data", "29") == ["29.csv!"]
    monkeypatch.setattr(module, "MAX_ENTRIES", 15)
    assert folder_entries(folder, "many", "data")["is_cut"]
    monkeypatch.setattr(module, "MAX_COUNTED", 7)
    monkeypatch.setattr(module, "MAX_ENTRIES", 100)
    found = folder_entries(folder, "", "data", "many")
    assert found["entries"][0]["about"] == "7+ tables"
