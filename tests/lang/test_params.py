"""Parameters: declarations, types, and defaults that are computed from each other."""

from __future__ import annotations

from typing import Any

import pytest

from archspec import Problem, Spec, SpecError, loads
from archspec.lang.expr.printing import written
from tests.tables import every


def text_of(params: str) -> str:
    """A spec whose parameters stand from line 4 on, two columns in."""
    body = "\n".join(f"  {line}" for line in params.splitlines())
    return f"""archspec: 1
model: M
params:
{body}
blocks:
  M:
    inputs: {{x: [batch, 4]}}
    modules: {{fc: {{type: Linear, in_features: 4, out_features: 4}}}}
"""


def spec_of(params: str, **given: Any) -> Spec:
    return loads(text_of(params), **given)


def problems_of(params: str, **given: Any) -> tuple[Problem, ...]:
    with pytest.raises(SpecError) as caught:
        spec_of(params, **given)
    return caught.value.problems


def problem_of(params: str, **given: Any) -> Problem:
    problems = problems_of(params, **given)
    assert len(problems) == 1, problems
    return problems[0]


def at(problem: Problem) -> str:
    assert problem.place is not None
    return f"{problem.place.line}:{problem.place.column}-{problem.place.end_column}"


# ------------------------------------------------------------------------------------------- types

INFERRED: list[tuple[str, str, Any]] = [
    ("1", "int", 1),
    ("1.5", "float", 1.5),
    ("1e-12", "float", 1e-12),
    ("true", "bool", True),
    ("gelu", "str", "gelu"),
    ("no", "str", "no"),
    ("null", "any", None),
    ("[1, 2]", "list[int]", (1, 2)),
    ("[1, 2.5]", "list[float]", (1.0, 2.5)),
    ("[a, b]", "list[str]", ("a", "b")),
    ("[true, 1]", "list", (True, 1)),
    ("[]", "list", ()),
    ("[[1], [2]]", "list[any]", ((1,), (2,))),
    ("$2 * 3", "int", 6),
    ("$3 / 2", "float", 1.5),
    ("$'a'", "str", "a"),
    ("$[1, 2] + [3]", "list[int]", (1, 2, 3)),
    ("$$b", "str", "$b"),
    ("{default: null, choices: [a, b]}", "str", None),
    ("{type: float, default: 3}", "float", 3.0),
    ("{type: 'list[float]', default: [1]}", "list[float]", (1.0,)),
    ("{type: float, default: $1 + 2}", "float", 3.0),
    ("{type: list, default: [1, a]}", "list", (1, "a")),
    ("{type: float, default: null}", "float", None),
]


@every(("declared", "kind", "value"), INFERRED)
def test_the_type_is_that_of_the_default(declared: str, kind: str, value: Any) -> None:
    found = spec_of(f"a: {declared}").params["a"]
    assert (found.type, repr(found.value)) == (kind, repr(value))


FITS: list[tuple[str, Any, Any]] = [
    ("int", 3, 3),
    ("float", 3, 3.0),
    ("float", 0.5, 0.5),
    ("bool", False, False),
    ("str", "$b", "$b"),
    ("1.5", 2, 2.0),
    ("list[int]", [], ()),
    ("list[int]", (1, 2), (1, 2)),
    ("list[float]", [1, 2.5], (1.0, 2.5)),
    ("{type: 'float | list[float]'}", [1, 2.5], (1.0, 2.5)),
    ("{type: 'float | list[float]'}", 1, 1.0),
    ("{default: 3, min: 1, max: 5}", 1, 1),
    ("{default: 3, min: 1, max: 5}", 5, 5),
    ("{default: [1], min: 1}", [3, 1], (3, 1)),
    ("{default: x, choices: [x, y]}", "y", "y"),
    ("{default: [x], choices: [x, y]}", ["y", "x"], ("y", "x")),
    ("{default: null}", [1, [2]], (1, (2,))),
    ("{type: int, default: null}", None, None),
    ("{type: int, default: null}", 3, 3),
    ("{choices: [1, 2]}", 2, 2),
    ("{default: 0.5, max: 1}", 1, 1.0),
    ("block", "M", "M"),
    ("layer", "Linear", "Linear"),
    ("[a]", [], ()),
    ("[1, 2.5]", [1], (1.0,)),
]


@every(("declared", "given", "value"), FITS)
def test_a_value_that_fits(declared: str, given: Any, value: Any) -> None:
    assert repr(spec_of(f"a: {declared}", a=given).values["a"]) == repr(value)


