"""Files that are written completely or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import archspec
from archspec import storage
from archspec.training.run_folder import RunFolder


def test_the_first_error_is_the_one_that_is_told(tmp_path: Path) -> None:
    """On a full disk what is left in the buffer cannot be written either."""
    path = tmp_path / "a.csv"
    path.write_text("before")

    def write() -> None:
        with storage.replacing(path) as file:
            file.write(b"after")
            os.close(file.fileno())  # to flush it is an error from here on
            raise KeyError

    with pytest.raises(KeyError):
        write()
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("a.csv", "before")]


def test_a_file_that_cannot_be_put_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "hashes.json").mkdir()
    with pytest.raises(archspec.RunError) as caught, RunFolder(tmp_path).replacing("a.pt") as place:
        place.write_bytes(b"a")
    assert caught.value.code == "E921"
    assert [one.name for one in tmp_path.iterdir()] == ["hashes.json"]
