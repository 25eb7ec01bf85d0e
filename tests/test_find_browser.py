"""Which browser the tests of the page use, and what is told where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import find_browser
from tools.find_browser import NoBrowser, find, find_or_install


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH of one empty folder, on a machine where nothing was downloaded."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("ARCHSPEC_BROWSER", raising=False)
    monkeypatch.setattr(find_browser, "LOCK", tmp_path / "lock")
    monkeypatch.setattr(find_browser, "downloaded", lambda: None)
    return tmp_path


def program(path: Path) -> str:
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


def test_the_one_that_is_named_comes_first(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find() is None
    chrome = program(path / "google-chrome")
    assert find() == chrome
    chromium = program(path / "chromium")
    assert find() == chromium
    monkeypatch.setenv("ARCHSPEC_BROWSER", program(path / "mine"))
    assert find() == str(path / "mine")
    monkeypatch.setenv("ARCHSPEC_BROWSER", "nowhere")
    with pytest.raises(NoBrowser, match="ARCHSPEC_BROWSER names no program that can be run"):
        find()


@pytest.mark.parametrize("works", ["install_by_apt", "download"])
def test_one_is_installed_where_there_is_none(
    works: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def install(name: str) -> None:
        tried.append(name)
        if name == works:
            program(path / "chromium")

    for name in ("install_by_apt", "download"):
        monkeypatch.setattr(find_browser, name, lambda name=name: install(name))
    assert find_or_install() == str(path / "chromium")
    assert tried[-1] == works


def test_what_to_install_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find_browser, "run", lambda *command: False)
    with pytest.raises(NoBrowser, match="install chromium or google-chrome"):
        find_or_install()
