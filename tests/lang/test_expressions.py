"""The expression language: what it takes, what it makes of it, and what it refuses, where."""

from __future__ import annotations

from typing import Any

import pytest

from archspec.lang.expr import ExpressionError, Symbol, evaluate, parse
from archspec.lang.expr.evaluate import FUNCTIONS, MAX_LENGTH
from archspec.lang.expr.nodes import Constant, Sequence, names, outcomes
from archspec.lang.expr.parse import MAX_DEPTH, MAX_INTEGER, MAX_TEXT, template
from archspec.lang.expr.printing import written
from archspec.lang.resolve import argument_errors, resolved
from tests.tables import every

NAMES: dict[str, Any] = {
    "i": 3, "j": -7, "x": 0.5, "y": -2.0, "p": True, "q": False, "t": (4, 5, 6), "u": (2, -1.5),
    "s": "gelu", "n": None,
}  # fmt: skip


def value(text: str) -> Any:
    return evaluate(parse(text), NAMES)


def refusal(text: str) -> ExpressionError:
    with pytest.raises(ExpressionError) as caught:
        value(text)
    return caught.value


def stretch_of(error: ExpressionError, text: str) -> str:
    return text[error.span.start : error.span.end]


# ------------------------------------------------------------------------------------------ values

VALUES: dict[str, Any] = {
    # literals
    "3": 3, "1_000": 1000, "0x10": 16, "0b101": 5, "1e-12": 1e-12, ".5": 0.5, "None": None,
    "True": True, "'gelu'": "gelu", '"a" "b"': "ab", "'#'": "#", "'a' + '#b'": "a#b",
    "()": (), "(1,)": (1,), "[]": (), "[1, 2.5]": (1, 2.5), "[[1], [2]]": ((1,), (2,)),
    "1, 2": (1, 2), "9223372036854775807": MAX_INTEGER, "-9223372036854775807": -MAX_INTEGER,
    # arithmetic
    "1 + 2 * 3": 7, "(1 + 2) * 3": 9, "7 / 2": 3.5, "7 // 2": 3, "-7 // 2": -4, "-7 % 3": 2,
    "2 ** 10": 1024, "2 ** -1": 0.5, "-2 ** 2": -4, "2 ** 3 ** 2": 512, "2.0 ** 0.5": 2**0.5,
    "1 << 4": 16, "-16 >> 2": -4, "1 << 62": 2**62, "6 & 3": 2, "6 | 3": 7, "6 ^ 3": 5, "~5": -6,
    "True + True": 2, "-True": -1, "+x": 0.5, "i * x": 1.5,
    # sequences
    "[1] + [2]": (1, 2), "[1] + (2,)": (1, 2), "t * 2": (4, 5, 6, 4, 5, 6), "2 * [0]": (0, 0),
    "-1 * 'ab'": "", "'ab' * 2": "abab", "s + '_new'": "gelu_new", "[1, 2] == (1, 2)": True,
    # comparison and logic
    "1 < 2 < 3": True, "1 < 3 < 2": False, "1 == 1.0": True, "i != j": True, "n is None": True,
    "i is not None": True, "'el' in s": True, "5 in t": True, "5 not in t": False,
    "(1, 2) < (1, 3)": True, "not i": False, "not n and p": True, "0 or 'a'": "a", "i and 0": 0,
    "q or n": None, "p or nowhere": True, "q and nowhere": False, "1 if q else 2": 2,
    "1 if p else nowhere": 1, "1 if q else 2 if q else 3": 3, "3 > 2 > nowhere if q else 0": 0,
    # subscripts
    "t[0]": 4, "t[-1]": 6, "t[1:]": (5, 6), "t[::-1]": (6, 5, 4), "t[:-1][0]": 4, "s[1]": "e",
    "t[True]": 5, "t[i - 2]": 5, "t[5:]": (), "[[1, 2], [3]][0][1]": 2,
    # functions
    "abs(j)": 7, "len(t)": 3, "len('')": 0, "max(t)": 6, "max(1, 2.5)": 2.5, "min(t[0], 2)": 2,
    "max('b', 'a')": "b", "sum(t)": 15, "sum([])": 0, "sum(u, 0.5)": 1.0,
    "int(2.9)": 2, "int(-2.9)": -2, "int(True)": 1, "float(3)": 3.0, "float(p)": 1.0,
    "round(2.5)": 2, "round(3.5)": 4, "round(-0.5)": 0, "round(0.125, 2)": 0.12,
    "round(1234, -2)": 1200, "round(i)": 3, "int(round(x * 15))": 8,
    # white space
    "  1 + i": 4, "\t1": 1, "1\n+ i\n": 4, "(1\n\n+\n2)": 3, "'a\nb'": "a b",
}  # fmt: skip


