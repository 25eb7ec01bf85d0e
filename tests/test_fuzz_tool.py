"""The fuzzer: mutants differ and are the same again; what is wrong is found and made short."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from archspec.errors import BuildError, Problem
from archspec.lang.spec import loads
from tools.fuzz import judging
from tools.fuzz.__main__ import HEAD, Fuzzer
from tools.fuzz.corpus import ROOT, Origin, origins, tree_of
from tools.fuzz.judging import Finding, judge
from tools.fuzz.minimising import minimised
from tools.fuzz.mutation import CHANGES, dump, mutant
from tools.fuzz.worker import Worker

SPEC = """archspec: 1
model: Net
params: {size: 4, other: 5}
blocks:
  Net:
    inputs: {x: [batch, $size]}
    modules: {fc: {type: Linear, in_features: $size, out_features: 2}, act: {type: ReLU}}
    forward: [{y: fc(x)}, {return: act(y)}]
freeze: {all: ["**"]}
"""


@pytest.fixture(scope="module", autouse=True)
def _warm() -> None:
    judging.warm_up()


def test_mutants_differ_and_the_same_seed_gives_the_same() -> None:
    pool = origins()
    assert {"specs/text/bert.yaml", "tests/lang/mistakes/values.yaml"} <= {o.name for o in pool}
    texts = [mutant(pool[n % len(pool)], pool, random.Random(n)) for n in range(60)]
    assert texts == [mutant(pool[n % len(pool)], pool, random.Random(n)) for n in range(60)]
    assert len(set(texts)) > 55
    changed = [text for n, text in enumerate(texts) if tree_of(text) != pool[n % len(pool)].data]
    assert len(changed) > 45


def test_every_change_changes_something_somewhere() -> None:
    pool = origins()
    origin = next(one for one in pool if one.name == "tests/inputs/features.yaml")
    for change in dict.fromkeys(CHANGES):
        made: set[str] = set()
        for seed in range(6):
            data: Any = tree_of(origin.text)
            change(data, pool, random.Random(seed))
            made.add(dump(data))
        assert made - {dump(origin.data)}, change.__name__


def test_a_spec_that_is_right_goes_through_everything() -> None:
    seen: list[str] = []
    assert judge(SPEC, loads(SPEC), seen.append) == (None, "diff")
    assert seen == ["load", "to_python", "build", "fill", "inspect", "draw", "diff"]
    assert judge(SPEC.replace("Linear", "Linea")) == (None, "")


def test_mutants_are_read_or_refused_with_places(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = origins()
    monkeypatch.setattr(judging, "STEPS", {"to_python": judging.STEPS["to_python"]})
    for origin in pool:
        if not any(f"/{part}/" in origin.name for part in ("mistakes", "fuzz", "cases")):
            assert judge(origin.text) == (None, "to_python"), origin.name
    texts = [mutant(pool[n % len(pool)], pool, random.Random(n)) for n in range(200)]
    found = [str(finding) for finding, _ in map(judge, texts) if finding is not None]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ZeroDivisionError("planted"), "ZeroDivisionError"),
        (BuildError(Problem("E503", "planted")), "E503"),
        (BuildError(Problem("E512", "planted")), "E512 without a place"),
    ],
)
def test_a_planted_fault_is_found_and_made_short(
    error: Exception, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def inspect(spec: Any, _: Any) -> None:
        if "ReLU" in str(spec.architecture):
            raise error

    monkeypatch.setitem(judging.STEPS, "inspect", inspect)
    finding, last = judge(SPEC)
    assert finding is not None and finding == Finding(kind, "inspect", "")
    assert (finding.message, last) == ("planted", "fill")
    short = minimised(SPEC, lambda text: judge(text)[0] == finding)
    assert tree_of(short) == {
        "archspec": 1,
        "model": "Net",
        "blocks": {"Net": {"modules": {"act": {"type": "ReLU"}}}},
    }


def test_a_text_that_is_no_yaml_is_made_short_by_lines() -> None:
    text = SPEC.replace("archspec: 1", "archspec: 1\nbad: [")
    assert tree_of(text) is None
    assert minimised(text, lambda new: "bad: [" in new and "fc(x)" in new).split("\n") == [
        "bad: [",
        "    forward: [{y: fc(x)}, {return: act(y)}]",
    ]


def test_what_takes_too_long_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "SECONDS", 0.2)

    def forever(spec: Any, _: Any) -> None:
        while True:
            pass

    monkeypatch.setitem(judging.STEPS, "draw", forever)
    finding, last = judge(SPEC)
    assert finding == Finding("slow", "draw", "")
    assert last == "inspect"


def test_a_worker_survives_and_its_finding_is_a_file(tmp_path: Path) -> None:
    class Planted(Worker):
        """Finds something in every text that names a GELU."""

        def judge(self, text: str, origin: str = "") -> tuple[Finding | None, str]:
            finding = Finding("Planted", "load", "here", "why") if "GELU" in text else None
            return finding, "" if finding else "diff"

    fuzzer = Fuzzer(1, tmp_path, Planted())
    for number in range(40):
        fuzzer.try_one(number)
    (path,) = fuzzer.found.values()
    head, _, text = path.read_text("utf-8").partition(HEAD)
    assert len(list(tmp_path.iterdir())) == 1 and "GELU" in text and len(text) < 200
    assert f"--repeat {path}" in head and "of seed 1, of " in head


def test_a_child_that_dies_is_a_finding_and_the_next_text_has_a_new_one() -> None:
    worker = Worker()
    try:
        worker.start().kill()
        finding, _ = worker.judge("archspec: 1\n")
        assert finding is not None and finding.kind == "killed"
        bert = Origin.read(ROOT / "specs/text/bert-mlm.yaml").text
        assert worker.judge(SPEC, bert) == (None, "diff")
    finally:
        worker.close()
