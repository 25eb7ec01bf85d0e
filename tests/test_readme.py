"""Everything in the README and the docs that is code, run."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import save_file

import archspec
from archspec.lang.inherit import packaged_names

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the README's spec, which is also the working folder."""
    for text in blocks(README, "yaml"):
        name = re.match(r"# (\S+\.yaml)\n", text)
        assert name, "a spec in the README begins with a comment that names its file"
        (tmp_path / name[1]).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


GUIDES = {
    name: (ROOT / "docs" / name).read_text("utf-8")
    for name in ("diff.md", "draw.md", "freeze.md", "inspect.md")
}
COMMANDS = [
    shlex.split(line, comments=True)
    for text in (README, *GUIDES.values())
    for block in blocks(text, "sh")
    for line in block.splitlines()
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_works(command: list[str], folder: Path) -> None:
    if command[0] == "make":
        assert command[1] in TARGETS  # run by hand and by CI: a test does not set up its own venv
        return
    assert command[0] == "archspec"
    if "tiny.safetensors" in command:
        save_file(archspec.build("tiny.yaml", device="cpu").state_dict(), "tiny.safetensors")
    run = subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr
    assert not run.stderr
    if "-o" in command:
        assert (folder / command[command.index("-o") + 1]).stat().st_size > 0
    else:
        assert run.stdout


@pytest.mark.parametrize(("name", "text"), {"README.md": README, **GUIDES}.items())
def test_every_python_block_runs(name: str, text: str, folder: Path) -> None:
    assert blocks(text, "python")
    for block in blocks(text, "python"):
        exec(compile(block, name, "exec"), {})


def test_the_errors_are_those_that_the_mistakes_give(folder: Path) -> None:
    spec = (folder / "tiny.yaml").read_text(encoding="utf-8")
    misspelt, misfit = blocks(README, "text")
    (folder / "tiny.yaml").write_text(
        spec.replace("up: {type: Linear, in_features", "up: {type: Linear, in_feature")
    )
    with pytest.raises(archspec.SpecError) as caught:
        archspec.load("tiny.yaml")
    assert f"{caught.value}\n" == misspelt
    (folder / "tiny.yaml").write_text(
        spec.replace("in_features: $4 * hidden_size", "in_features: $2 * hidden_size")
    )
    with pytest.raises(archspec.ShapeError) as caught:
        archspec.build("tiny.yaml", device="meta")
    assert f"{caught.value}\n" == misfit


def test_the_table_of_packaged_specs_is_true() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \| .* \| ([\d,]+) \|$", README, re.MULTILINE)
    assert sorted(name for name, _ in rows) == packaged_names()
    for name, count in rows:
        model = archspec.build(name, device="meta")
        assert sum(p.numel() for p in model.parameters()) == int(count.replace(",", "")), name


def test_the_demo_finds_the_pairs_that_mean_the_same() -> None:
    run = subprocess.run(
        [sys.executable, ROOT / "examples" / "demo.py"], capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stderr
    assert "resnet18: 11,689,512 parameters" in run.stdout
    assert "bert: 109,483,778 parameters" in run.stdout
    same = run.stdout.partition("Sentences that mean the same")[2]
    assert re.findall(r"^  0\.\d\d  (\w+ \w+ \w+)", same, re.MULTILINE) == [
        "How do I", "The stock market", "A man is",
    ]  # fmt: skip
    assert "cat sleeps" not in same


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for text, at in ((README, ROOT), (page.read_text(encoding="utf-8"), page.parent)):
        for link in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (at / link).exists(), link
