"""Values that are given from outside: which wins, where it was set, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from archspec import Problem, Spec, SpecError, loads
from archspec.lang import json_file
from archspec.lang.params import Override, overrides_from_options
from archspec.lang.spec import load_with
from tests.tables import every

Write = Callable[[str], Path]


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


@pytest.fixture
def config(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "config.json"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_later_sources_win_and_each_value_knows_its_own(tmp_path: Path, config: Write) -> None:
    (tmp_path / "parent.yaml").write_text(
        text_of("a: {default: 1, min: 0}\nb: 1\nc: 1\nd: 1\ne: 1")
    )
    child = tmp_path / "child.yaml"
    child.write_text("archspec: 1\nextends: parent.yaml\nparams: {a: 2, b: 2, c: 2, d: 2}\n")
    file = config('{\n  "b": 3, "c": 3,\n  "d": 3, "use_cache": true\n}')
    given = overrides_from_options(["c=4", "d=4"])
    spec = load_with(child, given, json_file.read(file)).with_params(d=5)
    assert spec.values == {"a": 2, "b": 3, "c": 4, "d": 5, "e": 1}
    shown = {name: (found.origin, str(found.place)) for name, found in spec.params.items()}
    assert shown == {
        "a": (f"{child}:3:13", f"{child}:3:13"),
        "b": (f"{file}", f"{file}:2:3"),
        "c": ("-p c=4", "None"),
        "d": ("d=…", "None"),
        "e": (f"{tmp_path / 'parent.yaml'}:8:6", f"{tmp_path / 'parent.yaml'}:8:6"),
    }
    assert spec.ignored == ("use_cache",)
    with pytest.raises(SpecError, match="must be at least 0, not -1"):  # the parent's declaration
        spec.with_params(a=-1)


def test_keywords_win_over_the_config(config: Write) -> None:
    file = config('{"a": 2, "b": 2, "model_type": "x", "dtype": "float16"}')
    spec = spec_of("a: 1\nb: 1", config=file, a=3)
    assert spec.values == {"a": 3, "b": 2}
    assert spec.ignored == ("model_type", "dtype")


@pytest.mark.parametrize(
    ("name", "hint"),
    [("hiden_size", "did you mean 'hidden_size'?"), ("zzz", "there is: hidden_size, act")],
)
def test_an_unknown_parameter(name: str, hint: str) -> None:
    problem = problem_of("hidden_size: 1\nact: x", **{name: 3})
    assert (problem.code, problem.place, problem.hint) == ("E208", None, hint)
    assert problem.message == f"no parameter '{name}' ({name}=…)"


def test_all_wrong_overrides_are_told_at_once(config: Write) -> None:
    problems = problems_of("a: 1\nb: 1", config=config('{"a": "x", "b": 2}'), b=None, c=1)
    assert sorted(problem.code for problem in problems) == ["E208", "E209", "E209"]


def test_a_wrong_value_in_a_config_is_told_at_its_line(config: Write) -> None:
    file = config('{\n  "dtype": 1,\n  "a": "no"\n}')
    problem = problem_of("a: 1", config=file)
    assert str(problem.place) == f"{file}:3:3"
    assert problem.message == "parameter 'a': takes an integer, not 'no'"
    assert [note.message for note in problem.notes] == ["declared here"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the file is empty"),
        ("not json", "not JSON: expecting value"),
        ('{"a": 1', "not JSON: expecting ',' delimiter"),
        ("[1]", "not a JSON object"),
        ("null", "not a JSON object"),
        (" " * 1_000_001 + "{}", "larger than 1,000,000 bytes"),
    ],
    ids=lambda text: text[:12],
)
def test_a_config_that_cannot_be_read(config: Write, text: str, reason: str) -> None:
    file = config(text)
    problem = problem_of("a: 1", config=file)
    assert problem.code == "E106" and problem.message.startswith(f"{file}: ")
    assert reason in problem.message


def test_the_place_of_what_is_no_json(config: Write) -> None:
    file = config('{\n  "a": 1,\n  "b": }')
    problem = problem_of("a: 1", config=file)
    assert str(problem.place) == f"{file}:3:8"


def test_a_config_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    missing = problem_of("a: 1", config=tmp_path / "config.json")
    assert missing.code == "E106" and missing.message.endswith(
        "config.json: No such file or directory"
    )
    assert problem_of("a: 1", config=tmp_path).code == "E106"
    (tmp_path / "latin.json").write_bytes(b'{"a": "\xe9"}')
    assert "not UTF-8 text" in problem_of("a: 1", config=tmp_path / "latin.json").message


@every(
    ("option", "name", "value"),
    [
        ("a=2", "a", 2),
        ("a=2.0", "a", 2.0),
        ("a=1e-12", "a", 1e-12),
        ("a=true", "a", True),
        ("a=no", "a", "no"),
        ("a=[2, 3]", "a", [2, 3]),
        ("a={b: 1}", "a", {"b": 1}),
        ("a=", "a", None),
        ("a=null", "a", None),
        ("a='3'", "a", "3"),
        ("a=b=c", "a", "b=c"),
        (" a = 2", "a", 2),
        ("a=$b", "a", "$b"),
    ],
)
def test_an_option_is_read_as_yaml(option: str, name: str, value: Any) -> None:
    assert overrides_from_options([option]) == {name: Override(value, f"-p {option}")}


def test_the_last_option_wins() -> None:
    assert overrides_from_options(["a=1", "b=2", "a=3"])["a"].value == 3


@pytest.mark.parametrize(
    ("option", "code"),
    [
        ("a", "E208"),
        ("", "E208"),
        ("a=[1", "E101"),
        ("a=: :", "E101"),
        ("a=!!str x", "E103"),
        ("=3", "E208"),
        ("a=1\nb: 2", "E208"),
    ],
)
def test_an_option_that_cannot_be_read(option: str, code: str) -> None:
    with pytest.raises(SpecError) as caught:
        overrides_from_options(["b=1", option])
    assert caught.value.code == code


def test_with_params_keeps_what_was_given_before() -> None:
    spec = spec_of("a: 1\nb: $a + 1\nc: 1", a=3)
    other = spec.with_params(c=7)
    assert (spec.values, other.values) == ({"a": 3, "b": 4, "c": 1}, {"a": 3, "b": 4, "c": 7})
    assert other.with_params(a=5).values == {"a": 5, "b": 6, "c": 7}
    assert spec.with_params() is spec and other.name == spec.name
    with pytest.raises(SpecError) as caught:
        spec.with_params(d=1)
    assert (caught.value.code, caught.value.hint) == ("E208", "there is: a, b, c")


@pytest.mark.parametrize(
    ("params", "given", "code"),
    [
        ("a: ['$1 +']", {}, "E301"),
        ("a: 1", {"a": 10**400}, "E209"),
        ("a: 1", {"a": 2**63}, "E209"),
        ("a: null", {"a": object()}, "E209"),
        ("a: null", {"a": {"b": 1}}, "E209"),
        ("a: 'list[layer]'", {"a": object()}, "E209"),
    ],
)
def test_values_that_no_parameter_can_have(params: str, given: dict[str, Any], code: str) -> None:
    assert problem_of(params, **given).code == code


@pytest.mark.parametrize(
    ("params", "given", "code"),
    [
        ("a: 1", {"a": 10**5000}, "E209"),  # Python does not print it: a ValueError
        ("a: {default: 0.5, min: 0}", {"a": float("nan")}, "E209"),
        ("a: 'list[layer]'", {"a": ["ReLU", "RELU"]}, "E206"),
    ],
)
def test_values_to_be_refused(params: str, given: dict[str, Any], code: str) -> None:
    assert problem_of(params, **given).code == code


def test_expressions_in_a_list() -> None:
    assert spec_of("a: [$b, $b * 2, 3]\nb: 1").values == {"a": (1, 2, 3), "b": 1}


@pytest.mark.parametrize("item", ["$b", "$1 +", "$$b"])
def test_given_lists_hold_text_as_it_is(item: str) -> None:
    assert spec_of("a: [x]", a=[item]).values == {"a": (item,)}


def test_a_config_of_many_keys_takes_no_time(config: Write) -> None:
    many = {f"k{i}": i for i in range(40_000)}
    section = f"{text_of('a: 1')}config: {{ignore: [x]}}\n"
    assert loads(section, config=config(json.dumps({"x": many}, indent=0))).ignored == ("x",)
    problems = problems_of("a: 1", config=config(json.dumps(many, indent=0)))
    assert len(problems) == 100 and problems[-1].notes[-1].message.startswith("there are more")
