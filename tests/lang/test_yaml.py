"""YAML text to the tree: values, places, and what is refused."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from archspec.errors import Place, Problem, SpecError
from archspec.lang.yaml import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_DIGITS,
    MAX_NODES,
    Listing,
    Mapping,
    Scalar,
    SourceFile,
    excerpt,
    find,
    parse,
    place_of,
    plain,
    read,
    reading,
)
from tests.tables import every

LIBYAML = getattr(yaml, "CSafeLoader", None)


@pytest.fixture(params=["libyaml", "python"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that holds with libyaml has to hold without it."""
    if request.param == "libyaml" and LIBYAML is None:
        pytest.skip("PyYAML without libyaml")
    monkeypatch.setattr(reading, "_FAST", LIBYAML if request.param == "libyaml" else None)


def tree(text: str) -> Mapping:
    root, problems = parse(text)
    assert problems == []
    return root


def scalar(text: str, *path: str | int) -> Scalar:
    node = find(tree(text), path)
    assert isinstance(node, Scalar)
    return node


def problems_of(text: str) -> list[Problem]:
    try:
        return parse(text)[1]
    except SpecError as error:
        return list(error.problems)


def where(place: Place | None) -> tuple[int, int, int] | None:
    return place and (place.line, place.column, place.end_column)


def shown(place: Place) -> str:
    return place.source[place.column - 1 : place.end_column - 1]


# ---------------------------------------------------------------------------------------- scalars

STRINGS = [
    *"no No yes on off y n nULL tRUE nan inf 1:30 1_000 2024-01-01 0b1 0o8 0xg -0x1 1e".split(),
    *"e3 . + ..5 1.2.3 1,000 << = $a*2 ١ ½ http://x a:b a#b".split(),
    *["a b", "in_planes != planes"],
]
PLAIN_SCALARS: list[tuple[str, object]] = [
    *[(text, None) for text in ("", "~", "null", "Null", "NULL")],
    *[(text, True) for text in ("true", "True", "TRUE")],
    *[(text, False) for text in ("false", "False", "FALSE")],
    ("0", 0),
    ("-12", -12),
    ("+3", 3),
    ("010", 10),
    ("0o17", 15),
    ("0xFf", 255),
    ("9" * MAX_DIGITS, int("9" * MAX_DIGITS)),
    ("1e-12", 1e-12),
    ("1e3", 1000.0),
    ("-1.5E+2", -150.0),
    (".5", 0.5),
    ("5.", 5.0),
    ("1.0", 1.0),
    (".inf", math.inf),
    ("-.Inf", -math.inf),
    ("+.INF", math.inf),
    *[(text, text) for text in STRINGS],
]


@pytest.mark.usefixtures("parser")
@every(("text", "value"), PLAIN_SCALARS)
def test_plain_scalars(text: str, value: object) -> None:
    node = scalar(f"a: {text}", "a")
    assert (repr(node.value), node.text, node.plain) == (repr(value), text, True)


@pytest.mark.usefixtures("parser")
def test_not_a_number() -> None:
    assert all(
        math.isnan(float(str(scalar(f"a: {n}", "a").value))) for n in (".nan", ".NaN", ".NAN")
    )


@pytest.mark.usefixtures("parser")
@every("text", ["null", "true", "12", "1e3", ".inf", "~", "", "no", "!fc", "*x"])
@every("quote", ["'", '"'])
def test_quoted_scalars_are_text(text: str, quote: str) -> None:
    node = scalar(f"a: {quote}{text}{quote}", "a")
    assert (node.value, node.text, node.plain) == (text, text, False)


@pytest.mark.usefixtures("parser")
@every(
    ("text", "value"),
    [
        ("a: |\n  1\n", "1\n"),
        ("a: |-\n  1\n  2\n", "1\n2"),
        ("a: >\n  x\n  y\n\n  z\n", "x y\nz\n"),
        ("a: |2-\n   x\n", " x"),
        ("a: one\n  two\n\n  three\n", "one two\nthree"),
        ('a: "one\n  two\\\n   three\\n"\n', "one twothree\n"),
        ("a: 'it''s'\n", "it's"),
        ('a: "\\u00e9\\x41\\U0001F600\\0"\n', "éA😀\0"),
        ("a: |\r\n  x\r\n  y\r\n", "x\ny\n"),
    ],
)
def test_text_on_several_lines_and_with_escapes(text: str, value: str) -> None:
    node = scalar(text, "a")
    assert (node.value, node.text) == (value, value)


