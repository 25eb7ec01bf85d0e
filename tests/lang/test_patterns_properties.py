"""The pattern language against a reference on random trees, and against hostile patterns."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archspec.lang.patterns import Entry, PatternError, Rename, Tree, parse

NAMES = st.sampled_from(["a", "b", "ab", "aab", "ba", "0", "1"])
TYPES = st.sampled_from(["X", "Y", "Z"])
GLOBS = NAMES | st.sampled_from(["*", "a*", "*b", "*a*", "*a*b", "a*b*", "*a*a*b"])
BOUNDS = st.none() | st.integers(-3, 3)
STEPS = st.none() | st.sampled_from([-2, -1, 1, 2])


@st.composite
def trees(draw: st.DrawFn) -> list[Entry]:
    """Modules and tensors in pre-order."""

    def grow(path: str, depth: int) -> list[Entry]:
        grown = [Entry(path, draw(TYPES))]
        for name in draw(st.lists(NAMES, unique=True, max_size=3)) if depth else ():
            child = f"{path}.{name}" if path else name
            is_tensor = draw(st.integers(0, 4)) == 0
            grown += [Entry(child, None)] if is_tensor else grow(child, depth - 1)
        return grown

    return grow("", 4)


@st.composite
def picks(draw: st.DrawFn) -> str:
    if draw(st.booleans()):
        return f"[{draw(st.integers(-3, 3))}]"
    bounds = [draw(BOUNDS), draw(BOUNDS), draw(STEPS)]
    return f"[{':'.join('' if bound is None else str(bound) for bound in bounds)}]"


def patterns(types: bool = True, positions: bool = True) -> st.SearchStrategy[str]:
    segments = GLOBS | st.sampled_from(["*", "**"])
    if types:
        segments |= TYPES.map("@{}".format)
    if positions:
        segments |= st.tuples(GLOBS | st.just("*"), picks()).map("".join)
    return st.lists(segments, min_size=1, max_size=5).map(".".join)


SLICED = st.tuples(
    st.sampled_from(["*", "**.*"]), picks(), st.sampled_from(["", ".*", ".**.a*"])
).map("".join)


def is_below(path: str, top: str) -> bool:
    return path == top or top == "" or path.startswith(f"{top}.")


def reference(text: str, entries: list[Entry]) -> set[int]:
    """What the pattern selects, found by trying everything."""
    types = {entry.path: entry.type for entry in entries}

    def below(path: str) -> list[str]:
        return [p for p in types if p and p.rpartition(".")[0] == path]

    def ends(path: str, segments: list[str]) -> set[str]:
        if not segments:
            return {path}
        first, rest = segments[0], segments[1:]
        if first == "**":
            return ends(path, rest).union(*(ends(child, segments) for child in below(path)))
        if first.startswith("@"):
            return {e for c in below(path) if types[c] == first[1:] for e in ends(c, rest)}
        glob, bracket, pick = first.partition("[")
        name = re.compile(glob.replace("*", ".*"))
        found = [c for c in below(path) if name.fullmatch(c.rpartition(".")[2])]
        if bracket:
            found = [child for c in found for child in picked(below(c), pick)]
        return {e for c in found for e in ends(c, rest)}

    def picked(children: list[str], pick: str) -> list[str]:
        children = [c for c in children if types[c]] or children
        try:
            chosen = eval(f"children[{pick}", {"children": children})
        except IndexError:
            return []
        return chosen if isinstance(chosen, list) else [chosen]

    segments = text.split(".")
    if segments[0].startswith("@"):
        segments = ["**", *segments]
    found = ends("", segments)
    while segments[:1] == ["**"]:
        segments = segments[1:]
        if segments and segments[0] == f"@{types['']}":
            found |= ends("", segments[1:])
    return {i for i, e in enumerate(entries) if any(is_below(e.path, top) for top in found)}


@st.composite
def numbered(draw: st.DrawFn) -> tuple[str, str, str, str]:
    """Two sides with the same numbers, and the names that they are with random values."""
    values = {name: draw(st.integers(0, 12)) for name in draw(st.sets(st.sampled_from("ijs")))}
    sides: list[str] = []
    paths: list[str] = []
    for _ in range(2):
        order = [*values, *draw(st.lists(st.sampled_from([*values] or ["i"]), max_size=2))]
        names, written = ["a"], ["a"]
        for name in order if values else []:
            factor, more = draw(st.integers(1, 3)), draw(st.integers(-min(values[name], 3), 3))
            text = f"{factor} * {name}" if factor > 1 or draw(st.booleans()) else name
            text += f" {'+' if more > 0 else '-'} {abs(more)}" if more else ""
            before, behind = (
                draw(st.sampled_from(["", "b", "b-"])),
                draw(st.sampled_from(["", "x"])),
            )
            number = factor * values[name] + more
            pieces = f"{before}{{{text}}}{behind}", f"{before}{number}{behind}"
            if draw(st.booleans()) and before:  # in one name, such as block2-3
                names[-1], written[-1] = names[-1] + pieces[0], written[-1] + pieces[1]
            else:
                names.append(pieces[0])
                written.append(pieces[1])
        sides.append(".".join(names))
        paths.append(".".join(written))
    return (*sides, *paths)  # pyright: ignore[reportReturnType]


@given(numbered())
def test_numbers_are_the_same_on_both_sides(case: tuple[str, str, str, str]) -> None:
    ours, theirs, our_path, their_path = case
    assert Rename(ours, theirs).to_foreign(f"{our_path}.weight") == f"{their_path}.weight"
    assert Rename(theirs, ours).to_foreign(f"{their_path}.weight") == f"{our_path}.weight"
    assert Rename(f"**.{ours}", f"**.{theirs}").to_foreign(f"m.n.{our_path}") == f"m.n.{their_path}"


@given(trees(), patterns() | SLICED)
def test_select_equals_the_reference(entries: list[Entry], text: str) -> None:
    tree, expected = Tree(entries), reference(text, entries)
    assert tree.select(parse(text)) == expected
    assert tree.selects(parse(text)) is bool(expected)


@given(trees(), st.lists(patterns(), max_size=4))
def test_the_last_match_is_a_fold_of_select(entries: list[Entry], texts: list[str]) -> None:
    tree = Tree(entries)
    last: list[int | None] = [None] * len(entries)
    for index, text in enumerate(texts):
        last = [index if i in tree.select(parse(text)) else old for i, old in enumerate(last)]
    assert tree.last_match([parse(text) for text in texts]) == last


@given(trees(), patterns())
def test_near_misses_are_patterns_that_select_something(entries: list[Entry], text: str) -> None:
    tree = Tree(entries)
    near = tree.near_misses(parse(text))
    assert len(near) <= 3
    assert not (near and tree.select(parse(text)))
    assert all(tree.select(parse(one.partition(" (")[0])) for one in near)


@given(st.text("a*.@![]:-10 ", max_size=12))
def test_any_text_is_a_pattern_or_an_error_with_a_stretch(text: str) -> None:
    error = error_of(text)
    if error is not None:
        assert 0 <= error.start <= error.end <= len(text)
        assert error.start < error.end or not text


def error_of(text: str) -> PatternError | None:
    try:
        parse(text)
    except PatternError as error:
        return error
    return None


@given(patterns(types=False, positions=False), trees())
def test_a_rename_to_itself_changes_what_the_pattern_selects(
    text: str, entries: list[Entry]
) -> None:
    selected = Tree(entries).select(parse(text))
    for index, entry in enumerate(entries):
        assert Rename(text, text).to_foreign(entry.path) == (
            entry.path if index in selected else None
        )


# hostile patterns

HOSTILE = {
    "any depth": ".".join(["**"] * 330),
    "any depth, one name": ".".join(["**.*"] * 200),
    "any depth, same name": ".".join(["**.a"] * 200),
    "any depth, parts of names": ".".join(["**.*a*"] * 140) + ".b",
    "names": "**." + ".".join(["*"] * 499),
    "parts of one name": "*a" * 499 + "*b",
    "parts of many names": ".".join(["*a*"] * 249) + ".b",
    "any depth, positions": ".".join(["**.*[:]"] * 124),
    "positions": ".".join(["*[::-1]"] * 124),
    "types": ".".join(["**.@X"] * 166),
    "just plain enough": "**.*a.**.*a*.b",
}


def hostile_tree(size: int) -> Tree:
    """Deep chains of names that nearly match, and many siblings."""
    deep = [".".join([name] * depth) for name in ("a", "a" * 50) for depth in range(1, 100)]
    flat = [f"layer{i % 100}.a.{i}" for i in range(size - len(deep))]
    return Tree([Entry(path, "X") for path in (*deep, *flat)])


def seconds(call: Callable[[], object], times: int = 1) -> float:
    """The best of several runs, in seconds of processor time."""

    def once() -> float:
        start = time.process_time()
        call()
        return time.process_time() - start

    return min(once() for _ in range(times))


@pytest.fixture(scope="module")
def tree_of_20_000() -> Tree:
    return hostile_tree(20_000)


@pytest.mark.parametrize("text", ["**", "layer7.a", "**.a", "**.*a*", "layer*[-20:].*", "@X", "@Y"])
def test_selection_takes_no_longer_than_making_the_tree_twice(
    text: str, tree_of_20_000: Tree
) -> None:
    made = seconds(lambda: Tree(tree_of_20_000.entries), times=5)
    # Held against one walk over the same paths: processors differ, the ratio does not.
    assert seconds(lambda: tree_of_20_000.select(parse(text)), times=5) < 2 * made


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_no_pattern_takes_long(text: str, tree_of_20_000: Tree) -> None:
    pattern = parse(text)
    assert seconds(lambda: tree_of_20_000.select(pattern)) < 2
    assert seconds(lambda: tree_of_20_000.near_misses(pattern)) < 10


@pytest.mark.parametrize("text", [t for t in HOSTILE.values() if "@" not in t and "[" not in t])
def test_no_rename_takes_long(text: str) -> None:
    rename = Rename(new=text, old=text)
    assert seconds(lambda: [rename.to_foreign(path) for path in near_paths(hostile_tree(300))]) < 2


def test_no_number_takes_long() -> None:
    text = "**." + "x".join(f"{{n{i}}}" for i in range(120))
    rename = Rename(new=text, old=text)
    paths = [".".join(["x".join("1" * n)] * 9) + ".weight" for n in range(110, 130)]
    assert seconds(lambda: [rename.to_foreign(path) for path in paths]) < 2
    assert rename.to_foreign(paths[10]) == paths[10]


def near_paths(tree: Tree) -> list[str]:
    return [entry.path + end for entry in tree.entries for end in ("", "c", ".c")]