@every("text", VALUES)
def test_value(text: str) -> None:
    found = value(text)
    assert repr(found) == repr(VALUES[text])  # 1, True and 1.0 are told apart


# --------------------------------------------------------------------------------------- refusals

SYNTAX = [
    # text, code, the stretch, part of the message
    ("", "E301", "", "an expression is missing here"),
    (" \n ", "E301", "", "an expression is missing here"),
    ("i j", "E301", "j", "invalid syntax"),
    ("  i j", "E301", "j", "invalid syntax"),
    ("'é' j", "E301", "j", "invalid syntax"),
    ("(1 + 2", "E301", "(", "was never closed"),
    ("  [1", "E301", "[", "was never closed"),
    ("i)", "E301", ")", "unmatched ')'"),
    ("'abc", "E301", "'", "unterminated string"),
    ("1if i else 2", "E301", "1", "invalid decimal literal"),
    ("import os", "E301", "import", "invalid syntax"),
    ("i; j", "E301", ";", "invalid syntax"),
    ("i = 3", "E301", "=", "invalid syntax"),
    ("$i", "E301", "$", "invalid syntax"),
    ("a!", "E301", "!", "invalid syntax"),
    ("0_", "E301", "_", "invalid decimal literal"),
    ("012", "E301", "0", "leading zeros"),
    ("１", "E301", "１", "invalid character"),
    ("i \x00", "E301", "\x00", "null bytes"),
    ("(" * 250, "E301", "(", "too many nested parentheses"),
    ("lambda: 1", "E302", "lambda: 1", "lambda is not"),
    ("1 + (lambda a: a)(2)", "E302", "lambda a: a", "lambda is not"),
    ("(a := 1)", "E302", "a := 1", "assignment (:=) is not"),
    ("sum(a for a in t)", "E302", "(a for a in t)", "a generator is not"),
    ("{a for a in t}", "E302", "{a for a in t}", "a set is not"),
    ("{a: a for a in t}", "E302", "{a: a for a in t}", "a dict is not"),
    ("[a for a[0] in t]", "E302", "a[0]", "a comprehension's targets are names"),
    ("1 + f'{i}'", "E302", "f'{i}'", "an f-string is not"),
    ("f''", "E302", "f''", "an f-string is not"),
    ("[1, *t]", "E302", "*t", "unpacking with * is not"),
    ("max(*t)", "E302", "*t", "unpacking with * is not"),
    ("dict(**t)", "E302", "dict(**t)", "unpacking with ** is not"),
    ("{'a': 1}", "E302", "{'a': 1}", "a dict is not"),
    ("1 + {}", "E302", "{}", "a dict is not"),
    ("{1, 2}", "E302", "{1, 2}", "a set is not"),
    ("await i", "E302", "await i", "await is not"),
    ("(yield)", "E302", "yield", "yield is not"),
    ("(yield from t)", "E302", "yield from t", "yield is not"),
    ("1 + b'a'", "E302", "b'a'", "b'a' is not"),
    ("2 * 1j", "E302", "1j", "1j is not"),
    ("i is 1", "E302", "i is 1", "'is' compares with None only"),
    ("None is i", "E302", "None is i", "'is' compares with None only"),
    ("i is not j", "E302", "i is not j", "'is' compares with None only"),
    ("1 # one", "E302", "#", "comments are not"),
    ("'#' + s # s", "E302", "#", "comments are not"),
    ("'a\\n'", "E302", "\\", "backslashes are not"),
    ("1 + \\\n2", "E302", "\\", "backslashes are not"),
    ("__class__", "E302", "__class__", "'__class__' is not a name"),
    ("i.__class__", "E302", "i.__class__", "no attribute '__class__'"),
    ("().__class__.__base__", "E302", "().__class__.__base__", "no attribute '__base__'"),
    ("i._private", "E302", "i._private", "no attribute '_private'"),
    ("__import__('os')", "E302", "__import__", "'__import__' is not a name"),
    ("a__b + 1", "E302", "a__b", "'a__b' is not a name"),
    ("1 + größe", "E302", "größe", "'größe' is not a name"),
    ("'é' + é", "E302", "é", "'é' is not a name"),
    ("i.größe", "E302", "i.größe", "no attribute 'größe'"),
]  # fmt: skip