MISFITS: list[tuple[str, Any, str]] = [
    ("int", True, "takes an integer, not true"),
    ("int", 3.0, "takes an integer, not 3.0"),
    ("int", "3", "takes an integer, not '3'"),
    ("float", True, "takes a number, not true"),
    ("float", "x", "takes a number, not 'x'"),
    ("bool", 1, "takes true or false, not 1"),
    ("str", 3, "takes text, not 3"),
    ("1", 1.5, "takes an integer, not 1.5"),
    ("1", None, "takes an integer, not null"),
    ("1", {"x": 1}, "takes an integer, not a mapping"),
    ("[1, 2]", 3, "takes a list[int], not 3"),
    ("[1, 2]", [1.5], "takes an integer, not 1.5"),
    ("[1, 2]", [True], "takes an integer, not true"),
    ("[1]", [[1]], "takes an integer, not [1]"),
    ("{default: 3, min: 1, max: 5}", 0, "must be at least 1, not 0"),
    ("{default: 3, min: 1, max: 5}", 6, "must be at most 5, not 6"),
    ("{default: 0.5, max: 1}", 1.5, "must be at most 1, not 1.5"),
    ("{default: [1, 2], min: 1}", [1, 0], "must be at least 1, not 0"),
    ("{default: x, choices: [x, y]}", "z", "must be one of 'x', 'y', not 'z'"),
    ("{default: [x], choices: [x, y]}", ["x", "z"], "must be one of 'x', 'y', not 'z'"),
    ("{default: 3, choices: [1, 2, 3]}", 4, "must be one of 1, 2, 3, not 4"),
    ("{default: 3, choices: [1, 2, 3]}", True, "takes an integer, not true"),
]


@every(("declared", "given", "complaint"), MISFITS)
def test_a_value_that_does_not_fit(declared: str, given: Any, complaint: str) -> None:
    problem = problem_of(f"a: {declared}", a=given)
    assert (problem.code, problem.place) == ("E209", None)
    assert problem.message == f"parameter 'a' (a=…): {complaint}"
    [note] = problem.notes
    assert note.message == "declared here" and note.place is not None
    assert (note.place.line, note.place.column) == (4, 3)


def test_long_values_are_shown_in_part() -> None:
    message = problem_of("a: 1", a="x" * 1000).message
    assert message == f"parameter 'a' (a=…): takes an integer, not '{'x' * 59}…"


@pytest.mark.parametrize(
    ("declared", "complaint", "place"),
    [
        ("{default: 7, min: 1, max: 5}", "must be at most 5, not 7", "4:16-17"),
        ("{default: z, choices: [x, y]}", "must be one of 'x', 'y', not 'z'", "4:16-17"),
        ("{type: int, default: $3 / 2}", "takes an integer, not 1.5", "4:27-33"),
        ("{type: int, default: abc}", "takes an integer, not 'abc'", "4:27-30"),
        ("{type: 'list[int]', default: 3}", "takes a list[int], not 3", "4:35-36"),
    ],
)
def test_a_default_that_does_not_fit(declared: str, complaint: str, place: str) -> None:
    problem = problem_of(f"a: {declared}")
    assert (problem.code, at(problem)) == ("E209", place)
    assert problem.message == f"parameter 'a': {complaint}"
    assert problem.notes == ()


@pytest.mark.parametrize("declared", ["int", "list[int]", "{type: float}", "{min: 3}", "block"])
def test_a_required_parameter(declared: str) -> None:
    problem = problem_of(f"a: {declared}")
    assert (problem.code, at(problem)) == ("E210", "4:3-4")
    assert problem.message == "parameter 'a' has no value"
    assert problem.hint == "give one: -p a=…, or a default"


TYPES = "types: int, float, bool, str, block, layer, list[…], int | list[int]"
NULLABLE = "a parameter that may be null is declared with default: null, or with nullable: true"


@pytest.mark.parametrize(
    ("declared", "code", "place", "hint"),
    [
        ("{type: integer, default: 1}", "E209", "4:13-20", "did you mean 'int'?"),
        ("{type: any, default: 1}", "E209", "4:13-16", TYPES),
        ("{type: 'list[list[int]]', default: [1]}", "E209", "4:13-30", TYPES),
        ("{default: 1, hlp: x}", "E201", "4:19-22", "did you mean 'help'?"),
        ("{default: 1, min: x}", "E202", "4:24-25", ""),
        ("{default: 5, choices: []}", "E202", "4:28-30", ""),
        ("{default: a, min: 3}", "E209", "4:24-25", ""),
        ("integer", "E209", "4:6-13", f"{TYPES}; to mean the text: {{default: integer}}"),
        ("list", "E209", "4:6-10", f"{TYPES}; to mean the text: {{default: list}}"),
        ("torch.long", "E209", "4:6-16", f"{TYPES}; to mean the text: {{default: torch.long}}"),
        (
            "list[int] | int",
            "E209",
            "4:6-21",
            f'{TYPES}; to mean the text: {{default: "list[int] | int"}}',
        ),
        ("Optional[int]", "E209", "4:6-19", NULLABLE),
    ],
)
def test_a_wrong_declaration(declared: str, code: str, place: str, hint: str) -> None:
    problem = problem_of(f"a: {declared}")
    assert (problem.code, at(problem), problem.hint) == (code, place, hint)


def test_a_computed_default_has_the_type_of_its_result() -> None:
    declared = "h: 32\na: {default: $4 * h, min: 1}\nb: {default: $h / 64, max: 1}"
    assert spec_of(declared).values == {"h": 32, "a": 128, "b": 0.5}
    problem = problem_of(declared, h=0)
    message = "parameter 'a': must be at least 1, not 0"
    assert (problem.code, at(problem), problem.message) == ("E209", "5:16-22", message)
    problem = problem_of("a: {default: $'x', min: 1}")
    message = "parameter 'a': has a smallest or largest value: it must be a number, not 'x'"
    assert (problem.code, at(problem), problem.message) == ("E209", "4:16-20", message)


