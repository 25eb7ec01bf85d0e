"""Expressions by the thousand: held against Python itself, and against hostile text."""

from __future__ import annotations

import operator
import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from archspec.lang.expr import ExpressionError, Node, evaluate, parse
from archspec.lang.expr.evaluate import FUNCTIONS, MAX_LENGTH
from archspec.lang.expr.nodes import Slice, walk
from archspec.lang.expr.parse import MAX_DEPTH, MAX_INTEGER, template
from archspec.lang.expr.printing import written

NAMES: dict[str, Any] = {
    "i": 3, "j": -7, "big": 2**40 + 1, "x": 0.5, "y": -2.0, "p": True, "q": False,
    "t": (4, 5, 6), "u": (2, -1.5),
}  # fmt: skip

LEAVES = st.one_of(
    st.integers(0, 9).map(str),
    st.sampled_from(["0.5", "1e3", "2.5e-7", "9223372036854775807", "True", "False"]),
    st.sampled_from([name for name in NAMES if name not in "tu"]),
)
SMALL = st.integers(0, 3).map(str)


def joined(operators: list[str], operands: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Without parentheses, so that precedence is put to the test."""
    return st.tuples(operands, st.sampled_from(operators), operands).map(" ".join)


def in_parentheses(texts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return texts.map("({})".format)


def tuples(numbers: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    plain = st.lists(numbers, max_size=3).map(lambda items: f"({''.join(f'{n}, ' for n in items)})")
    plain = plain.map(lambda text: "()" if text == "()" else text)
    base = plain | st.sampled_from(["t", "u"])
    return st.one_of(
        base,
        st.tuples(base, base).map(" + ".join).map("({})".format),
        st.tuples(base, SMALL).map(" * ".join).map("({})".format),
        st.tuples(base, SMALL, SMALL).map(lambda part: f"{part[0]}[{part[1]}:-{part[2]}]"),
    )


def call(functions: list[str], arguments: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(st.sampled_from(functions), arguments).map("{0[0]}({0[1]})".format)


def grown(numbers: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Larger expressions whose value is a number, if they have one."""
    sequences = tuples(numbers)
    return st.one_of(
        joined(["+", "-", "*", "/", "//", "%", "&", "|", "^"], in_parentheses(numbers) | numbers),
        joined(["<", "<=", "==", "!=", ">", ">="], numbers),
        joined(["and", "or"], numbers),
        st.tuples(numbers, st.sampled_from([">> 1", "<< 3", "<< 62", "** 2", "** 3", "** -1"])).map(
            lambda part: f"(({part[0]}) {part[1]})"
        ),
        st.tuples(st.sampled_from("- + ~ not".split()), numbers).map("({0[0]} {0[1]})".format),
        st.tuples(numbers, numbers, numbers).map(lambda n: f"({n[0]} if {n[1]} else {n[2]})"),
        st.tuples(numbers, sequences).map(lambda part: f"(({part[0]}) in {part[1]})"),
        st.tuples(sequences, SMALL).map(lambda part: f"{part[0]}[{part[1]}]"),
        st.tuples(sequences, sequences).map(lambda part: f"({part[0]} < {part[1]})"),
        call(["sum", "max", "min", "len"], sequences),
        call(["abs", "int", "float", "round"], numbers),
    )  # fmt: skip


NUMBERS = st.recursive(LEAVES, grown, max_leaves=10)
EXPRESSIONS = NUMBERS | tuples(NUMBERS)
FAILURES = (ArithmeticError, LookupError, TypeError, ValueError)


def in_python(text: str) -> Any:
    """The value that Python gives it, or the error."""
    code = compile(text.strip(), "<expression>", "eval")
    try:
        return eval(code, {"__builtins__": {}, **FUNCTIONS, "round": round}, dict(NAMES))
    except FAILURES as error:
        return error


def is_beyond(value: Any) -> bool:
    return isinstance(value, int) and abs(value) > MAX_INTEGER


def outcome(expression: Node) -> Any:
    """The value, or the error."""
    try:
        return evaluate(expression, NAMES)
    except ExpressionError as error:
        return error


@given(EXPRESSIONS)
@example("-2 ** 2")
@example("not i == j")
def test_values_are_those_of_python(text: str) -> None:
    expression = parse(text)
    found, expected = outcome(expression), in_python(text)
    if not isinstance(found, ExpressionError):
        assert repr(found) == repr(expected)  # 1, True and 1.0, nan and -0.0 are told apart
        return
    assert 0 <= found.span.start < found.span.end <= len(text)
    if found.code == "E307":
        parts = [written(node) for node in walk(expression) if not isinstance(node, Slice)]
        assert any(is_beyond(in_python(part)) for part in parts)
    else:
        assert found.code == "E306" and isinstance(expected, FAILURES)


@given(EXPRESSIONS)
@example("(i if p else j) if q else (1 if p else 2)")
@example("(-i) ** 2 - (1 - (2 - 3))")
@example("t[1:-1] + (1,) + ()")
@example("(i < j) < (p in t)")
@example("[1, [x, 'it''s']]")
def test_printing_keeps_the_meaning(text: str) -> None:
    expression = parse(text)
    printed = written(expression)
    again = parse(printed)
    assert again == expression
    assert repr(outcome(again)) == repr(outcome(expression))
    assert written(again) == printed


INTEGERS = st.integers(-MAX_INTEGER, MAX_INTEGER) | st.integers(-20, 20)
EXACT = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "//": operator.floordiv,
    "%": operator.mod, "&": operator.and_, "|": operator.or_, "^": operator.xor,
}  # fmt: skip