@every(("text", "code", "stretch", "message"), SYNTAX)
def test_not_of_the_language(text: str, code: str, stretch: str, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    assert (caught.value.code, stretch_of(caught.value, text)) == (code, stretch)
    assert message in caught.value.message


@pytest.mark.parametrize("text", ["1 +", "i if", "  'é' *"])
def test_what_is_missing_at_the_end_is_told_there(text: str) -> None:
    error = refusal(text)
    assert (error.code, error.span.start, error.span.end) == ("E301", len(text) - 1, len(text))


def test_rounding_to_no_digits_stays_a_float() -> None:
    assert repr(value("round(2.5, 0)")) == "2.0"


@pytest.mark.parametrize("text", ["ｉ + 1", "t.ｓhape"])
def test_look_alikes_of_letters(text: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    assert caught.value.code == "E302"


EVALUATION = [
    ("nowhere + 1", "E303", "nowhere", "unknown name 'nowhere'"),
    ("  'é' + nowhere", "E303", "nowhere", "unknown name 'nowhere'"),
    ("1\n+ nowhere", "E303", "nowhere", "unknown name 'nowhere'"),
    ("abs + 1", "E303", "abs", "unknown name 'abs'"),
    ("1 + print(i)", "E304", "print", "unknown function 'print'"),
    ("'é' + open('x')", "E304", "open", "unknown function 'open'"),
    ("relu(i)", "E304", "relu", "unknown function 'relu'"),
    ("1 + t.shape", "E304", "t.shape", "no meaning in an argument"),
    ("s.upper()", "E304", "s.upper", "no meaning in an argument"),
    ("(1).real", "E304", "(1).real", "no meaning in an argument"),
    ("max(t)(1)", "E304", "max(t)", "no meaning in an argument"),
    ("round(x, ndigits=1)", "E304", "round(x, ndigits=1)", "no meaning in an argument"),
    ("...", "E304", "...", "no meaning in an argument"),
    ("t[...]", "E304", "...", "no meaning in an argument"),
    ("t[1:2, 0]", "E304", "1:2", "no meaning in an argument"),
    ("i @ j", "E304", "i @ j", "@ has no meaning"),
    ("1 + 1 / 0", "E306", "1 / 0", "division by zero"),
    ("1 % (i - 3)", "E306", "1 % (i - 3)", "modulo by zero"),
    ("0 ** -1", "E306", "0 ** -1", "negative power"),
    ("1 << -1", "E306", "1 << -1", "negative shift"),
    ("(-8) ** 0.5", "E306", "(-8) ** 0.5", "not a real number"),
    ("10.0 ** 400", "E306", "10.0 ** 400", "evaluated: Numerical result out of range"),
    ("1 + t[3]", "E306", "t[3]", "index out of range"),
    ("t[1.0]", "E306", "t[1.0]", "indices must be integers"),
    ("t['a']", "E306", "t['a']", "indices must be integers"),
    ("t[::0]", "E306", "t[::0]", "step cannot be zero"),
    ("i[0]", "E306", "i[0]", "not subscriptable"),
    ("n + 1", "E306", "n + 1", "unsupported operand"),
    ("s < 1", "E306", "s < 1", "not supported between"),
    ("1 in s", "E306", "1 in s", "requires string"),
    ("~x", "E306", "~x", "bad operand type"),
    ("t + 1", "E306", "t + 1", "concatenate"),
    ("'a' + 1", "E306", "'a' + 1", "concatenate"),
    ("len(i)", "E306", "len(i)", "has no len"),
    ("len()", "E306", "len()", "exactly one argument"),
    ("max()", "E306", "max()", "at least 1 argument"),
    ("max([])", "E306", "max([])", "empty sequence"),
    ("min(1)", "E306", "min(1)", "not iterable"),
    ("sum(i)", "E306", "sum(i)", "sum takes a list of numbers"),
    ("sum(['a'])", "E306", "sum(['a'])", "sum takes a list of numbers"),
    ("abs(s)", "E306", "abs(s)", "bad operand type"),
    ("round(s)", "E306", "round(s)", "__round__"),
    ("round(1, 31)", "E306", "round(1, 31)", "at most 30 digits"),
    ("round(1, -31)", "E306", "round(1, -31)", "at most 30 digits"),
    ("int('3')", "E306", "int('3')", "int takes a number, not '3'"),
    ("float('nan')", "E306", "float('nan')", "float takes a number, not 'nan'"),
    ("int(1e400)", "E306", "int(1e400)", "infinity"),
    ("int(1e400 - 1e400)", "E306", "int(1e400 - 1e400)", "NaN"),
]  # fmt: skip


@every(("text", "code", "stretch", "message"), EVALUATION)
def test_no_value(text: str, code: str, stretch: str, message: str) -> None:
    error = refusal(text)
    assert (error.code, stretch_of(error, text)) == (code, stretch)
    assert message in error.message


LIMITS = [
    ("1 + 9223372036854775808", "9223372036854775808", "the integer does not fit into 64 bits"),
    ("9223372036854775807 + 1", "9223372036854775807 + 1", "the result does not fit into 64 bits"),
    ("~9223372036854775807", "~9223372036854775807", "the result does not fit into 64 bits"),
    ("2 * (1 << 63)", "1 << 63", "the result does not fit into 64 bits"),
    ("1 << 65", "1 << 65", "a shift by more than 64 bits"),
    ("0 << 10 ** 15", "0 << 10 ** 15", "a shift by more than 64 bits"),
    ("1 + 10 ** 10 ** 10", "10 ** 10 ** 10", "the power does not fit into 64 bits"),
    ("(-10) ** 10 ** 10", "(-10) ** 10 ** 10", "the power does not fit into 64 bits"),
    ("int(1e30)", "int(1e30)", "the result does not fit into 64 bits"),
    ("sum([9223372036854775807] * 3)", "sum([9223372036854775807] * 3)", "the result does not fit"),
    ("'a' * 10001", "'a' * 10001", "longer than 10000 elements"),
    ("10001 * [0]", "10001 * [0]", "longer than 10000 elements"),
    ("[0] * 10000 + [0]", "[0] * 10000 + [0]", "longer than 10000 elements"),
    ("len([0, 0] * 10 ** 15)", "[0, 0] * 10 ** 15", "longer than 10000 elements"),
    ("'%1000000000d' % 1", "'%1000000000d' % 1", "text cannot be formatted"),
    ("s % i", "s % i", "text cannot be formatted"),
]  # fmt: skip


@every(("text", "stretch", "message"), LIMITS)
def test_beyond_the_limits(text: str, stretch: str, message: str) -> None:
    error = refusal(text)
    assert (error.code, stretch_of(error, text)) == ("E307", stretch)
    assert message in error.message


def test_what_the_names_hold_is_bounded_too() -> None:
    with pytest.raises(ExpressionError, match="64 bits") as caught:
        evaluate(parse("1 + big"), {"big": 10**30})
    assert (caught.value.code, caught.value.span.start, caught.value.span.end) == ("E307", 4, 7)


def test_length_and_depth() -> None:
    assert value("1" + " " * (MAX_TEXT - 1)) == 1
    assert refusal("1" + " " * MAX_TEXT).code == "E307"
    assert value("[0] * 10000") == (0,) * MAX_LENGTH
    assert value("-" * MAX_DEPTH + "1") == 1
    too_deep = refusal("-" * (MAX_DEPTH + 1) + "1")
    assert (too_deep.code, too_deep.span.start, too_deep.span.end) == ("E307", 0, MAX_DEPTH + 2)
    assert value("+".join("1" * MAX_DEPTH)) == MAX_DEPTH
    assert refusal("+".join("1" * (MAX_DEPTH + 2))).code == "E307"


HINTS = [
    ("$i + 1", "this is always an expression: leave out the $"),
    (
        "a = i",
        "an expression computes a value; write {name: expression} to give it a name, == to compare",
    ),
    ("i is 1", "use =="),
    ("i.__dict__", "shape, ndim, dtype, device, or a child or parameter of a module"),
    ("i j", ""),
    ("a(b = ", ""),
]


@pytest.mark.parametrize(("text", "hint"), HINTS)
def test_hint(text: str, hint: str) -> None:
    assert refusal(text).hint == hint


# ------------------------------------------------------ parts, outcomes, names, misplaced, template


def test_a_part_has_its_own_value_and_its_place_in_the_whole() -> None:
    expression = parse("  'é', i + 1, 1 / 0")
    assert isinstance(expression, Sequence)
    first, second, third = expression.items
    assert [evaluate(part, NAMES) for part in (first, second)] == ["é", 4]
    assert (second.span.start, second.span.end) == (7, 12)
    with pytest.raises(ExpressionError) as caught:
        evaluate(third, NAMES)
    assert (caught.value.code, caught.value.span.start, caught.value.span.end) == ("E306", 14, 19)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("i", ["i"]),
        ("'a' if p else 'b'", ['"a"', '"b"']),
        ("(1 if q else 2) if p else 3 if i else 4", ["1", "2", "3", "4"]),
        ("(1 if p else 2) + 3", ["(1 if p else 2) + 3"]),
    ],
)
def test_outcomes(text: str, expected: list[str]) -> None:
    assert [written(node) for node in outcomes(parse(text))] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("i + max(j, i)", {"i", "j"}),
        ("max(max)", {"max"}),
        ("1", set()),
        ("a.b[c](d=e)", {"a", "c", "e"}),
        ("a if b else c", {"a", "b", "c"}),
    ],
)
def test_names(text: str, expected: set[str]) -> None:
    assert {name.id for name in names(parse(text))} == expected