@pytest.mark.usefixtures("parser")
@every("key", ["on", "1", "null", "~", "1e3", "true", "<<", "=", "2024-01-01", "é😀"])
def test_keys_are_their_text(key: str) -> None:
    assert plain(tree(f"{key}: 1\n'q {key}': 2")) == {key: 1, f"q {key}": 2}


@pytest.mark.usefixtures("parser")
def test_merge_keys_mean_nothing() -> None:
    assert plain(tree("a: &a {x: 1}\nb: {<<: *a, y: 2}")) == {
        "a": {"x": 1},
        "b": {"<<": {"x": 1}, "y": 2},
    }


@pytest.mark.usefixtures("parser")
@every(
    "text",
    [
        "%YAML 1.2\n---\na: 1\n",
        "--- # c\na: 1\n...\n",
        "\ufeffa: 1",
        "{a: 1}",
        "a:  1  # c",
        "? a\n: 1",
    ],
)
def test_one_document(text: str) -> None:
    assert plain(tree(text)) == {"a": 1}


def test_the_tree_is_immutable() -> None:
    root = tree("a: [1]")
    for node, name in (
        (root, "entries"),
        (root.entries["a"], "key"),
        (root.entries["a"].value, "items"),
    ):
        with pytest.raises(AttributeError):
            setattr(node, name, None)


# ----------------------------------------------------------------------------------------- places

NET = """\
# places
model: Net   # a comment
blocks:
  Net:
    inputs: {x: [batch, 3]}
    modules:
      - 'a b'

      - {type: Linear,
         in: 4}
    forward: |
      one
      two

    help: >-
      three

freeze:
-   "!fc"
- x:
empty:
last: two
  lines
"""

SPANS: list[tuple[tuple[str | int, ...], tuple[int, int, int, int]]] = [
    ((), (2, 1, 23, 8)),
    (("model",), (2, 8, 2, 11)),
    (("blocks",), (4, 3, 16, 12)),
    (("blocks", "Net"), (5, 5, 16, 12)),
    (("blocks", "Net", "inputs"), (5, 13, 5, 28)),
    (("blocks", "Net", "inputs", "x"), (5, 17, 5, 27)),
    (("blocks", "Net", "inputs", "x", 1), (5, 25, 5, 26)),
    (("blocks", "Net", "modules"), (7, 7, 10, 16)),
    (("blocks", "Net", "modules", 0), (7, 9, 7, 14)),
    (("blocks", "Net", "modules", 1), (9, 9, 10, 16)),
    (("blocks", "Net", "modules", 1, "in"), (10, 14, 10, 15)),
    (("blocks", "Net", "forward"), (11, 14, 13, 10)),
    (("blocks", "Net", "help"), (15, 11, 16, 12)),
    (("freeze",), (19, 1, 20, 4)),
    (("freeze", 0), (19, 5, 19, 10)),
    (("freeze", 1), (20, 3, 20, 4)),
    (("freeze", 1, "x"), (20, 4, 20, 4)),
    (("empty",), (21, 6, 21, 6)),
    (("last",), (22, 7, 23, 8)),
]


@pytest.mark.usefixtures("parser")
@every("line_break", ["\n", "\r\n", "\r"])
@every(("path", "span"), SPANS)
def test_spans(
    path: tuple[str | int, ...], span: tuple[int, int, int, int], line_break: str
) -> None:
    node = find(tree("\ufeff" + NET.replace("\n", line_break)), path)
    assert node is not None
    found = node.span
    assert (found.line, found.column, found.end_line, found.end_column) == span


@pytest.mark.usefixtures("parser")
def test_keys_know_their_places() -> None:
    root = tree("é😀: {'q': 1, \"r\" : 2, 中: {z: 3}}")
    inner = root.entries["é😀"].value
    assert isinstance(inner, Mapping)
    assert shown(root.entries["é😀"].key.place()) == "é😀"
    assert [shown(entry.key.place()) for entry in inner.entries.values()] == ["'q'", '"r"', "中"]
    assert place_of(root, ("é😀", "中", "z")) == Place("<spec>", 1, 30, 31, root.span.file.text)


