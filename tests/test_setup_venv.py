"""When the Makefile's set-up of .venv holds, and when it has to be made again."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parent.parent / "tools" / "setup_venv.py"


class Commands:
    """Stands in for ``subprocess``: makes a venv that is a shell, and only pretends to install."""

    DEVNULL = subprocess.DEVNULL

    def __init__(self) -> None:
        self.installs = 0
        self.compiled = 0
        self.status = 0

    def run(self, command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        if command[1:3] == ["-m", "venv"]:
            make_venv(Path(command[3]))
        elif command[1:4] == ["-m", "pip", "install"]:
            self.installs += 1
            return subprocess.CompletedProcess(command, self.status)
        else:
            options.pop("stderr")
            return subprocess.run(command, capture_output=True, text=True)
        return subprocess.CompletedProcess(command, 0)

    def Popen(self, command: list[str], **options: object) -> subprocess.Popen[bytes]:
        assert command[1:3] == ["-m", "compileall"] and Path(command[-1]).name == "lib"
        self.compiled += 1
        return subprocess.Popen(["true"])


def make_venv(venv: Path) -> None:
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "pip").write_text(f"#!{venv}/bin/python\n")
    python(venv, f'exec "{sys.executable}" "$@"')


def python(venv: Path, script: str) -> None:
    (venv / "bin" / "python").write_text(f"#!/bin/sh\n{script}\n")
    (venv / "bin" / "python").chmod(0o755)


@pytest.fixture
def commands() -> Commands:
    return Commands()


@pytest.fixture
def setup(commands: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, in a checkout of its own."""
    script = tmp_path / "tools" / SCRIPT.name
    script.parent.mkdir()
    script.write_bytes(SCRIPT.read_bytes())
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    (tmp_path / "constraints.txt").write_text("torch==2.13.0\n")
    spec = importlib.util.spec_from_file_location("setup_venv", script)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "subprocess", commands)
    return module


@pytest.fixture
def installs(setup: ModuleType, commands: Commands) -> Callable[[str], bool]:
    def check(wanted: str) -> bool:
        before = commands.installs
        setup.main(wanted)
        return commands.installs > before

    return check


def test_a_set_up_is_done_once(installs: Callable[[str], bool]) -> None:
    assert installs("demo")
    assert not installs("demo")
    assert installs("dev")
    assert not installs("dev")
    assert not installs("demo"), "what serves development serves the demo"


def test_what_is_installed_is_compiled(setup: ModuleType, commands: Commands) -> None:
    for _ in range(2):
        setup.main("demo")
        assert commands.compiled == 1
    commands.status = 1
    with pytest.raises(SystemExit):
        setup.main("dev")
    assert commands.compiled == 1


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_a_change_of_what_it_depends_on_calls_for_another(
    name: str, setup: ModuleType, installs: Callable[[str], bool]
) -> None:
    assert installs("dev")
    with (setup.ROOT / name).open("a") as file:
        file.write("# more\n")
    assert installs("dev")
    assert not installs("dev")


def cut_short(setup: ModuleType) -> None:
    setup.STAMP.write_text(setup.UNDER_WAY)


def moved(setup: ModuleType) -> None:
    (setup.VENV / "bin" / "pip").write_text(f"#!/elsewhere{setup.VENV}/bin/python\n")


def without_python(setup: ModuleType) -> None:
    setup.PYTHON.unlink()


def with_an_old_python(setup: ModuleType) -> None:
    python(setup.VENV, "exit 1")


@pytest.mark.parametrize("harm", [cut_short, moved, without_python, with_an_old_python])
def test_a_venv_that_cannot_serve_is_made_again(
    harm: Callable[[ModuleType], None], setup: ModuleType, installs: Callable[[str], bool]
) -> None:
    assert installs("dev")
    (setup.VENV / "left over").touch()
    harm(setup)
    assert installs("dev")
    assert not (setup.VENV / "left over").exists()
    assert not installs("dev")


def test_somebody_elses_venv_is_kept(setup: ModuleType, installs: Callable[[str], bool]) -> None:
    make_venv(setup.VENV)
    (setup.VENV / "theirs").touch()
    assert installs("dev")
    assert (setup.VENV / "theirs").exists()


@pytest.mark.parametrize(("status", "stamp"), [(1, ""), (-9, "under way")])
def test_a_set_up_that_fails_or_is_killed_claims_no_success(
    status: int,
    stamp: str,
    setup: ModuleType,
    commands: Commands,
    installs: Callable[[str], bool],
) -> None:
    assert installs("demo")
    commands.status = status
    with pytest.raises(SystemExit, match=r"set-up failed: .*pip install"):
        setup.main("dev")
    assert setup.read_stamp() == stamp
    commands.status = 0
    assert installs("demo")
