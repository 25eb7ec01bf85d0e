"""What docs/weights.md shows, run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

import archspec
from archspec.cli import main
from archspec.weights import to_foreign

PAGE = (Path(__file__).parents[2] / "docs" / "weights.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return found


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    spec = archspec.load("resnet18")
    layout = spec.architecture.checkpoints["torchvision"]
    state = archspec.build(spec, device="cpu").state_dict()
    torch.save({to_foreign(name, layout): t for name, t in state.items()}, "resnet18.pth")


def test_the_python_block() -> None:
    exec(compile(block("python"), "weights.md", "exec"), {})
    assert Path("mine.safetensors").is_file() and Path("theirs", "model.safetensors").is_file()


def test_the_report() -> None:
    command = block("sh").splitlines()[0].removeprefix("archspec ")
    result = CliRunner().invoke(main, command.split())
    assert (result.exit_code, result.stdout) == (0, block("text"))


def test_the_other_commands_are_understood() -> None:
    for command in block("sh").splitlines()[1:]:
        result = CliRunner().invoke(main, command.removeprefix("archspec ").split())
        assert result.exit_code in (0, 1), result.output