@every(
    ("path", "key", "place"),
    [
        (("blocks", "Net", "inputs"), False, (5, 13, 28)),
        (("blocks", "Net", "inputs"), True, (5, 5, 11)),
        (("blocks", "Net", "modules"), False, (7, 7, 14)),
        (("blocks", "Net", "modules", 1), False, (9, 9, 23)),
        (("blocks", "Net", "modules", 1), True, (9, 9, 23)),
        (("blocks", "Net", "modules", 7), False, (7, 7, 14)),
        (("blocks", "Net", "modules", -1), True, (6, 5, 12)),
        (("blocks", "Net", "outputs", "x"), True, (4, 3, 6)),
        (("blocks", "Net", "outputs", "x"), False, (5, 5, 28)),
        (("model", "x"), False, (2, 8, 11)),
        (("blocks", 0), True, (3, 1, 7)),
        ((), False, (2, 1, 25)),
        ((), True, (2, 1, 25)),
    ],
)
def test_place_of(path: tuple[str | int, ...], key: bool, place: tuple[int, int, int]) -> None:
    found = place_of(tree(NET), path, key=key)
    assert where(found) == place
    assert found.source == NET.split("\n")[place[0] - 1]


@pytest.mark.parametrize(
    "path", [("no",), ("model", "x"), ("freeze", 2), ("freeze", "0"), ("blocks", 0)]
)
def test_find_nothing(path: tuple[str | int, ...]) -> None:
    assert find(tree(NET), path) is None


def test_find_the_root() -> None:
    root = tree(NET)
    assert find(root, ()) is root


def test_places_carry_the_name() -> None:
    root, _ = parse("a: 1", "specs/mini.yaml")
    assert str(place_of(root, ("a",))) == "specs/mini.yaml:1:4"


def test_lines_of_a_source_file() -> None:
    file = SourceFile("x", "one\r\ntwo\rthree\nfour \u2028")
    assert [file.line(n) for n in range(6)] == ["", "one", "two", "three", "four \u2028", ""]
    assert where(file.place_at(file.text.index("three") + 1)) == (3, 2, 3)


@pytest.mark.usefixtures("parser")
@every(
    ("text", "start", "end", "place"),
    [
        ("a: relu(bn1(x))", 0, None, (1, 4, 16)),
        ("a: relu(bn1(x))", 5, 8, (1, 9, 12)),
        ("a: relu(bn1(x))", 12, 12, (1, 16, 16)),
        ("a: relu(bn1(x))", 12, 99, (1, 16, 16)),
        ("a: 'bn1(x)'", 0, None, (1, 4, 12)),
        ("a: 'bn1(x)'", 0, 3, (1, 5, 8)),
        ("a: 'bn1(x)'", 0, 6, (1, 5, 11)),
        ('a: "😀 + bn1 "', 4, 7, (1, 9, 12)),
        ('a: "b  c"', 3, 4, (1, 8, 9)),
        ("{😀: 中 + b1}", 4, 6, (1, 9, 11)),
        ("a: &x bn1(x)", 4, 5, (1, 11, 12)),
        ("a: '''\"x\"'", 1, 4, (1, 7, 10)),  # the escape stands before
        ("a: 'it''s x'", 5, 6, (1, 4, 13)),  # an escape: the whole
        ('a: "x\\ty"', 2, 3, (1, 4, 10)),
        ("a: one\n   two three", 4, 7, (2, 4, 7)),
        ("a: one\n   two three", 2, 9, (1, 6, 7)),  # begins on one line, ends on the next
        ("a: |\n  b1\n  c2\n", 3, 5, (2 + 1, 3, 5)),
        ("a: |\n  b1\n  c2\n", 0, 2, (2, 3, 5)),
        ("a: >-\n  b1 +\n  c2\n\n", 5, 7, (3, 3, 5)),
        ("a: >-\n  b1 +\n  c2\n\n", 7, 7, (3, 5, 5)),
        ("a: |\n  ||\nb: 1", 0, 1, (2, 3, 4)),
        ('a: "x\n   y1"', 2, 4, (2, 4, 6)),
        ("a: ''", 0, 0, (1, 4, 6)),
        ("a: '   '", 1, 2, (1, 4, 9)),
    ],
)
def test_stretches_of_scalars(
    text: str, start: int, end: int | None, place: tuple[int, int, int]
) -> None:
    root = tree(text)
    node = next(iter(root.entries.values())).value
    assert isinstance(node, Scalar)
    assert where(node.place(start, end)) == place