@given(INTEGERS, st.sampled_from(list(EXACT)), INTEGERS)
def test_integers_are_exact_up_to_64_bits(a: int, sign: str, b: int) -> None:
    if sign in ("//", "%") and b == 0:
        return
    expected = EXACT[sign](a, b)
    found = outcome_of(f"a {sign} b", a, b)
    assert found == ("E307" if abs(expected) > MAX_INTEGER else expected)


def outcome_of(text: str, a: int, b: int) -> Any:
    try:
        return evaluate(parse(text), {"a": a, "b": b})
    except ExpressionError as error:
        return error.code


@given(st.integers(-(2**63), 2**63), st.integers(0, 70))
def test_a_shift_never_gives_more_than_64_bits(a: int, b: int) -> None:
    found = outcome_of("a << b", a, b)
    assert found == (a << b if abs(a) <= MAX_INTEGER >= abs(a << b) and b <= 64 else "E307")


@given(st.integers(-40, 40), st.integers(0, 10**18))
def test_a_power_never_gives_more_than_64_bits(a: int, b: int) -> None:
    found = outcome_of("a ** b", a, b)
    assert found == "E307" or ((abs(a) < 2 or b < 64) and found == a**b)


@pytest.mark.parametrize(("a", "b"), [(2, 34), (2, 62), (10, 18), (3, 39), (-2, 61), (-1, 10**9)])
def test_powers_up_to_64_bits(a: int, b: int) -> None:
    assert outcome_of("a ** b", a, b) == a**b


# ------------------------------------------------------------------------------------ hostile text

PIECES = [
    *"()[]{}.,:;+-*/%@<>=!&|^~'\"\\#$ \n\t\r\f0159ij_é", "lambda ", "not ", "if ", "else ", "for ",
    "in ", "is ", "None", "...", "await ", "yield ", "f'", "b'", "**", ":=", "__class__", "1e9",
    "0x", "max(", "sum(", "\u200b", "\U0001f600", "ﬁ", "１",
]  # fmt: skip
HOSTILE = st.lists(st.sampled_from(PIECES), max_size=30).map("".join) | st.text(max_size=40)


@given(HOSTILE)
@example("\ud800")
@example("'\ud800'")
@example("(1\r+ nowhere)")
@example("\x00")
def test_nothing_but_an_expression_error_is_raised(text: str) -> None:
    errors: list[ExpressionError] = []
    for act in (lambda: evaluate(parse(text), NAMES), lambda: template(text, ())):
        try:
            act()
        except ExpressionError as error:
            errors.append(error)
    for error in errors:
        assert error.code in ("E301", "E302", "E303", "E304", "E306", "E307")
        assert 0 <= error.span.start <= error.span.end <= max(len(text), 1)


def test_hostile_texts_take_no_time() -> None:
    openings = [
        "(",
        "[",
        "{",
        "-",
        "not ",
        "~",
        "lambda:",
        "f(",
        "a[",
        "a.",
        "a for",
        "f'{",
        "(a:=",
    ]
    openings += [
        "a if ",
        "*",
        "await ",
        "1 ",
        "x,",
        "x=",
        "{a:",
        "[a for a in ",
        "f(b for ",
        "10**",
    ]
    began = time.perf_counter()
    for first in openings:
        for second in ["", *openings]:
            for end in ("", "1", "a)", "x:"):
                text = ((first + second) * 600)[:990] + end
                with pytest.raises(ExpressionError):
                    evaluate(parse(text), {})
    assert time.perf_counter() - began < 60  # a second or two; exponential would be for ever


@pytest.mark.parametrize("text", ["10", "'a'", "[0]", "1 << 9", "(1, 2.5)", "1e300", "1 / 3"])
@pytest.mark.parametrize("growth", [" * 9999", " ** 999", " << 60"])
def test_hostile_values_take_no_time(text: str, growth: str) -> None:
    began = time.perf_counter()
    try:
        code = evaluate(parse(f"({text})" + growth * 9), {}) and "a value"
    except ExpressionError as error:
        code = error.code
    assert code in ("E306", "E307", "a value")
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize("unit", ["10**9**", "9**9**9**", "9999*'a'*9999*", "1<<9<<9<<"])
def test_towers_are_refused(unit: str) -> None:
    began = time.perf_counter()
    with pytest.raises(ExpressionError) as caught:
        evaluate(parse(unit * 6 + "9"), {})
    assert caught.value.code == "E307"
    assert time.perf_counter() - began < 5


NESTED = f"(((0,) * {MAX_LENGTH},) * {MAX_LENGTH},) * {MAX_LENGTH}"


@pytest.mark.parametrize(
    "text", [NESTED, f"{NESTED} == {NESTED}", f"int({NESTED})", f"sum({NESTED}, ())"]
)
def test_lists_of_lists_are_bounded_as_a_whole(text: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        evaluate(parse(text), {})
    assert caught.value.code == "E307"


def test_depth_counts_every_kind_of_nesting() -> None:
    for opening, closing in [("(1, ", ")"), ("max(1, ", ")"), ("t[", "]"), ("(0 or ", ")")]:
        text = opening * (MAX_DEPTH + 1) + "1" + closing * (MAX_DEPTH + 1)
        with pytest.raises(ExpressionError) as caught:
            parse(text)
        assert caught.value.code == "E307"
