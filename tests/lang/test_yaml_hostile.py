"""Texts made to take all time or memory: refused, or read, within bounds for both."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple, TypeAlias

import pytest

from tests.tables import every

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")

Results: TypeAlias = tuple[dict[str, tuple[str, float]], int]


class Hostile(NamedTuple):
    """``before``, then ``unit`` so many times; what it is to give within so many CPU seconds."""

    before: str
    unit: str
    times: int
    code: str
    seconds: float = 1.0


LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [{','.join([f'*{a}'] * 10)}]\n"
    for a, b in zip("abcdefghi", "bcdefghij", strict=True)
)
HOSTILE = {
    "billion laughs": Hostile(LAUGHS, "", 0, "E104"),
    "quadratic": Hostile("a: &a [" + "x," * 5000 + "]\nb:\n", "- *a\n", 100_000, "E104"),
    "alias chain": Hostile("a: &a [x]\n", "b: &b [*a]\nc: &a [*b]\n", 40_000, "E104"),
    "flow lists": Hostile("", "[", 1_000_000, "E105"),
    "flow mappings": Hostile("", "{", 1_000_000, "E105"),
    "flow keys": Hostile("", "{? ", 300_000, "E105"),
    "pairs": Hostile("", "[a: ", 240_000, "E105"),
    "block lists": Hostile("", "- ", 500_000, "E105"),
    "block keys": Hostile("", "? ", 500_000, "E105"),
    "block mappings": Hostile("".join(" " * n + "a:\n" for n in range(1400)), "", 0, "E105"),
    "larger": Hostile("", "a", 10_000_000, "E105"),
    "digits": Hostile("a: ", "1", 100_000, "E105"),
    "digits of a float": Hostile("a: .", "1", 900_000, ""),
    "digits of a version": Hostile("%YAML 1.", "1", 900_000, "E101"),
    "lines of text": Hostile("a:\n", " x\n", 330_000, "", 5),
    "one quote": Hostile("a: '", "x\n ", 330_000, "E101", 5),
    "many quotes": Hostile("", "'a' ", 240_000, "E101", 5),
    "empty lines": Hostile("a: |\n", "\n", 990_000, "", 5),
    "comments": Hostile("", "#\n", 490_000, "E107", 5),
    "tabs": Hostile("a:", "\t", 990_000, "E101", 5),
    "tags": Hostile("", "- !a\n", 190_000, "E103", 15),
    "unknown aliases": Hostile("", "- *a\n", 190_000, "E101", 15),
    "long tag": Hostile("a: !", "a", 990_000, "E103", 5),
    "brackets behind a tag": Hostile("a: !", "]", 990_000, "E103", 5),
    "values": Hostile("a: [", "x,", 490_000, "E105", 15),
    "nests": Hostile("a: [\n", "[" * 60 + "]" * 60 + ",\n", 8_000, "E105", 20),
    "control characters": Hostile("", "\0", 1_000_000, "E101"),
}
CHILD = """
import json, sys, time
from archspec.errors import SpecError
from archspec.lang.yaml import parse, reading
from tests.pace import slowness

def tried(text):
    before, start = slowness(), time.process_time()
    try:
        codes = [problem.code for problem in parse(text)[1]]
    except SpecError as error:
        codes = [problem.code for problem in error.problems]
    seconds = time.process_time() - start
    return codes[-1] if codes else "", seconds / max(before, slowness())

parsers, results = [reading._FAST, None], {}
for name, (before, unit, times, code, _) in json.load(sys.stdin).items():
    # Where there is a problem, the parser in Python has its turn even if there is libyaml.
    tries = [tried(before + unit * times) for reading._FAST in parsers[: 1 if code else 2]]
    results[name] = [tries[0][0], max(seconds for _, seconds in tries)]
# Unlike ru_maxrss, VmHWM does not begin at the size of the parent process.
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps([results, int(status["VmHWM"].split()[0]) * 1024]))
"""


@pytest.fixture(scope="module")
def hostile_results() -> Results:
    """Last code and CPU seconds of each text, and the peak memory of them all."""
    child = subprocess.run(
        [sys.executable, "-c", CHILD],
        input=json.dumps(HOSTILE),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert child.returncode == 0, child.stderr[-2000:]
    results, peak = json.loads(child.stdout)
    return results, peak


@every("name", HOSTILE)
def test_hostile_texts(name: str, hostile_results: Results) -> None:
    code, seconds = hostile_results[0][name]
    assert code == HOSTILE[name].code
    assert seconds < HOSTILE[name].seconds


def test_hostile_texts_stay_small(hostile_results: Results) -> None:
    assert hostile_results[1] < 200 * 2**20