# ----------------------------------------------------------------------------------------- errors

ERRORS: list[tuple[str, str, tuple[int, int, int]]] = [
    ("a:\n\tb: 1", "E101", (2, 1, 2)),
    ("a:\tb", "E101", (1, 3, 4)),
    ("a: [1\n", "E101", (1, 4, 5)),
    ("a: {", "E101", (1, 4, 5)),
    ("😀: [\nb: 1", "E101", (1, 4, 5)),
    ("a: {b: c: d}", "E101", (1, 9, 10)),
    ("a: {b: $c[0] - 1}", "E101", (1, 10, 11)),
    ('a: {b: "c" d: e}', "E101", (1, 12, 14)),
    ("a: [b, , c]", "E101", (1, 8, 9)),
    ("a: b]\nc: [d]]", "E101", (2, 7, 8)),
    ("a: 'b", "E101", (1, 4, 5)),
    ('é: "b\nc: d\n', "E101", (1, 4, 5)),
    ("a: 'it's'", "E101", (1, 8, 10)),
    ("a: b: c", "E101", (1, 5, 6)),
    ("a: b\n  c: d", "E101", (2, 3, 4)),
    ("a: 1\nb:2\nc: 3", "E101", (2, 1, 4)),
    ("a: 1\nb\nc: 3", "E101", (2, 1, 2)),
    ("a:\n  b: 1\n c: 2", "E101", (3, 2, 4)),
    (" a: 1\nb: 2", "E101", (2, 1, 3)),
    ("a: 1\n- b", "E101", (2, 1, 2)),
    ("a:\n  - b\n  c: d", "E101", (3, 3, 5)),
    ("a: - b", "E101", (1, 4, 5)),
    ("a: @Linear", "E101", (1, 4, 11)),
    ("a: %x", "E101", (1, 4, 6)),
    ("a: [**, fc]", "E101", (1, 5, 7)),
    ("a: *.weight", "E101", (1, 4, 12)),
    ("a: *fc", "E101", (1, 4, 7)),
    ("a: ? b", "E101", (1, 4, 5)),
    ("a: > b", "E101", (1, 6, 7)),
    ('a: "é\\d"', "E101", (1, 6, 8)),
    ('a: "\\u00g0"', "E101", (1, 5, 11)),
    ('a: "\\ud83d\\ude00"', "E101", (1, 4, 18)),
    ('a: "\\U00110000"', "E101", (1, 7, 16)),
    ("a: {{ x }}", "E101", (1, 5, 10)),
    ("? - a\n: b", "E101", (1, 3, 6)),
    (": b", "E101", (1, 1, 2)),
    ("a: {: b}", "E101", (1, 5, 6)),
    ("%YAML 2.0\n---\na: 1", "E101", (1, 1, 6)),
    ("k" * 1025 + ": 1", "E101", (1, 1, 1026)),
    ("é: a\x07", "E101", (1, 5, 6)),
    ("a: 'x\u2028'", "E101", (1, 6, 7)),
    ("a: \ufeff", "E101", (1, 4, 5)),
    ("a: \ud800", "E101", (1, 4, 5)),
    ("a: 1\né: 2\r\na: 3", "E102", (3, 1, 2)),
    ("a: {on: 1, 'on': 3}", "E102", (1, 12, 16)),
    ("a: !fc", "E103", (1, 4, 7)),
    ('a: ["**", !fc]', "E103", (1, 11, 14)),
    ("a: [!fc, b]", "E103", (1, 5, 8)),
    ("a: [!fc[-2:], !b]", "E103", (1, 5, 13)),
    ("a: !a!b c", "E103", (1, 4, 8)),
    ("a: !<b", "E103", (1, 4, 7)),
    ("a: &x !!str 1", "E103", (1, 7, 12)),
    ("a: ! 1", "E103", (1, 4, 5)),
    ("a: !!python/object:os.system {}", "E103", (1, 4, 29)),
    ("!!map\na: 1", "E103", (1, 1, 6)),
    ("a: &x [b, *x]", "E104", (1, 11, 13)),
    ("a: " + "1" * (MAX_DIGITS + 1), "E105", (1, 4, 5 + MAX_DIGITS)),
    ("a: 0x" + "f" * (MAX_DIGITS + 1), "E105", (1, 4, 7 + MAX_DIGITS)),
    ("", "E107", (1, 1, 1)),
    ("# c", "E107", (1, 1, 4)),
    ("---\n...\n", "E107", (1, 1, 4)),
    ("a: 1\n--- b\n", "E107", (2, 1, 4)),
    ("- a\n- b", "E202", (1, 1, 4)),
    ("a", "E202", (1, 1, 2)),
    ("a:1\nb:2", "E202", (1, 1, 4)),
]


