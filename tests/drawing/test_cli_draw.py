"""``archspec draw``: output, files, exit status, options that do not go together."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import archspec
from archspec.cli import main, terminal


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["draw", *arguments])


def test_svg_is_what_comes_out() -> None:
    result = run("resnet18", "--block", "BasicBlock", "--batch", "2")
    assert result.exit_code == 0 and result.stderr == ""
    assert result.stdout == archspec.draw("resnet18", block="BasicBlock", batch=2).svg()


def test_dot() -> None:
    result = run(
        "bert", "--to", "dot", "--freeze", "head-only", "--dim", "seq=7", "-p", "num_labels=5"
    )
    spec = archspec.load("bert", num_labels=5)
    assert result.stdout == archspec.draw(spec, freeze="head-only", seq=7).dot


def test_json_is_what_the_function_returns() -> None:
    result = run("bert", "--block", "BertLayer", "--json", "--freeze", "all")
    assert (
        json.loads(result.stdout)
        == archspec.draw("bert", block="BertLayer", freeze="all").to_dict()
    )


@pytest.mark.parametrize(
    ("given", "freeze"),
    [
        (["@BatchNorm2d"], ["@BatchNorm2d"]),
        (["**", "!fc"], ["**", "!fc"]),
        (["head-only"], "head-only"),
        (["fc"], ["fc"]),
    ],
)
def test_plans_and_patterns(given: list[str], freeze: str | list[str], tmp_path: Path) -> None:
    words = [word for text in given for word in ("--freeze", text)]
    expected = archspec.draw("resnet18", freeze=freeze)
    assert json.loads(run("resnet18", "--json", *words).stdout) == expected.to_dict()
    run("resnet18", "--all", "--to", "dot", "-o", str(tmp_path), *words)
    found = archspec.draw_all("resnet18", freeze=freeze)
    assert (tmp_path / "BasicBlock.dot").read_text() == found["BasicBlock"].dot


@pytest.mark.parametrize(
    ("name", "to", "start"),
    [
        ("a.svg", "", b"<svg "),
        ("a.png", "", b"\x89PNG"),
        ("a.dot", "", b"digraph {"),
        ("a", "", b"<svg "),
        ("a.svg", "png", b"\x89PNG"),
        ("-", "dot", b"digraph {"),
    ],
)
def test_files(
    name: str, to: str, start: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("resnet18", "--block", "BasicBlock", "-o", name, *(["--to", to] if to else []))
    assert result.exit_code == 0, result.output
    data = result.stdout_bytes if name == "-" else Path(name).read_bytes()
    assert data.startswith(start)


def test_a_bitmap_goes_into_a_pipe_as_it_is() -> None:
    result = run("resnet18", "--block", "BasicBlock", "--to", "png")
    assert result.stdout_bytes == archspec.draw("resnet18", block="BasicBlock").png()


def test_a_bitmap_does_not_go_to_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "width", lambda: 80)
    result = run("resnet18", "--to", "png")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "write it to a file with -o FILE" in result.stderr


def test_all(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "pictures"
    result = run("bert-model", "--all", "-o", str(folder))
    assert result.exit_code == 0, result.output
    found = archspec.draw_all("bert-model")
    assert {path.name for path in folder.iterdir()} == {f"{name}.svg" for name in found}
    assert (folder / "BertLayer.svg").read_text(encoding="utf-8") == found["BertLayer"].svg()
    assert result.stdout == f"{len(found)} drawings; begin with {folder / 'index.svg'}\n"
    assert 'href="BertEncoder.svg"' in (folder / "BertLayer.svg").read_text(encoding="utf-8")


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run("resnet18", "--all", "-o", str(tmp_path / "file"))
    assert result.exit_code == 1 and "Could not open file" in result.stderr
    result = run("resnet18", "-o", str(tmp_path / "none" / "a.svg"))
    assert result.exit_code == 1 and "Could not open file" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["bert", "--block", "BertLayr"], 2, "did you mean 'BertLayer'?"),
        (["bert", "--all"], 2, "--all takes -o FOLDER"),
        (["bert", "--all", "--block", "BertLayer", "-o", "x"], 2, "--all takes -o FOLDER"),
        (["bert", "--all", "--json", "-o", "x"], 2, "--json goes with neither"),
        (["resnet18", "-o", "x.pdf"], 2, "error[E801]: a drawing cannot be written as 'pdf'"),
        (["resnet18", "--freeze", "nosuch"], 1, "error[E703]"),
        (["resnet18", "--freeze", "nosuch", "--freeze", "fc"], 1, "error[E701]"),
        (["bert", "--json", "--to", "png"], 2, "--json goes with neither"),
        (["bert", "--to", "pdf"], 2, "'pdf' is not one of"),
        (["bert", "--batch", "2", "--dim", "batch=3"], 2, "given twice"),
        (["bert", "--dim", "seq"], 2, "'seq' is not of the form NAME=SIZE"),
        (["bert", "--freeze", "heads-only"], 1, "did you mean 'head-only'?"),
        (["bert", "-p", "num_attention_heads=7"], 1, "error[E510]"),
        (["no-such-spec"], 1, "error[E108]"),
    ],
)
def test_errors(arguments: list[str], status: int, told: str) -> None:
    result = run(*arguments)
    assert result.exit_code == status, result.output
    assert result.stdout == ""
    assert told in result.stderr


def test_the_page_of_draw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs" / "draw.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    exec(compile(code, "draw.md", "exec"), {})
    assert (tmp_path / "attention.svg").is_file()
    (commands,) = re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    for command in commands.splitlines():
        result = run(*shlex.split(command)[2:])
        assert (result.exit_code, result.stderr) == (0, ""), command


def test_errors_as_json() -> None:
    result = run("bert", "--json", "--block", "x")
    assert result.exit_code == 2
    assert json.loads(result.stdout)["error"]["problems"][0]["code"] == "E801"


def test_json_goes_to_the_file(tmp_path: Path) -> None:
    file = tmp_path / "block.json"
    arguments = ["draw", "resnet18", "--block", "BasicBlock", "--json", "-o", str(file)]
    done = CliRunner().invoke(main, arguments)
    assert (done.exit_code, done.output) == (0, "")
    assert json.loads(file.read_text("utf-8"))["block"] == "BasicBlock"
