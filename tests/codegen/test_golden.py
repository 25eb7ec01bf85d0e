"""The golden fixture itself: were it to let something pass, many tests would hold nothing."""

from __future__ import annotations

from pathlib import Path
from types import FunctionType

import pytest


@pytest.fixture
def folder(
    golden: FunctionType,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> Path:
    monkeypatch.setitem(golden.__globals__, "GOLDEN", tmp_path)
    monkeypatch.setattr(request.config.option, "update_golden", False)
    return tmp_path


def test_the_same_bytes_pass(golden: FunctionType, folder: Path) -> None:
    (folder / "note.txt").write_bytes("á\n".encode())
    golden("note.txt", "á\n")


@pytest.mark.parametrize("text", ["a", "a\r\n", "a \n", "\ufeffa\n"])
def test_other_bytes_fail_and_tell_how_to_update(
    text: str, golden: FunctionType, folder: Path
) -> None:
    (folder / "note.txt").write_bytes(b"a\n")
    with pytest.raises(AssertionError, match=r"tests/golden/note\.txt holds.*--update-golden"):
        golden("note.txt", text)
    assert (folder / "note.txt").read_bytes() == b"a\n"


def test_a_missing_file_fails(golden: FunctionType, folder: Path) -> None:
    with pytest.raises(AssertionError, match=r"tests/golden/note\.txt does not exist"):
        golden("note.txt", "a")


def test_the_flag_rewrites(
    golden: FunctionType,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    monkeypatch.setattr(request.config.option, "update_golden", True)
    golden("new/note.txt", "a\r\n")
    assert (folder / "new" / "note.txt").read_bytes() == b"a\r\n"