@pytest.mark.usefixtures("parser")
@every(("text", "code", "place"), ERRORS)
def test_errors(text: str, code: str, place: tuple[int, int, int]) -> None:
    (problem,) = problems_of(text)
    assert (problem.code, where(problem.place)) == (code, place)


@pytest.mark.usefixtures("parser")
def test_error_messages(golden: Callable[[str, str], None]) -> None:
    texts = [text for text, _, _ in ERRORS if text.isprintable() or "\n" in text]
    told = [f"{text!r}\n{problem}" for text in texts for problem in problems_of(text)]
    golden("source_errors.txt", "\n\n".join(told) + "\n")


@pytest.mark.usefixtures("parser")
def test_notes_lead_to_the_other_place() -> None:
    (twice,) = problems_of("a: 1\na: 2")
    assert [(n.message, where(n.place)) for n in twice.notes] == [("the first one", (1, 1, 2))]
    (unclosed,) = problems_of("a: [1\nb: 2")
    assert [(n.message, where(n.place)) for n in unclosed.notes] == [
        ("expected ',' or ']' here, not ':'", (2, 2, 3))
    ]


@pytest.mark.usefixtures("parser")
def test_all_problems_are_told_in_order() -> None:
    text = "a: &a {x: !t 1, x: 2}\nb: *c\nc: {[1]: 2}\na: 3\n"
    root, problems = parse(text)
    assert [(p.code, where(p.place)) for p in problems] == [
        ("E103", (1, 11, 13)),
        ("E102", (1, 17, 18)),
        ("E101", (2, 4, 6)),
        ("E101", (3, 5, 8)),
        ("E102", (4, 1, 2)),
    ]
    assert plain(root) == {"a": {"x": 1}, "b": "*c", "c": {}}
    assert [p.code for p in problems_of(text + "d: [")] == [*(p.code for p in problems), "E101"]


def test_many_forbidden_characters_are_cut_short() -> None:
    assert [where(p.place) for p in problems_of("a: \x00\nb: " + "\x01" * 100)][:2] == [
        (1, 4, 5),
        (2, 4, 5),
    ]
    assert len(problems_of("\x01" * 100)) == 20


# ---------------------------------------------------------------------------------------- aliases


@pytest.mark.usefixtures("parser")
def test_aliases_repeat_their_node() -> None:
    root = tree("a: &a {x: [1]}\nb: *a\nc: &a 2\n*a : *a\n")
    assert plain(root) == {"a": {"x": [1]}, "b": {"x": [1]}, "c": 2, "2": 2}
    assert where(root.entries["b"].value.span.place()) == (1, 4, 15)
    assert where(root.entries["2"].key.place()) == (4, 1, 3)


@pytest.mark.usefixtures("parser")
def test_an_anchor_given_anew_inside_itself() -> None:
    assert plain(tree("a: &a [&a 1, *a]\nb: *a")) == {"a": [1, 1], "b": 1}


@pytest.mark.usefixtures("parser")
def test_limits_count_what_aliases_stand_for() -> None:
    hundred = "a: &a [" + "x," * 99 + "]\nb:\n"  # root, keys, lists: 104 nodes with b's list
    fits = (MAX_NODES - 104) // 100
    root = tree(hundred + "- *a\n" * fits)
    assert isinstance(root.entries["b"].value, Listing)
    assert len(root.entries["b"].value.items) == fits
    (problem,) = problems_of(hundred + "- *a\n" * (fits + 1))
    message = "aliases expand to more than 20,000 keys and values"
    assert (problem.code, problem.message, where(problem.place)) == (
        "E104",
        message,
        (fits + 3, 3, 5),
    )