@pytest.mark.parametrize("text", ["gelu", "none", "long", "int-8", "{default: integer}"])
def test_texts_that_are_no_types(text: str) -> None:
    assert isinstance(spec_of(f"a: {text}").values["a"], str)


@pytest.mark.parametrize(
    ("params", "given", "message", "hint"),
    [
        ("a: {type: block, default: N}", {}, "no block is called 'N'", "did you mean 'M'?"),
        (
            "a: {type: layer, default: Linaer}",
            {},
            "no layer is called 'Linaer'",
            "did you mean 'Linear'?",
        ),
        ("a: block", {"a": "Linear"}, "no block is called 'Linear' (a=…)", "blocks: M"),
        ("a: layer", {"a": "relu"}, "no layer is called 'relu' (a=…)", "did you mean 'ReLU'?"),
    ],
)
def test_a_class_that_does_not_exist(
    params: str, given: dict[str, Any], message: str, hint: str
) -> None:
    problem = problem_of(params, **given)
    assert (problem.code, problem.message) == ("E206", message)
    assert problem.hint == hint or params.startswith("a: {type: block")  # one letter is far off
    assert (problem.place is None) == bool(given)


# ------------------------------------------------------------------------------- computed defaults


def test_defaults_are_computed_in_whatever_order_they_need() -> None:
    spec = spec_of("a: $b * 2\nb: $c + 1\nc: 3\nd: '$[a, b, c]'")
    assert spec.values == {"a": 8, "b": 4, "c": 3, "d": (8, 4, 3)}
    assert list(spec.values) == ["a", "b", "c", "d"]  # as declared
    assert {name: found.type for name, found in spec.params.items()} == {
        "a": "int",
        "b": "int",
        "c": "int",
        "d": "list[int]",
    }
    expression = spec.params["a"].expression
    assert expression is not None and written(expression) == "b * 2"
    assert spec.params["c"].expression is None


def test_overrides_reach_what_is_computed_from_them() -> None:
    spec = spec_of("a: $b * 2\nb: 1", b=5)
    assert spec.values == {"a": 10, "b": 5}
    given = spec_of("a: $b * 2\nb: 1", a=5)
    assert given.values == {"a": 5, "b": 1} and given.params["a"].expression is None


def test_an_override_breaks_a_circle() -> None:
    assert spec_of("a: $b + 1\nb: $a + 1", a=1).values == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("params", "places"),
    [
        ("a: $a", ["4:6-8 a → a"]),
        ("a: $b\nb: $a", ["4:6-8 a → b → a"]),
        ("a: $b\nb: $c\nc: $b\nd: $a + 1", ["5:6-8 b → c → b"]),
        ("a: $b + c\nb: $a\nc: 1\nd: $d", ["4:6-12 a → b → a", "7:6-8 d → d"]),
    ],
)
def test_circles(params: str, places: list[str]) -> None:
    problems = problems_of(params)
    told = "parameters are computed from each other: "
    assert [f"{at(p)} {p.message.removeprefix(told)}" for p in problems] == places
    assert {problem.code for problem in problems} == {"E306"}


def test_a_long_chain_and_a_long_circle() -> None:
    chain = "\n".join(f"p{i}: $p{i + 1} + 1" for i in range(500))
    assert spec_of(f"{chain}\np500: 0").values["p0"] == 500
    problem = problem_of(f"{chain}\np500: $p0")
    assert problem.code == "E306" and len(problem.message) < 200


@pytest.mark.parametrize(
    ("params", "code", "place"),
    [
        ("a: $b + 1\nb: int", "E210", "5:3-4"),
        ("a: $b + 1\nb: {default: 0, min: 1}\nc: $a", "E209", "5:16-17"),
        ("a: $b\nb: $1 / 0", "E306", "5:7-12"),
        ("a: $b\nb: $1 1\nc: $a + b", "E301", "5:9-10"),
    ],
)
def test_what_depends_on_a_broken_parameter_is_not_told_twice(
    params: str, code: str, place: str
) -> None:
    problem = problem_of(params)
    assert problem.code == code and problem.place is not None
    assert problem.place.line == int(place[0])


@pytest.mark.parametrize(
    ("default", "code", "message"),
    [
        ("$nope + 1", "E303", "unknown name 'nope'"),
        ("$1 / 0", "E306", "cannot be evaluated: division by zero"),
        ("$10 ** 10 ** 10", "E307", "the power does not fit into 64 bits"),
        ("$relu(1)", "E304", "unknown function 'relu'"),
        ("$x.__class__", "E302", "no attribute '__class__'"),
        ("$", "E301", "an expression is missing here"),
    ],
)
def test_a_default_that_has_no_value(default: str, code: str, message: str) -> None:
    problem = problem_of(f"a: {default}")
    assert (problem.code, problem.message) == (code, message)
    assert problem.place is not None and problem.place.line == 4 and problem.place.column >= 6
