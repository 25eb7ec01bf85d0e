"""What errors look like, and the wording that they share."""

from __future__ import annotations

import json
import pickle

import pytest

import archspec
from archspec.errors import (
    CODES,
    MAX_PROBLEMS,
    ArchspecError,
    BuildError,
    Findings,
    FreezeError,
    Note,
    Place,
    Problem,
    ShapeError,
    SpecError,
    TooManyProblems,
    UsageError,
    WeightsError,
    did_you_mean,
    listing,
)

# ----------------------------------------------------------------------------------- the excerpt


def place(source: str, column: int, end: int, line: int = 3) -> Place:
    return Place("a.yaml", line, column, end, source)


def rendered(source: str, column: int, end: int, hint: str = "") -> list[str]:
    """The source line and the carets of a problem in ``source``."""
    return str(Problem("E201", "m", place(source, column, end), hint)).splitlines()[1:]


def marked(source: str, column: int, end: int) -> str:
    """What of the shown line stands above the carets."""
    line, carets = rendered(source, column, end)
    start = carets.index("^")
    return line[start : start + carets.count("^")]


def test_one_problem() -> None:
    problem = Problem("E203", "no argument 'b'", place("a: {b: 1}", 5, 6), "did you mean 'c'?")
    assert str(problem) == (
        "a.yaml:3:5: error[E203]: no argument 'b'\n"
        "    3 | a: {b: 1}\n"
        "      |     ^ did you mean 'c'?"
    )


def test_without_a_place_the_hint_has_its_own_line() -> None:
    assert str(Problem("E108", "no such", hint="try bert")) == "error[E108]: no such\n  try bert"
    assert str(Problem("E108", "no such")) == "error[E108]: no such"


def test_notes_with_and_without_a_place() -> None:
    notes = (Note("the first one", place("a: 1", 1, 2, 2)), Note("shapes: x [2]"))
    assert str(Problem("E102", "twice", place("a: 2", 1, 2), notes=notes)).splitlines()[3:] == [
        "  a.yaml:2:1: the first one",
        "    2 | a: 1",
        "      | ^",
        "  shapes: x [2]",
    ]


def test_carets_at_and_beyond_the_end_of_the_line() -> None:
    assert rendered("ab", 3, 4) == ["    3 | ab", "      |   ^"]
    assert rendered("ab", 2, 9) == ["    3 | ab", "      |  ^"]
    assert rendered("", 1, 1) == ["    3 | ", "      | ^"]


@pytest.mark.parametrize("column", [1, 79, 80, 81, 82, 150, 500, 920, 999])
def test_a_long_line_is_a_window_around_the_place(column: int) -> None:
    source = "".join(chr(ord("a") + i % 26) for i in range(1_000))
    line, carets = rendered(source, column, column + 2)
    assert len(line) <= 8 + 160
    assert marked(source, column, column + 2) == source[column - 1 : column + 1]
    assert carets.count("^") == min(2, 1_001 - column)


def test_a_stretch_longer_than_the_window_ends_with_it() -> None:
    assert len(marked("x" * 1_000, 500, 900)) == 80


def test_a_tab_is_one_column() -> None:
    assert rendered("\ta\tb", 4, 5) == ["    3 |  a b", "      |    ^"]


@pytest.mark.parametrize(
    "c", ["\x1b", "\x07", "\r", "\x85", "\u202e", "\u2066", "\u200b", "\u2028"]
)
def test_what_could_rewrite_a_terminal_is_replaced(c: str) -> None:
    assert rendered(f"a{c}b: 1", 3, 4) == ["    3 | a\ufffdb: 1", "      |   ^"]
    at = Place(f"x{c}.yaml", 1, 1, 2, "")
    problem = Problem("E201", f"m{c}", at, f"h{c}", (Note(f"n{c}", at), Note(f"o{c}")))
    assert c not in str(problem)
    assert str(problem).count("\ufffd") == 6
    assert "\ufffd" in str(Problem("E201", "m", hint=f"h{c}"))


def test_a_line_break_in_a_name_cannot_fake_a_second_error() -> None:
    fake = "unknown key 'a\nspec.yaml:1:1: error[E101]: fake'"
    problem = Problem("E201", fake, place("a", 1, 2), "b\nc", (Note("d\ne"),))
    assert len(str(problem).splitlines()) == 4


def test_letters_of_all_scripts_stay() -> None:
    assert rendered("größe: 日本", 8, 10) == ["    3 | größe: 日本", "      |        ^^"]


# ------------------------------------------------------------------------------ errors as a whole


def test_an_error_is_its_first_problem_and_all_of_them() -> None:
    first = Problem("E201", "one", place("a", 1, 2), "h")
    error = SpecError(iter([first, Problem("E302", "two")]))
    assert (error.code, error.message, error.hint) == ("E201", "one", "h")
    assert error.place == first.place
    assert str(error) == f"{first}\n\nerror[E302]: two"
    assert str(UsageError(Problem("E801", "m"))) == "error[E801]: m"