@pytest.mark.usefixtures("parser")
def test_depth() -> None:
    brackets = MAX_DEPTH - 1  # the root is one level
    tree(f"a: {'[' * brackets}{']' * brackets}")
    (problem,) = problems_of(f"a: {'[' * MAX_DEPTH}")
    message = "lists and mappings are nested more than 64 deep"
    assert (problem.code, problem.message, where(problem.place)) == ("E105", message, (1, 67, 68))
    chain = "".join(f"k{n}: &k{n} [*k{n - 1}]\n" for n in range(1, 100))
    (problem,) = problems_of("k0: &k0 []\n" + chain)
    message = "aliases expand to more than 64 levels"
    assert (problem.code, problem.message, where(problem.place)) == ("E104", message, (64, 12, 16))


# ----------------------------------------------------------------------------------------- reading


def test_read(tmp_path: Path) -> None:
    path = tmp_path / "é.yaml"
    path.write_bytes("\ufeffa: é\r\nb: 😀x\r\n".encode())
    root, problems = read(path)
    assert (plain(root), problems) == ({"a": "é", "b": "😀x"}, [])
    assert place_of(root, ("b",)) == Place(str(path), 2, 4, 6, "b: 😀x")
    assert place_of(root, ("a",)).column == 4
    assert place_of(read(path, "specs/x.yaml")[0], ("b",)).file == "specs/x.yaml"


def problem_of_reading(path: Path) -> Problem:
    with pytest.raises(SpecError) as caught:
        read(path, "x.yaml")
    (problem,) = caught.value.problems
    return problem


def test_read_what_is_no_file(tmp_path: Path) -> None:
    assert problem_of_reading(tmp_path / "no").message == "x.yaml: no such file"
    assert problem_of_reading(tmp_path).message == "x.yaml: is a folder"
    assert problem_of_reading(tmp_path / "\0").message == "x.yaml: embedded null byte"
    assert {problem_of_reading(p).code for p in (tmp_path, tmp_path / "no", tmp_path / "\0")} == {
        "E106"
    }


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in the file system")
def test_read_does_not_wait_for_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        problem = problem_of_reading(path)
        assert (problem.code, problem.message) == ("E106", "x.yaml: is not a regular file")


def test_read_other_encodings(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes("a: é\nbé: é\n".encode() + "b: é\n".encode("latin-1"))
    problem = problem_of_reading(path)
    assert (problem.code, where(problem.place)) == ("E106", (3, 4, 5))
    assert (problem.message, problem.hint) == ("x.yaml: not UTF-8 text", "save the file as UTF-8")
    path.write_bytes("a: 1".encode("utf-16"))
    assert where(problem_of_reading(path).place) == (1, 1, 2)


def test_size(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"a: " + b"x" * (MAX_BYTES - 3))
    assert plain(read(path)[0]) == {"a": "x" * (MAX_BYTES - 3)}
    path.write_bytes(b"a: " + b"x" * (MAX_BYTES - 2))
    problem = problem_of_reading(path)
    assert (problem.code, problem.message) == ("E105", "x.yaml: larger than 1,000,000 bytes")
    assert [p.code for p in problems_of("a: " + "é" * (MAX_BYTES // 2))] == ["E105"]


def test_excerpts() -> None:
    text = "a: 1\nb:\n  c: [1,\n      2]\n\n  # of d\n  d:\n    e: 5\n\n# of f\nf: 6\n"
    root, _ = parse(text, "x.yaml")
    found = excerpt(root, ("b", "c"), around=1)
    assert (found.file, found.first, found.marked) == ("x.yaml", 2, range(3, 5))
    assert found.lines == ("b:", "  c: [1,", "      2]", "")
    assert excerpt(root, ("b",)).marked == range(2, 9)
    assert excerpt(root, ("b", "d", "e", "no")).lines == ("    e: 5",)
    assert excerpt(root, ("f",), around=11).lines == tuple(text.splitlines())
    assert excerpt(root, ()).marked == range(1, 12)