SCOPE = {name: Symbol("global", name) for name in [*NAMES, "a", "b"]}


def misplaced(text: str) -> list[ExpressionError]:
    return list(argument_errors(resolved(parse(text), SCOPE), SCOPE, classes=False))


def test_what_has_no_meaning_in_an_argument_is_told_all_at_once() -> None:
    text = "relu(x.shape) + a @ b + maxx(i) + len(a=1) + t[...] + i(2)"
    found = [(e.code, stretch_of(e, text), e.hint) for e in misplaced(text)]
    functions = f"arguments know {', '.join(FUNCTIONS)}"
    assert sorted(found) == [
        ("E304", "...", ""),
        ("E304", "a @ b", ""),
        ("E304", "i", ""),
        ("E304", "len(a=1)", ""),
        ("E304", "maxx", f"did you mean 'max'?; {functions}"),
        ("E304", "relu", functions),
        ("E304", "x.shape", ""),
    ]
    assert not misplaced("max(t[0], len(t)) // 2 if i is None else -round(x)")


def parts(text: str) -> list[str]:
    pieces = template(text, ()).pieces
    return [p.value if isinstance(p, Constant) else f"<{written(p)}>" for p in pieces]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("layer", ["layer"]),
        ("layer_{i + 1}", ["layer_", "<i + 1>"]),
        ("{i}{j}", ["<i>", "<j>"]),
        ("{t[0]}_é_{ i }x", ["<t[0]>", "_é_", "<i>", "x"]),
    ],
)
def test_template(text: str, expected: list[str]) -> None:
    assert parts(text) == expected


@pytest.mark.parametrize(
    ("text", "code", "stretch"),
    [
        ("a{i", "E301", "{i"),
        ("a{i}{", "E301", "{"),
        ("a}", "E301", "a"),
        ("{i}b}c", "E301", "b"),
    ],
)
def test_unbalanced_template(text: str, code: str, stretch: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parts(text)
    # Of a brace that closes nothing, the text before it.
    assert caught.value.code == code
    assert stretch_of(caught.value, text).startswith(stretch)


@pytest.mark.parametrize("text", ["{}", "{i j}", "{{i}}", "{i!r}", "{i:3}"])
def test_what_stands_in_braces_is_an_expression(text: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parts(text)
    assert caught.value.code == "E301"