def test_only_so_many_problems_are_told_and_the_last_says_so() -> None:
    many = [Problem("E201", str(i)) for i in range(MAX_PROBLEMS + 1)]
    assert len(SpecError(many[:-1]).problems) == MAX_PROBLEMS
    assert not SpecError(many[:-1]).problems[-1].notes
    error = SpecError(many)
    assert len(error.problems) == MAX_PROBLEMS
    assert str(error).endswith(f"there are more problems: these are the first {MAX_PROBLEMS}")


def test_an_error_can_be_sent_to_another_process() -> None:
    error = SpecError([Problem("E201", "m", place("a", 1, 2), "h", (Note("n"),))])
    assert pickle.loads(pickle.dumps(error)).problems == error.problems


def test_the_tree_of_errors() -> None:
    for kind in (UsageError, SpecError, BuildError, WeightsError, FreezeError):
        assert kind.__bases__ == (ArchspecError,)
        assert getattr(archspec, kind.__name__) is kind
    assert ShapeError.__bases__ == (BuildError,)
    assert all(title and title[-1] not in ".!" for title in CODES.values())
    assert list(CODES) == sorted(CODES)


def test_a_problem_as_plain_data() -> None:
    notes = (Note("n", place("b", 1, 2, 9)), Note("o"))
    data = Problem("E201", "m\u202e", place("a", 4, 5), "h", notes).to_dict()
    assert json.loads(json.dumps(data)) == {
        "code": "E201", "message": "m\u202e", "hint": "h",
        "file": "a.yaml", "line": 3, "column": 4,
        "notes": [
            {"message": "n", "file": "a.yaml", "line": 9, "column": 1},
            {"message": "o", "file": None, "line": None, "column": None},
        ],
    }  # fmt: skip
    assert Problem("E201", "m").to_dict()["file"] is None


def test_findings_keep_each_problem_once_in_the_order_of_places() -> None:
    late, early = place("b", 1, 2, 7), place("a", 2, 3, 7)
    findings = Findings()
    findings.add(Problem("E201", "m", early), Problem("E201", "m", late, "first hint"))
    findings.add(Problem("E201", "m", late, "second hint"), Problem("E301", "m"))
    assert len(findings) == 3
    assert [(p.code, p.place, p.hint) for p in findings.in_order()] == [
        ("E301", None, ""), ("E201", late, "first hint"), ("E201", early, ""),
    ]  # fmt: skip


def test_findings_know_what_is_broken_by_its_path() -> None:
    findings = Findings()
    assert not findings.is_broken(("params", "width"))
    findings.broken.add(("params", "width"))
    assert findings.is_broken(("params", "width"))
    assert findings.is_broken(("params", "width", "default"))
    assert not findings.is_broken(("params",)) and findings.is_broken_below(("params",))
    assert not findings.is_broken(("blocks", "width"))


def test_findings_end_when_nobody_would_read_on() -> None:
    findings = Findings()
    findings.add(*(Problem("E201", str(i)) for i in range(MAX_PROBLEMS)))
    with pytest.raises(TooManyProblems):
        findings.add(Problem("E201", "one more"))


# ---------------------------------------------------------------------------------------- wording


@pytest.mark.parametrize(
    ("name", "known", "near"),
    [
        ("in_feature", ["out_features", "in_features"], "in_features"),
        ("inFeatures", ["in_features", "bias"], "in_features"),
        ("ReLu", ["ReLU", "ReLU6"], "ReLU"),
        ("linear", ["Linear"], "Linear"),
        ("head_only", ["none", "head-only"], "head-only"),
        ("zzz", ["in_features"], ""),
        ("x", [], ""),
        ("", ["x"], ""),
    ],
)
def test_did_you_mean(name: str, known: list[str], near: str) -> None:
    assert did_you_mean(name, known) == (f"did you mean '{near}'?" if near else "")


def test_did_you_mean_is_not_slowed_down_by_long_or_many_names() -> None:
    assert did_you_mean("a" * 61, ["a" * 61, "a" * 60]) == ""
    assert did_you_mean("a" * 60, ["a" * 61]) == ""
    assert did_you_mean("hidden", (f"n{i}" for i in range(10**9))) == ""
    assert did_you_mean("abcd", ["abce"] * 20 + ["abcd_"]) == "did you mean 'abcd_' or 'abce'?"


def test_listing() -> None:
    names = list("abcdefghi")
    assert listing([]) == ""
    assert listing(names[:8]) == "a, b, c, d, e, f, g, h"
    assert listing(names) == "a, b, c, d, e, f, g, h, … (1 more)"
    assert listing(names[:3], 2, " → ") == "a → b → … (1 more)"
